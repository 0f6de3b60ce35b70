import json
import random

import pytest

from wavecoder.behaviour import (
    Subject,
    Unrunnable,
    differ,
    find_calls,
    observe,
    same,
)

PARENTHESES = """
def depth(text):
    most = now = 0
    for one in text:
        if one == "(":
            now += 1
            most = max(most, now)
        elif one == ")":
            now -= 1
    return most
"""


def test_calls_have_different_results_and_equal_chance_finds_equal_calls(sandbox):
    subject = Subject(PARENTHESES, "python", "depth")
    calls = find_calls(sandbox, [subject], random.Random(1))
    assert calls == find_calls(sandbox, [subject], random.Random(1))
    assert calls != find_calls(sandbox, [subject], random.Random(2))
    assert len(calls) == 8
    found = observe(sandbox, subject, calls)
    assert not isinstance(found, Unrunnable)
    assert len({json.dumps(one.value) for one in found}) >= 3


def test_a_planted_bug_is_told_from_the_original(sandbox):
    subject = Subject(PARENTHESES, "python", "depth")
    buggy = Subject(PARENTHESES.replace("now -= 1", "pass"), "python", "depth")
    calls = find_calls(sandbox, [subject], random.Random(1))
    pairs = zip(observe(sandbox, subject, calls), observe(sandbox, buggy, calls), strict=True)
    assert any(differ(left, right) for left, right in pairs)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("def f(x): return x.upper()", str),
        ("def f(x): return [one * 2 for one in sorted(x)]", list),
        ("def f(x): return sorted(x.items())", dict),
        ("def f(x): return x & 7", int),
        ("function f(x) { return x.split(' '); }", str),
        ("def f(x)\n  x.upcase\nend", str),
        ("function f($x) { return strlen($x) + strpos($x, 'a'); }", str),
    ],
)
def test_without_types_the_kind_that_works_is_found(code, kind, sandbox):
    language = "python" if code.endswith((")", "]", "7")) else "ruby" if code.endswith("end") else (
        "php" if "$x" in code else "javascript"
    )  # fmt: skip
    calls = find_calls(sandbox, [Subject(code, language, "f")], random.Random(0))
    assert len(calls) >= 3
    assert all(type(one[0]) is kind for one in calls)


def test_calls_fit_the_types_of_all_subjects(sandbox):
    python = Subject("def f(a, b): return a[:b]", "python", "f")
    go = Subject("func f(a []uint8, b int) []uint8 { return a[:b] }", "go", "f")
    calls = find_calls(sandbox, [python, go], random.Random(0))
    assert len(calls) >= 3
    assert all(0 <= one <= 127 for items, _ in calls for one in items)
    left, right = observe(sandbox, python, calls), observe(sandbox, go, calls)
    assert not isinstance(right, Unrunnable)
    assert any(same(*pair) for pair in zip(left, right, strict=True))


def test_constants_of_the_code_are_tried(sandbox):
    subject = Subject("def f(n):\n    return 'here' if n == 7741 else 'no'", "python", "f")
    assert [7741] in find_calls(sandbox, [subject], random.Random(0))


def test_what_the_documentation_shows_is_tried(sandbox):
    code = 'def f(n):\n    """\n    >>> f(123457)\n    True\n    """\n    return n == 123457'
    assert [123457] in find_calls(sandbox, [Subject(code, "python", "f")], random.Random(0))


@pytest.mark.parametrize(
    "code",
    [
        "def f(widget): return widget.area().x",
        "def f(x): return missing(x)",
        "def f(x):\n    while True: pass",
        "class A:\n    def f(self): return 1",
        "def f(",
        "",
    ],
)
def test_where_nothing_can_be_found_there_are_no_calls(code, sandbox):
    assert find_calls(sandbox, [Subject(code, "python", "f")], random.Random(0)) == []


def test_a_function_without_parameters_has_one_call(sandbox):
    assert find_calls(sandbox, [Subject("def f(): return 4", "python", "f")], random.Random(0)) == [
        []
    ]
