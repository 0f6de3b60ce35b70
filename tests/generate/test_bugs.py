from random import Random

import pytest

from wavecoder.generate.bugs import _OPPOSITES, _SWAPS, changed_lines, put_bug
from wavecoder.languages import parses, tokens

FUNCTIONS = {
    "python": "def f(items, n):\n    # keep not more\n    if n > 0 and items:\n"
    "        return min(items)\n    return None\n",
    "javascript": "function f(items, n) {\n  if (n === 0 || !items) {\n    return 1;\n  }\n"
    "  return items.indexOf(n);\n}\n",
    "typescript": "function f(items: number[], n: number): boolean {\n"
    "  return items.length <= n;\n}\n",
    "java": "int f(java.util.List<String> items, int n) {\n    if (items.size() > n) {\n"
    "        return 0;\n    }\n    return n + 1;\n}\n",
    "go": "func f(items []int, n int) bool {\n\treturn len(items) == n && n != 0\n}\n",
    "php": "function f($items, $n) {\n    return count($items) > $n;\n}\n",
    "ruby": "def f(items, n)\n  items.size == n\nend\n",
    "c": "int f(int *items, int n) {\n    return items[0] + n;\n}\n",
    "cpp": "int f(const std::vector<int>& items, int n) {\n    return items[0] < n ? 1 : 0;\n}\n",
    "rust": "fn f(items: &[i32], n: usize) -> bool {\n    items.len() >= n\n}\n",
    "csharp": "int F(List<string> items, int n) {\n    return items.Count > n ? 1 : 0;\n}\n",
}


@pytest.mark.parametrize("language", FUNCTIONS)
def test_a_bug_is_one_other_token_in_code_that_parses(language: str):
    right = FUNCTIONS[language]
    seen = set()
    for seed in range(12):
        bug = put_bug(right, language, Random(seed))
        assert bug is not None
        assert parses(bug.code, language)
        before, after = tokens(right, language), tokens(bug.code, language)
        assert before != after
        assert abs(len(before) - len(after)) <= 1
        assert len([line for line in right.splitlines() if line in bug.code.splitlines()]) == (
            len(right.splitlines()) - 1
        )
        seen.add(bug.code)
    assert len(seen) > 1 or language in ("ruby", "php", "typescript", "c", "rust")


def test_types_and_comments_are_left_alone():
    # `<` and `>` around type arguments are no comparisons; `not` in a comment is no negation.
    java = "List<String> f(List<String> items) {\n    // not > 1\n    return items;\n}\n"
    assert put_bug(java, "java", Random(0)) is None
    assert put_bug("def f(x):\n    # not x\n    return x\n", "python", Random(0)) is None


def test_the_same_generator_gives_the_same_bug():
    right = FUNCTIONS["python"]
    assert put_bug(right, "python", Random(3)) == put_bug(right, "python", Random(3))


def test_changed_lines_are_those_that_differ():
    assert changed_lines("a\n  b\nc", "a\n  x\nc") == ("b", "x")
    assert changed_lines("a", "a") == ("", "")


def bugs_of(code: str, language: str) -> set[str]:
    found = (put_bug(code, language, Random(seed)) for seed in range(40))
    return {bug.code for bug in found if bug}


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "def min(items, keys):\n    return keys"),
        ("python", "def f(items, min):\n    return min(items)"),
        ("ruby", "def self.push(x)\n  x\nend"),
        ("java", "Object min(Object keys) {\n    return keys;\n}"),
        ("go", "func (b Box) push(keys Key) Key {\n\treturn keys\n}"),
        ("rust", "fn min<T>(keys: T) -> T {\n    keys\n}"),
        ("rust", 'fn f(a: bool) {\n    println!("{}", a);\n}'),
        ("typescript", "function f(b: X) {\n  return b!.c;\n}"),
    ],
)
def test_names_and_marks_that_are_no_uses_are_left_alone(language: str, code: str):
    assert bugs_of(code, language) == set()


@pytest.mark.parametrize(
    ("language", "code", "wrong"),
    [
        ("python", "def f(x):\n    return min(x)", "max(x)"),
        ("python", "def f(x):\n    return x.lstrip()", "x.rstrip()"),
        ("javascript", "const f = (x) => max(x)", "min(x)"),
        ("ruby", "def f(x)\n  x.min\nend", "x.max"),
        ("rust", "fn f(a: u8, b: u8) -> u8 {\n    a.min(b)\n}", "a.max(b)"),
        ("php", "function f($x) {\n    return min($x);\n}", "max($x)"),
        ("go", "func f(a bool) bool {\n\treturn !a\n}", "return a"),
        ("javascript", "function f(a) {\n  return !a;\n}", "return a"),
        ("java", "boolean f(boolean a) {\n    return !a;\n}", "return a"),
        ("c", "int f(int a) {\n    return !a;\n}", "return a"),
        ("rust", "fn f(a: bool) -> bool {\n    !a\n}", "    a"),
        ("python", "def f(a):\n    return not a", "return  a"),
        ("python", "def f(a, b):\n    return a not in b", "a in b"),
        ("python", "def f(a, b):\n    return a in b", "a not in b"),
        ("python", "def f(a, b):\n    return a is not b", "a is b"),
    ],
)
def test_uses_and_negations_are_edited(language: str, code: str, wrong: str):
    (bug,) = bugs_of(code, language)
    assert wrong in bug


def test_a_token_may_have_several_opposites():
    assert bugs_of("def f():\n    return 1", "python") == {
        "def f():\n    return 0",
        "def f():\n    return 2",
    }
    for pairs in _OPPOSITES.values():
        for left, right in pairs:
            assert right in {new for _, new in _SWAPS[left]}
            assert left in {new for _, new in _SWAPS[right]}
