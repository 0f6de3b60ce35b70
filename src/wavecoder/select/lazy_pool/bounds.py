"""Distances and their bounds, compiled by numba for the lazy pool.

Every kernel runs on one thread and lets go of Python's lock; threads come from `pool.py`.

Two kinds of arithmetic live here. `canonical` decides: its order of additions is fixed, so that
every machine and every number of threads finds the same picks. All else only rules pairs out, may
be reordered by the compiler (`fastmath`), and carries a slack for its rounding.

The parameters are arrays and scalars of numba's; it has no annotations for them, so they are Any.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NEAREST",
    "Prefix",
    "canonical",
    "compiled",
    "compress",
    "distances_to",
    "dot",
    "lowest",
    "nearer",
    "nearest_cells",
    "threshold",
]

NEAREST = 4
"""Cells of a row: the centers in these are tried first."""

_FLOAT = 2.0**-24
"""Half a unit in the last place of float32, relative: the error of one float32 operation."""
_TINY = 1e-33
"""More than all float32 underflow in one squared distance."""


class Prefix(NamedTuple):
    """The short form of every row: m leading coordinates and the length of what is left.

    A coordinate is `codes` x `scale`; the short form is off by at most `slack` (Euclidean).
    """

    codes: NDArray[np.int16]
    """(n, m + 1)"""
    scale: NDArray[np.float32]
    """(n,)"""
    slack: NDArray[np.float32]
    """(n,)"""


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile at the first call; keep the result on disk where there is a place to write."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # numba found neither this folder nor the user's cache writable
            return numba.njit(nogil=True, **options)(function)  # type: ignore[no-any-return]

    return decorate


@compiled()
def canonical(a: Any, i: int, b: Any, j: int) -> Any:
    """Return the canonical distance of float32 rows a[i] and b[j]; see `kcenter.py`."""
    size = a.shape[1]
    whole = size - size % 8
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for p in range(0, whole, 8):
        t0 = np.float64(a[i, p]) - np.float64(b[j, p])
        t1 = np.float64(a[i, p + 1]) - np.float64(b[j, p + 1])
        t2 = np.float64(a[i, p + 2]) - np.float64(b[j, p + 2])
        t3 = np.float64(a[i, p + 3]) - np.float64(b[j, p + 3])
        t4 = np.float64(a[i, p + 4]) - np.float64(b[j, p + 4])
        t5 = np.float64(a[i, p + 5]) - np.float64(b[j, p + 5])
        t6 = np.float64(a[i, p + 6]) - np.float64(b[j, p + 6])
        t7 = np.float64(a[i, p + 7]) - np.float64(b[j, p + 7])
        s0 += t0 * t0
        s1 += t1 * t1
        s2 += t2 * t2
        s3 += t3 * t3
        s4 += t4 * t4
        s5 += t5 * t5
        s6 += t6 * t6
        s7 += t7 * t7
    total = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    for p in range(whole, size):
        t = np.float64(a[i, p]) - np.float64(b[j, p])
        total += t * t
    return np.sqrt(np.float32(total))


@compiled(fastmath=True)
def _square(a: Any, i: int, b: Any, j: int) -> Any:
    """Return the squared distance in float32, off by at most `size + 3` roundings, relative."""
    total = np.float32(0)
    for p in range(a.shape[1]):
        t = a[i, p] - b[j, p]
        total += t * t
    return total


@compiled()
def nearer(a: Any, i: int, b: Any, j: int, distance: Any) -> Any:
    """Return the smaller of `distance` and the canonical distance of a[i] and b[j].

    The float32 sum has only terms of one sign, so it is at most (1 + (d + 3) u) times the true
    square, u = 2^-24; the canonical distance is the true one to within 2 u. So a row whose sum is
    more than distance² x (1 + (2 d + 16) u) is not nearer, and its float64 sum is left out.
    """
    least = np.float64(distance) * np.float64(distance)
    if _square(a, i, b, j) > least * (1 + (2 * a.shape[1] + 16) * _FLOAT) + _TINY:
        return distance
    return min(distance, canonical(a, i, b, j))


@compiled()
def threshold(distance: Any, slack: Any, reach: Any, norm: Any, size: int) -> Any:
    """Return t such that h >= t proves that a center is not nearer than `distance`.

    h = |c|² - 2 x·c as computed, for short forms x of squared length `norm` and c of length at most
    `reach`; `slack` is what both short forms are off by, `size` the number of products.

    The short form never lengthens a distance (`prefix.py`), so the true distance D is at
    least |x - c| - slack. D of at least distance x (1 + 4 u) makes the canonical distance, which is
    within 2 u of D, no smaller than `distance`. |x - c|² = norm + h, where h and norm together are
    off by at most (size + 8) roundings of terms that sum to less than (|x| + |c|)².
    """
    least = np.float64(distance) * (1 + 4 * _FLOAT) + slack
    longest = np.sqrt(np.float64(norm)) + reach
    rounding = (size + 8) * _FLOAT * longest * longest
    # The factor lifts the result over its own rounding to float32.
    exact = least * least - norm + rounding + _TINY
    return np.float32(exact + abs(exact) * 2 * _FLOAT)


@compiled(fastmath=True)
def lowest(h: Any, begin: int, end: int) -> Any:
    """Return the lowest of h[begin:end]."""
    least = np.float32(3e38)
    for j in range(begin, end):
        least = min(least, h[j])
    return least


@compiled(fastmath=True)
def dot(a: Any, i: int, b: Any, j: int) -> Any:
    """Return the product of the float32 rows a[i] and b[j], in any order of additions."""
    total = np.float32(0)
    for p in range(a.shape[1]):
        total += a[i, p] * b[j, p]
    return total


@compiled()
def distances_to(vectors: Any, center: Any, out: Any) -> None:
    """Write the canonical distance of each row of `vectors` to center[0]."""
    for i in range(len(vectors)):
        out[i] = canonical(vectors, i, center, 0)


@compiled(fastmath=True)
def compress(vectors: Any, z: Any, error: float, prefix: Any, start: int) -> None:
    """Store the short form of a block of rows, from row `start` on.

    Args:
        vectors: (b, d) float32, the mean taken off.
        z: (b, m) float32, their leading coordinates.
        error: Each row of `z` is off by at most `error` x the row's length (Euclidean).
        prefix: Where to write.
        start: First row.
    """
    m = z.shape[1]
    for i in range(len(vectors)):
        whole = 0.0
        for p in range(vectors.shape[1]):
            whole += np.float64(vectors[i, p]) * np.float64(vectors[i, p])
        kept = 0.0
        top = np.float32(0)
        for p in range(m):
            kept += np.float64(z[i, p]) * np.float64(z[i, p])
            top = max(top, abs(z[i, p]))
        rest = np.sqrt(max(0.0, whole - kept))
        scale = np.float32(max(top, rest) * (1 / 32766))
        prefix.scale[start + i] = scale
        inverse = 1 / np.float64(scale) if scale > 0 else 0.0
        off = 0.0
        for p in range(m + 1):
            value = rest if p == m else np.float64(z[i, p])
            code = np.int16(np.rint(value * inverse))
            prefix.codes[start + i, p] = code
            difference = np.float64(np.float32(code) * scale) - value
            off += difference * difference
        # z is off by e, so |z|² by at most 2 R e + e² (R = the row's length); a square root of
        # something off by g is off by at most sqrt(g) and at most g / itself.
        length = np.sqrt(whole)
        e = error * length
        g = e * (2 * length + e) + 1e-12 * whole
        rest_off = min(np.sqrt(g), g / rest) if rest > 0 else np.sqrt(g)
        prefix.slack[start + i] = np.float32((e + rest_off + np.sqrt(off)) * 1.0001 + 1e-30)


@compiled()
def nearest_cells(h: Any, cells: Any) -> None:
    """Write the `NEAREST` columns of each row of `h` that are lowest, the lowest first."""
    for i in range(len(h)):
        a = b = c = e = np.float32(np.inf)
        for j in range(h.shape[1]):
            v = h[i, j]
            if v < e:
                if v < c:
                    e = c
                    cells[i, 3] = cells[i, 2]
                    if v < b:
                        c = b
                        cells[i, 2] = cells[i, 1]
                        if v < a:
                            b = a
                            cells[i, 1] = cells[i, 0]
                            a = v
                            cells[i, 0] = j
                        else:
                            b = v
                            cells[i, 1] = j
                    else:
                        c = v
                        cells[i, 2] = j
                else:
                    e = v
                    cells[i, 3] = j
