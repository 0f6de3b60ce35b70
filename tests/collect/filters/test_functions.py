from importlib.metadata import entry_points

import pytest

from wavecoder.collect.filters import functions as filters
from wavecoder.records import RawCode, digest


def raw(code, name="f", language="python", path="a/b.py"):
    return RawCode(
        id=digest(code, name),
        language=language,
        name=name,
        code=code,
        docstring=None,
        source="directory:a",
        path=path,
        start_line=1,
        end_line=1,
        content_hash=digest(code),
    )


def option(filter_class, **options):
    return filter_class(filter_class.Config(**options))


def reason(rule, *args, **kwargs):
    refusal = rule.check(raw(*args, **kwargs))
    return refusal[0] if refusal else None


LENGTH = option(filters.Length)
CONSTRUCTOR = option(filters.Constructor)
TEST = option(filters.Test)
TRIVIAL = option(filters.Trivial)


def test_too_short_and_too_long_code_is_rejected():
    assert reason(LENGTH, "é" * 49) == "too_short"
    assert reason(LENGTH, "é" * 50) is None
    assert reason(LENGTH, "é" * 800) is None
    assert LENGTH.check(raw("é" * 801)) == ("too_long", "801 characters, the most kept are 800")


def test_length_counts_tokens_where_asked():
    rule = option(filters.Length, least=0, least_tokens=6, most_tokens=9)
    assert rule.check(raw("a_1 + 2.5; b")) == ("too_short", "5 tokens, the fewest kept are 6")
    assert reason(rule, "a_1 + 2.5; b;") is None
    assert reason(rule, "é = f(x, 0x1F)") is None  # 8
    assert reason(rule, "é = f(x) + 'a'") == "too_long"  # quotes count as marks: 10
    assert reason(option(filters.Length, least_tokens=3), "a" * 60) == "too_short"
    assert reason(option(filters.Length, least=0, most=3, most_tokens=9), "a b c") == "too_long"


@pytest.mark.parametrize(
    ("name", "language", "expected"),
    [
        ("A.__init__", "python", "constructor"),
        ("A.__eq__", "python", "special_method"),
        ("A.__private", "python", None),
        ("A._init", "python", None),
        ("__getattr__", "python", None),  # of a module: a function
        ("Stack.Stack", "java", "constructor"),
        ("Stack.toString", "java", "special_method"),
        ("Stack.push", "java", None),
        ("Box.Box", "cpp", "constructor"),
        ("Box.~Box", "cpp", "special_method"),
        ("Box.operator==", "cpp", "special_method"),
        ("Box.operators", "cpp", None),
        ("Box.Box", "csharp", "constructor"),
        ("Box.__construct", "php", "constructor"),
        ("Box.__get", "php", "special_method"),
        ("Box.constructor", "javascript", "constructor"),
        ("Box.constructor", "typescript", "constructor"),
        ("Box.initialize", "ruby", "constructor"),
        ("Box.to_s", "ruby", "special_method"),
        ("Box.String", "go", "special_method"),
        ("Box.fmt", "rust", "special_method"),
        ("Box.new", "rust", None),
        ("constructor", "c", None),
    ],
)
def test_constructors_and_special_methods_are_rejected_by_name(name, language, expected):
    assert reason(CONSTRUCTOR, "x", name=name, language=language) == expected


@pytest.mark.parametrize(
    ("name", "path", "code", "expected"),
    [
        ("test_add", "a.py", "", "test"),
        ("TestAdd", "a.go", "", "test"),
        ("A.testAdd", "A.java", "", "test"),
        ("latest", "a.py", "", None),
        ("TestCase.run", "unittest/case.py", "", None),
        ("attestation", "contest/a.py", "", None),
        ("helper", "a/tests/b.py", "", "test"),
        ("helper", "src/__tests__/b.js", "", "test"),
        ("helper", "a/add_test.go", "", "test"),
        ("helper", "a/AddTest.java", "", "test"),
        ("helper", "a/add.spec.ts", "", "test"),
        ("helper", "a/add_spec.rb", "", "test"),
        ("helper", "a/inspect.py", "", None),
        ("TEST_add", "a.c", "", "test"),
        ("harvest", "a/manifest.py", "", None),
        ("adds", "A.java", "@Override\nvoid adds() { @Test int a; }", None),
        ("adds", "a.rs", "#[test]\nfn adds() {}", "test"),
        ("adds", "a.rs", "#[tokio::test]\nasync fn adds() {}", "test"),
        ("adds", "A.java", "@Test\nvoid adds() {}", "test"),
        ("adds", "A.cs", "[Fact]\nvoid Adds() {}", "test"),
    ],
)
def test_tests_are_rejected_by_name_path_or_mark(name, path, code, expected):
    assert reason(TEST, code, name=name, path=path) == expected


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "def f():\n    pass"),
        ("python", "def f(): ..."),
        ("python", "def f(self):\n    # later\n    return self._a.b"),
        ("python", "def f():\n    return -1"),
        ("python", "def f():\n    return 'a b'"),
        ("python", "def f():\n    return {}"),
        ("python", "def f():\n    return"),
        ("python", "def f(a):\n    raise NotImplementedError(\n        'f')"),
        ("java", "public int f() { return this.a; }"),
        ("java", "void f() { }"),
        ("java", 'int f() { throw new UnsupportedOperationException("f"); }'),
        ("javascript", "const f = () => 1;"),
        ("javascript", "f() { throw new Error('not implemented'); }"),
        ("php", "public function f() { return $this->items; }"),
        ("go", "func (s *S) F() int { return s.f }"),
        ("go", "func (s *S) F() {}"),
        ("ruby", "def f\n  @f\nend"),
        ("ruby", "def f; end"),
        ("c", "int f(void) { return 0; }"),
        ("cpp", "int f() const { return a_; }"),
        ("rust", "fn f(&self) -> &T { &self.f }"),
        ("rust", "fn f() { todo!() }"),
        ("csharp", "public int F() => _f;"),
    ],
)
def test_code_without_substance_is_trivial(language, code):
    assert reason(TRIVIAL, code, language=language) == "trivial"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "def f(a):\n    return a.b()"),
        ("python", "def f(a, b):\n    return a - b"),
        ("python", "def f(a):\n    a.b = 1"),
        ("python", "def f(a):\n    return [a]"),
        ("python", "def f(a):\n    raise ValueError(a)"),
        ("java", "int f(int a) { return a * 2; }"),
        ("javascript", "const f = (a) => a + 1;"),
        ("ruby", 'def f(a)\n  "#{a} b"\nend'),
        ("go", "func F() { g() }"),
        ("rust", "fn f(a: i32) -> i32 { g(a)?; a }"),
    ],
)
def test_code_with_substance_is_not_trivial(language, code):
    assert reason(TRIVIAL, code, language=language) is None


@pytest.mark.parametrize(
    ("language", "code", "detail"),
    [
        ("python", "def f(x):\n    return x +", "by itself it is no Python, line 2"),
        ("java", "int f( { return 1; }", "by itself it is no Java, line 1"),
        ("ruby", "sorts the given list in place", "are words, no code"),
        ("c", "function f() { return 1; }", "'function' before 'f' is another language"),
        ("python", "# def f(): ...", "there is no code"),
        ("python", "def f(x):\n    return x + 1", None),
        ("java", "int f(int a) { return a; }", None),  # a method without its class
    ],
)
def test_what_is_no_code_by_itself_is_a_syntax_error(language, code, detail):
    refusal = option(filters.Parses).check(raw(code, language=language))
    if detail is None:
        assert refusal is None
    else:
        assert refusal[0] == "syntax_error"
        assert detail in refusal[1]


def test_code_without_or_with_a_doc_comment_is_rejected_where_asked():
    bare = raw("def f(x):\n    return x")
    explained = bare.model_copy(update={"docstring": "Returns x."})
    documented, undocumented = option(filters.Documented), option(filters.Undocumented)
    assert documented.check(bare) == ("undocumented", "it has no doc comment")
    assert documented.check(explained) is None
    assert undocumented.check(explained) == ("documented", "it has a doc comment")
    assert undocumented.check(bare) is None


@pytest.mark.parametrize(
    ("code", "language", "needs"),
    [
        ("def f(x):\n    return [y + 1 for y in x]", "python", None),
        ("def f(x):\n    import math\n    return math.pi * len(x)", "python", None),
        ("def f(x):\n    return os.path.join(x, y)", "python", "os, y"),
        ("def f(self, x):\n    return self.x", "python", "self"),
        ("function f(x) { return x + 1; }", "javascript", None),
        ("f(x) { return this.x; }", "javascript", "its object"),
        ("def f(x)\n  @x\nend", "ruby", "its object"),
    ],
)
def test_code_that_needs_its_surroundings_is_rejected_where_asked(code, language, needs):
    rule = option(filters.SelfContained)
    expected = ("not_self_contained", f"it needs {needs}") if needs else None
    assert rule.check(raw(code, language=language)) == expected


def test_the_table_of_filters_names_those_that_are_registered():
    mine = {
        point.name: point.load()
        for point in entry_points(group="wavecoder.filters")
        if point.value.startswith("wavecoder.")
    }
    assert set(filters.BUILT_IN) == set(mine)
    for filter_class in mine.values():
        assert filter_class.__doc__
        assert filter_class.Config.model_config["extra"] == "forbid"
