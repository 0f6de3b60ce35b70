"""What verdicts amount to: pass@k with an interval, for any group of trials.

pass@k is the unbiased estimator of Chen et al. 2021 (equation 1), and a score is its mean over
problems. Executions whose status is `harness` say nothing about a program: they are left out of
the n samples and counted apart.

The interval is Wilson's (1927), at 95 %, over an effective number of problems (Kish 1965): as many
yes-or-no draws as would vary as much as the problems' own values do. With one sample a problem
that is the number of problems, and the interval is Wilson's own; with more samples the values vary
less and it narrows. Bootstrap and normal intervals were not chosen because they shrink to a point
when every problem passes, or none, and may leave 0..1; this one does neither, and draws nothing.

Two models that were asked the same problems are compared problem by problem (`paired`), which tells
more than their two intervals: most problems are as hard for both, and say nothing of a difference.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wavecoder.records import Mode, Status, Trial

__all__ = ["Paired", "Score", "paired", "pass_at_k", "score", "score_by", "sign_test"]

_Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def pass_at_k(n: int, c: int, k: int) -> float | None:
    """Return the chance that one of `k` samples passes, drawn from `n` of which `c` pass.

    1 - C(n-c, k) / C(n, k), computed in whole numbers and rounded once. None when n < k: then it
    is not defined.

    Raises:
        ValueError: Not 0 <= c <= n and k >= 1.
    """
    if not 0 <= c <= n or k < 1:
        raise ValueError(f"pass@k needs 0 <= c <= n and k >= 1, got n={n}, c={c}, k={k}.")
    if n < k:
        return None
    ways = math.comb(n, k)
    return (ways - math.comb(n - c, k)) / ways


@dataclass(frozen=True)
class Score:
    """pass@k of a group of trials, and what stands behind it."""

    k: int
    value: float | None
    """The mean, in 0..1; None where it is not defined."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    problems: int
    """How many problems the mean is over."""
    programs: int
    """How many executions it is over, those by `harness` not among them."""
    passed: int
    harness: int
    """Executions left out because the fault was ours or the machine's."""
    unmeasured: int
    """Problems left out because executions by `harness` left fewer than k."""
    unexecuted: int
    """Trials that were not executed in this mode."""
    statuses: Mapping[Status, int]
    """Executions by status, all nine, `harness` too."""


@dataclass(frozen=True)
class Paired:
    """One model beside another, on the problems that both were measured on."""

    problems: int
    gained: int
    """Problems of which it passes a larger share of samples; with one sample: that it alone
    passes."""
    lost: int
    """Those of which the other passes a larger share."""
    p: float
    """McNemar's exact p: how often as many problems as changed would fall so unevenly, or more, if
    each were as likely gained as lost."""


@dataclass
class _Tally:
    """One problem's samples."""

    n: int = 0
    c: int = 0
    harness: int = 0


def score(trials: Iterable[Trial], *, mode: Mode, k: int = 1, pooled: bool = False) -> Score:
    """Return pass@k of the trials; each problem is known by its benchmark and id.

    The value is None when there is no problem, or when a problem never had k samples: a mean over
    those that had would be over other problems. A problem that lost samples to `harness`, and so
    has fewer than k, is left out instead, and counted.

    Args:
        trials: With executions in `mode`; those without are counted and left out.
        mode: The rule by which programs pass.
        k: How many samples may be tried.
        pooled: Take the plain mean over programs, as HumanEvalExplain does, where a problem with
            more programs weighs more. Only for k = 1.

    Raises:
        ValueError: `pooled` with another k than 1.
    """
    if pooled and k != 1:
        raise ValueError(f"The mean over programs is defined for k=1 only, got k={k}.")
    tallies, statuses, unexecuted = _tallies(trials, mode)
    whole = all(tally.n + tally.harness >= k for tally in tallies.values())
    measured = [tally for tally in tallies.values() if tally.n >= k]
    value = low = high = None
    if measured and whole:
        values = [pass_at_k(tally.n, tally.c, k) or 0.0 for tally in measured]
        weights = [tally.n if pooled else 1 for tally in measured]
        value, low, high = _mean(values, weights, programs=sum(tally.n for tally in measured))
    return Score(
        k=k,
        value=value,
        low=low,
        high=high,
        problems=len(measured),
        programs=sum(tally.n for tally in measured),
        passed=sum(tally.c for tally in measured),
        harness=statuses[Status.HARNESS],
        unmeasured=len(tallies) - len(measured),
        unexecuted=unexecuted,
        statuses=statuses,
    )


def _tallies(
    trials: Iterable[Trial], mode: Mode
) -> tuple[dict[tuple[str, str], _Tally], Counter[Status], int]:
    """Return the samples by problem, all executions by status, and how many trials had none."""
    tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    statuses: Counter[Status] = Counter(dict.fromkeys(Status, 0))
    unexecuted = 0
    for trial in trials:
        execution = trial.executions.get(mode)
        if execution is None:
            unexecuted += 1
            continue
        statuses[execution.status] += 1
        tally = tallies[trial.benchmark, trial.task_id]
        tally.harness += execution.status is Status.HARNESS
        tally.n += execution.status is not Status.HARNESS
        tally.c += execution.status is Status.PASSED
    return tallies, statuses, unexecuted


def paired(trials: Iterable[Trial], other: Iterable[Trial], *, mode: Mode) -> Paired:
    """Return how many problems a model gains and loses against another.

    A problem counts where both have a sample that was executed in `mode` and not broken by the
    machine.

    Args:
        trials: The model's.
        other: The other model's, of the same benchmarks.
        mode: The rule by which programs pass.
    """
    ours, theirs = (_tallies(found, mode)[0] for found in (trials, other))
    both = [(ours[key], theirs[key]) for key in ours.keys() & theirs.keys()]
    # c/n of one over the other's, without a division.
    shares = [(one.c * two.n, two.c * one.n) for one, two in both if one.n and two.n]
    gained = sum(one > two for one, two in shares)
    lost = sum(one < two for one, two in shares)
    return Paired(problems=len(shares), gained=gained, lost=lost, p=sign_test(gained, lost))


def sign_test(gained: int, lost: int) -> float:
    """Return the two-sided exact p of so many gains and losses; 1 where there are none.

    With one sample a problem it is McNemar's test (Psychometrika 12, 1947) by the binomial in place
    of the chi-squared distribution, which is too coarse for few changes; with more it is the sign
    test. It holds for one comparison that was chosen before, of problems that do not hang on each
    other: of twenty comparisons of equal models one falls below 0.05. It does not say how large a
    difference is, and with fewer than six changes it cannot fall below 0.05 at all.
    """
    changed = gained + lost
    ways = tail = 1
    for count in range(min(gained, lost)):
        ways = ways * (changed - count) // (count + 1)  # C(changed, count + 1), exactly
        tail += ways
    return min(1.0, 2 * tail / (1 << changed))


def score_by(
    trials: Iterable[Trial],
    group_of: Callable[[Trial], str],
    *,
    mode: Mode,
    k: int = 1,
    pooled: bool = False,
) -> dict[str, Score]:
    """Return a score for each group, in the order in which the groups first appear.

    Args:
        trials: As for `score`.
        group_of: The group's name; `lambda trial: trial.bug_type` gives one a kind of bug.
        mode: As for `score`.
        k: As for `score`.
        pooled: As for `score`.
    """
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[group_of(trial)].append(trial)
    return {name: score(members, mode=mode, k=k, pooled=pooled) for name, members in groups.items()}


def _mean(
    values: Sequence[float], weights: Sequence[int], *, programs: int
) -> tuple[float, float, float]:
    """Return the weighted mean and its interval.

    Args:
        values: One a problem, in 0..1.
        weights: One a problem, above 0.
        programs: No interval is narrower than that of as many independent programs.
    """
    total = sum(weights)
    mean = math.fsum(map(math.prod, zip(values, weights, strict=True))) / total
    # The variance of the mean, problems being the draws: sum of w^2 (x - mean)^2 over (sum of w)^2.
    pairs = zip(values, weights, strict=True)
    variance = math.fsum((weight * (value - mean)) ** 2 for value, weight in pairs) / total**2
    one_draw = mean * (1 - mean)
    if one_draw <= 0:
        draws = float(len(values))  # all alike: as if each problem had been asked once
    elif variance * programs <= one_draw:
        draws = float(programs)
    else:
        draws = one_draw / variance
    return mean, *_wilson(mean, draws)


def _wilson(share: float, draws: float) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval for a share of `draws` draws."""
    spread = _Z**2 / draws
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / draws + spread / (4 * draws))
    return max(0.0, middle - half), min(1.0, middle + half)
