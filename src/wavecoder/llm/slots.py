"""How many requests may be in flight, and who goes first when one is free."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count

from wavecoder.errors import StoppedError

__all__ = ["Slots"]


class Slots:
    """At most `most()` holders at a time; of those who wait, the earliest record goes first.

    First come, first served would ask for every first reply of a round before any second one, and
    finish no record until the end of the round.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        """Begin with all slots free; `most` is asked again each time, and may grow and shrink."""
        self.most = most
        self.held = 0
        self._waiting: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._turn = count()
        self._stopped = False

    @asynccontextmanager
    async def hold(self, place: int) -> AsyncIterator[None]:
        """Wait for a slot and hold it; `place` is the record's place in its order, from 0.

        Raises:
            StoppedError: `stop` was called before there was one.
        """
        if self._waiting or self._stopped or self.held >= self.most():
            await self._wait(place)
        else:
            self.held += 1
        try:
            yield
        finally:
            self._release()

    def stop(self) -> None:
        """Give out no more slots; who waits for one gets a StoppedError."""
        self._stopped = True
        for _, _, turn in self._waiting:
            if not turn.done():
                turn.set_result(False)
        self._waiting.clear()

    async def _wait(self, place: int) -> None:
        """Wait for a slot, and hold it from then on."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (place, next(self._turn), turn))
        if self._stopped:
            self.stop()
        self.give()  # more may be allowed since somebody last released one
        try:
            given = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._release()  # it was given a slot at that moment
            raise
        if not given:
            raise StoppedError("Stopped; every finished reply is saved.")

    def _release(self) -> None:
        self.held -= 1
        self.give()

    def give(self) -> None:
        """Give what is free to those who wait; to be called where `most` may have grown."""
        while self._waiting and self.held < self.most():
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                self.held += 1
                turn.set_result(True)
