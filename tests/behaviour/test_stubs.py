import pytest

from wavecoder.behaviour import Subject, Unrunnable, differ, observe, stub

CASES = [
    ('def f(a: int) -> int:\n    """Doc."""\n    return a + 1\n', "python", [3]),
    ("def f(a): return a + 1", "python", [3]),
    ("import math\ndef f(a) -> list[int]:\n    return [math.floor(a)]\n", "python", [3]),
    ("const f = (a) => a + 1;", "javascript", [3]),
    ("function f(a) { return a + 1; }", "javascript", [3]),
    ("export const f = (a: number): number[] => { return [a]; };", "typescript", [3]),
    ("function f(int $a): int { return $a + 1; }", "php", [3]),
    ("function f(int $a): DateTime { return new DateTime(); }", "php", None),
    ("def f(a)\n  a + 1\nend", "ruby", [3]),
    ("class S { List<Integer> f(int a) { return List.of(a); } }", "java", [3]),
    ("class S { static int[][] f(int a) { return new int[][] {{a}}; } }", "java", [3]),
    ("class S { String f(int a) { return \"\" + a; } }", "java", [3]),
    ('package main\nimport "strings"\nfunc f(a int) (string, error) '
     '{ return strings.Repeat("x", a), nil }', "go", [3]),
    ("func f(a int) (made map[string]int) { made = map[string]int{\"a\": a}; return }", "go", [3]),
    ("vector<string> f(int a) { return {to_string(a)}; }", "cpp", [3]),
    ("const string& f(const string& a) { return a; }", "cpp", ["x"]),
    ("fn f(a: i32) -> Result<Vec<i32>, String> { Ok(vec![a]) }", "rust", [3]),
    ("fn f(a: &str) -> &str { a }", "rust", ["x"]),
    ("fn f(a: i32) -> (String, bool) { (a.to_string(), true) }", "rust", [3]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "language", "call"), CASES)
def test_a_stub_can_be_called_and_does_not_do_the_same(code, language, call, sandbox):
    subject = Subject(code, language, "f")
    made = stub(subject)
    assert made is not None
    assert (made.language, made.function) == (language, "f")
    if call is None:
        return
    there, empty = (observe(sandbox, one, [call]) for one in (subject, made))
    assert not isinstance(there, Unrunnable), there
    assert not isinstance(empty, Unrunnable), (made.code, empty)
    assert differ(there[0], empty[0])


def test_what_is_no_function_has_no_stub():
    assert stub(Subject("x = 1", "python", "f")) is None
    assert stub(Subject("int f(int a);", "cpp", "f")) is None
