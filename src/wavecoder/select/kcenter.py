"""k-center greedy, exact: pick the row farthest from all picked so far, again and again.

Source: Gonzalez 1985 (farthest-first traversal; its cover radius is at most twice the optimum);
as a way to choose data: Sener and Savarese 2018, paper section 2.2.1.

The canonical distance between two rows is: the sum of squared differences in float64, rounded to
float32, then the square root in float32. The sum is taken in eight lanes: element i goes to lane i
modulo 8, in order, for as many whole eights as there are; lanes are added as ((0+4)+(2+6)) +
((1+5)+(3+7)), then the elements behind the last whole eight, in order. float16 rows count as the
float32 values they stand for. Equal keys go to the lowest row. These rules fix every pick on every
machine, so that implementations can be compared index by index: `kcenter_reference.py` is the plain
loop, `lazy_pool/` the fast one.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavecoder.errors import ConfigError
from wavecoder.select.kcenter_reference import Problem, canonical, plain_greedy

__all__ = ["Selection", "kcenter_greedy", "memory_needed", "nearest_centers"]

# Elements per block: 512 KiB of float32 stays in a core's cache.
_BLOCK = 1 << 17
# Multiplications of the plain loop, about a second of them: below this the fast way is not faster,
# for it has to be loaded and to learn its short forms.
_PLAIN_WORK = 1_000_000_000
# Squares of longer differences do not fit into float32.
_LONGEST = 1e18

Vectors = NDArray[np.float32 | np.float16]
Rows = Sequence[int] | NDArray[np.integer[Any]]


class Selection(NamedTuple):
    """What was picked, in pick order."""

    indices: NDArray[np.int64]
    """(k,), the picked rows."""
    radii: NDArray[np.float32]
    """(k,), after each pick the largest weight × distance to the nearest center, over the rows that
    can still be picked; 0 when there are none. Without weights, groups and initial centers that is
    the cover radius of the picks so far."""


def kcenter_greedy(
    vectors: ArrayLike,
    k: int,
    *,
    first: int | None,
    initial: Rows | None = None,
    groups: Rows | None = None,
    quotas: Rows | None = None,
    weights: ArrayLike | None = None,
    on_pick: Callable[[int], object] = lambda done: None,
) -> Selection:
    """Pick `k` rows of `vectors`, each the farthest from all centers before it.

    A row is picked once. Its key is weight × canonical distance to the nearest center, in float32;
    the next pick is the row of highest key, of equal keys the lowest row. When only duplicates of
    centers are left (key 0), the lowest of them is next.

    Args:
        vectors: Matrix of shape (n, d), n and d at least 1; finite. A C-contiguous float32 or
            float16 array, also a `numpy.memmap`, is used as it is; others are copied to float32.
        k: How many rows to pick.
        first: The row to pick first; None (with `initial` only) picks the highest key.
        initial: Rows that are centers already; they count for distances, not for quotas, and are
            not picked.
        groups: (n,), the group of each row, from 0 on.
        quotas: How many rows may be picked of each group. A row of a full group is not picked, and
            counts no more for `radii`.
        weights: (n,), positive and finite, read as float32; a row of weight 2 is picked as if it
            were twice as far away. `radii` are then weighted too.
        on_pick: Called with how many picks are made: several times a second, 0 while it gets ready,
            and at the end `k`. What it raises ends the search.

    Raises:
        ConfigError: An argument does not fit the matrix, fewer than `k` rows can be picked, or a
            value is not finite.
    """
    matrix, longest = _matrix(vectors, on_pick)
    chosen = _chosen(initial, len(matrix))
    group_of, left = _groups(groups, quotas, len(matrix))
    problem = Problem(matrix, chosen, first, k, group_of, left, _weights(weights, len(matrix)))
    _check_counts(problem)

    work = matrix.size * (k + len(chosen))
    fits = longest < _LONGEST and problem.weights.max() * longest < _LONGEST
    if work >= _PLAIN_WORK and fits:
        try:
            from wavecoder.select.lazy_pool.pool import lazy_pool
        except ImportError:  # no numba on this platform: as exact, only slower
            pass
        else:
            return Selection(*lazy_pool(problem, on_pick))
    return Selection(*plain_greedy(problem, on_pick))


def memory_needed(n: int, d: int, k: int, *, half: bool = False) -> int:
    """Return the most bytes that `kcenter_greedy` takes beside an (n, d) matrix.

    It is a bound for vectors without any structure, where short forms are as long as rows; real
    embeddings take about half. numba itself, some 100 MB, is not in it.

    Args:
        n: Rows.
        d: Columns.
        k: Picks and initial centers together.
        half: The matrix is float16.
    """
    if n * d * k < _PLAIN_WORK:
        return n * 40 + _BLOCK * 40
    try:
        from wavecoder.select.lazy_pool.pool import bytes_needed
    except ImportError:
        return n * 40 + _BLOCK * 40
    return bytes_needed(n, d, k, half=half)


def nearest_centers(
    vectors: ArrayLike, rows: Rows, centers: Rows
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each of `rows` its nearest center: position in `centers`, canonical distance.

    Equal distances go to the earliest center. A matrix product finds the few centers that can be
    the nearest, the canonical distance decides among them.

    Args:
        vectors: As for `kcenter_greedy`.
        rows: (r,), rows of `vectors`.
        centers: (c,), rows of `vectors`, at least one.

    Raises:
        ConfigError: A row or center is not in the matrix, or a value is not finite.
    """
    matrix, longest = _matrix(vectors, lambda done: None)
    names = np.asarray(rows, dtype=np.int64)
    at = np.asarray(centers, dtype=np.int64)
    for what, given in (("rows", names), ("centers", at)):
        if given.size and not (given.min() >= 0 and given.max() < len(matrix)):
            raise ConfigError(f"{what} names a row outside 0 to {len(matrix) - 1}.")
    if not at.size:
        raise ConfigError("nearest_centers needs at least one center; pick some first.")

    mean = matrix[at].mean(axis=0, dtype=np.float64).astype(np.float32)
    others = matrix[at] - mean
    norms = np.einsum("ij,ij->i", others, others)
    reach = float(np.sqrt(norms.max()))
    positions = np.empty(len(names), dtype=np.int64)
    distances = np.empty(len(names), dtype=np.float32)
    step = max(1, min(4096, (1 << 22) // len(at)))
    for start in range(0, len(names), step):
        block = matrix[names[start : start + step]] - mean
        with np.errstate(over="ignore", invalid="ignore"):  # see `longest` below
            h = block @ others.T
            h *= -2
            h += norms
        # |x - c|² = |x|² + h. With u = 2^-24, h is off by at most (d + 8) u (|x| + |c|)² from its
        # sums, and 8 u (|x| + |c|)² covers the rounding of x - mean and of the canonical distance.
        length = np.sqrt(np.einsum("ij,ij->i", block, block)) + reach
        slack = (matrix.shape[1] + 16) * 2.0**-24 * length * length
        near = h <= (h.min(axis=1) + 2.5 * slack + 1e-33)[:, None]
        if longest >= _LONGEST:
            near[:] = True
        i, j = np.nonzero(near)
        exact = _pair_distances(matrix, names[start + i], at[j])
        # By row, then distance, then position: the first of each row is the answer.
        order = np.lexsort((j, exact, i))
        best = order[np.searchsorted(i, np.arange(len(block)))]
        positions[start : start + step] = j[best]
        distances[start : start + step] = exact[best]
    return positions, distances


def _pair_distances(
    matrix: Vectors, a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.float32]:
    exact = np.empty(len(a), dtype=np.float32)
    step = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, len(a), step):
        part = slice(start, start + step)
        exact[part] = canonical(matrix[a[part]], matrix[b[part]])
    return exact


def _matrix(vectors: ArrayLike, on_pick: Callable[[int], object]) -> tuple[Vectors, float]:
    """Return `vectors` as a checked matrix, and a bound for the distance of two rows."""
    given = np.asarray(vectors)
    kind = np.float16 if given.dtype == np.float16 else np.float32
    matrix: Vectors = np.ascontiguousarray(given, dtype=kind) if given.ndim else given
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ConfigError(
            f"k-center greedy needs a matrix with at least one row and one column, "
            f"got shape {matrix.shape}. Check the embedder."
        )
    largest = 0.0
    step = max(1, 8 * _BLOCK // matrix.shape[1])
    for start in range(0, len(matrix), step):
        on_pick(0)
        block = matrix[start : start + step]
        # NaN wins every maximum, so this one number tells.
        top = float(np.maximum(block.max(), -block.min()))
        if not np.isfinite(top):
            row = start + int(np.isfinite(block).all(axis=1).argmin())
            raise ConfigError(
                f"Row {row} of the vectors holds NaN or an infinite value. Check the embedder."
            )
        largest = max(largest, top)
    return matrix, 2 * largest * float(np.sqrt(matrix.shape[1]))


def _chosen(initial: Rows | None, n: int) -> list[int]:
    """Return `initial` as a list of distinct rows."""
    chosen = [] if initial is None else [int(row) for row in initial]
    outside = [row for row in chosen if not 0 <= row < n]
    if outside or len(set(chosen)) != len(chosen):
        what = f"row {outside[0]}, which is not there" if outside else "a row twice"
        raise ConfigError(f"initial names {what}; give distinct rows of 0 to {n - 1}.")
    return chosen


def _groups(
    groups: Rows | None, quotas: Rows | None, n: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the group of each row, and the quotas; one group of all rows if none are given."""
    if groups is None and quotas is None:
        return np.zeros(1, dtype=np.int32), np.array([n])
    if groups is None or quotas is None:
        raise ConfigError("groups and quotas go together; give both or neither.")
    group_of, left = np.asarray(groups), np.asarray(quotas)
    if group_of.shape != (n,) or not np.issubdtype(group_of.dtype, np.integer):
        raise ConfigError(
            f"groups has shape {group_of.shape} and type {group_of.dtype}; "
            f"give {n} integers, one a row."
        )
    if left.ndim != 1 or not np.issubdtype(left.dtype, np.integer) or (left < 0).any():
        raise ConfigError("quotas must be one list of integers, none below 0, one a group.")
    if group_of.min() < 0 or group_of.max() >= len(left):
        raise ConfigError(
            f"groups goes from {group_of.min()} to {group_of.max()} and there are {len(left)} "
            f"quotas; number the groups from 0 and give a quota for each."
        )
    if n == 1:  # an array of one group number means one group
        left = left[group_of]
        group_of = np.zeros(1)
    return group_of.astype(np.int32), left.astype(np.int64)


def _weights(weights: ArrayLike | None, n: int) -> NDArray[np.float32]:
    if weights is None:
        return np.ones(1, dtype=np.float32)
    given = np.ascontiguousarray(weights, dtype=np.float32)
    if given.shape != (n,):
        raise ConfigError(f"weights has shape {given.shape}; give {n} numbers, one a row.")
    bad = np.flatnonzero(~(np.isfinite(given) & (given > 0)))
    if bad.size:
        raise ConfigError(
            f"The weight of row {bad[0]} is {given[bad[0]]}; weights must be positive and finite."
        )
    return given


def _check_counts(problem: Problem) -> None:
    """Refuse a `k` or a `first` that the rows left beside the initial centers cannot satisfy."""
    n, k, first = len(problem.vectors), problem.k, problem.first
    free = np.ones(n, dtype=bool)
    free[problem.initial] = False
    sizes = np.bincount(np.broadcast_to(problem.groups, n)[free], minlength=len(problem.quotas))
    can = int(np.minimum(sizes, problem.quotas).sum())
    if not 1 <= k <= can:
        raise ConfigError(
            f"k is {k} and there are {can} rows to pick from; set k between 1 and that number."
        )
    if first is None and not problem.initial:
        raise ConfigError("Without initial centers the first center is not known; give `first`.")
    if first is not None and (not 0 <= first < n or not free[first]):
        raise ConfigError(f"first is {first}; give a row of 0 to {n - 1} that is not in `initial`.")
    if first is not None and not problem.quotas[problem.groups[first % len(problem.groups)]]:
        raise ConfigError(f"first is {first} and its group has a quota of 0; give another row.")
