"""How much an endpoint is asked at a time: as much as it takes, and no more than was allowed.

The number of requests in flight doubles while replies come, until the endpoint first pushes back;
from then on it grows slowly and is cut by a third at each push (additive increase, multiplicative
decrease, as TCP does it: Jacobson 1988). One cut answers all pushes to what was sent before it. An
endpoint that gives no reply at all is asked one request at a time until it does, and then quickly
as much as before.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wavecoder.errors import StoppedError

__all__ = ["Endpoint", "Gate", "Pace"]

_FIRST_LIMIT = 32.0
_CUT = 0.7
_GROWTH = 0.05  # share of the limit that a whole limit's worth of replies adds, at least 1
_SERIOUS = 2  # times in a row, with no reply between, from which a failure is a sign
_LATE = 0.1  # seconds that a turn may come late without the next ones coming late, too


@dataclass(eq=False)
class Endpoint:
    """One address: what it takes at a time, and whether it answers. Times are monotonic seconds."""

    url: str
    """Where requests are posted; may hold a key in its query."""
    address: str
    """What may be shown of it."""
    limit: float = _FIRST_LIMIT
    """Requests it may have in flight."""
    in_flight: int = 0
    paused_until: float = 0.0
    """Nothing is sent before this time."""
    shut: bool = False
    """It is of no use, and nothing is sent to it any more."""
    look: "asyncio.Task[str | None] | None" = None
    """Finds out which of http and https it speaks, if it is not the one that is written."""
    answered: int = 0
    """Requests it has replied to since it was opened."""
    failures: int = 0
    """Times in a row that it gave no reply; what was in flight together counts once."""
    silent_since: float = 0.0
    """When it first gave none; to be read if there are failures."""
    pushes: int = 0
    """Times in a row that it pushed back; what was in flight together counts once."""
    pushed_since: float = 0.0
    """When it first pushed back with no reply since; to be read behind `push`."""
    stale: int = 0
    """Requests in flight that were sent before it fell silent: maybe nobody works on them any more,
    and whether it is back is found out without waiting for their end."""
    _pushed: int = 0
    _threshold: float = math.inf
    _cut_at: float = 0.0
    _failed_at: float = 0.0

    def replied(self, most: int) -> None:
        """Count a reply; the limit grows, to `most` at most, if it is in use."""
        self.answered += 1
        self.failures = self.pushes = self.stale = self._pushed = 0
        if self.in_flight >= 0.8 * self.limit:
            slow = max(1.0, _GROWTH * self.limit) / self.limit
            self.limit = min(most, self.limit + (1.0 if self.limit < self._threshold else slow))

    def push(self, sent_at: float) -> bool:
        """Cut the limit, unless it was cut since the request was sent; say whether it was.

        A single push between two replies cuts nothing: an endpoint that is asked too much says so
        to many, and one that pushes back now and then would be asked for one thing at a time.
        """
        self._pushed += 1
        if self._pushed == 1:
            self.pushed_since = time.monotonic()
        if sent_at < self._cut_at or self._pushed < _SERIOUS:
            return False
        self.pushes += 1
        self.limit = self._threshold = max(1.0, _CUT * min(self.limit, self.in_flight))
        self._cut_at = time.monotonic()
        return True

    def fail(self, sent_at: float) -> bool:
        """Count that there was no reply, if that is news since the request was sent; say so."""
        if sent_at < self._failed_at:
            self.stale = max(0, self.stale - 1)
            return False
        self._failed_at = self._cut_at = time.monotonic()
        if not self.failures:
            self.silent_since = self._failed_at
            if self.answered:
                self._threshold = max(1.0, _CUT * self.limit)
        self.failures += 1
        if self.failures < _SERIOUS:  # one lost connection does not make an endpoint silent
            return True
        self.limit = 1.0
        self.stale = max(0, self.in_flight - 1)
        return True

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)

    @property
    def busy(self) -> int:
        """Requests that count against the limit."""
        return self.in_flight - self.stale

    @property
    def paused(self) -> bool:
        """Whether nothing is sent to it now."""
        return self.paused_until > time.monotonic()


class Pace:
    """At most so many requests, and so many tokens, a minute.

    Requests are spread evenly, not sent in a burst at the start of each minute.
    """

    def __init__(self, *, requests: float | None = None, tokens: float | None = None) -> None:
        """Allow so many a minute; None: any number."""
        self._requests = requests
        self._tokens = tokens
        self._next_request = 0.0
        self._next_token = 0.0

    @property
    def next_at(self) -> float:
        """When the next request may go, in monotonic seconds; in the past: now."""
        return max(self._next_request, self._next_token)

    def take(self, tokens: float) -> None:
        """Count a request of about so many tokens that goes now."""
        since = time.monotonic() - _LATE
        if self._requests is not None:
            self._next_request = max(since, self._next_request) + 60.0 / self._requests
        if self._tokens is not None:
            self._next_token = max(since, self._next_token) + tokens * 60.0 / self._tokens

    def correct(self, tokens: float) -> None:
        """Say that a request took so many tokens more (or fewer) than was thought."""
        if self._tokens is not None:
            self._next_token += tokens * 60.0 / self._tokens


class _Waiter(NamedTuple):
    tokens: float
    turn: "asyncio.Future[Endpoint | None]"


class Gate:
    """Who may send now, and where to; of those who wait, the first goes first.

    A place that is free is given to the first who waits at that moment, so that nobody who comes
    later can take it. Whoever waits, either no place is free or an alarm is set for when one is.
    """

    def __init__(self, endpoints: Sequence[Endpoint], most: int) -> None:
        """Share at most `most` requests in flight among the endpoints."""
        self.endpoints = endpoints
        self.most = most
        self.pace = Pace()
        self._waiting: deque[_Waiter] = deque()
        self.in_flight = 0
        """Requests that have an endpoint's place."""
        self._alarm: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def limit(self) -> int:
        """Requests that may be in flight, all endpoints together."""
        limits = (int(endpoint.limit) for endpoint in self.endpoints if not endpoint.shut)
        return max(1, min(self.most, sum(limits)))

    async def enter(self, tokens: float = 0.0) -> Endpoint:
        """Wait for an endpoint that takes a request, and return it; `leave` gives it back.

        Args:
            tokens: About how many the request and its reply have.

        Raises:
            StoppedError: `stop` was called.
        """
        if self._stopped:
            raise StoppedError("Stopped; every finished reply is saved.")
        if not self._waiting:
            endpoint = self._free()
            if endpoint is not None:
                return self._take(endpoint, tokens)
        turn: asyncio.Future[Endpoint | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiter(tokens, turn))
        self.serve()
        try:
            given = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                given = turn.result()  # a place was given at that moment
                if given is not None:
                    self.leave(given)
            else:
                self.serve()  # takes it out of the queue
            raise
        if given is None:
            raise StoppedError("Stopped; every finished reply is saved.")
        return given

    def leave(self, endpoint: Endpoint) -> None:
        """Give an endpoint's place back."""
        endpoint.in_flight -= 1
        endpoint.stale = min(endpoint.stale, endpoint.in_flight)
        self.in_flight -= 1
        self.serve()

    def stop(self) -> None:
        """Let nobody in any more; who waits gets a StoppedError."""
        self._stopped = True
        for _, turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()
        self._set_alarm()

    def reopen(self) -> None:
        """Let requests in again after `stop`, maybe in another event loop."""
        self._stopped = False

    def serve(self) -> None:
        """Give what is free to those who wait; `leave` does it, too."""
        while self._waiting:
            tokens, turn = self._waiting[0]
            if not turn.done():
                endpoint = self._free()
                if endpoint is None:
                    break
                turn.set_result(self._take(endpoint, tokens))
            self._waiting.popleft()
        self._set_alarm()

    def _take(self, endpoint: Endpoint, tokens: float) -> Endpoint:
        endpoint.in_flight += 1
        self.in_flight += 1
        self.pace.take(tokens)
        return endpoint

    def _free(self) -> Endpoint | None:
        """Return the endpoint with the most room, relative to what it takes."""
        now = time.monotonic()
        if self.in_flight >= self.most or self.pace.next_at > now:
            return None
        free = [
            one
            for one in self.endpoints
            if one.busy + 1 <= one.limit and one.paused_until <= now and not one.shut
        ]
        return min(free, key=lambda one: (one.busy + 1) / one.limit, default=None)

    def _set_alarm(self) -> None:
        """Have those who wait served when the pace or the next end of a pause lets them."""
        at = math.inf
        if self._waiting and self.in_flight < self.most:
            ends = (
                one.paused_until
                for one in self.endpoints
                if one.busy + 1 <= one.limit and not one.shut
            )
            at = max(min(ends, default=math.inf), self.pace.next_at)
        if self._alarm is not None:
            if self._alarm.when() == at:
                return
            self._alarm.cancel()
            self._alarm = None
        if at < math.inf:
            # The event loop's clock is the monotonic one.
            self._alarm = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.serve()
