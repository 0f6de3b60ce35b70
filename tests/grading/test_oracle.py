import contextlib
import copy
import inspect
import io
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading import oracle
from wavecoder.grading.oracle import NONE_OR_NOT, same, tolerance


def right(result, expected, *, task="Mbpp/3", inputs=(), atol=0.0):
    return same(task, inputs=inputs, result=result, expected=expected, atol=atol)


@pytest.mark.parametrize(
    ("result", "expected", "atol", "verdict"),
    [
        (1, 1, 0, True),
        (1, 2, 0, False),
        (True, 1, 0, True),
        (2.0, 2, 0, True),
        ([1], (1,), 0, False),
        ("a", "a", 0, True),
        ({1: [2]}, {1: [2]}, 0, True),
        (None, None, 0, True),
        (None, False, 0, False),
        # close, as floats are expected
        (1.0000009, 1.0, 0, True),
        (1.000002, 1.0, 0, False),
        ([0.1 + 0.2], [0.3], 0, True),
        ((0.1 + 0.2,), [0.3], 0, False),
        ([0.1 + 0.2, 0.5], [0.3], 0, False),
        # a list of floats and something else gets no tolerance of its own
        ([0.1 + 0.2, 1], [0.3, 1], 0, False),
        ([0.1 + 0.2, 1], [0.3, 1], 1e-6, True),
        ([[0.1 + 0.2]], [[0.3]], 0, False),
        ([(0.1 + 0.2,)], [[0.3]], 1e-6, True),
        # the type must be the same, where it is not equal
        (1, 1.0000001, 0, False),
        # larger numbers may be further off
        (1e12 + 9e4, 1e12, 0, True),
        (1e12 + 2e5, 1e12, 0, False),
        (1.00009, 1.0, 1e-4, True),
        (5, 6, 1e-4, False),
        (1j + 1e-5, 1j, 1e-4, True),
        (math.inf, math.inf, 0, True),
        (-math.inf, math.inf, 0, False),
        (1e308, math.inf, 0, False),
        (math.inf, 1.0, 0, False),
        (math.nan, 1.0, 0, False),
        (math.nan, math.nan, 0, False),
        ([math.inf, 0.1 + 0.2], [math.inf, 0.3], 0, True),
        ([0.3, "a"], [0.1 + 0.2, "a"], 1e-4, False),
        ({0.3}, {0.1 + 0.2}, 1e-4, False),
        ("1.0", 1.0, 0, False),
        (10**400, 1.0, 0, False),
        (10**400 + 1, 10**400, 1e-6, False),
    ],
)
def test_equal_or_close(result, expected, atol, verdict):
    assert right(result, expected, atol=atol) is verdict


def test_shapes_are_not_broadcast():
    expected = [[1.0, 1.0], [1.0, 1.0]]
    assert np.allclose([1.0, 1.0], expected, rtol=1e-7, atol=1e-6)
    assert not right([1.0, 1.0], expected, atol=1e-6)
    assert not right([[1.0], [1.0]], expected, atol=1e-6)


def test_an_empty_answer_is_not_close():
    assert not right([], [1.0])
    assert not right([[]], [[1.0]], atol=1e-6)
    assert right([], [])


@pytest.mark.parametrize(
    ("expected", "atol", "then"),
    [
        (1.0, 0, 1e-6),
        ([1.0, 2.0], 0, 1e-6),
        ((1.0,), 0, 1e-6),
        ([], 0, 0),
        ([1.0, 2], 0, 0),
        (1, 0, 0),
        (True, 0, 0),
        ({1.0}, 0, 0),
        (1.0, 1e-4, 1e-4),
    ],
)
def test_tolerance(expected, atol, then):
    assert tolerance(expected, atol) == then


numbers = st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6) | st.booleans()


def moved(value):
    """Values like `value`, some of them a little off."""
    if isinstance(value, list):
        return st.tuples(*map(moved, value)).map(list)
    off = st.sampled_from([0.0, 1e-9, 9e-7, 1.1e-6, 2e-4, 1.0])
    return off.map(lambda delta: value + delta if delta else value)


nested = st.recursive(numbers, lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=6)


@given(st.data(), st.sampled_from([0.0, 1e-6, 1e-4]))
def test_equal_to_numpys_rule_for_one_shape(data, atol):
    expected = data.draw(nested)
    result = data.draw(moved(expected))
    atol_then = tolerance(expected, atol)
    verdict = result == expected
    if not verdict and atol_then:
        try:
            close = bool(np.allclose(result, expected, rtol=1e-7, atol=atol_then))
        except ValueError:  # ragged: numpy makes no array of it
            return
        verdict = type(result) is type(expected) and close
    assert right(result, expected, atol=atol) is verdict


@given(st.data())
def test_any_plain_values_compare_without_an_error(data):
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
    task = data.draw(st.sampled_from([*sorted(SPECIAL), "Mbpp/3"]))
    result, expected = data.draw(values), data.draw(values)
    assert right(result, expected, task=task, inputs=(data.draw(values),), atol=1e-4) in (
        True,
        False,
    )


def test_what_is_nested_too_deeply_is_wrong():
    deep, other = [], [1]
    for _ in range(100_000):
        deep, other = [deep], [other]
    assert not right(deep, other)
    assert not right(deep, other, atol=1e-6)


def test_find_zero_takes_any_zero():
    inputs = ([-6, 11, -6, 1],)  # (x - 1)(x - 2)(x - 3)
    for zero in (1, 2.0, 3.00001):
        assert right(zero, 1.0, task="HumanEval/32", inputs=inputs, atol=1e-4)
    for other in (0, 1.1, None, "1", [1], math.nan, 1e300):
        assert not right(other, 1.0, task="HumanEval/32", inputs=inputs, atol=1e-4)


def test_order_does_not_count_in_set_tasks():
    assert right([2, 1, 1], (1, 2), task="Mbpp/2")
    assert not right([2, 1, 3], (1, 2), task="Mbpp/2")
    assert not right([2, 1], (1, 2), task="Mbpp/3")
    assert not right(3, (1, 2), task="Mbpp/2")
    assert not right([[1]], (1, 2), task="Mbpp/2")


def test_a_match_only_has_to_be_there():
    for task in NONE_OR_NOT:
        assert right("a match", True, task=task)
        assert right(True, True, task=task)
        assert right(False, False, task=task)
        assert right(None, False, task=task)
        assert not right(None, True, task=task)
        assert not right(False, True, task=task)
        assert not right("a match", False, task=task)


def test_tasks_with_a_second_right_answer():
    assert right(False, True, task="Mbpp/164", inputs=(36, 57))
    assert right(0, 7, task="Mbpp/295", inputs=(8,))
    assert not right(1, 7, task="Mbpp/295", inputs=(8,))
    # 23 - 56: digit by digit, or the digits of the difference
    assert right(6, 5, task="Mbpp/558", inputs=(23, 56))
    assert not right(7, 5, task="Mbpp/558", inputs=(23, 56))
    # base 3, height 4: with 4 as the slant height 33, else 9 + 6 * sqrt(1.5^2 + 4^2) = 34.6
    assert right(35, 33, task="Mbpp/581", inputs=(3, 4))
    assert not right(34, 33, task="Mbpp/581", inputs=(3, 4))


# What evalplus 0.3.1 names by entry point.
SPECIAL = {
    "HumanEval/32": "find_zero",
    "Mbpp/2": "similar_elements",
    "Mbpp/7": "find_char_long",
    "Mbpp/111": "common_in_nested_lists",
    "Mbpp/140": "extract_singly",
    "Mbpp/232": "larg_nnum",
    "Mbpp/249": "intersection_array",
    "Mbpp/579": "find_dissimilar",
    "Mbpp/769": "Diff",
    "Mbpp/164": "are_equivalent",
    "Mbpp/295": "sum_div",
    "Mbpp/558": "digit_distance_nums",
    "Mbpp/581": "surface_Area",
    "Mbpp/737": "check_str",
    "Mbpp/787": "text_match_three",
    "Mbpp/794": "text_starta_endb",
}


def test_the_tasks_with_a_rule_of_their_own(benchmarks):
    problems = [*load_benchmark("humaneval+"), *load_benchmark("mbpp+")]
    named = {one.id: one.entry_point for one in problems if one.entry_point in SPECIAL.values()}
    assert {task: name for task, name in SPECIAL.items() if task in named} == named
    assert {*oracle._AS_SETS, *NONE_OR_NOT} < set(SPECIAL)


@pytest.mark.filterwarnings("ignore:invalid escape")
@pytest.mark.parametrize("name", ["humaneval+", "mbpp+"])
def test_the_references_are_right_on_the_base_inputs(benchmarks, name):
    for problem in load_benchmark(name):
        scope: dict = {}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(problem.prompt + problem.canonical_solution, scope)
            call = scope[problem.entry_point]
            for inputs in problem.inputs[: problem.base_inputs]:
                one, other = (call(*copy.deepcopy(inputs)) for _ in range(2))
                where = {"task": problem.id, "inputs": inputs, "atol": problem.atol}
                assert right(one, other, **where), (problem.id, inputs)
                if problem.id not in ("Mbpp/164", *NONE_OR_NOT):
                    assert not right("no such answer", other, **where), (problem.id, inputs)


def test_its_text_runs_alone():
    source = inspect.getsource(oracle)
    call = "print(same('Mbpp/3', inputs=(), result=0.1 + 0.2, expected=0.3, atol=0))"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-"],
        input=f"{source}\n{call}",
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "True\n"
