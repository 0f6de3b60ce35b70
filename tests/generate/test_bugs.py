from random import Random

import pytest

from wavecoder.generate.bugs import changed_lines, put_bug
from wavecoder.languages import BUG_CLASSES, mutants, parses

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
def test_a_bug_is_certain_and_parses(language: str):
    right = FUNCTIONS[language]
    certain = {(one.kind, one.code) for one in mutants(right, language) if one.certain}
    found = [put_bug(right, language, Random(seed)) for seed in range(30)]
    made = {(bug.kind, bug.code) for bug in found if bug}
    assert len(made) > 1 or len(certain) == 1
    assert made <= certain
    assert all(kind in BUG_CLASSES and parses(code, language) for kind, code in made)


def test_each_class_is_as_likely():
    # One value that can be wrong, in twelve ways; and one negation.
    right = "def f(x):\n    if not x:\n        raise E\n    return " + "[1, 1, 1, 1, 1, 1]\n"
    kinds = [bug.kind for seed in range(200) if (bug := put_bug(right, "python", Random(seed)))]
    assert set(kinds) == {"value misuse", "missing logic"}
    assert 70 < kinds.count("missing logic") < 130


def test_no_bug_where_none_is_certain():
    assert put_bug("def f(x):\n    # not x\n    return g(x)\n", "python", Random(0)) is None
    java = "List<String> f(List<String> items) {\n    // not > 1\n    return items;\n}\n"
    assert put_bug(java, "java", Random(0)) is None


def test_the_same_generator_gives_the_same_bug():
    right = FUNCTIONS["python"]
    assert put_bug(right, "python", Random(3)) == put_bug(right, "python", Random(3))


def test_changed_lines_are_those_that_differ():
    assert changed_lines("a\n  b\nc", "a\n  x\nc") == ("b", "x")
    assert changed_lines("a", "a") == ("", "")
    assert changed_lines("a\n  if b:\n    c\nd", "a\nd") == ("if b: c", "")
    assert changed_lines("a\nb", "a\n  break\nb") == ("", "break")
