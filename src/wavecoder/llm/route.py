"""A route of an OpenAI-compatible endpoint: how one is named, and asked until it replies.

`http://host:port/v1#name` is the address and, behind `#`, the model's name there; several
addresses with commas between them share the load. The key comes from an environment variable and
is never shown.

What may pass is tried again, after a growing, jittered wait or the wait the endpoint asks for:

- It pushes back (429): it gets fewer requests at a time, and no request fails of that.
- Its quota is used up: it is left alone for a minute, then longer, until a person does something.
- It is down (refused, reset, no reply in time, 502 to 504, with no other reply meanwhile): it is
  asked one request at a time, now and then, for half a minute if it never answered, else for half
  an hour.
- It answers others but not this request (500, a reply cut short, reset or not in time when it was
  asked nothing else): the request fails after 8 tries.

What will not pass is refused at once in the server's words: a request that is wrong (400, a context
too long), or an endpoint that takes none (401, 403, 404), unless another address takes it.
"""

import asyncio
import json
import math
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic_core import PydanticSerializationError, to_json

from wavecoder.errors import (
    FailedRequestError,
    ModelError,
    RefusedRequestError,
    StoppedError,
)
from wavecoder.llm.address import api_key, parse
from wavecoder.llm.gate import Endpoint, Gate, Pace
from wavecoder.llm.refusal import retry_after, words_of
from wavecoder.llm.tls import address_problem, says_https, speaks
from wavecoder.protocols import Limits

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Route", "TransientError"]

Reply = TypeVar("Reply")

_TRIES = 8
_CONNECT_SECONDS = 30.0
# At first, over https: a server that speaks plain http waits for the rest of what it takes for a
# request, as long as we do.
_FIRST_CONNECT_SECONDS = 5.0
# uvicorn, on which vLLM and others run, closes what was idle for 5 s; a request sent at that moment
# would be lost.
_KEEP_SECONDS = 4.0
# In units of the first wait, half a second:
_LONGEST_BACKOFF = 60.0
_START_PATIENCE = 60.0
_PATIENCE = 3_600.0
_QUOTA_PAUSE = 120.0
_LONGEST_PAUSE = 2_400.0
_LONGEST_RETRY_AFTER = 3_600.0  # seconds; a longer wait is looked into after an hour
_LONGEST_UNWATCHED = 600.0  # seconds; where nobody is told, a person decides on more
_SAID_FROM = 30.0  # seconds; a shorter pause is not worth a note
_REFUSED = (400, 413, 422)
_UNREACHED = (502, 503)  # a proxy in front of nothing, or a model that is being loaded
_TRANSIENT = (408, 409, 425)  # and everything from 500
_QUOTA = re.compile(
    r"insufficient[_ ](quota|balance)|exceeded your current quota|credit balance is too low", re.I
)
# Of an address in somebody's words: it may hold a key, too.
_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*")


class TransientError(Exception):
    """A failure that may pass, of an endpoint that is alive."""


class _SilenceError(TransientError):
    """There was no reply, and maybe the endpoint is down."""

    def __init__(self, words: str, *, reached: bool, late: bool = False) -> None:
        super().__init__(words)
        self.reached = reached
        """The endpoint took the request."""
        self.late = late
        """It may still be at it."""


class _PushedBackError(TransientError):
    """The endpoint wants fewer requests; `wait` is what it asked for, in seconds."""

    def __init__(
        self, words: str, wait: float | None, *, quota: bool, nobody: bool = False
    ) -> None:
        super().__init__(words)
        self.nobody = nobody
        """Maybe nothing is behind the address: it may not say so for ever."""
        self.wait = wait
        self.quota = quota


class _UselessError(ModelError):
    """The endpoint would refuse every request."""


class Route:
    """Where requests of one kind go; to be used in one event loop until it is closed.

    `name` is the model's name there, `address` what may be shown of where it is.
    """

    def __init__(
        self, spec: str, path: str, *, api_key_env: str | None = None, first_wait: float = 0.5
    ) -> None:
        """Read the addresses, the name and the key; nothing is sent.

        Args:
            spec: `http://host:port/v1#name`, or several addresses: `http://a/v1,http://b/v1#name`;
                `path` may already be part of them.
            path: What comes behind `/v1`, such as `/embeddings`.
            api_key_env: Name of the environment variable that holds the key, if one is needed.
            first_wait: Seconds before the second try; all other waits are multiples of it.

        Raises:
            ConfigError: `spec` is no address with a name, or the variable is not set.
        """
        addresses, _, self.name = spec.partition("#")
        self._path = path
        parsed = [parse(f"{one.strip()}#{self.name}", path) for one in addresses.split(",")]
        self._key = api_key(api_key_env)
        self._first_wait = first_wait
        self.address = ", ".join(address for _, address, _ in parsed)
        endpoints = [Endpoint(url, address) for url, address, _ in parsed]
        self._gate = Gate(endpoints, Limits().concurrency)
        self._timeout = Limits().timeout
        self._watched = False
        """Somebody is told why nothing happens, and can stop it."""
        self._note: Callable[[str], None] = lambda text: None
        self._session: aiohttp.ClientSession | None = None
        self._backing_off = 0
        self._stopping = asyncio.Event()

    @property
    def limit(self) -> int:
        """Requests worth having begun now: in flight, or waiting to be sent again."""
        return self._gate.limit + self._backing_off

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not ended; those that wait to be are not among them."""
        return self._gate.in_flight

    def drive(self, limits: Limits, note: Callable[[str], None]) -> None:
        """Keep to `limits`; tell `note` what a person should know."""
        self._gate.most = limits.concurrency
        self._timeout = limits.timeout
        self._gate.pace = Pace(requests=limits.requests_per_minute, tokens=limits.tokens_per_minute)
        self._note = note
        self._watched = True

    def drain(self) -> None:
        """Let what is in flight finish; what waits gets a StoppedError."""
        self._stopping.set()
        self._gate.stop()

    async def post(
        self,
        body: Mapping[str, Any],
        read: Callable[[bytes, float, str], Reply],
        *,
        what: str = "the request",
        do: str = "",
        tokens: float = 0.0,
        path: str | None = None,
    ) -> Reply:
        """Send `body` until there is a reply, and return what `read` makes of that.

        Args:
            body: The request, without the model's name.
            read: Given the reply, the seconds it took and the address it came from; a
                `TransientError` of it is a failed try, any other error is final.
            what: What is refused, if the endpoint does that.
            do: What a person can do then.
            tokens: About how many tokens request and reply have.
            path: What comes behind `/v1` for this request, where it is not the route's own.

        Raises:
            RefusedRequestError: The endpoint refuses this request for good, in its own words.
            FailedRequestError: It failed 8 times, while others were answered.
            ModelError: The endpoint refuses every request, or does not answer.
            StoppedError: `drain` was called before there was a reply.
        """
        session = self._open()
        data = _as_json({"model": self.name, **body})
        tried = 0
        while True:
            endpoint = await self._gate.enter(tokens)
            sent_at, answered, backoff = time.monotonic(), endpoint.answered, 0.0
            try:
                status, content, headers = await self._ask(
                    session, endpoint, data, path or self._path
                )
                if status != 200:
                    self._fail(endpoint, status, content, headers, what, do)
                reply = read(content, time.monotonic() - sent_at, endpoint.address)
                endpoint.replied(self._gate.most)
                return reply
            except RefusedRequestError:
                endpoint.replied(self._gate.most)
                raise
            except _UselessError as error:
                self._shut(endpoint, error)
            except _PushedBackError as error:
                backoff = self._push_back(endpoint, error, sent_at)
            except TransientError as error:
                if self._is_its_own(endpoint, error, sent_at, answered):
                    tried += 1
                    if tried == _TRIES:
                        raise FailedRequestError(
                            f"{endpoint.address} failed this request {tried} times, "
                            f"at last: {self._redact(str(error)).rstrip('.')}."
                        ) from error
                    backoff = self._backoff(tried)
            finally:
                self._gate.leave(endpoint)
            await self._wait(backoff)

    def correct(self, tokens: float) -> None:
        """Say by how many tokens a request was thought too small."""
        self._gate.pace.correct(tokens)
        self._gate.serve()

    async def close(self) -> None:
        """Close the connections; idempotent, and the next request opens new ones."""
        self.drain()
        self._stopping = asyncio.Event()
        self._gate.reopen()
        for endpoint in self._gate.endpoints:
            if endpoint.look is not None:
                endpoint.look.cancel()
                endpoint.look = None
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> "aiohttp.ClientSession":
        """Return the connections, opened with the first request."""
        import aiohttp

        if self._session is None:
            key = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            self._session = aiohttp.ClientSession(
                # How many requests are in flight is the gate's decision.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_SECONDS),
                # To unpack a reply costs more than to receive it.
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity", **key},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _ask(
        self, session: "aiohttp.ClientSession", endpoint: Endpoint, data: bytes, path: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send the request once; return the reply's status, content and headers."""
        import aiohttp

        soon = endpoint.url.startswith("https:") and not (endpoint.answered or endpoint.look)
        connect = _FIRST_CONNECT_SECONDS if soon else _CONNECT_SECONDS
        try:
            # Not aiohttp's own limit, which would swallow that the task is cancelled meanwhile.
            async with (
                asyncio.timeout(self._timeout),
                session.post(
                    endpoint.url.replace(self._path, path),
                    data=data,
                    # A redirect could carry the key to another host.
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect),
                ) as response,
            ):
                return response.status, await response.read(), response.headers
        except aiohttp.ClientPayloadError as error:
            raise TransientError(f"the reply was cut short: {_sentence(error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise await self._no_reply(endpoint, error) from error

    async def _no_reply(self, endpoint: Endpoint, error: Exception) -> Exception:
        """Return what it means that a connection failed, or that nothing came over it."""
        import aiohttp

        if not isinstance(error, aiohttp.ClientError):
            if isinstance(error, TimeoutError):
                return _SilenceError(
                    f"no reply within {self._timeout:g} s", reached=True, late=True
                )
            return _SilenceError(f"the connection failed: {_sentence(error)}", reached=True)
        problem = None if endpoint.answered else await address_problem(endpoint, error)
        if problem is not None:
            return _UselessError(f"{endpoint.address} {self._redact(problem)}")
        if isinstance(error, aiohttp.ServerTimeoutError):
            return _SilenceError(f"no connection: {_sentence(error)}", reached=False)
        reached = not isinstance(error, aiohttp.ClientConnectorError)
        return _SilenceError(f"the connection failed: {_sentence(error)}", reached=reached)

    def _fail(
        self,
        endpoint: Endpoint,
        status: int,
        content: bytes,
        headers: Mapping[str, str],
        what: str,
        do: str,
    ) -> NoReturn:
        """Raise what a status other than 200 means."""
        said = words_of(content)
        # Redacted before it is cut off: a part of a key would not be found.
        words = f"HTTP {status}: {self._redact(said)[:300]}"
        # A code such as insufficient_quota stands beside the words. Only the beginning is looked
        # at: a refusal may repeat the request, which may say anything.
        start = content[:300].decode("utf-8", "replace")
        quota = status == 402 or (status in (400, 429) and bool(_QUOTA.search(start)))
        if quota or status == 429 or (status == 503 and "Retry-After" in headers):
            raise _PushedBackError(words, retry_after(headers), quota=quota, nobody=status == 503)
        if status in (*_UNREACHED, 504):
            raise _SilenceError(words, reached=status not in _UNREACHED)
        if status in _TRANSIENT or status >= 500:
            raise TransientError(words)
        if status == 400 and not endpoint.answered and says_https(start):
            raise _UselessError(f"{endpoint.address} {speaks('https')}")
        # 403 may be about what a request says; the others are about all requests.
        of_request = endpoint.answered and (status == 403 or not self._others(endpoint))
        if status in _REFUSED or of_request:
            words = words.rstrip(".")
            raise RefusedRequestError(f"{self.name} refuses {what}: {words}. {do}".strip())
        do = "Check the address, which often ends in /v1, and the model's name behind the #."
        if status in (401, 403):
            do = "Check the key, and that api_key_env names the variable that holds it."
        raise _UselessError(f"{endpoint.address} does not serve {self.name} ({words}). {do}")

    def _others(self, endpoint: Endpoint) -> list[Endpoint]:
        """Return the other endpoints that are of use."""
        return [one for one in self._gate.endpoints if one is not endpoint and not one.shut]

    def _shut(self, endpoint: Endpoint, error: _UselessError) -> None:
        """Send no more to an endpoint that takes nothing.

        Raises:
            ModelError: There is no other.
        """
        if endpoint.shut:
            return
        if not self._others(endpoint):
            raise error
        endpoint.shut = True
        self._note(f"{error} The other addresses go on without it.")

    def _is_its_own(
        self, endpoint: Endpoint, error: TransientError, sent_at: float, answered: int
    ) -> bool:
        """Say whether a failure is the request's own, and not that of an endpoint that is down.

        Args:
            endpoint: The one that was asked.
            error: What happened.
            sent_at: When the request was sent (monotonic seconds).
            answered: How many replies the endpoint had given then.

        Raises:
            ModelError: The endpoint has not answered for too long.
        """
        if not isinstance(error, _SilenceError):
            return True
        if endpoint.answered > answered:  # others came through meanwhile
            if error.late:
                endpoint.push(sent_at)
            return True
        alone = endpoint.busy == 1
        self._seems_down(endpoint, error, sent_at)
        return error.reached and alone

    def _push_back(self, endpoint: Endpoint, error: _PushedBackError, sent_at: float) -> float:
        """Ask less of an endpoint that wants it; return the seconds the request waits."""
        words = self._redact(str(error))
        news = endpoint.push(sent_at)
        wait = None if error.wait is None else min(error.wait, _LONGEST_RETRY_AFTER)
        most = math.inf if self._watched else _LONGEST_UNWATCHED
        if error.nobody:
            most = min(most, _PATIENCE * self._first_wait)
        pushed_for = time.monotonic() - endpoint.pushed_since
        unwatched = not self._watched and (error.quota or (wait or 0.0) > _LONGEST_UNWATCHED)
        if unwatched or (pushed_for > most and not self._others(endpoint)):
            asks = f", and asks to wait {error.wait:.0f} s" if error.wait else ""
            raise ModelError(
                f"{endpoint.address} takes no requests now ({words}{asks}). "
                f"Give the same command again later."
            )
        if error.quota:
            pause = min(_QUOTA_PAUSE * 2.0 ** min(max(0, endpoint.pushes - 1), 16), _LONGEST_PAUSE)
            pause = max(pause * self._first_wait, wait or 0.0)
            if not endpoint.paused:
                self._note(
                    f"{endpoint.address}: the quota is used up ({words}). Nothing is lost; it is "
                    f"asked again in {pause:.0f} s. Raise the quota, or stop with Ctrl-C."
                )
            if news or not endpoint.paused:
                endpoint.pause(pause)
            return 0.0
        said = f"takes no more requests now ({words})"
        self._say_now_and_then(endpoint.pushes if news else 0, endpoint, said)
        backoff = self._backoff(max(1, endpoint.pushes))
        if wait is None:
            return backoff
        if wait > _SAID_FROM and not endpoint.paused:
            self._note(f"{endpoint.address} asks to wait {wait:.0f} s ({words}).")
        # One that says "in 0 s" every time is not asked a thousand times a second.
        endpoint.pause(max(wait + self._first_wait * random.uniform(0.0, 0.2), backoff))
        return 0.0

    def _seems_down(self, endpoint: Endpoint, error: TransientError, sent_at: float) -> None:
        """Leave an endpoint alone that does not answer at all, longer each time.

        Raises:
            ModelError: It has not answered for too long, and no other endpoint does.
        """
        if not endpoint.fail(sent_at):
            return  # another request has seen it before
        words = self._redact(str(error)).rstrip(".")
        silent = time.monotonic() - endpoint.silent_since
        patience = _PATIENCE if endpoint.answered else _START_PATIENCE
        left = patience * self._first_wait - silent
        # Half an hour is few tries where each takes minutes.
        enough = not endpoint.answered or endpoint.failures > _TRIES
        if left <= 0 and enough and all(one.failures for one in self._others(endpoint)):
            raise ModelError(
                f"{endpoint.address} does not answer ({words}; for {silent:.0f} s). Check that it "
                f"runs and that the address is right, then give the same command again."
            )
        self._say_now_and_then(endpoint.failures, endpoint, f"does not reply ({words})")
        if endpoint.limit == 1.0:
            pause = self._backoff(endpoint.failures)
            endpoint.pause(min(pause, left) if left > 0 else pause)

    def _say_now_and_then(self, times: int, endpoint: Endpoint, words: str) -> None:
        if times in (3, 8) or (times and times % 30 == 0):
            self._note(f"{endpoint.address} {words}; trying it now and then.")

    def _backoff(self, tried: int) -> float:
        """Return the seconds to wait after so many failures."""
        # Jitter keeps requests that failed together from coming back together.
        units = min(2.0 ** (min(tried, 16) - 1), _LONGEST_BACKOFF)
        return self._first_wait * units * random.uniform(0.5, 1.0)

    async def _wait(self, seconds: float) -> None:
        """Wait, but not once the route is drained."""
        stopping = self._stopping  # `close` begins another
        if seconds > 0:
            self._backing_off += 1
            try:
                async with asyncio.timeout(seconds):
                    await stopping.wait()
            except TimeoutError:
                return
            finally:
                self._backing_off -= 1
        if stopping.is_set():
            raise StoppedError("Stopped; every finished reply is saved.")

    def _redact(self, words: str) -> str:
        """Return `words` without the key, which some endpoints echo, and without queries."""
        words = _QUERY.sub(r"\1", words)
        return words.replace(self._key, "***") if self._key else words


def _as_json(body: Mapping[str, Any]) -> bytes:
    try:
        return to_json(body, inf_nan_mode="null")
    except PydanticSerializationError:  # half a character, which JSON can only escape
        return json.dumps(body).encode()


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
