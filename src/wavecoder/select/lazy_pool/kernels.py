"""The loops over rows and centers of the lazy pool (`pool.py` has the algorithm), in numba.

Kernels that share arrays between threads write disjoint rows only. A pair is skipped only by
`threshold` and `nearer` (`bounds.py`), whose docstrings prove that it changes nothing.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavecoder.select.lazy_pool.bounds import NEAREST, compiled, dot, lowest, nearer, threshold

__all__ = [
    "Centers",
    "Limit",
    "Rows",
    "add_center",
    "catch_up",
    "fill",
    "highest",
    "pool_greedy",
    "probe",
]


class Rows(NamedTuple):
    """What is known of each of the n rows."""

    distance: NDArray[np.float32]
    """(n,): canonical distance to some center, an upper bound; -1 for a center."""
    done: NDArray[np.int32]
    """(n,): so many of the first centers can lower `distance` no more."""
    cells: NDArray[np.uint16]
    """(n, 4): the nearest cells, the nearest first."""
    tried: NDArray[np.uint16]
    """(n, 4): so many of the first centers of that cell can lower `distance` no more."""
    weights: NDArray[np.float32]
    """(n,), or (1,) where all rows weigh the same."""
    groups: NDArray[np.int32]
    """(n,), or (1,) where there is one group."""
    left: NDArray[np.int64]
    """Per group: how many rows of it may still be picked."""


class Centers(NamedTuple):
    """The centers in the order they came; room for all that will come."""

    rows: NDArray[np.int64]
    """Row of each center."""
    source: NDArray[np.float32]
    """Where their vectors are: the matrix itself, or copies of float16 vectors."""
    at: NDArray[np.int64]
    """Where in `source`."""
    short: NDArray[np.float32]
    """(count, m + 2): -2 x short form, and its squared length last."""
    slack: NDArray[np.float32]
    """As `Prefix.slack`."""


class Limit(NamedTuple):
    """A row is in while its (key, row) comes before this one: higher key first, then lower row."""

    key: np.float32
    row: int


@compiled()
def _key(rows: Any, row: int, distance: Any) -> Any:
    """Return weight x distance, in float32."""
    if rows.weights.size == 1:
        return distance
    return np.float32(rows.weights[row] * distance)


@compiled()
def _inside(key: Any, row: int, limit: Any) -> Any:
    return key > limit.key or (key == limit.key and row < limit.row)


@compiled()
def _group(rows: Any, row: int) -> int:
    return rows.groups[row] if rows.groups.size > 1 else 0


@compiled()
def _open(rows: Any, row: int) -> Any:
    """Return whether the row's group still takes one."""
    return rows.left[_group(rows, row)] > 0


@compiled()
def _bits(rows: Any, row: int) -> Any:
    """Return the bits of the row's key, 0 or less for a row that cannot be picked or has key 0.

    Positive float32 are ordered as their bits are.
    """
    if not _open(rows, row):
        return np.int32(0)
    return np.float32(_key(rows, row, rows.distance[row])).view(np.int32)


@compiled()
def _last_bin(counts: Any, count: int) -> Any:
    """Return the bin that the `count`-th highest falls into, and how many lie above the bin."""
    above = 0
    top = counts.size - 1
    while above + counts[top] < count:
        above += counts[top]
        top -= 1
    return top, above


@compiled()
def highest(rows: Any, found: Any) -> Any:
    """Fill `found` with the rows that can be picked, those of highest key, then lowest row.

    Rows of key 0 are duplicates of centers and do not count. Two histograms, of the upper and the
    lower 16 bits of keys, find the key of the last row without a sort.

    Returns:
        How many were found (in the order of rows), and the limit that they are inside of.
    """
    upper = np.zeros(1 << 16, dtype=np.int64)
    lower = np.zeros(1 << 16, dtype=np.int64)
    for row in range(rows.distance.size):
        bits = _bits(rows, row)
        if bits > 0:
            upper[bits >> 16] += 1
    count = min(found.size, upper.sum())
    if count == 0:
        return 0, Limit(np.float32(0), 0)
    top, above = _last_bin(upper, count)
    for row in range(rows.distance.size):
        bits = _bits(rows, row)
        if bits > 0 and bits >> 16 == top:
            lower[bits & 0xFFFF] += 1
    bottom, more = _last_bin(lower, count - above)
    last = top << 16 | bottom
    ties = count - above - more  # rows of the last key to take, the lowest ones

    size = 0
    limit = Limit(np.float32(0), rows.distance.size)
    for row in range(rows.distance.size):
        bits = _bits(rows, row)
        if bits > last or (bits == last and ties > 0):
            found[size] = row
            size += 1
        if bits == last:
            ties -= 1
            if ties >= -1:
                end = row if ties == -1 else rows.distance.size
                limit = Limit(_key(rows, row, rows.distance[row]), end)
    return size, limit


@compiled()
def add_center(rows: Any, prefix: Any, centers: Any, count: int, row: int) -> None:
    """Make `row` the center number `count`; its vector must be in `source` before it is used."""
    centers.rows[count] = row
    centers.slack[count] = prefix.slack[row]
    m = prefix.codes.shape[1]
    total = 0.0
    for p in range(m):
        value = np.float32(prefix.codes[row, p]) * prefix.scale[row]
        centers.short[count, p] = -2 * value
        total += np.float64(value) * np.float64(value)
    centers.short[count, m] = total
    rows.distance[row] = -1


@compiled()
def probe(rows: Any, centers: Any, lists: Any, limit: Any, tile: Any) -> int:
    """Try the new centers of each row's cells until the row is out; keep those that stay in.

    Args:
        rows: All rows.
        centers: All centers.
        lists: (centers by cell, then age; where each cell begins among them, and the end).
        limit: Rows outside leave.
        tile: (rows; place of each in the vectors; vectors). Rows that leave are taken out in place.

    Returns:
        How many stayed.
    """
    members, begins = lists
    names, at, vectors = tile
    stay = 0
    for t in range(names.size):
        row = names[t]
        distance = rows.distance[row]
        inside = True
        for s in range(NEAREST):
            cell = rows.cells[row, s]
            begin = begins[cell]
            size = min(begins[cell + 1] - begin, 65535)
            for u in range(rows.tried[row, s], size):
                c = members[begin + u]
                if c >= rows.done[row]:
                    distance = nearer(vectors, at[t], centers.source, centers.at[c], distance)
                    inside = _inside(_key(rows, row, distance), row, limit)
                    if not inside:
                        size = u + 1
                        break
            rows.tried[row, s] = max(rows.tried[row, s], size)
            if not inside:
                break
        rows.distance[row] = distance
        if inside:
            names[stay] = row
            at[stay] = at[t]
            stay += 1
    return stay


@compiled()
def fill(prefix: Any, names: Any, short: Any, norms: Any) -> None:
    """Write the short forms of the rows `names` with a 1 behind, and their squared lengths."""
    m = prefix.codes.shape[1]
    for t in range(names.size):
        scale = prefix.scale[names[t]]
        total = 0.0
        for p in range(m):
            value = np.float32(prefix.codes[names[t], p]) * scale
            short[t, p] = value
            total += np.float64(value) * np.float64(value)
        short[t, m] = 1
        norms[t] = total


@compiled()
def _reach(centers: Any, begin: int, end: int) -> Any:
    """Return the greatest length and the greatest slack of these centers' short forms."""
    longest = slack = 0.0
    for c in range(begin, end):
        longest = max(longest, centers.short[c, -1])
        slack = max(slack, centers.slack[c])
    return np.sqrt(longest), slack


@compiled()
def catch_up(rows: Any, prefix: Any, centers: Any, block: Any, limit: Any, tile: Any) -> int:
    """Bring the rows of a tile up to date with one block of centers; keep those that stay in.

    Args:
        rows: All rows.
        prefix: All short forms.
        centers: All centers.
        block: (first center; the one behind the last; h, (rows, centers): |c|² - 2 x·c of the
            short forms).
        limit: Rows outside leave.
        tile: (rows; place of each in the vectors; vectors; short forms; their squared lengths).
            Rows that leave are taken out in place.

    Returns:
        How many stayed. These know all centers before the end of the block.
    """
    begin, end, h = block
    names, at, vectors, short, norms = tile
    width = end - begin
    reach, off = _reach(centers, begin, end)
    stay = 0
    for t in range(len(h)):
        row = names[t]
        distance = rows.distance[row]
        slack = np.float64(prefix.slack[row]) + off
        first = max(rows.done[row] - begin, 0)
        bound = threshold(distance, slack, reach, norms[t], short.shape[1])
        least = lowest(h[t], first, width)
        inside = True
        if least < bound:
            # In the first turn only the likely nearest: most others then need no distance.
            turn = 0
            j = first
            while inside and turn < 2:
                if h[t, j] == least if turn == 0 else h[t, j] < bound:
                    c = centers.at[begin + j]
                    closer = nearer(vectors, at[t], centers.source, c, distance)
                    if closer < distance:
                        distance = closer
                        bound = threshold(distance, slack, reach, norms[t], short.shape[1])
                        inside = _inside(_key(rows, row, distance), row, limit)
                    if turn == 0:
                        j = width - 1
                j += 1
                if j == width:
                    turn += 1
                    j = first
            rows.distance[row] = distance
        if inside:
            rows.done[row] = max(rows.done[row], end)
            names[stay] = row
            at[stay] = at[t]
            norms[stay] = norms[t]
            if stay < t:
                short[stay] = short[t]
            stay += 1
    return stay


@compiled()
def pool_greedy(rows: Any, prefix: Any, centers: Any, limit: Any, pool: Any, progress: Any) -> bool:
    """Pick from the pool, whose distances are exact, until it is dry or enough are picked.

    Args:
        rows: All rows.
        prefix: All short forms.
        centers: All centers; those picked are added, but for `source`.
        limit: Rows outside leave.
        pool: (rows, ascending; place of each in what follows; vectors; short forms; their squared
            lengths). Rows that leave are taken out of the first two in place.
        progress: (keys, state). keys[c], float32, gets the highest key of a row that can be picked
            before center c is, c from 1 on. state, int64: how many centers there are (changed), how
            many rows the pool has (changed), how many centers there may be now.

    Returns:
        Whether the pool is dry.
    """
    names, places, vectors, short, norms = pool
    keys, state = progress
    width = short.shape[1]
    newest = -1  # place of the center whose distances are still to be computed
    reach = slack = 0.0
    while True:
        count = state[0]
        best = -1
        best_key = np.float32(-1)
        stay = 0
        for t in range(state[1]):
            row = names[t]
            place = places[t]
            distance = rows.distance[row]
            if newest >= 0:
                both = np.float64(prefix.slack[row]) + slack
                bound = threshold(distance, both, reach, norms[place], width)
                if dot(short, place, centers.short, count - 1) < bound:
                    distance = nearer(vectors, place, vectors, newest, distance)
                    rows.distance[row] = distance
            rows.done[row] = count
            key = _key(rows, row, distance)
            if _inside(key, row, limit) and _open(rows, row):
                if key > best_key:
                    best = stay
                    best_key = key
                names[stay] = row
                places[stay] = place
                stay += 1
        state[1] = stay
        if best < 0:
            return True
        keys[count] = best_key
        if count >= state[2]:
            return False

        row = names[best]
        newest = places[best]
        for t in range(best, stay - 1):
            names[t] = names[t + 1]
            places[t] = places[t + 1]
        state[1] = stay - 1
        add_center(rows, prefix, centers, count, row)
        rows.left[_group(rows, row)] -= 1
        state[0] = count + 1
        reach, slack = _reach(centers, count, count + 1)
