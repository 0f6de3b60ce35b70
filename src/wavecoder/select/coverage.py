"""How well a selection stands for all functions, measured against random choice.

In many dimensions distances lie close together, so that the cover radius of a random choice is
within a few per cent of k-center's, and its mean distance even smaller. What k-center gains is in
the tail (no function is far from all picks) and in picks that do not repeat each other; so these
are what is reported.
"""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavecoder.select.kcenter import kcenter_greedy, nearest_centers

__all__ = ["Coverage", "coverage"]

_SAMPLE = 20_000
"""Functions whose distances are measured; a percentile of as many is off by 0.2 points."""
_PICKS = 5_000
"""Picks that are compared with all others for near-duplicates."""
_NEAR = 0.95
"""Cosine from which two picks count as near-duplicates."""
_ROUNDS = 4
"""Parts of a two-round selection (Malkomes and others 2015)."""
_BLOCK = 1_000


class Coverage(NamedTuple):
    """What was measured."""

    figures: dict[str, Any]
    """As JSON values; README.md says how to read them."""
    stands_for: NDArray[np.float64]
    """For each pick, the estimated number of functions nearest to it, itself included. A function
    nearest to a pick of an earlier selection counts for none."""


def coverage(
    vectors: NDArray[Any],
    picks: NDArray[np.int64],
    groups: dict[str, NDArray[np.bool_]],
    *,
    earlier: int = 0,
    rng: Random,
    check: Callable[[], None],
) -> Coverage:
    """Measure a selection on a sample of the functions that were not picked.

    Args:
        vectors: Shape (n, d); may be a file, mapped.
        picks: The selected rows, in pick order.
        groups: By name (a language), which rows belong to it, shape (n - earlier,).
        earlier: So many of the last rows are picks of an earlier selection. They are no functions
            to pick from, and count as picked, also beside the random choice.
        rng: Draws the sample and the random choice.
        check: Called now and then; may raise.
    """
    n, k = len(vectors) - earlier, len(picks)
    before = np.arange(n, n + earlier)
    left = np.setdiff1d(np.arange(n), picks, assume_unique=True)
    rows = _draw(left, min(_SAMPLE, len(left)), rng)
    by_chance = _draw(np.arange(n), k, rng)
    nearest, distances = nearest_centers(vectors, rows, np.concatenate([picks, before]))
    check()
    others = _draw_outside(n, by_chance, len(rows), rng)
    _, chance = nearest_centers(vectors, others, np.concatenate([by_chance, before]))
    check()
    figures: dict[str, Any] = {
        "functions": n,
        "selected": k,
        "measured": len(rows),
        "distance": {"selected": _tail(distances), "random": _tail(chance)},
        "near_duplicate_picks": {
            "selected": _near_duplicates(vectors, picks, rng, check),
            "random": _near_duplicates(vectors, by_chance, rng, check),
        },
        "by_language": {
            name: {
                "functions": int(members.sum()),
                "selected": int(members[picks].sum()),
                "distance": _tail(distances[members[rows]]),
            }
            for name, members in sorted(groups.items())
        },
        "radius_on_sample": _on_sample(vectors[:n], k, rng, check),
    }
    scale = len(left) / len(rows) if len(rows) else 0
    stands_for = 1.0 + np.bincount(nearest, minlength=k)[:k] * scale
    return Coverage(figures, stands_for.astype(np.float64))


def _on_sample(
    vectors: NDArray[Any], k: int, rng: Random, check: Callable[[], None]
) -> dict[str, float]:
    """Return cover radii of ways to pick, all on one sample and with the same share of picks."""
    n = len(vectors)
    rows = np.sort(_draw(np.arange(n), min(_SAMPLE, n), rng))
    part = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    size, picked = len(part), max(1, round(k * len(rows) / n))

    def radius(centers: NDArray[np.int64]) -> float:
        check()
        return round(float(nearest_centers(part, np.arange(size), centers)[1].max()), 6)

    greedy = kcenter_greedy(part, picked, first=rng.randrange(size)).indices
    firsts: list[NDArray[np.int64]] = []
    for portion in np.array_split(np.arange(size), min(_ROUNDS, size)):
        few = min(picked, len(portion))
        found = kcenter_greedy(part[portion], few, first=rng.randrange(len(portion)))
        firsts.append(portion[found.indices])
        check()
    union = np.concatenate(firsts)
    second = kcenter_greedy(part[union], picked, first=rng.randrange(len(union)))
    return {
        "functions": size,
        "selected": picked,
        "kcenter": radius(greedy),
        "two_round": radius(union[second.indices]),
        "random": radius(_draw(np.arange(size), picked, rng)),
    }


def _tail(distances: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Return mean, percentiles and maximum; empty where nothing was measured."""
    if not len(distances):
        return {}
    p50, p95, p99 = (float(value) for value in np.percentile(distances, (50, 95, 99)))
    found = {"mean": float(distances.mean()), "p50": p50, "p95": p95, "p99": p99}
    return {name: round(value, 6) for name, value in found.items()} | {
        "max": round(float(distances.max()), 6)
    }


def _near_duplicates(
    vectors: NDArray[Any], picks: NDArray[np.int64], rng: Random, check: Callable[[], None]
) -> float:
    """Return the share of picks that have another pick at a cosine of `_NEAR` or more."""
    if len(picks) < 2:
        return 0.0
    all_picks = _unit(vectors[np.sort(picks)])
    places = _draw(np.arange(len(picks)), min(_PICKS, len(picks)), rng)
    found = 0
    for start in range(0, len(places), _BLOCK):
        check()
        block = places[start : start + _BLOCK]
        cosines = all_picks[block] @ all_picks.T
        cosines[np.arange(len(block)), block] = -1
        found += int((cosines.max(axis=1) >= _NEAR).sum())
    return round(found / len(places), 6)


def _unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    rows = rows.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-30), dtype=np.float32)


def _draw(rows: NDArray[np.int64], count: int, rng: Random) -> NDArray[np.int64]:
    """Return `count` distinct members of `rows`."""
    return rows[rng.sample(range(len(rows)), count)] if count else rows[:0]


def _draw_outside(n: int, picks: NDArray[np.int64], count: int, rng: Random) -> NDArray[np.int64]:
    left = np.setdiff1d(np.arange(n), picks)
    return _draw(left, min(count, len(left)), rng)
