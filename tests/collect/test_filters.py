import pytest

from wavecoder.collect import filters
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


def reason(rule, *args, **kwargs):
    refusal = rule.check(raw(*args, **kwargs))
    return refusal[0] if refusal else None


LENGTH = filters.Length(filters.Length.Config())
CONSTRUCTOR = filters.Constructor(filters.Constructor.Config())
TEST = filters.Test(filters.Test.Config())
TRIVIAL = filters.Trivial(filters.Trivial.Config())


def test_too_short_and_too_long_code_is_rejected():
    assert reason(LENGTH, "é" * 49) == "too_short"
    assert reason(LENGTH, "é" * 50) is None
    assert reason(LENGTH, "é" * 800) is None
    assert LENGTH.check(raw("é" * 801)) == ("too_long", "801 characters, the most kept are 800")


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


def test_undocumented_code_is_rejected_where_asked():
    rule = filters.Documented(filters.Documented.Config())
    one = raw("def f(x):\n    return x")
    assert rule.check(one) == ("undocumented", "it has no doc comment")
    assert rule.check(one.model_copy(update={"docstring": "Returns x."})) is None


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
    rule = filters.SelfContained(filters.SelfContained.Config())
    expected = ("not_self_contained", f"it needs {needs}") if needs else None
    assert rule.check(raw(code, language=language)) == expected
