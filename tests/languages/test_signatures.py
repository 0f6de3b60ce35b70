import pytest

from wavecoder.languages.signatures import signatures

CODE = {
    "python": """
def f(a, b=1, *, c, d: int = 2, **k):
    return 1

class A:
    def m(self, x):
        pass
""",
    "java": """
class A {
    A() {}
    static int f(int a, final String... b) {
        return 1;
    }
}
""",
    "javascript": """
const f = (a, {b}, c = 1) => a;
function g(a, ...r) {}
const h = x => x;
""",
    "typescript": "function f(a: number, b?: string, c = 1): void {}",
    "php": "<?php\nfunction f($a, $b = 1, ...$c) {\n    return 1;\n}",
    "go": """
func (t *T) m(a, b int, c string) {}

func g(c ...string) int {
	return 1
}
""",
    "ruby": "def f(a, b = 1, k:, o: 1, &e)\n  a\nend",
    "c": "int *f(int a, char *b, ...) {\n    return 0;\n}\n\nvoid g(void) {}",
    "cpp": """
std::vector<int> A::f(int a, const std::string& b = "x") {
    return {};
}

A::A(int a) {}
""",
    "rust": "impl A {\n    fn m(&self, x: i32) -> i32 {\n        x\n    }\n}",
    "csharp": "static int F(int a, int b = 1, params int[] c) {\n    return 1;\n}",
}

FOUND = {
    "python": [("f", 2, None, False), ("m", 1, 1, False)],
    "java": [("A", 0, 0, False), ("f", 1, None, False)],
    "javascript": [("f", 2, 3, False), ("g", 1, None, True), ("h", 1, 1, False)],
    "typescript": [("f", 1, 3, True)],
    "php": [("f", 1, None, False)],
    "go": [("m", 3, 3, True), ("g", 0, None, False)],
    "ruby": [("f", 2, 4, False)],
    "c": [("f", 2, None, False), ("g", 0, 0, True)],
    "cpp": [("f", 1, 2, False), ("A", 1, 1, False)],
    "rust": [("m", 1, 1, False)],
    "csharp": [("F", 1, None, False)],
}


@pytest.mark.parametrize("language", CODE)
def test_names_and_numbers_of_arguments(language: str):
    found = signatures(CODE[language], language)
    assert [(one.name, one.least, one.most, one.empty) for one in found] == FOUND[language]


def test_where_a_function_stands():
    code = (
        "def f():\n    def g():\n        pass\n    return g\n\n"
        "class A:\n    def m(self):\n        pass"
    )
    found = signatures(code, "python")
    assert [(one.name, one.line, one.outer, one.member) for one in found] == [
        ("f", 1, True, False),
        ("g", 2, False, False),
        ("m", 7, True, True),
    ]
    (lone,) = signatures("private int f(int x) {\n    return x;\n}", "java")
    assert (lone.name, lone.line, lone.member) == ("f", 1, False)


def test_what_does_not_parse_has_what_can_be_read():
    assert signatures("}}}", "c") == []
