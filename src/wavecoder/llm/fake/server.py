"""An OpenAI-compatible endpoint on loopback that answers from the request's hash, for dry runs.

```python
with FakeServer(FakeServer.Options(latency=0.5, fault={"reset": 0.05})) as server:
    ...  # the model is f"{server.url}#fake"
```

The same request gets the same reply from every server with the same options. Which fault a request
meets depends on its hash and on how often it came, so that asking again may help. HTTP is spoken on
the bare socket: that costs less than a framework, and there what is to go wrong can.
"""

import asyncio
import errno
import json
import math
import struct
import threading
import time
from bisect import bisect
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import accumulate
from types import TracebackType
from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.llm.fake.api import (
    CHAT,
    EMBEDDINGS,
    MODELS,
    chat,
    key_of,
    read,
    refusal,
    vectors,
)
from wavecoder.llm.fake.faults import AT_ONCE, OF_A_CHAT, answer, failed, spread
from wavecoder.llm.fake.http import Answer, Connection, Request
from wavecoder.llm.fake.replies import Prompt, fitting, read_prompt

__all__ = ["FakeServer"]

_UNAUTHORIZED = refusal(401, "The key is wrong, or there is none.", "invalid_api_key")


class FakeServer:
    """The endpoint: `start` or `with` serve in a thread, `async with` in the running event loop."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """How it behaves; a ConfigError says which value is out of its range."""

        port: int = 0
        """0 takes a free one."""
        latency: float = 0.0
        """Seconds until a reply."""
        jitter: float = 0.0
        """Share of the latency that is added or taken away at most."""
        slow: float = 0.0
        """Share of replies that take `slow_factor` times as long."""
        slow_factor: float = 10.0
        fault: Mapping[str, float] = field(default_factory=dict)
        """Rate of each fault by name; see `fake_faults.FAULTS`."""
        faults: float = 0.0
        """Rate of all faults together that `fault` does not name, `quota` left out."""
        seed: int = 0
        """Decides which requests meet a fault or are slow; no text depends on it."""
        refuse: float = 0.2
        """Share of verdicts in which one rule is no."""
        structured: bool = False
        """Honour `response_format`; otherwise it is refused with 400."""
        key: str | None = None
        """The key that requests must bear; others get 401."""
        requests_per_minute: int | None = None
        """More are refused; what one second has room for may come at once."""
        max_in_flight: int | None = None
        """More are refused."""
        retry_after: float = 1.0
        """Least seconds in a Retry-After."""
        drip: float = 0.05
        """Seconds between the bytes of a drip."""
        down_after: int | None = None
        """The request of this number, from 1, finds the server going down, once."""
        down_for: float = 1.0
        """Seconds until it is up again, on the same port."""

        def __post_init__(self) -> None:
            for name in ("jitter", "slow", "refuse"):
                share = getattr(self, name)
                if not 0 <= share <= 1:
                    raise ConfigError(f"{name} is {share}. Give a share from 0 to 1.")
            for name in ("latency", "slow_factor", "retry_after", "drip", "down_for"):
                value = getattr(self, name)
                if not 0 <= value < math.inf:
                    raise ConfigError(f"{name} is {value}. Give a number from 0.")
            for name in ("requests_per_minute", "max_in_flight", "down_after"):
                count = getattr(self, name)
                if count is not None and count < 1:
                    raise ConfigError(f"{name} is {count}. Give a whole number from 1.")
            if not 0 <= self.port <= 65535:
                raise ConfigError(f"The port is {self.port}. Give one up to 65535, or 0.")
            spread(self.faults, self.fault)

    def __init__(self, options: Options | None = None) -> None:
        """Take the options; nothing is opened yet."""
        self.options = options or self.Options()
        self._port = self.options.port
        rates = spread(self.options.faults, self.options.fault)
        self._faults, self._bounds = list(rates), list(accumulate(rates.values()))
        self._counts: Counter[str] = Counter()
        self._by_fault: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._in_flight = self._most_in_flight = 0
        self._room, self._room_at = math.inf, 0.0
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self._coming_up: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._stopping: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @property
    def url(self) -> str:
        """The address for clients, `http://127.0.0.1:PORT/v1`, once it serves."""
        return f"http://127.0.0.1:{self._port}/v1"

    def stats(self) -> dict[str, Any]:
        """Return what happened so far, as `GET /stats` gives it.

        With nothing in flight, `requests` are `ok` + all `faults` + all `refused` + `gone`: whose
        connection ended before a reply that was right. `answered` says how often each request, by
        its hash, got a whole and right reply: 1 each if nothing was asked again after a success.
        """
        return {
            **{name: self._counts[name] for name in ("requests", "ok", "gone")},
            "faults": dict(self._by_fault),
            "refused": dict(self._refused),
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
            "tokens": {name: self._counts[f"{name}_tokens"] for name in ("prompt", "completion")},
            "answered": dict(self._answered),
        }

    def start(self) -> "FakeServer":
        """Serve in a thread until `stop`.

        Raises:
            ConfigError: The port cannot be had.
        """
        ready: Future[None] = Future()

        async def serve() -> None:
            stopping = asyncio.Event()
            self._stopping = asyncio.get_running_loop(), stopping
            try:
                await self._open()
            except ConfigError as error:
                ready.set_exception(error)
                return
            ready.set_result(None)
            await stopping.wait()
            await self._close()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        ready.result()
        return self

    def stop(self) -> None:
        """End all connections and the thread; idempotent."""
        stopping, self._stopping = self._stopping, None
        if stopping is not None and self._thread is not None:
            loop, event = stopping
            loop.call_soon_threadsafe(event.set)
            self._thread.join()

    def __enter__(self) -> "FakeServer":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> "FakeServer":
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                lambda: Connection(self._handle, self._connections),
                "127.0.0.1",
                self._port,
                backlog=1024,
            )
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            why = "is in use" if used else f"cannot be used ({error.strerror})"
            raise ConfigError(
                f"Port {self._port} {why}. Give another with --port, or 0 for a free one."
            ) from error
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._coming_up is not None:
            self._coming_up.cancel()
        self._disconnect()
        if self._listener is not None:
            await self._listener.wait_closed()

    def _disconnect(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.reset()

    async def _come_up(self) -> None:
        await asyncio.sleep(self.options.down_for)
        while True:
            try:
                await self._open()
            except ConfigError:  # somebody has the port for the moment
                await asyncio.sleep(0.1)
            else:
                return

    def _handle(self, connection: Connection, request: Request) -> None:
        """Count a request, and answer it now, later, wrongly or never."""
        if request.method == "GET":
            connection.send(self._got(request))
            return
        arrived = asyncio.get_running_loop().time()
        self._counts["requests"] += 1
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        connection.gone = partial(self._end, "gone")
        if self._counts["requests"] == self.options.down_after:
            self._disconnect()
            self._coming_up = asyncio.ensure_future(self._come_up())
            return
        refused = self._refuse(request)
        if refused is None:
            try:
                asked = read(request)
            except (ValueError, RecursionError) as error:
                words = f"The request is not understood ({error}). Mend it."
                refused = "bad_request", refusal(400, words)
            else:
                refused = self._refuse_format(asked)
        if refused is None:
            self._answer(connection, asked, request.path, arrived)
            return
        self._refused[refused[0]] += 1
        self._end("refused")
        connection.send(refused[1])

    def _end(self, outcome: str) -> None:
        self._in_flight -= 1
        self._counts[outcome] += 1

    def _got(self, request: Request) -> Answer:
        if request.path == "/stats":
            return Answer(json.dumps(self.stats()).encode())
        if not self._may(request):
            return _UNAUTHORIZED
        if request.path == MODELS:
            one = {"id": "fake", "object": "model", "created": 0, "owned_by": "wavecoder"}
            return Answer(json.dumps({"object": "list", "data": [one]}).encode())
        return refusal(404, f"There is nothing to get at {request.path}.")

    def _may(self, request: Request) -> bool:
        key = self.options.key
        return key is None or request.headers.get("authorization") == f"Bearer {key}"

    def _refuse(self, request: Request) -> tuple[str, Answer] | None:
        """Return what a request is refused for before it is read, and the refusal."""
        options = self.options
        if not self._may(request):
            return "unauthorized", _UNAUTHORIZED
        if request.method != "POST" or request.path not in (CHAT, EMBEDDINGS):
            words = f"There is nothing at {request.path} for {request.method}."
            return "not_found", refusal(404, words)
        if options.max_in_flight is not None and self._in_flight > options.max_in_flight:
            words = f"More than {options.max_in_flight} requests are in flight."
            return "max_in_flight", refusal(
                429, words, "rate_limit_exceeded", wait=options.retry_after
            )
        if options.requests_per_minute is None:
            return None
        rate = options.requests_per_minute / 60
        now = time.monotonic()
        # A second's worth may come at once, as endpoints count in shorter spans than minutes.
        self._room = min(max(rate, 1.0), self._room + (now - self._room_at) * rate)
        self._room_at = now
        if self._room >= 1:
            self._room -= 1
            return None
        wait = max(options.retry_after, (1 - self._room) / rate)
        words = f"More than {options.requests_per_minute} requests a minute."
        return "requests_per_minute", refusal(429, words, "rate_limit_exceeded", wait=wait)

    def _refuse_format(self, asked: Mapping[str, Any]) -> tuple[str, Answer] | None:
        if self.options.structured or fitting(asked.get("response_format")) is None:
            return None
        return "response_format", refusal(400, "response_format is not supported")

    def _answer(
        self, connection: Connection, asked: dict[str, Any], path: str, arrived: float
    ) -> None:
        options = self.options
        key = key_of(asked)
        self._seen[key] += 1
        # Three numbers from 0 to 1: of the fault, of being slow, of the jitter.
        told = f"{options.seed} {key} {self._seen[key]}".encode()
        chance, slow, jitter = (
            one / 2**32 for one in struct.unpack("<3I", blake2b(told, digest_size=12).digest())
        )
        is_chat = path == CHAT
        prompt = read_prompt(asked["messages"]) if is_chat else Prompt()
        fault = self._fault(chance, is_chat, prompt)
        if fault:
            self._by_fault[fault] += 1
            connection.gone = partial(self._end, "faulty")
        if fault == "hang":
            return
        found = failed(fault, wait=options.retry_after) if fault else None
        usage: Mapping[str, int] = {}
        if found is None:
            odd = fault == "odd_verdict"
            made = (
                chat(asked, key, prompt, refuse=options.refuse, odd=odd)
                if is_chat
                else vectors(asked)
            )
            found, usage = answer(fault, made, asked), made["usage"]
        delay = options.latency * (1 + options.jitter * (2 * jitter - 1))
        if slow < options.slow:
            delay *= options.slow_factor
        reply = partial(self._reply, connection, found, fault, key, usage)
        if delay == 0 or fault in AT_ONCE:
            reply()
        else:
            connection.timer = asyncio.get_running_loop().call_at(arrived + delay, reply)

    def _fault(self, chance: float, is_chat: bool, prompt: Prompt) -> str | None:
        """Return the fault that `chance`, from 0 to 1, falls upon, if the request can have it."""
        place = bisect(self._bounds, chance)
        fault = self._faults[place] if place < len(self._faults) else None
        cannot = fault == "odd_verdict" and not prompt.rules
        return None if cannot or (fault in OF_A_CHAT and not is_chat) else fault

    def _reply(
        self,
        connection: Connection,
        found: Answer,
        fault: str | None,
        key: str,
        usage: Mapping[str, int],
    ) -> None:
        """Send what was found, now that it is time."""
        if fault == "reset":
            connection.reset()
            return
        # Counted before it is sent: who has the reply finds it in the counts.
        done = partial(self._done, fault, key, usage)
        if fault == "drip":
            connection.drip(found, self.options.drip, done)
            return
        done()
        connection.send(found)

    def _done(self, fault: str | None, key: str, usage: Mapping[str, int]) -> None:
        for kind in ("prompt", "completion"):
            self._counts[f"{kind}_tokens"] += usage.get(f"{kind}_tokens", 0)
        if fault in (None, "drip"):
            self._answered[key] += 1
        self._end("faulty" if fault else "ok")
