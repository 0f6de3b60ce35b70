import pytest

from wavecoder.languages import is_self_contained, outside_names


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(x):\n    return sorted(x, key=len)", []),
        ("import re\n\ndef f(x):\n    return re.sub('a', 'b', x)", []),
        ("def f(x):\n    return re.sub('a', os.sep, x)", ["re", "os"]),
        ("def f(x):\n    def g(y):\n        return h(y)\n    return g(x)", ["h"]),
        ("def f(x):\n    return f(x - 1)", []),
        ("class A:\n    def f(self):\n        return self.x", []),
        ("def f(self):\n    return self.x", ["self"]),
        ("@cached\ndef f(x: Box) -> int:\n    return 1", ["cached", "Box"]),
        ("def f(:", []),
        # Of a function with this name the standard library takes the locals for globals.
        ("def top(x):\n    y = x\n    return [y, z]", ["z"]),
        ("def f():\n    global n\n    n = 1\n\ndef g():\n    return n", []),
        ("def f():\n    global n\n    return n", ["n"]),
        ("print(__file__, __name__)", []),
    ],
)
def test_outside_names_of_python(code: str, names: list[str]):
    assert sorted(outside_names(code, "python")) == sorted(names)


def test_what_does_not_compile_is_not_self_contained():
    assert not is_self_contained("def f(:", "python")
    assert not is_self_contained("print 'x'", "python")


def test_an_annotation_is_no_object():
    assert is_self_contained("@Nullable\nstatic String f(String x) { return x; }", "java")
    assert not is_self_contained("String f() { return this.x; }", "java")
