"""Plain k-center greedy in numpy: a pass over all rows for every pick.

It says what the picks are. It serves small inputs, places without numba, and the tests.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Problem", "canonical", "plain_greedy"]

# Elements per block: 1 MiB of float64 differences stays in a core's cache.
_BLOCK = 1 << 17


class Problem(NamedTuple):
    """A checked call of `kcenter_greedy`."""

    vectors: NDArray[np.float32 | np.float16]
    """(n, d), C-contiguous, finite."""
    initial: list[int]
    """Rows that are centers already."""
    first: int | None
    """The row to pick first; None only if there are initial centers."""
    k: int
    groups: NDArray[np.int32]
    """(n,), the group of each row; (1,) of zero where there is one group."""
    quotas: NDArray[np.int64]
    """How many rows may be picked of each group."""
    weights: NDArray[np.float32]
    """(n,), finite and positive; (1,) of one where all rows weigh the same."""


def canonical(
    rows: NDArray[np.float32 | np.float16], others: NDArray[np.float32 | np.float16]
) -> NDArray[np.float32]:
    """Return the canonical distances of `rows`, (b, d), to `others`, (b, d) or (d,); see `kcenter`.

    Numpy and other libraries add in an order of their own choice; this one is the same everywhere.
    """
    square = rows - others.astype(np.float64)
    np.square(square, out=square)
    whole = square.shape[1] - square.shape[1] % 8
    lanes = np.zeros((len(rows), 8))
    for p in range(0, whole, 8):
        lanes += square[:, p : p + 8]
    lanes = lanes[:, :4] + lanes[:, 4:]
    lanes = lanes[:, :2] + lanes[:, 2:]
    total = lanes[:, 0] + lanes[:, 1]
    for p in range(whole, square.shape[1]):
        total += square[:, p]
    with np.errstate(over="ignore"):
        return np.sqrt(total.astype(np.float32))


def plain_greedy(
    problem: Problem, on_pick: Callable[[int], object]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the picks, and after each the highest key of a row that can still be picked.

    The key of a row is weight x distance to the nearest center; it takes O(n · k · d) time.
    """
    n = len(problem.vectors)
    nearest = np.full(n, np.inf, dtype=np.float32)
    can = np.ones(n, dtype=bool)
    left = problem.quotas.copy()
    groups = np.broadcast_to(problem.groups, n)

    for row in problem.initial:
        _add_center(problem.vectors, row, nearest)
        can[row] = False
    can &= left[groups] > 0
    indices = np.empty(problem.k, dtype=np.int64)
    radii = np.empty(problem.k, dtype=np.float32)
    keys = np.where(can, problem.weights * nearest, np.float32(-1))
    for pick in range(problem.k):
        # The first of the highest keys: argmax gives ties to the lowest row.
        row = problem.first if pick == 0 and problem.first is not None else int(keys.argmax())
        _add_center(problem.vectors, row, nearest)
        can[row] = False
        left[groups[row]] -= 1
        if left[groups[row]] == 0:
            can &= groups != groups[row]
        keys = np.where(can, problem.weights * nearest, np.float32(-1))
        indices[pick] = row
        radii[pick] = max(keys.max(), 0)
        on_pick(pick + 1)
    return indices, radii


def _add_center(
    vectors: NDArray[np.float32 | np.float16], row: int, nearest: NDArray[np.float32]
) -> None:
    """Lower `nearest` to the distance from `row` where that is smaller."""
    center = vectors[row].astype(np.float64)
    step = max(1, _BLOCK // vectors.shape[1])
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step]
        known = nearest[start : start + step]
        difference = block - center
        # A quick sum first. It is within 1e-12 of the canonical one, which is then rounded by less
        # than 2e-7: a row that is farther by more than both cannot come nearer.
        square = np.einsum("ij,ij->i", difference, difference)
        near = np.flatnonzero(square <= known.astype(np.float64) ** 2 * (1 + 1e-6) + 1e-40)
        known[near] = np.minimum(known[near], canonical(block[near], center))
