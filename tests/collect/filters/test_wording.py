import pytest

from wavecoder.collect.filters import wording
from wavecoder.records import RawCode, digest


def raw(code="x", docstring=None, language="python"):
    return RawCode(
        id=digest(code),
        language=language,
        name="f",
        code=code,
        docstring=docstring,
        source="directory:a",
        path="a/b",
        start_line=1,
        end_line=1,
        content_hash=digest(code),
    )


def refusal(filter_class, options=None, **fields):
    return filter_class(filter_class.Config(**(options or {}))).check(raw(**fields))


def reason(filter_class, options=None, **fields):
    found = refusal(filter_class, options, **fields)
    return found[0] if found else None


def test_code_alpacas_list_has_eighteen_entries():
    assert len(set(wording.CODE_ALPACA_WORDS)) == 18


@pytest.mark.parametrize("word", [*wording.CODE_ALPACA_WORDS, "Image", "GO TO"])
def test_a_listed_word_is_rejected_in_any_case(word):
    expected = ("word", f"its code has the word {word!r}")
    assert refusal(wording.Words, code=f"f(x)  # {word}.") == expected
    assert reason(wording.Words, docstring=f"The {word}.") == "word"


@pytest.mark.parametrize(
    "code", ["open_file(x)", "mapped", "goto a", "profile", "Mapping", "plots"]
)
def test_words_are_whole_words(code):
    assert reason(wording.Words, code=code) is None


def test_the_words_can_be_others():
    options = {"words": ("foo", "c++")}
    assert reason(wording.Words, options, code="foo(1)") == "word"
    assert reason(wording.Words, options, code="map(1)") is None


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("s = 'caf\ufffd'", ("damaged_text", "its code has U+FFFD")),
        ("s = '\x00'", ("damaged_text", "its code has U+0000")),
        ("s = '\x1b[0m'", ("damaged_text", "its code has U+001B")),
        ("s = '\x85'", ("damaged_text", "its code has U+0085")),
        ("s = '\ue0b0'", ("damaged_text", "its code has U+E0B0")),
        ("s = 'caf\u00c3\u00a9'", ("damaged_text", "its code has U+00C3 U+00A9")),
        ("s = 'it\u00e2\u20ac\u2122s'", ("damaged_text", "its code has U+00E2 U+20AC U+2122")),
        # Trojan Source: what is read is not what runs.
        (
            "if x != 'user\u202e \u2066# admin\u2069 \u2066':",
            ("hidden_character", "its code has U+202E"),
        ),
        ("a\u200bb = 1", ("hidden_character", "its code has U+200B")),
        ("is\u200d_admin = 1", ("hidden_character", "its code has U+200D")),
        ("\ufeffx = 1", ("hidden_character", "its code has U+FEFF")),
        ("def f():\r\n\tpass\x0c\n", None),
        ("s = 'café Ärger São £5 â'", None),
        ("s = '日本語 العربية'", None),
        ("s = 'می\u200cخواهم'", None),  # Persian needs the joiner
        ("s = '👩\u200d💻'", None),
        ("s = '\u00a0'", None),
    ],
)
def test_damaged_and_hidden_characters_are_rejected(code, expected):
    assert refusal(wording.Encoding, code=code) == expected


def test_damaged_doc_comments_are_rejected_too():
    expected = ("damaged_text", "its doc comment has U+FFFD")
    assert refusal(wording.Encoding, docstring="caf\ufffd") == expected


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        (
            "python",
            "def f():\n" + "    # old = old_function(old)\n" * 9 + "    return g()",
            "comments",
        ),
        (
            "python",
            "def f():\n" + "    # why it is so, at length\n" * 2 + "    return g(h(1))",
            None,
        ),
        ("python", "def f():\n" + "    // 2\n" * 9, None),
        ("python", "s = 1  # " + "behind code " * 20, None),
        ("java", "int f() {\n" + "  // a = oldCode(b);\n" * 9 + "  return 1;\n}", "comments"),
        (
            "java",
            "int f() {\n/* Licensed under\n" + " the terms of it\n" * 9 + "*/ return 1; }",
            "comments",
        ),
        ("c", "int f() {\n" + "#define A 1\n" * 9 + "  return 1;\n}", None),
        ("php", "function f() {\n" + "  # $a = old_code($b);\n" * 9 + "  return 1;\n}", "comments"),
        ("php", "#[Route('/a/very/long/path/that/is/code')]\nfunction f() {}", None),
    ],
)
def test_code_that_is_nearly_all_comments_is_rejected(language, code, expected):
    assert reason(wording.Comments, code=code, language=language) == expected


def test_the_share_of_comments_can_be_moved():
    code = "def f():\n    # abc\n    return 1"  # 4 of 18
    assert reason(wording.Comments, {"most": 0.3}, code=code) is None
    assert refusal(wording.Comments, {"most": 0.2}, code=code) == (
        "comments",
        "22% of it are comments, the most is 20%",
    )


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("返回两个数的和", "not_english"),
        ("Возвращает сумму двух чисел.", "not_english"),
        ("Devuelve la suma de los números que se dan como argumentos.", "not_english"),
        ("Renvoie la somme des nombres dans une liste, avec le signe.", "not_english"),
        ("Gibt die Summe der Zahlen und den Rest aus, nicht das Produkt.", "not_english"),
        (
            "Mengembalikan jumlah yang diberikan dengan nilai dari daftar untuk pengguna.",
            "not_english",
        ),
        ("Return the sum of two numbers.", None),
        ("Return the angle α between the vectors, and the naïve one.", None),
        ("Der Kern: returns the los and por of an el, le and la to the con.", None),
        ("One of utf-16-le, utf-32-le, utf-16-le.", None),
        ("x: int", None),
        (None, None),
    ],
)
def test_prose_that_is_not_english_is_rejected_where_asked(docstring, expected):
    assert reason(wording.NaturalLanguage, docstring=docstring) == expected


def test_comments_are_prose_and_strings_are_none():
    assert reason(wording.NaturalLanguage, code="x = 1\n# 返回两个数的和") == "not_english"
    assert reason(wording.NaturalLanguage, code="x = '返回两个数的和'") is None
