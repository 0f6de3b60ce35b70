"""Exact k-center greedy that looks at few (row, center) pairs: the lazy pool.

Plain greedy passes over all rows for every pick. Here a row's stored distance is that to *some*
center, an upper bound of the distance to its nearest, and is improved only when it matters.

A round:

1. The rows of highest key (weight × stored distance) are active; the next row in that order is the
   limit. A row is inside while its (key, row) comes before the limit.
2. Probe: active rows try the new centers of their nearest cells, until they are outside.
3. Catch up: those still inside are compared with all centers they do not know, a block at a time,
   by lower bounds from short forms; only a center whose bound is below the stored distance needs
   the real one. Rows leave as soon as they are outside.
4. What remains, the pool, has exact distances: plain greedy picks from it until no row is inside.

Why the picks are those of plain greedy: a stored distance is the canonical distance to a center, or
the smallest of several, so it never lies below the row's true one, and keys never lie below true
keys. So all rows outside come behind the limit in true order too, all pool rows are known exactly,
and the first pool row inside comes before every other row of the matrix. A pick only lowers
distances, so rows outside stay outside. Bounds, cells, threads and sizes decide which distances are
computed, never what comes out.

Work is cut into tiles for a few Python threads; kernels and matrix products run without Python's
lock. Threads end with the call, and no other pool of threads is used, so a later fork is safe.
"""

import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavecoder.select.kcenter_reference import Problem
from wavecoder.select.lazy_pool import kernels
from wavecoder.select.lazy_pool.bounds import NEAREST, Prefix
from wavecoder.select.lazy_pool.kernels import Centers, Limit, Rows
from wavecoder.select.lazy_pool.prefix import bytes_beside, fit, short_forms

__all__ = ["Sizes", "bytes_needed", "choose_sizes", "lazy_pool"]

Names = NDArray[np.int64]
"""Some rows, by number."""
Matrix = NDArray[np.float32]

# Multiplications between two calls of `on_pick` while picking from the pool: about 0.05 s.
_PICK_WORK = 50_000_000


class Sizes(NamedTuple):
    """How the work is cut. Any sizes give the same picks."""

    active: int
    """Rows active in a round. Few: many rounds. Many: plain greedy over a large pool."""
    block: int
    """Centers per block of lower bounds."""
    tile: int
    """Rows per piece of work."""
    cells: int
    """Cells to find near centers with, at least `NEAREST`: about 16 centers in each at the end."""
    threads: int


def choose_sizes(n: int, k: int) -> Sizes:
    """Return the sizes that were fastest where measured (20k to 1.2M rows)."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Sizes(
        active=min(max(1024, n // 24), 16384),
        block=512,
        tile=512,
        cells=min(max(128, k // 16), 1024),
        threads=min(mine or 1, 32),
    )


def bytes_needed(n: int, d: int, k: int, *, half: bool) -> int:
    """Return what `lazy_pool` takes at most beside the matrix; see `kcenter.memory_needed`."""
    sizes = choose_sizes(n, k)
    active = min(sizes.active, n)
    row = 40 + 2 * (d + 1) + 20  # `Rows` and `Prefix`; checks of groups and quotas
    center = 4 * (d + 2) + 60 + (4 * d if half else 0)
    pool = 4 * (2 * d + 2) + 60
    tile = sizes.tile * (4 * (2 * d + 2) + 4 * sizes.block)
    beside = bytes_beside(d, sizes.cells, sizes.threads)
    # BLAS and numpy keep some 16 MB a thread.
    fixed = (1 << 26) + sizes.threads * (1 << 24)
    return n * row + k * center + active * pool + max(beside, sizes.threads * tile) + fixed


def lazy_pool(
    problem: Problem, on_pick: Callable[[int], object], sizes: Sizes | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the picks, and after each the highest key of a row that can still be picked.

    Args:
        problem: What to pick from. Squared distances must fit into float32.
        on_pick: Called several times a second with how many picks are made.
        sizes: How the work is cut; chosen if None.
    """
    n, had = len(problem.vectors), len(problem.initial)
    sizes = sizes or choose_sizes(n, problem.k + had)
    with _one_blas_thread(), _threads(sizes.threads) as threads:
        search = _Search(problem, sizes, threads)
        for _ in search.steps():
            on_pick(max(0, search.count - had))
    on_pick(problem.k)
    return search.centers.rows[had:].copy(), search.keys[had + 1 :]


class _Search:
    """The state of one search."""

    def __init__(self, problem: Problem, sizes: Sizes, threads: Executor) -> None:
        self.problem = problem
        self.sizes = sizes
        self.threads = threads
        n, d = problem.vectors.shape
        self.total = len(problem.initial) + problem.k
        self.count = 0
        """So many centers there are."""
        self.keys = np.zeros(self.total + 1, dtype=np.float32)
        """keys[c]: the highest key when there are c centers; 0 when only duplicates are left."""
        self.vectors = _read_only(np.asarray(problem.vectors))
        self.copies = None
        """float32 vectors of the centers, where the matrix is float16."""
        if problem.vectors.dtype == np.float16:
            self.copies = np.empty((self.total, d), dtype=np.float32)
        self.rows = Rows(
            distance=np.empty(n, dtype=np.float32),
            done=np.ones(n, dtype=np.int32),
            cells=np.zeros((n, NEAREST), dtype=np.uint16),
            tried=np.zeros((n, NEAREST), dtype=np.uint16),
            weights=_read_only(problem.weights),
            groups=_read_only(problem.groups),
            left=problem.quotas.copy(),
        )
        self.prefix: Prefix
        self.centers: Centers

    def steps(self) -> Iterator[object]:
        """Run the search, in steps of less than about a second."""
        yield from self._prepare()
        while True:
            found = np.empty(min(self.sizes.active, len(self.vectors)), dtype=np.int64)
            size, (key, row) = kernels.highest(self.rows, found)
            if not size:
                break
            limit = Limit(np.float32(key), row)
            inside = yield from self._probe(found[:size], limit)
            inside = yield from self._catch_up(inside, limit)
            ended = yield from self._pick(np.sort(inside), limit)
            if ended:
                return
        self._pick_duplicates()

    def _prepare(self) -> Iterator[object]:
        """Make the short forms, and centers of the rows that are fixed."""
        problem = self.problem
        fixed = problem.initial + ([] if problem.first is None else [problem.first])
        yield None
        setup = fit(self.vectors, self.sizes.cells)
        yield None
        first = _read_only(self.vectors[fixed[:1]].astype(np.float32))
        self.prefix, filling = short_forms(self.vectors, setup, self.rows, first, self.threads)
        yield from filling
        rows = np.empty(self.total, dtype=np.int64)
        self.centers = Centers(
            rows=rows,
            at=rows if self.copies is None else np.arange(self.total),
            source=self.vectors if self.copies is None else _read_only(self.copies),
            short=np.empty((self.total, self.prefix.codes.shape[1] + 1), dtype=np.float32),
            slack=np.empty(self.total, dtype=np.float32),
        )
        for row in fixed:
            kernels.add_center(self.rows, self.prefix, self.centers, self.count, row)
            self.count += 1
        self._copy_centers(0)
        if problem.first is not None:
            self.rows.left[problem.groups[problem.first % len(problem.groups)]] -= 1

    def _probe(self, names: Names, limit: Limit) -> Generator[object, None, Names]:
        """Try new centers of near cells; return the rows that stay inside."""
        cells = self.rows.cells[self.centers.rows[: self.count], 0]
        members = cells.argsort(kind="stable")
        begins = np.searchsorted(cells[members], np.arange(self.sizes.cells + 1))

        def work(start: int) -> Names:
            tile = names[start : start + self.sizes.tile]
            where, vectors = self._float32(tile)
            lists = (members, begins)
            stay = kernels.probe(self.rows, self.centers, lists, limit, (tile, where, vectors))
            return tile[:stay]

        return (yield from self._tiles(work, names))

    def _catch_up(self, names: Names, limit: Limit) -> Generator[object, None, Names]:
        """Bring rows up to date with all centers; return those that stay inside."""
        # Rows that know about as many centers share a tile, which begins where the first must.
        names = names[self.rows.done[names].argsort(kind="stable")]

        def work(start: int) -> Names:
            tile = names[start : start + self.sizes.tile]
            where, vectors = self._float32(tile)
            short, norms = self._short(tile)
            room = np.empty(len(tile) * self.sizes.block, dtype=np.float32)
            stay = len(tile)
            begin = int(self.rows.done[tile].min())
            while stay and begin < self.count:
                end = min(begin + self.sizes.block, self.count)
                h = room[: stay * (end - begin)].reshape(stay, end - begin)
                np.matmul(short[:stay], self.centers.short[begin:end].T, out=h)
                block = (begin, end, h)
                parts = (tile, where, vectors, short, norms)
                stay = kernels.catch_up(self.rows, self.prefix, self.centers, block, limit, parts)
                begin = end
            return tile[:stay]

        return (yield from self._tiles(work, names))

    def _pick(self, names: Names, limit: Limit) -> Generator[object, None, bool]:
        """Pick greedily from the pool `names`; return whether the search is over."""
        if not len(names):
            return False
        vectors = _read_only(self.vectors[names].astype(np.float32, copy=False))
        short, norms = self._short(names)
        pool = (names, np.arange(len(names)), vectors, short, norms)
        state = np.array([self.count, len(names), 0])
        dry = False
        while not dry:
            before = self.count
            state[2] = min(self.total, before + 1 + _PICK_WORK // vectors.size)
            progress = (self.keys, state)
            dry = kernels.pool_greedy(self.rows, self.prefix, self.centers, limit, pool, progress)
            self.count = int(state[0])
            self._copy_centers(before)
            if self.count == self.total and not dry:
                return True
            yield None
        return False

    def _pick_duplicates(self) -> None:
        """Pick the lowest rows; every row that can be picked is a duplicate of a center."""
        groups = np.broadcast_to(self.problem.groups, len(self.vectors))
        for row in np.flatnonzero(self.rows.distance >= 0):
            if self.count == self.total:
                break
            if self.rows.left[groups[row]] > 0:
                self.rows.left[groups[row]] -= 1
                self.centers.rows[self.count] = row
                self.count += 1

    def _tiles(self, work: Callable[[int], Names], names: Names) -> Generator[object, None, Names]:
        """Run `work` for the start of each tile; return all it returns, put together."""
        kept = [names[:0]]
        for part in self.threads.map(work, range(0, len(names), self.sizes.tile)):
            kept.append(part)
            yield part
        return np.concatenate(kept)

    def _float32(self, names: Names) -> tuple[Names, Matrix]:
        """Return (places, vectors): where the kernels find the rows `names` in float32."""
        if self.copies is None:
            return names.copy(), self.vectors
        return np.arange(len(names)), _read_only(self.vectors[names].astype(np.float32))

    def _short(self, names: Names) -> tuple[Matrix, NDArray[np.float32]]:
        """Return the short forms of `names`, a 1 behind each, and their squared lengths."""
        short = np.empty((len(names), self.centers.short.shape[1]), dtype=np.float32)
        norms = np.empty(len(names), dtype=np.float32)
        kernels.fill(self.prefix, names, short, norms)
        return short, norms

    def _copy_centers(self, begin: int) -> None:
        if self.copies is not None:
            new = self.centers.rows[begin : self.count]
            self.copies[begin : self.count] = self.vectors[new]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view: a memmap may be one, and numba compiles for each kind anew."""
    view = array.view()
    view.flags.writeable = False
    return view


@contextmanager
def _threads(count: int) -> Iterator[Executor]:
    """Threads that, when an error ends the search, drop the tiles they have not begun."""
    threads = ThreadPoolExecutor(count)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


def _one_blas_thread() -> AbstractContextManager[object]:
    """Keep each matrix product on the thread that asks for it, until the search ends.

    BLAS threads would wait for work in a loop, on the cores that the kernels use.
    """
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]
    except ImportError:  # as right, slower
        return nullcontext()
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits
