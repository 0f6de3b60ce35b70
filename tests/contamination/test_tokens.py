import numpy as np
import pytest

from wavecoder.contamination.tokens import (
    HASH,
    SLASH,
    SLASH_CHARS,
    Style,
    runs,
    span,
    style_of,
    symbols,
    words,
)


def texts(code: str, style: Style = HASH) -> list[str]:
    data = code.encode()
    found = symbols(data, style)
    return [data[a:b].decode() for a, b in zip(found.starts, found.ends, strict=True)]


def same(one: str, other: str, style: Style = HASH) -> bool:
    a, b = (symbols(code.encode(), style) for code in (one, other))
    return np.array_equal(a.hashes, b.hashes)


def blind(one: str, other: str, size: int = 5) -> bool:
    a, b = (runs(symbols(code.encode(), HASH), size, blind=True) for code in (one, other))
    return np.array_equal(a, b)


def test_words_are_the_same_in_prose_a_comment_and_a_docstring():
    prose = words(b"Return the largest of TWO numbers.").hashes
    comment = words(b"# return the\n# largest of two\n# numbers").hashes
    assert np.array_equal(prose, comment)


def test_symbols_have_no_comment_no_docstring_and_nothing_that_formatters_move():
    code = 'def f(a, b):\n    """Doc."""\n    # note\n    return a + b  # why\n'
    assert texts(code) == ["def", "f", "a", "b", "return", "a", "+", "b"]
    assert same("return {'a': [1, 2]}", 'return  {\n "a": [1,\n 2,],}')


@pytest.mark.parametrize(
    "code, style, expected",
    [
        ("x = a // b  # c", HASH, ["x", "=", "a", "/", "/", "b"]),
        ("x = 1; // c\n/* d\ne */ y", SLASH, ["x", "=", "1", "y"]),
        ('u = "http://x" // c', SLASH, ["u", "=", '"http://x"']),
        (
            "fn f<'a>(x: &'a str) // c",
            SLASH_CHARS,
            ["fn", "f", "<", "a", ">", "x", "&", "a", "str"],
        ),
        ("don't # stop", HASH, ["don", "t"]),
        ("f'x' + rb'y'", HASH, ["'x'", "+", "'y'"]),
        ("a = 1.5 + b.c", HASH, ["a", "=", "1.5", "+", "b", "c"]),
        ("```python\nx\n```", HASH, ["x"]),
        ('"open', HASH, ["open"]),
        ("/* open", SLASH, []),
    ],
)
def test_symbols_of_code_that_is_read_wrong_easily(code: str, style: Style, expected: list[str]):
    assert texts(code, style) == expected


def test_code_of_an_unknown_language_is_read_in_both_ways():
    assert {style.bits & 3 for style in style_of(None)} == {1, 2}
    assert style_of("python") == (HASH,)


def test_names_do_not_count_where_names_are_left_out_but_what_they_repeat_does():
    assert blind("total = total + item", "acc = acc + x")
    assert not blind("total = total + item", "acc = x + acc")


def test_what_cannot_be_renamed_keeps_its_text():
    assert not blind("return len(a) + 1", "return sum(a) + 1")
    assert not blind("a.append(b) or a", "a.remove(b) or a")
    assert blind("max = max + 1 + 2", "low = low + 1 + 2")  # a variable with that name


def test_a_run_does_not_depend_on_what_stands_before_it():
    inside = runs(symbols(b"a = b + c * b", HASH), 5, blind=True)
    after = runs(symbols(b"f b a c = a; a = b + c * b", HASH), 5, blind=True)
    assert np.array_equal(inside, after[-len(inside) :])


def test_a_span_is_the_run_of_that_many_tokens():
    found = symbols(b"one two three four five", HASH)
    assert [span(found.hashes[at : at + 3]) for at in range(3)] == runs(found, 3).tolist()
    assert len(runs(found, 6)) == 0
