import math

import pytest

from wavecoder.behaviour import Outcome, Subject, differ, same, tolerance

RAISED = Outcome("raised", None, "ValueError: x")
OPAQUE, LATE, GONE = Outcome("opaque"), Outcome("timeout"), Outcome("crashed")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1.0),
        (0.1 + 0.2, 0.3),
        (math.nan, math.nan),
        (math.inf, math.inf),
        ((1, (2,)), [1, [2]]),
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1}),
        ({}, []),
        (10**40, 10**40),
        (0.0, 1e-14),
        (RAISED, Outcome("raised", None, "IndexError")),
        (Outcome("value", [1]), [1.0]),
    ],
)
def test_the_same(left, right):
    assert same(left, right)
    assert same(right, left)
    assert not differ(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, None),
        (0, False),
        ("1", 1),
        ("", None),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ([], None),
        (1.0, 1.0001),
        (10**40, 10**40 + 1),
        (10**400, 1.5),
        (math.nan, 0.0),
        (math.inf, -math.inf),
        (RAISED, Outcome("value", None)),
        (LATE, Outcome("value", 1)),
        (GONE, RAISED),
    ],
)
def test_not_the_same(left, right):
    assert not same(left, right)
    assert differ(left, right)
    assert differ(right, left)


@pytest.mark.parametrize("left", [OPAQUE, LATE, GONE])
@pytest.mark.parametrize("right", [OPAQUE, LATE, GONE])
def test_of_what_tells_nothing_neither_is_said(left, right):
    assert not same(left, right)
    assert not differ(left, right)


def test_an_opaque_result_differs_from_none():
    assert not differ(OPAQUE, Outcome("value", 1))


def test_short_floats_are_compared_by_the_digits_they_have():
    short = Subject("float half(float x) { return x / 2; }", "cpp", "half")
    long = Subject("def half(x: float): return x / 2", "python", "half")
    assert not same(0.1, 0.100000001)
    assert same(0.1, 0.100000001, relative=tolerance(long, short))
    assert tolerance(long) == 1e-9
