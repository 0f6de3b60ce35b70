"""Short forms of all rows for the lazy pool: they bound distances from below, cheaply.

A row x becomes f(x) = (Q (x - mean), length of what Q leaves out), m + 1 numbers, where the m rows
of Q are orthonormal. f never lengthens a distance: the first m numbers of f(x) - f(y) are those of
the projected difference, and the lengths of the two remainders differ by at most the length of the
remainders' difference; with Pythagoras |f(x) - f(y)| <= |x - y|. Q is the leading principal
directions of a sample, so that little is left out; any other Q would be as right, only slower.

What is stored is off from f(x) by rounding. Each row's bound on that is its `slack`, made of, with
R the row's length, the mean taken off:

* Q in float32 is off from an orthonormal matrix by at most `orthonormal` (2-norm) x R;
* x - mean is rounded in float32: 2^-24 R;
* the products are summed in float32 over pieces of `_PIECE` columns, then over pieces: by at most
  (_PIECE + pieces + 2) x 2^-24 x |q| R in each of m numbers, so sqrt(m) times that;
* the remainder's length comes from R² - |Qx|²: see `compress`, which also measures the last part,
* the rounding to 16 bits with one scale a row.

The first three make `Setup.error`.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavecoder.select.lazy_pool.bounds import (
    Prefix,
    compress,
    distances_to,
    nearest_cells,
)
from wavecoder.select.lazy_pool.kernels import Rows

__all__ = ["CHUNK", "Setup", "bytes_beside", "fit", "short_forms"]

CHUNK = 2048
"""Rows per piece of work."""

_LEAST, _MOST = 2048, 8192
"""Rows that directions and cells are learned from: a tenth of all, between these."""
_SHARE = 0.8
"""Part of the variance that the leading directions keep. Less: more full distances. More: longer
products. Measured on real and on isotropic vectors; the optimum is flat."""
_WIDE = 1024
"""Directions are learned from at most so many dimensions, or rows: about half a second."""
_PIECE = 128
_CELL_WIDTH = 64
"""Leading coordinates that cells are made with."""
_ROUNDS = 4


class Setup(NamedTuple):
    """What is learned from the sample."""

    mean: NDArray[np.float32]
    """(d,)"""
    directions: NDArray[np.float32]
    """(d, m), the transpose of Q."""
    error: float
    """Rounding of the first m numbers, for a row of length 1."""
    cells: NDArray[np.float32]
    """(w, number of cells): -2 x middle of each cell, in the w leading coordinates."""
    norms: NDArray[np.float32]
    """(number of cells,): their squared lengths."""


def fit(vectors: NDArray[np.float32 | np.float16], cells: int) -> Setup:
    """Learn directions and `cells` cells (at least `NEAREST`) from evenly spaced rows."""
    sample = min(max(len(vectors) // 10, _LEAST), _MOST, len(vectors))
    rows = np.linspace(0, len(vectors) - 1, sample).astype(np.int64)
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in _blocks(vectors, rows)) / len(rows)
    mean = np.asarray(mean, dtype=np.float32)
    values, directions = _principal(vectors, rows, mean)
    kept = np.cumsum(np.maximum(values, 0))
    m = int(np.searchsorted(kept, _SHARE * kept[-1])) + 1
    # Together with the remainder's length and a 1 a multiple of 16, for the vector instructions.
    m = min(-(m + 2) % 16 + m, directions.shape[1])
    q = directions[:, :m]
    pieces = -(-vectors.shape[1] // _PIECE)
    # From q to the nearest orthonormal matrix: at most |q'q - 1|; then rounding to float32.
    orthonormal = float(np.linalg.norm(q.T @ q - np.eye(m))) + np.sqrt(m) * 2.0**-24
    products = (_PIECE + pieces + 2) * np.sqrt(m) * 2.0**-24
    setup = Setup(
        mean,
        np.ascontiguousarray(q, dtype=np.float32),
        1.001 * (orthonormal + products + 2.0**-24),
        np.empty((0, 0), dtype=np.float32),
        np.empty(0, dtype=np.float32),
    )
    leading = np.concatenate(
        [_project(block - mean, setup)[:, :_CELL_WIDTH] for block in _blocks(vectors, rows)]
    )
    middles = _middles(leading, cells)
    norms = np.einsum("ij,ij->i", middles, middles)
    return setup._replace(cells=np.ascontiguousarray(-2 * middles.T), norms=norms)


def _principal(
    vectors: NDArray[np.float32 | np.float16], rows: NDArray[np.int64], mean: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return variances, the largest first, and their directions as orthonormal columns."""
    d = vectors.shape[1]
    if d <= _WIDE:
        spread = np.zeros((d, d))
        for block in _blocks(vectors, rows):
            block -= mean
            spread += block.T @ block
        values, directions = np.linalg.eigh(spread)
        return values[::-1], directions[:, ::-1]
    # Eigenvectors of d x d would take minutes; those of products between few rows give the same.
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), _WIDE)).astype(np.int64)]
    wide = vectors[few].astype(np.float64) - mean
    values, parts = np.linalg.eigh(wide @ wide.T)
    return values[::-1], np.linalg.qr(wide.T @ parts[:, ::-1])[0]


def _blocks(
    vectors: NDArray[np.float32 | np.float16], rows: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(rows), CHUNK):
        yield vectors[rows[start : start + CHUNK]].astype(np.float32)


def _project(centered: NDArray[np.float32], setup: Setup) -> NDArray[np.float32]:
    """Return the (b, m) leading coordinates; short sums keep the rounding small."""
    total = centered[:, :_PIECE] @ setup.directions[:_PIECE]
    for p in range(_PIECE, centered.shape[1], _PIECE):
        total += centered[:, p : p + _PIECE] @ setup.directions[p : p + _PIECE]
    return total


def _middles(points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return `count` middles by k-means; a cell that runs empty keeps its middle."""
    middles = points[np.linspace(0, len(points) - 1, count).astype(np.int64)]
    for _ in range(_ROUNDS):
        nearest = np.empty(len(points), dtype=np.int64)
        norms = np.einsum("ij,ij->i", middles, middles)
        for start in range(0, len(points), CHUNK):
            h = norms - 2 * (points[start : start + CHUNK] @ middles.T)
            nearest[start : start + CHUNK] = h.argmin(axis=1)
        order = nearest.argsort(kind="stable")
        found, begins, sizes = np.unique(nearest[order], return_index=True, return_counts=True)
        middles[found] = np.add.reduceat(points[order], begins, axis=0) / sizes[:, None]
    return middles


def short_forms(
    vectors: NDArray[np.float32 | np.float16],
    setup: Setup,
    rows: Rows,
    center: NDArray[np.float32],
    threads: Executor,
) -> tuple[Prefix, Iterator[None]]:
    """Make room for all short forms, and an iterator that fills them, a chunk a step.

    In the same pass over the matrix it writes each row's cells, and its distance to `center`.

    Args:
        vectors: The matrix, (n, d).
        setup: What `fit` gave.
        rows: Gets `cells` and `distance`.
        center: (1, d), the first center.
        threads: Who does the work.
    """
    n, m = len(vectors), setup.directions.shape[1]
    prefix = Prefix(
        np.empty((n, m + 1), dtype=np.int16),
        np.empty(n, dtype=np.float32),
        np.empty(n, dtype=np.float32),
    )

    def chunk(start: int) -> None:
        block = np.asarray(vectors[start : start + CHUNK], dtype=np.float32)
        block.flags.writeable = False
        distances_to(block, center, rows.distance[start : start + CHUNK])
        centered = block - setup.mean
        z = _project(centered, setup)
        compress(centered, z, setup.error, prefix, start)
        h = z[:, : len(setup.cells)] @ setup.cells
        h += setup.norms
        nearest_cells(h, rows.cells[start : start + CHUNK])

    return prefix, threads.map(chunk, range(0, n, CHUNK))


def bytes_beside(d: int, cells: int, threads: int) -> int:
    """Return what `fit` or `short_forms` holds for itself at most."""
    fitting = 4 * (3 * CHUNK * d + 3 * CHUNK * cells + 3 * _MOST * _CELL_WIDTH)
    fitting += 8 * 8 * d * min(d, _WIDE)
    return max(fitting, threads * CHUNK * 4 * (4 * d + cells))
