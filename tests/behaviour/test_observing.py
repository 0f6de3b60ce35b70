"""Each language's driver, called with what misbehaves in every way."""

import pytest

from wavecoder.behaviour import FLAKY, Outcome, Subject, Unrunnable, observe

PROGRAMS = {
    "python": '''
import os, sys
def f(n, s):
    if n == 1: os._exit(0)
    if n == 2: raise ValueError("bad")
    if n == 3:
        while True: pass
    if n == 4: return object()
    if n == 5: return {"k": [1, 2.5, None, True]}
    return s
''',
    "javascript": '''
const f = (n, s) => {
  if (n === 1) process.exit(0);
  if (n === 2) throw new RangeError("bad");
  if (n === 3) while (true) {}
  if (n === 4) return { get k() { return 1; } };
  if (n === 5) return { k: [1, 2.5, undefined, true] };
  return s;
};
''',
    "typescript": '''
interface Held { k: unknown[] }
export function f(n: number, s: string): string | Held {
  if (n === 1) process.exit(0);
  if (n === 2) throw new RangeError("bad" as string);
  if (n === 3) while (true) {}
  if (n === 4) return new Date() as any;
  if (n === 5) return { k: [1, 2.5, null, true] };
  return s!;
}
''',
    "php": '''
function f(int $n, string $s) {
    if ($n === 1) exit(0);
    if ($n === 2) throw new InvalidArgumentException("bad");
    if ($n === 3) while (true) {}
    if ($n === 4) return new DateTime();
    if ($n === 5) return ["k" => [1, 2.5, null, true]];
    return $s;
}
''',
    "ruby": '''
def f(n, s)
  exit!(0) if n == 1
  raise ArgumentError, "bad" if n == 2
  loop {} if n == 3
  return Object.new if n == 4
  return { k: [1, 2.5, nil, true] } if n == 5
  s
end
''',
    "go": '''
package main

import "os"

func f(n int, s string) (interface{}, error) {
	if n == 1 { os.Exit(0) }
	if n == 2 { return nil, errors.New("bad") }
	if n == 3 { for { } }
	if n == 4 { return func() {}, nil }
	if n == 5 { return map[string][]interface{}{"k": {1, 2.5, nil, true}}, nil }
	return s, nil
}

func main() {}
''',
    "java": '''
public class Solution {
  static class Own { public boolean equals(Object other) { return true; } }
  private Object f(int n, String s) {
    if (n == 1) System.exit(0);
    if (n == 2) throw new IllegalArgumentException("bad");
    if (n == 3) for (;;) {}
    if (n == 4) return new Own();
    if (n == 5) return Map.of("k", Arrays.asList(1, 2.5, null, true));
    return s;
  }
}
''',
    "cpp": '''
struct Own { bool operator==(const Own &) const { return true; } };
boost::any f(int n, const string &s) {
    if (n == 1) exit(0);
    if (n == 2) { vector<int> empty; return empty[3]; }
    if (n == 3) for (;;) {}
    if (n == 4) return Own();
    return s;
}
map<string, vector<double>> g() { return {{"k", {1, 2.5}}}; }
int main() { return 1; }
''',
    "rust": '''
struct Own;
fn f(n: i32, s: &str) -> Result<Option<String>, String> {
    if n == 1 { std::process::exit(0); }
    if n == 2 { return Err("bad".to_string()); }
    if n == 3 { loop {} }
    Ok(Some(s.to_string()))
}
fn g() -> Own { Own }
fn main() {}
''',
}  # fmt: skip


@pytest.mark.parametrize("language", PROGRAMS)
def test_each_call_has_its_own_end_and_those_behind_it_are_observed(language, seen):
    calls = [[0, "a"], [1, "a"], [2, "a"], [3, "a"], [0, 'é"\\\n']]
    found = seen(PROGRAMS[language], language, "f", calls, seconds=0.5)
    kinds = [one.kind for one in found]
    assert kinds == ["value", "crashed", "raised", "timeout", "value"]
    assert [found[0].value, found[4].value] == ["a", 'é"\\\n']


@pytest.mark.parametrize("language", sorted(PROGRAMS.keys() - {"rust", "cpp"}))
def test_plain_containers_are_values_and_what_has_methods_of_its_own_is_opaque(language, seen):
    odd, plain = seen(PROGRAMS[language], language, "f", [[4, ""], [5, ""]])
    assert odd.kind == "opaque"
    assert plain == Outcome("value", {"k": [1, 2.5, None, True]})


def test_types_of_a_compiled_subject_are_opaque(seen):
    assert seen(PROGRAMS["rust"], "rust", "g", [[]])[0].kind == "opaque"
    assert seen(PROGRAMS["cpp"], "cpp", "f", [[4, ""]])[0].kind == "opaque"
    assert seen(PROGRAMS["cpp"], "cpp", "g", [[]])[0].value == {"k": [1, 2.5]}


SORTS = {
    "python": "def f(a, n): a.sort()",
    "javascript": "function f(a, n) { a.sort(); }",
    "php": "function f(array &$a, $n) { sort($a); }",
    "ruby": "def f(a, n)\n  a.sort!\n  nil\nend",
    "go": "func f(a []int, n int) { sort.Ints(a) }",
    "java": "static void f(int[] a, int n) { Arrays.sort(a); }",
    "cpp": "void f(vector<int> &a, int n) { sort(a.begin(), a.end()); }",
    "rust": "fn f(a: &mut Vec<i32>, n: i32) { a.sort(); }",
}


@pytest.mark.parametrize("language", SORTS)
def test_what_gives_nothing_back_gives_its_changed_arguments(language, seen):
    changed, unchanged = seen(SORTS[language], language, "f", [[[3, 1, 2], 7], [[1, 2], 7]])
    assert changed == Outcome("value", [[1, 2, 3], 7])
    assert unchanged == Outcome("value", None)


def test_a_program_that_prints_without_end_has_crashed_with_the_words_of_the_verdict(seen):
    code = "def f(n):\n    while n: print('x' * 100000)\n    return n"
    first, flood, last = seen(code, "python", "f", [[0], [1], [0]])
    assert (first.value, last.value) == (0, 0)
    assert flood.kind == "crashed"
    assert "bytes" in flood.words


def test_what_is_printed_is_never_a_result(seen):
    code = """
import sys
def f(n):
    print("0 V 5", file=sys.stderr)
    print("V 5")
    return n
"""
    assert seen(code, "python", "f", [[3]]) == [Outcome("value", 3)]


@pytest.mark.parametrize(
    "value", ["One(3)", "Text('a')", "Row([1])", "Table(a=1)", "[One(3)]", "{'k': Text('a')}"]
)
def test_what_pretends_to_be_a_plain_value_is_opaque(value, seen):
    code = f"""
class One(int):
    def __eq__(self, other): return True
class Text(str): pass
class Row(list): pass
class Table(dict): pass
def f(): return {value}
"""
    assert seen(code, "python", "f", [[]])[0].kind == "opaque"


def test_floats_and_numbers_beyond_any_machine_word_come_back_as_they_are(seen):
    code = "def f(): return [1e308, -0.1, float('-inf'), 10**40, 1e-7, (1, 2)]"
    assert seen(code, "python", "f", [[]])[0].value == [
        1e308, -0.1, float("-inf"), 10**40, 1e-7, [1, 2],
    ]  # fmt: skip


def test_sets_are_ordered_and_keys_are_texts(seen):
    code = "def f(): return [{10, 9, 'a'}, {1: 'x', (2, 3): 'y', None: 'z'}]"
    assert seen(code, "python", "f", [[]])[0].value == [
        [9, 10, "a"],
        {"1": "x", "[2, 3]": "y", "null": "z"},
    ]


def test_a_call_does_not_see_what_another_did_to_a_variable(seen):
    code = "seen = []\ndef f(n):\n    seen.append(n)\n    return seen"
    assert [one.value for one in seen(code, "python", "f", [[1], [2]])] == [[1], [2]]


def test_letters_of_go_are_texts_where_it_says_so(seen):
    code = "func f(s string) map[rune]int { return map[rune]int{rune(s[0]): 1} }"
    assert seen(code, "go", "f", [["ab"]])[0].value == {"a": 1}


def test_arrays_of_a_fixed_size_are_arguments(seen):
    go = "func f(a [2]int, b map[string][]float64) int { return a[1] + len(b) }"
    rust = "fn f(a: [i32; 2], b: &[char]) -> i32 { a[1] + b.len() as i32 }"
    assert seen(go, "go", "f", [[[1, 5], {"x": [0.5]}]])[0].value == 6
    assert seen(rust, "rust", "f", [[[1, 5], ["x"]]])[0].value == 6


def test_after_calls_without_end_no_more_are_run(seen):
    code = "def f(n):\n    while n: pass\n    return n"
    found = seen(code, "python", "f", [[1], [1], [1], [0]], seconds=0.2)
    assert [one.kind for one in found] == ["timeout"] * 4
    assert "not run" in found[3].words


def test_a_call_whose_results_differ_is_flaky(seen):
    code = "import os\ndef f(n): return os.urandom(8).hex() if n else 0"
    found = seen(code, "python", "f", [[0], [1]], twice=True)
    assert found == [Outcome("value", 0), Outcome("opaque", None, FLAKY)]


@pytest.mark.parametrize(
    ("code", "language", "function", "slug"),
    [
        ("def f(x): return x", "python", "g", "no_function"),
        ("def f(x): return unknown(x)", "python", "f", "needs_more"),
        ("import absent_module\ndef f(x): return x", "python", "f", "needs_more"),
        ("def f(x): return x\nbreak", "python", "f", "does_not_load"),
        ("raise SystemExit\ndef f(x): return x", "python", "f", "does_not_load"),
        ("class A:\n    def f(self, x): return x", "python", "f", "method_of_a_class"),
        ("def f(self, x): return x", "python", "f", "method_of_a_class"),
        ("async def f(x): return x", "python", "f", "asynchronous"),
        ("def f(x, *, key): return x", "python", "f", "not_typed"),
        ("function f(x) { return unknown(x); }", "javascript", "f", "needs_more"),
        ("enum A { B }\nfunction f(x: A) { return x; }", "typescript", "f", "needs_more"),
        ("int f(Widget w) { return 1; }", "cpp", "f", "not_typed"),
        ("int f(int w) { return other(w); }", "cpp", "f", "needs_more"),
        ("int f(int w) { return w }", "cpp", "f", "does_not_compile"),
        ("int f(int w) { if (w) { return w; }", "cpp", "f", "does_not_compile"),
        ('package a\nimport "example.org/x"\nfunc f(n int) int { return x.Y(n) }', "go", "f",
         "needs_more"),
        ("func (t T) f(n int) int { return n }", "go", "f", "method_of_a_class"),
        ("class A { int k; A(int k) { this.k = k; } int f(int n) { return n + k; } }", "java", "f",
         "method_of_a_class"),
        ("int F(int n) { return n; }", "csharp", "F", "no_toolchain"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_says_why(code, language, function, slug, sandbox):
    found = observe(sandbox, Subject(code, language, function), [[1]])
    assert isinstance(found, Unrunnable)
    assert found.slug == slug, found.detail
    assert found.detail.endswith(".") or ":" in found.detail


def test_arguments_of_other_types_are_told_before_anything_is_run(sandbox):
    found = observe(sandbox, Subject("func f(n int) int { return n }", "go", "f"), [[1], ["a"]])
    assert isinstance(found, Unrunnable)
    assert found.slug == "not_typed"
    assert "'a'" in found.detail


def test_a_language_without_its_toolchain_says_what_to_install(sandbox, monkeypatch):
    from wavecoder.grading import toolchain

    monkeypatch.setattr(toolchain, "_PATH", "/nowhere")
    found = observe(sandbox, Subject("def f(n)\n  n\nend", "ruby", "f"), [[1]])
    assert isinstance(found, Unrunnable)
    assert found.slug == "no_toolchain"
    assert "apt-get install ruby" in found.detail
