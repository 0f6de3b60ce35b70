"""Confidence intervals of a mean and of a share."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from wavecoder.estimate.figures import Range

__all__ = ["per_function", "wilson"]

_FEWEST_FOR_LINE = 8
"""Functions from which on a line through so few points tells more than their mean."""


def per_function(
    values: Sequence[float], lengths: Sequence[int], *, mean_length: float, population: int
) -> Range:
    """Return the 95 % interval of the mean of `values` over all functions.

    The sample need not be like the rest: a coreset's first picks are its oddest. Where it is large
    enough, a line through value and length of the raw code says what a function of the mean length
    takes (the regression estimator of survey sampling). Student's t gives the width, and nothing is
    uncertain once all were asked.

    Args:
        values: One for each function of the sample; a single one stands for all.
        lengths: The lengths of their raw code, in characters.
        mean_length: That of all functions.
        population: How many functions there are.
    """
    y, x = np.asarray(values, float), np.asarray(lengths, float)
    n = len(y)
    if n == 1:
        return Range(float(y[0]), float(y[0]))
    left = math.sqrt(max(0.0, 1 - n / population))
    spread = float(((x - x.mean()) ** 2).sum())
    if n < _FEWEST_FOR_LINE or spread == 0:
        half = _student(n - 1) * float(y.std(ddof=1)) / math.sqrt(n) * left
        return Range(float(y.mean()) - half, float(y.mean()) + half).least(0.0)
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    away = mean_length - float(x.mean())
    middle = float(y.mean()) + slope * away
    rest = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt(float((rest**2).sum()) / (n - 2))
    half = _student(n - 2) * error * math.sqrt(1 / n + away**2 / spread) * left
    return Range(middle - half, middle + half).least(0.0)


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, to 0.03 or better.

    Two closed forms, and the expansion in the normal quantile (Abramowitz and Stegun, 26.7.5).
    """
    if freedom == 1:
        return math.tan(0.475 * math.pi)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z = NormalDist().inv_cdf(0.975)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def wilson(successes: int, trials: int) -> Range:
    """Return the 95 % interval of a share (E. B. Wilson, 1927)."""
    z = NormalDist().inv_cdf(0.975)
    share, weight = successes / trials, z**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    # Rounding may leave a hair outside of what was seen.
    return Range(max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))
