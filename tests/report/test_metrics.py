from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecoder.records import Execution, Mode, Status, Trial
from wavecoder.report.metrics import pass_at_k, score, score_by

P, W, H = Status.PASSED, Status.WRONG, Status.HARNESS


def trial(task, status, *, index=0, language="python", benchmark="mine", mode=Mode.PUBLISHED):
    executions = {}
    if status is not None:
        executions[mode.value] = Execution(status=status, seconds=0, cpu_seconds=0, isolated=True)
    return Trial(
        id=f"{benchmark}/{task}/{index}",
        benchmark=benchmark,
        task_id=str(task),
        language=language,
        index=index,
        completion="",
        program="",
        **{str(mode): one for mode, one in executions.items()},
    )


def trials(*statuses_of_tasks, **other):
    return [
        trial(task, status, index=index, **other)
        for task, statuses in enumerate(statuses_of_tasks)
        for index, status in enumerate(statuses)
    ]


def measured(*statuses_of_tasks, k=1, pooled=False):
    return score(trials(*statuses_of_tasks), mode=Mode.PUBLISHED, k=k, pooled=pooled)


@given(st.lists(st.booleans(), max_size=9), st.integers(1, 9))
def test_pass_at_k_is_the_share_of_draws_with_a_pass(samples, k):
    draws = list(combinations(samples, k))
    share = sum(map(any, draws)) / len(draws) if draws else None
    assert pass_at_k(len(samples), sum(samples), k) == share


@given(st.integers(1, 400), st.data())
def test_pass_at_k_is_the_product_of_chen(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    product = Fraction(1)
    for i in range(n - c + 1, n + 1):
        product *= 1 - Fraction(k, i)
    assert pass_at_k(n, c, k) == float(1 - product if n - c >= k else Fraction(1))


def test_pass_at_k_is_not_defined_with_fewer_samples():
    assert pass_at_k(9, 9, 10) is None
    assert pass_at_k(0, 0, 1) is None
    assert pass_at_k(10, 0, 10) == 0
    assert pass_at_k(200_000, 1, 100_000) == 0.5


@pytest.mark.parametrize(("n", "c", "k"), [(1, 2, 1), (-1, 0, 1), (1, -1, 1), (3, 1, 0)])
def test_pass_at_k_of_no_meaning(n, c, k):
    with pytest.raises(ValueError, match=f"got n={n}, c={c}, k={k}"):
        pass_at_k(n, c, k)


def test_a_score_is_the_mean_over_problems():
    found = measured([P, W, W, W], [P, P], k=2)
    assert found.value == (0.5 + 1) / 2
    assert (found.k, found.problems, found.programs, found.passed) == (2, 2, 6, 3)


@pytest.mark.parametrize(("passed", "of"), [(8, 10), (0, 10), (10, 10), (101, 164), (1, 1)])
def test_one_sample_a_problem_gives_wilsons_interval(passed, of):
    found = measured(*[[P]] * passed, *[[W]] * (of - passed))
    assert found.value == passed / of
    # Its ends are the shares from which what was seen is 1.96 standard deviations away.
    for end in (found.low, found.high):
        deviations = 1.959963984540054**2 * end * (1 - end) / of
        assert (found.value - end) ** 2 == pytest.approx(deviations, abs=1e-12)
    assert found.low < found.high


statuses = st.lists(st.sampled_from([P, W]), min_size=1, max_size=6)


@given(st.lists(statuses, min_size=1, max_size=12), st.booleans())
def test_an_interval_holds_its_score_and_stays_within_0_and_1(tasks, pooled):
    found = measured(*tasks, pooled=pooled)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.low < found.high


def test_more_samples_make_it_narrower_and_as_alike_ones_do_not():
    once = measured(*[[P], [W]] * 40)
    varied = measured(*[[P, W], [W, P]] * 40)
    copies = measured(*[[P, P], [W, W]] * 40)
    assert varied.high - varied.low < 0.75 * (once.high - once.low)
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high))


def test_harness_is_no_failure():
    found = measured([P, H], [W, W], [H, P])
    assert found.value == (1 + 0 + 1) / 3
    assert (found.programs, found.passed, found.harness, found.unmeasured) == (4, 2, 2, 0)
    assert found.statuses == {**dict.fromkeys(Status, 0), P: 2, W: 2, H: 2}


def test_a_problem_that_harness_left_too_few_is_left_out():
    found = measured([P], [H], [W])
    assert (found.value, found.problems, found.unmeasured, found.harness) == (0.5, 2, 1, 1)
    found = measured([P, P], [P, H], [W, P], k=2)
    assert (found.value, found.problems, found.unmeasured) == (1, 2, 1)


def test_a_problem_that_never_had_k_samples_leaves_no_score():
    found = measured([P, P, P], [P, P], k=3)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert (found.problems, found.unmeasured, found.passed) == (1, 1, 3)


def test_nothing_to_score():
    assert measured().value is None
    assert measured([H], [H]).value is None
    found = measured([None, None])
    assert (found.value, found.unexecuted, found.problems) == (None, 2, 0)


def test_a_mode_counts_its_own_executions():
    both = [trial(0, P, mode=Mode.PUBLISHED), trial(1, W, mode=Mode.STRICT)]
    strict = score(both, mode=Mode.STRICT)
    assert (strict.value, strict.programs, strict.unexecuted) == (0, 1, 1)


def test_pooled_is_the_plain_mean_over_programs():
    tasks = [[P, P, P, W], [W, H, H, H]]
    assert measured(*tasks, pooled=True).value == 3 / 5
    assert measured(*tasks).value == (3 / 4 + 0) / 2
    alike = measured([P, W], [W, W], [P, P])
    same = measured([P, W], [W, W], [P, P], pooled=True)
    assert (alike.value, alike.low, alike.high) == (same.value, same.low, same.high)
    with pytest.raises(ValueError, match="k=1 only, got k=2"):
        measured([P, P], k=2, pooled=True)


def test_groups_in_the_order_they_appear():
    mixed = [*trials([P], [W], language="rust"), *trials([P], language="go", benchmark="other")]
    found = score_by(mixed, lambda one: one.language, mode=Mode.PUBLISHED)
    assert list(found) == ["rust", "go"]
    assert (found["rust"].value, found["go"].value) == (0.5, 1)
    assert score(mixed, mode=Mode.PUBLISHED).problems == 3
