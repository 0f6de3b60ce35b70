"""Map a function over items: in this process, or shared among several, results in order.

```python
for result in map_ordered(partial(work, settings), items, processes=2, check=ctx.check_stop):
    ...
```

`work` is a function of a module; it, items and results can be pickled. Few items are in flight at
a time, so that neither a long iterable nor slow results fill the memory.

A process may die of an item: a parser written in C that takes all memory there is. The items that
were in flight are then tried again, each in a process of its own, so that one bad item spoils
nothing but itself.
"""

import os
import resource
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from typing import Generic, TypeVar

from wavecoder.errors import StoppedError, WorkerError

__all__ = ["check_halt", "is_shared", "map_ordered"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT = 3
"""Items a process: one it works on, one it takes next, one whose result waits for its turn."""
_SECONDS_BETWEEN_CHECKS = 0.2

_halt: Event | None = None
"""In a process that shares the work: set once the results are wanted no more."""


def map_ordered(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    processes: int = 1,
    rescue: Callable[[Item], Result] | None = None,
    memory: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Yield `work(item)` for each item, in order.

    Args:
        work: What is done with an item; an exception in it comes out here. Where an item takes
            long it calls `check_halt` now and then.
        items: Read as they are needed.
        processes: 1 works in this process, without a copy of anything and without protection.
            More import the program anew: a script keeps its doings behind
            `if __name__ == "__main__":`.
        rescue: What is done, in a process of its own, with an item that kills its process.
        memory: Bytes a process may take beside what it begins with; more kills it.
        check: Called several times a second; may raise, which ends the work.

    Raises:
        WorkerError: A process was killed, and `rescue` is None or was killed, too.
    """
    if processes == 1:
        for item in items:
            check()
            yield work(item)
        return
    pool: _Pool[Item, Result] = _Pool(processes, memory)
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    source = iter(items)
    try:
        while True:
            for item in islice(source, _IN_FLIGHT * processes - len(waiting)):
                waiting.append((item, pool.submit(work, item)))
            if not waiting:
                return
            try:
                result = _result(waiting[0][1], check)
            except BrokenProcessPool:
                pool.close()
                while waiting:
                    yield _alone(work, waiting.popleft()[0], rescue, memory, check)
                pool = _Pool(processes, memory)
            else:
                waiting.popleft()
                yield result
    finally:
        pool.close()


def is_shared() -> bool:
    """Say whether this process shares the work of another, and may end without harm."""
    return _halt is not None


def check_halt() -> None:
    """Raise StoppedError in a process whose work is wanted no more."""
    if _halt is not None and _halt.is_set():
        raise StoppedError("The work was stopped; what was finished is saved.")


class _Pool(Generic[Item, Result]):
    """Processes that share the work."""

    def __init__(self, processes: int, memory: int | None) -> None:
        # Spawned, not forked: a fork would copy the locks of threads that do not exist in it.
        context = get_context("spawn")
        self._halt = context.Event()
        self._pool = ProcessPoolExecutor(
            processes, mp_context=context, initializer=_prepare, initargs=(self._halt, memory)
        )

    def submit(self, work: Callable[[Item], Result], item: Item) -> "Future[Result]":
        """Begin `work(item)`."""
        try:
            return self._pool.submit(work, item)
        except BrokenProcessPool as error:  # it broke between two items
            future: Future[Result] = Future()
            future.set_exception(error)
            return future

    def close(self) -> None:
        """End the processes; what they are at is thrown away."""
        self._halt.set()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _alone(
    work: Callable[[Item], Result],
    item: Item,
    rescue: Callable[[Item], Result] | None,
    memory: int | None,
    check: Callable[[], None],
) -> Result:
    """Return `work(item)` done in a process of its own, or else `rescue(item)`.

    Raises:
        WorkerError: Both killed the process.
    """
    for attempt in (work, rescue):
        if attempt is None:
            continue
        pool: _Pool[Item, Result] = _Pool(1, memory)
        try:
            return _result(pool.submit(attempt, item), check)
        except BrokenProcessPool:
            continue
        finally:
            pool.close()
    raise WorkerError(
        "A process that shared the work was killed, most likely for want of memory. What was "
        "finished is saved: give the same command again, with fewer --processes."
    )


def _prepare(halt: Event, memory: int | None) -> None:
    """Set up a process that shares the work."""
    global _halt
    _halt = halt
    signal(SIGINT, SIG_IGN)  # Ctrl-C reaches every process of a terminal; the first one obeys
    Thread(target=_end_with_parent, daemon=True).start()
    if memory is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = _data_bytes() + memory
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _data_bytes() -> int:
    """Return the bytes of data this process holds; 0 where the system does not tell."""
    try:
        with Path("/proc/self/statm").open(encoding="ascii") as file:
            return int(file.read().split()[5]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _end_with_parent() -> None:
    """End this process when the first one is gone, which a `kill -9` of it tells nobody."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _result(future: "Future[Result]", check: Callable[[], None]) -> Result:
    while True:
        check()
        try:
            return future.result(timeout=_SECONDS_BETWEEN_CHECKS)
        except TimeoutError:
            if future.done():  # `work` itself raised one
                return future.result()
