"""k-center greedy, exact: pick the row farthest from all picked so far, again and again.

Source: Gonzalez 1985 (farthest-first traversal; its cover radius is at most twice the optimum);
as a way to choose data: Sener and Savarese 2018, paper section 2.2.1.

The canonical distance between two float32 rows is: the sum of squared differences in float64,
rounded to float32, then the square root in float32. Equal distances go to the lowest row. These
two rules fix every pick, so that a faster implementation can be compared index by index.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavecoder.errors import ConfigError

__all__ = ["Selection", "kcenter_greedy"]

# Elements per block: 1 MiB of float64 differences stays in a core's cache.
_BLOCK = 1 << 17


class Selection(NamedTuple):
    """What was picked, in pick order."""

    indices: NDArray[np.int64]
    """The picked rows."""
    radii: NDArray[np.float32]
    """The cover radius after each pick: the largest distance of any row to its nearest center."""
    distances: NDArray[np.float32]
    """For every row, its distance to the nearest center once all are picked."""


def kcenter_greedy(
    vectors: ArrayLike,
    k: int,
    *,
    first: int | None,
    initial: Sequence[int] | NDArray[np.int64] | None = None,
    on_pick: Callable[[], object] = lambda: None,
) -> Selection:
    """Pick `k` rows of `vectors`, each the farthest from all centers before it.

    A row is picked once. When only duplicates of centers are left, the lowest of them is next.
    Takes O(n · k · d) time and O(n) memory beside a float32 matrix.

    Args:
        vectors: Matrix of shape (n, d), n and d at least 1; finite; read as float32.
        k: How many rows to pick, at most the rows that are not in `initial`.
        first: The row to pick first; None (with `initial` only) picks the farthest from `initial`.
        initial: Rows that are centers already; they count for distances and are not picked.
        on_pick: Called after each pick; what it raises ends the search.

    Raises:
        ConfigError: `k`, `first` or `initial` does not fit the matrix, or a value is not finite.
    """
    matrix = _matrix(vectors)
    chosen = _chosen(initial, len(matrix))
    _check_counts(len(matrix), k, first, chosen)

    # Distance to the nearest center; -1 marks a center, so that `argmax` passes it by and
    # `minimum` leaves the mark alone.
    nearest = np.full(len(matrix), np.inf, dtype=np.float32)
    for row in chosen:
        _add_center(matrix, row, nearest)
    indices = np.empty(k, dtype=np.int64)
    radii = np.empty(k, dtype=np.float32)
    for pick in range(k):
        row = first if pick == 0 and first is not None else int(nearest.argmax())
        _add_center(matrix, row, nearest)
        indices[pick] = row
        radii[pick] = max(nearest.max(), 0)
        on_pick()
    return Selection(indices, radii, np.maximum(nearest, 0))


def _add_center(matrix: NDArray[np.float32], row: int, nearest: NDArray[np.float32]) -> None:
    """Lower `nearest` to the distance from `row` where that is smaller, and mark `row`."""
    center = matrix[row].astype(np.float64)
    step = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, len(matrix), step):
        difference = matrix[start : start + step] - center
        square = np.einsum("ij,ij->i", difference, difference)
        distance = np.sqrt(square.astype(np.float32))
        np.minimum(nearest[start : start + step], distance, out=nearest[start : start + step])
    nearest[row] = -1


def _matrix(vectors: ArrayLike) -> NDArray[np.float32]:
    """Return `vectors` as a checked float32 matrix, without a copy where it is one."""
    matrix = np.asarray(vectors, dtype=np.float32)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ConfigError(
            f"k-center greedy needs a matrix with at least one row and one column, "
            f"got shape {matrix.shape}. Check the embedder."
        )
    step = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, len(matrix), step):
        finite = np.isfinite(matrix[start : start + step]).all(axis=1)
        if not finite.all():
            raise ConfigError(
                f"Row {start + int(finite.argmin())} of the vectors holds NaN or an infinite "
                f"value. Check the embedder."
            )
    return matrix


def _chosen(initial: Sequence[int] | NDArray[np.int64] | None, n: int) -> list[int]:
    """Return `initial` as a list of distinct rows."""
    chosen = [] if initial is None else [int(row) for row in initial]
    outside = [row for row in chosen if not 0 <= row < n]
    if outside or len(set(chosen)) != len(chosen):
        what = f"row {outside[0]}, which is not there" if outside else "a row twice"
        raise ConfigError(f"initial names {what}; give distinct rows of 0 to {n - 1}.")
    return chosen


def _check_counts(n: int, k: int, first: int | None, chosen: list[int]) -> None:
    """Refuse a `k` or a `first` that the rows left beside `chosen` cannot satisfy."""
    if not 1 <= k <= n - len(chosen):
        raise ConfigError(
            f"k is {k} and there are {n - len(chosen)} rows to pick from; "
            f"set k between 1 and that number."
        )
    if first is None and not chosen:
        raise ConfigError("Without initial centers the first center is not known; give `first`.")
    if first is not None and (not 0 <= first < n or first in chosen):
        raise ConfigError(f"first is {first}; give a row of 0 to {n - 1} that is not in `initial`.")
