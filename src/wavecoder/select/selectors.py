"""Selectors: which rows of a matrix stand for all of them.

`KCenter` is the paper's and the default. The others are here to compare with it: `Random` is what
any selector has to beat, `KMeans` and `FacilityLocation` pick typical rows where k-center picks
outlying ones. In a recipe: `select: {k: 1000, selector: facility_location}`.
"""

import heapq
import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ConfigError, MissingExtraError
from wavecoder.select.kcenter import Selection, kcenter_greedy

__all__ = [
    "KCenter",
    "KMeans",
    "OnPick",
    "Pool",
    "Random",
    "Vectors",
    "blocks",
    "pool_of",
    "read_rows",
    "unmeasured",
]

Vectors = NDArray[np.float32 | np.float16]
OnPick = Callable[[int], object]

# Up to this many centers k-means++ chooses where k-means begins, which takes a second or two; it
# costs k² and cannot be stopped. So many random rows lie about as densely as the data.
_PLUS_PLUS = 1000
# Multiplications between two calls of `on_pick`, at most a few tenths of a second of them.
_WORK = 1 << 32
# Multiplications a pass, below which more threads than one are no gain.
_ONE_THREAD = 1 << 28


class KCenter:
    """k-center greedy: each pick is the row farthest from all before it.

    Source: Gonzalez 1985; WaveCoder section 2.2.1. See `kcenter.py`. The first center is drawn,
    unless there are initial rows: then greedy goes on from them. The picks for a smaller k are a
    prefix.
    """

    class Config(BaseModel):
        """Nothing to set."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

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
        """Return `k` rows in pick order, with the radius after each.

        Raises:
            ConfigError: An argument does not fit the matrix, or a value is not finite.
        """
        pool = pool_of(len(vectors), k, initial, groups, quotas)
        first = None
        if not len(initial):
            first = int(pool.rows[rng.randrange(len(pool.rows))])
        return kcenter_greedy(
            vectors,
            k,
            first=first,
            initial=initial,
            groups=groups,
            quotas=quotas,
            on_pick=on_pick,
        )


class Random:
    """Rows in random order, all equally likely; a row of a full group is passed by.

    Source: the shuffle of Fisher and Yates, drawn as far as it is needed. The picks for a smaller k
    and the same quotas are a prefix. `radii` is empty.
    """

    class Config(BaseModel):
        """Nothing to set."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

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
        """Return `k` rows in the order in which they were drawn.

        Raises:
            ConfigError: An argument does not fit the matrix.
        """
        pool = pool_of(len(vectors), k, initial, groups, quotas)
        order, left = pool.rows.tolist(), pool.quotas.tolist()
        picks: list[int] = []
        for drawn in range(len(order)):
            if drawn % 10_000 == 0:
                on_pick(len(picks))
            other = rng.randrange(drawn, len(order))
            order[drawn], order[other] = order[other], order[drawn]
            group = pool.groups[order[drawn]]
            if left[group]:
                left[group] -= 1
                picks.append(order[drawn])
                if len(picks) == k:
                    break
        on_pick(k)
        return unmeasured(picks)


class KMeans:
    """The row nearest to each of `k` centroids of k-means, those of the largest clusters first.

    Source: mini-batch k-means, Sculley 2010, by scikit-learn; k-means++ seeding, Arthur and
    Vassilvitskii 2007, up to 1000 clusters, random rows beyond. Rows are read in batches, so that a
    matrix on disk stays there. With quotas every group is clustered by itself; where they leave
    room, groups get places by their sizes (D'Hondt). Initial rows take no part. The picks for a
    smaller k are other picks, no prefix; a prefix of one selection stands for the most rows, so
    many as it has. Where clusters came out empty, the rows farthest from their centroids follow at
    the end. `radii` is empty.
    """

    class Config(BaseModel):
        """How long k-means learns."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

        passes: Annotated[int, Field(ge=1, le=100)] = 5
        """How often every row is read; time grows with it."""

    def __init__(self, config: Config) -> None:
        """Take the options.

        Raises:
            MissingExtraError: scikit-learn is not installed.
        """
        if find_spec("sklearn") is None:
            raise MissingExtraError(
                "The selector kmeans needs scikit-learn, which is not installed. "
                "Install it: pip install 'wavecoder[selectors]'."
            )
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
        """Return `k` rows, those of the largest clusters first.

        Raises:
            ConfigError: An argument does not fit the matrix, or a value is not finite.
        """
        pool = pool_of(len(vectors), k, initial, groups, quotas)
        group_of = pool.groups[pool.rows]
        threadpool_limits = importlib.import_module("threadpoolctl").threadpool_limits
        done = 0
        picks, sizes = [], []
        for group, share in enumerate(_shares(k, np.bincount(group_of), pool.quotas)):
            # Drawn for every group, so that a group's picks do not hang on another's quota.
            state = np.random.RandomState(rng.getrandbits(32))
            if share:
                members = pool.rows[group_of == group]
                tick = partial(on_pick, done)
                # OpenMP's threads wait for each other without sleeping: 300 rows on two busy
                # cores take 40 ms on one thread and 1 s on two.
                one = len(members) * share * vectors.shape[1] < _ONE_THREAD
                with threadpool_limits(1 if one else None, "openmp"):
                    found = self._representatives(vectors, members, share, state, tick)
                picks.append(found[0])
                sizes.append(found[1])
                done += share
        rows = np.concatenate(picks)
        on_pick(k)
        # By size and then by row; fillers have size 0 and keep their order.
        size = np.concatenate(sizes)
        return unmeasured(rows[np.lexsort((np.where(size > 0, rows, 0), -size))])

    def _representatives(
        self,
        vectors: Vectors,
        rows: NDArray[np.int64],
        k: int,
        state: np.random.RandomState,
        tick: Callable[[], object],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return `k` of `rows`, and how many rows each stands for."""
        if k == len(rows):
            return rows, np.ones(k, dtype=np.int64)
        cluster = importlib.import_module("sklearn.cluster")
        size = int(np.clip(_WORK // (k * vectors.shape[1]), 256, 8192))
        if k <= _PLUS_PLUS:
            some = state.choice(rows, min(len(rows), max(3 * k, 1000)), replace=False)
            # One trial: with several, 1000 centers took ten times as long.
            start, _ = cluster.kmeans_plusplus(
                read_rows(vectors, some), k, random_state=state, n_local_trials=1
            )
        else:
            start = read_rows(vectors, np.sort(state.choice(rows, k, replace=False)))
        # No reassignment: it would move the centers of small clusters to random rows.
        model = cluster.MiniBatchKMeans(
            k, init=start, n_init=1, reassignment_ratio=0, compute_labels=False, random_state=state
        )
        tick()
        # The first batch has to have k rows; with these every center has a row of its own.
        model.partial_fit(start)
        for _ in range(self.config.passes):
            order = state.permutation(rows)
            for begin in range(0, len(rows), size):
                tick()
                model.partial_fit(read_rows(vectors, np.sort(order[begin : begin + size])))

        centers = model.cluster_centers_
        labels = np.empty(len(rows), dtype=np.int64)
        apart = np.empty(len(rows))
        for begin in range(0, len(rows), size):
            tick()
            part = slice(begin, begin + size)
            batch = read_rows(vectors, rows[part])
            labels[part] = model.predict(batch)
            away = batch - centers[labels[part]]
            apart[part] = np.einsum("ij,ij->i", away, away, dtype=np.float64)
        return _nearest_members(rows, labels, apart, k)


class Pool(NamedTuple):
    """What may be picked."""

    rows: NDArray[np.int64]
    """Ascending: not in `initial`, and not of a group whose quota is 0."""
    groups: NDArray[np.int64]
    """(n,)"""
    quotas: NDArray[np.int64]


def pool_of(
    n: int,
    k: int,
    initial: Sequence[int],
    groups: NDArray[Any] | None,
    quotas: NDArray[Any] | None,
) -> Pool:
    """Check the arguments that every selector has, and return what they leave."""
    if groups is None and quotas is None:
        groups, quotas = np.zeros(n, dtype=np.int64), np.array([n])
    if groups is None or quotas is None:
        raise ConfigError("groups and quotas go together; give both or neither.")
    groups, quotas = np.asarray(groups, dtype=np.int64), np.asarray(quotas, dtype=np.int64)
    if groups.shape != (n,) or not n or groups.min() < 0 or groups.max() >= len(quotas):
        raise ConfigError(
            f"groups must number {n} rows, at least one, from 0 to {len(quotas) - 1}, "
            f"one quota a group."
        )
    chosen = np.asarray(initial, dtype=np.int64)
    if chosen.size and (chosen.min() < 0 or chosen.max() >= n):
        raise ConfigError(f"initial names a row that is not there; give rows of 0 to {n - 1}.")
    free = quotas[groups] > 0
    free[chosen] = False
    can = int(np.minimum(np.bincount(groups[free], minlength=len(quotas)), quotas).sum())
    if not 1 <= k <= can:
        raise ConfigError(
            f"k is {k} and there are {can} rows to pick from; set k between 1 and that number."
        )
    return Pool(np.flatnonzero(free), groups, quotas)


def unmeasured(rows: Sequence[int] | NDArray[np.int64]) -> Selection:
    """Return a selection that comes without radii."""
    return Selection(np.asarray(rows, dtype=np.int64), np.empty(0, dtype=np.float32))


def read_rows(vectors: Vectors, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
    """Return some rows as float32, finite."""
    part = np.asarray(vectors[rows], dtype=np.float32)
    if not np.isfinite(part).all():
        bad = np.arange(len(vectors))[rows][np.isfinite(part).all(axis=1).argmin()]
        raise ConfigError(
            f"Row {bad} of the vectors holds NaN or an infinite value. Check the embedder."
        )
    return part


def _shares(k: int, sizes: NDArray[np.int64], quotas: NDArray[np.int64]) -> list[int]:
    """Split `k` places among groups by size, none above its quota or size (D'Hondt's rule)."""
    most = [min(pair) for pair in zip(sizes.tolist(), quotas.tolist(), strict=False)]
    shares = [0] * len(most)
    # Next is the group with the most rows a place, the lowest among equals.
    heap = [(-float(size), group) for group, size in enumerate(sizes.tolist()) if most[group]]
    heapq.heapify(heap)
    for _ in range(k):
        _, group = heap[0]
        shares[group] += 1
        if shares[group] < most[group]:
            heapq.heapreplace(heap, (-float(sizes[group]) / (shares[group] + 1), group))
        else:
            heapq.heappop(heap)
    return shares


def _nearest_members(
    rows: NDArray[np.int64], labels: NDArray[np.int64], apart: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each cluster's row nearest to its centroid, and its size; then fillers of size 0.

    A row belongs to one cluster, so the rows are distinct. Equally near: the lowest row.
    """
    order = np.lexsort((rows, apart, labels))
    _, begins, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    nearest = order[begins]
    others = np.setdiff1d(np.arange(len(rows)), nearest)
    fillers = others[np.argsort(-apart[others], kind="stable")][: k - len(nearest)]
    sizes = np.concatenate([sizes, np.zeros(len(fillers), dtype=np.int64)])
    return rows[np.concatenate([nearest, fillers])], sizes


def blocks(n: int, size: int) -> Iterator[slice]:
    """Yield `n` rows in slices of `size`, the last one shorter."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
