"""Greedy facility location: picks that serve all rows well, where sizes allow."""

import heapq
import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ConfigError
from wavecoder.select.kcenter import Selection
from wavecoder.select.selectors import OnPick, Pool, Vectors, blocks, pool_of, read_rows, unmeasured

__all__ = ["FacilityLocation"]

# Rows and columns of a tile of distances: 32 MiB of float32.
_TILE = (1024, 8192)


class FacilityLocation:
    """Greedy facility location: each pick adds most to how well all rows are served.

    A row is served by the picked row most similar to it; the similarity of two rows is 1 - d²/D,
    at least 0, with d their distance and D the mean square distance in the matrix (for centered
    unit vectors that is the cosine). A row can be served by itself and by its nearest neighbors
    only, which keeps the work small; with `neighbors` as large as the matrix this is the exact
    facility location. Initial rows serve from the start. The picks for a smaller k and the same
    quotas are a prefix. Nothing is drawn: equal gains go to the lowest row. `radii` is empty.

    Source: Nemhauser, Wolsey and Fisher 1978 (greedy reaches 1 - 1/e of the best, half of it with
    quotas); Minoux 1978 (lazy evaluation: a gain never grows, so an old one is a bound); neighbors
    only: Wei, Iyer and Bilmes 2014. Not by a library: submodlib and apricot know neither quotas nor
    a way to stop, and for 100 of 5000 rows, neighbors given, took 45 s and 9 s where this took 0.1.
    """

    class Config(BaseModel):
        """How far a row serves, and what is too large."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

        neighbors: Annotated[int, Field(ge=1, le=_TILE[1])] = 64
        """How many rows can serve a row, itself included; memory grows with it."""
        most_rows: Annotated[int, Field(ge=1)] = 200_000
        """More rows are refused, because time grows with their square: 100,000 rows of 384 numbers
        take about two minutes of one core, or one minute of two."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def select(
        self,
        vectors: Vectors,
        k: int,
        *,
        rng: random.Random,
        initial: Sequence[int] = (),
        groups: NDArray[Any] | None = None,
        quotas: NDArray[Any] | None = None,
        on_pick: OnPick = lambda done: None,
    ) -> Selection:
        """Return `k` rows in pick order.

        Raises:
            ConfigError: There are too many rows, an argument does not fit the matrix, or a value is
                not finite.
        """
        n = len(vectors)
        if n > self.config.most_rows:
            # Neighbors, similarities, their order by server, and both in that order.
            gigabytes = n * min(n, self.config.neighbors) * 32 / 1e9
            raise ConfigError(
                f"facility_location compares all pairs of {n} rows and would need "
                f"{gigabytes:.1f} GB; most_rows is {self.config.most_rows}. Use the selector "
                f"kcenter or kmeans, or raise select.selector.facility_location.most_rows."
            )
        pool = pool_of(n, k, initial, groups, quotas)
        served, similar = _neighbors(vectors, min(n, self.config.neighbors), lambda: on_pick(0))
        return unmeasured(_lazy_greedy(served, similar, pool, k, initial, on_pick))


def _neighbors(
    vectors: Vectors, m: int, tick: Callable[[], object]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return (n, m): for each row its `m` nearest rows, itself first, and their similarities.

    Who is near tells a matrix product, |a|² + |b|² - 2ab about the mean, in float32. How near is
    computed anew, alike from both sides: of two rows that serve only each other, neither may win by
    a rounding error.
    """
    n, d = vectors.shape
    mean = np.zeros(d)
    for block in blocks(n, _TILE[1]):
        mean += read_rows(vectors, block).sum(axis=0, dtype=np.float64)
    center = (mean / n).astype(np.float32)
    norms = np.empty(n, dtype=np.float32)
    for block in blocks(n, _TILE[1]):
        x = read_rows(vectors, block) - center
        norms[block] = np.einsum("ij,ij->i", x, x)
    mean_square = 2 * float(norms.mean(dtype=np.float64))

    nearest = np.empty((n, m), dtype=np.int32)
    similar = np.empty((n, m), dtype=np.float32)
    for block in blocks(n, _TILE[0]):
        raw = read_rows(vectors, block)
        mine = raw - center
        near, far = np.empty((len(mine), 0), np.int64), np.empty((len(mine), 0), np.float32)
        for other in blocks(n, _TILE[1]):
            tick()
            tile = mine @ (read_rows(vectors, other) - center).T
            tile *= -2
            tile += norms[other]
            tile += norms[block][:, None]
            both = np.arange(max(block.start, other.start), min(block.stop, other.stop))
            tile[both - block.start, both - other.start] = -np.inf
            near, far = _nearer(near, far, tile, other.start, m)
        nearest[block] = near
        for part in blocks(len(mine), 64):
            tick()
            away = vectors[near[part]].astype(np.float32) - raw[part, None]
            square = np.einsum("ijk,ijk->ij", away, away)
            similar[block][part] = np.maximum(1 - square / mean_square, 0) if mean_square else 1
    return nearest, similar


def _nearer(
    near: NDArray[np.int64], far: NDArray[np.float32], tile: NDArray[np.float32], start: int, m: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each row's `m` nearest of those before (`near`, at `far`) and of a tile's columns."""
    if not near.size:
        column = np.argpartition(tile, m - 1, axis=1)[:, :m]
        row = np.repeat(np.arange(len(tile)), m)
        column = column.ravel()
    else:
        row, column = np.nonzero(tile < far[:, -1:])
        if not row.size:
            return near, far
    rows = np.concatenate([np.repeat(np.arange(len(tile)), near.shape[1]), row])
    names = np.concatenate([near.ravel(), column + start])
    values = np.concatenate([far.ravel(), tile[row, column]])
    order = np.lexsort((names, values, rows))
    rank = np.arange(len(order)) - np.searchsorted(rows[order], np.arange(len(tile)))[rows[order]]
    kept = order[rank < m]
    return names[kept].reshape(-1, m), values[kept].reshape(-1, m)


def _lazy_greedy(
    served: NDArray[np.int32],
    similar: NDArray[np.float32],
    pool: Pool,
    k: int,
    initial: Sequence[int],
    on_pick: OnPick,
) -> list[int]:
    """Return `k` rows by gain: row i is served by `served[i]`, `similar[i]` well.

    Gains are sums in float64, in one order, of terms that never grow: an old gain is a bound in
    floating point too, and the picks are those of a loop that computes all gains for each.
    """
    # By server: rows[at[j] : at[j + 1]] are the rows that j can serve, value how well.
    order = np.argsort(served.ravel(), kind="stable")
    counts = np.bincount(served.ravel(), minlength=len(served))
    at = np.concatenate([[0], np.cumsum(counts)]).tolist()
    rows = (order // served.shape[1]).astype(np.int32)
    value = similar.ravel()[order]
    best = np.zeros(len(served), dtype=np.float32)
    on_pick(0)

    def gain(row: int) -> float:
        part = slice(at[row], at[row + 1])
        more = np.subtract(value[part], best[rows[part]], dtype=np.float64)
        return float(np.maximum(more, 0, out=more).sum())

    def add(row: int) -> None:
        part = slice(at[row], at[row + 1])
        best[rows[part]] = np.maximum(best[rows[part]], value[part])

    for row in initial:
        add(row)
    on_pick(0)
    heap = [(-gain(row), row) for row in pool.rows.tolist()]
    heapq.heapify(heap)
    left = pool.quotas.tolist()
    picks: list[int] = []
    for looked in count():
        if looked % 10_000 == 0:
            on_pick(len(picks))
        row = heapq.heappop(heap)[1]
        group = pool.groups[row]
        if not left[group]:
            continue
        now = (-gain(row), row)
        if heap and now > heap[0]:
            heapq.heappush(heap, now)
            continue
        add(row)
        left[group] -= 1
        picks.append(row)
        if len(picks) == k:
            break
    on_pick(k)
    return picks
