"""How many requests may be in flight, and who goes first when one is free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count

__all__ = ["Slots"]


class Slots:
    """At most `most` holders at a time; of those who wait, the earliest record goes first.

    First come, first served would ask for every first reply of a round before any second one, and
    finish no record until the end of the round.
    """

    def __init__(self, most: int) -> None:
        """Begin with `most` free slots."""
        self._free = most
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._turn = count()

    @asynccontextmanager
    async def hold(self, place: int) -> AsyncIterator[None]:
        """Wait for a slot and hold it; `place` is the record's place in its order, from 0."""
        if self._free:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (place, next(self._turn), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it was given a slot at that moment
                    self._release()
                raise
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        while self._waiting:
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
