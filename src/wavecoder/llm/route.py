"""A route of an OpenAI-compatible endpoint: how one is named, and asked until it replies.

`http://host:port/v1#name` is the address and, behind `#`, the model's name there. The key comes
from an environment variable and is never shown.

What is transient (429, 5xx, a reset, a timeout, a reply cut short) is tried again, up to 5 times
in all, after a growing, jittered wait, or the wait the endpoint asks for. A slow endpoint is not a
broken one: a request may take 600 s.
"""

import asyncio
import json
import os
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit, urlunsplit

from wavecoder.errors import ConfigError, ModelError, RefusedRequestError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Route", "TransientError"]

Reply = TypeVar("Reply")

_TRIES = 5
_REQUEST_SECONDS = 600.0
_CONNECT_SECONDS = 30.0
_LONGEST_WAIT = 600.0  # seconds an endpoint may ask for; a person should decide on more
_REFUSED = (400, 413, 422)
# Of an address in somebody's words: it may hold a key, too.
_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*")
_TRANSIENT = (408, 409, 425, 429)  # and everything from 500


class TransientError(Exception):
    """A failure that may pass; `wait` is what the endpoint asked for, in seconds."""

    def __init__(self, words: str, wait: float = 0.0) -> None:
        super().__init__(words)
        self.wait = wait


class Route:
    """Where requests of one kind go; to be used in one event loop until it is closed.

    `name` is the model's name there, `address` what may be shown of where it is.
    """

    def __init__(
        self, spec: str, path: str, *, api_key_env: str | None = None, first_wait: float = 0.5
    ) -> None:
        """Read the address, the name and the key; nothing is sent.

        Args:
            spec: `http://host:port/v1#name`; `path` may already be part of it.
            path: What comes behind `/v1`, such as `/embeddings`.
            api_key_env: Name of the environment variable that holds the key, if one is needed.
            first_wait: Seconds before the second try; doubled before each further one.

        Raises:
            ConfigError: `spec` is no address with a name, or the variable is not set.
        """
        self._url, self.address, self.name = _parse(spec, path)
        self._key = _api_key(api_key_env)
        self._first_wait = first_wait
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        body: Mapping[str, Any],
        read: Callable[[bytes, float], Reply],
        *,
        what: str = "the request",
        do: str = "",
    ) -> Reply:
        """Send `body` until there is a reply, and return what `read` makes of that.

        Args:
            body: The request, without the model's name.
            read: Given the reply and the seconds it took; a `TransientError` of it is a failed
                try, any other error is final.
            what: What is refused, if the endpoint does that.
            do: What a person can do then.

        Raises:
            RefusedRequestError: The endpoint refuses this request for good, in its own words.
            ModelError: The endpoint refuses every request, or does not answer in 5 tries.
        """
        body = {"model": self.name, **body}
        for tried in range(1, _TRIES + 1):
            try:
                session = self._open()
                started = time.monotonic()
                status, content, headers = await self._ask(session, body)
                seconds = time.monotonic() - started
                if status == 200:
                    return read(content, seconds)
                # Redacted before it is cut off: a part of a key would not be found.
                words = f"HTTP {status}: {self._redact(_words(content))[:300]}"
                if status in _REFUSED:
                    raise RefusedRequestError(f"{self.name} refuses {what}: {words}. {do}".strip())
                self._fail(status, words, headers)
            except TransientError as error:
                if tried == _TRIES or error.wait > _LONGEST_WAIT:
                    asked = f", and asks to wait {error.wait:.0f} s" if error.wait else ""
                    raise ModelError(
                        f"{self.address} does not answer ({self._redact(str(error))}; "
                        f"try {tried} of {_TRIES}{asked}). Give the same command again later."
                    ) from error
                # Jitter keeps requests that failed together from coming back together.
                backoff = self._first_wait * 2 ** (tried - 1) * random.uniform(0.5, 1.0)
                await asyncio.sleep(error.wait + backoff)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the connections; idempotent, and the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> "aiohttp.ClientSession":
        """Return the connections, opened with the first request."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=_REQUEST_SECONDS, sock_connect=_CONNECT_SECONDS
                ),
                # How many requests are in flight is the caller's decision.
                connector=aiohttp.TCPConnector(limit=0),
                headers={"Authorization": f"Bearer {self._key}"} if self._key else None,
            )
        return self._session

    async def _ask(
        self, session: "aiohttp.ClientSession", body: Mapping[str, Any]
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send the request once; return the reply's status, content and headers."""
        import aiohttp

        try:
            # A redirect could carry the key to another host.
            async with session.post(self._url, json=body, allow_redirects=False) as response:
                return response.status, await response.read(), response.headers
        except TimeoutError as error:
            words = str(error) or f"no reply within {_REQUEST_SECONDS:.0f} s"
            raise TransientError(words) from error
        except aiohttp.ClientSSLError as error:
            raise ModelError(
                f"{self.address} cannot be trusted: {error}. Check the address."
            ) from error
        except aiohttp.ClientError as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise TransientError(f"the connection failed: {words}") from error

    def _fail(self, status: int, words: str, headers: Mapping[str, str]) -> NoReturn:
        """Raise what a status means that is not about this one request."""
        if status in _TRANSIENT or status >= 500:
            raise TransientError(words, _retry_after(headers.get("Retry-After", "")))
        do = "Check the address, which often ends in /v1, and the model's name behind the #."
        if status in (401, 403):
            do = "Check the key, and that api_key_env names the variable that holds it."
        raise ModelError(f"{self.address} does not serve {self.name} ({words}). {do}")

    def _redact(self, words: str) -> str:
        """Return `words` without the key, which some endpoints echo, and without queries."""
        words = _QUERY.sub(r"\1", words)
        return words.replace(self._key, "***") if self._key else words


def _parse(spec: str, route: str) -> tuple[str, str, str]:
    """Return the URL to post to, the address to show, and the model's name."""
    form = "Write it as http://host:port/v1#name."
    try:
        parts = urlsplit(spec)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # as it is looked up
    except ValueError as error:
        raise ConfigError(f"{spec!r} is no address ({error}). {form}") from error
    if parts.username or parts.password:
        raise ConfigError(
            f"The address of a model holds no user or password, the one at {host} does. "
            f"Put the key into an environment variable and name that one with api_key_env."
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{spec!r} is no address. {form}")
    if not parts.fragment:
        raise ConfigError(f"{spec!r} names no model. {form}")
    path = parts.path.rstrip("/").removesuffix(route)
    url = urlunsplit((parts.scheme, parts.netloc, path + route, parts.query, ""))
    # Without the query, which may hold a key.
    shown = f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"
    return url, shown, parts.fragment


def _api_key(variable: str | None) -> str | None:
    """Return the key in the environment variable `variable`."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"The environment variable {variable} (api_key_env) is not set. "
            f"Put the endpoint's key into it."
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"The environment variable {variable} holds characters that no key has. "
            f"Put the endpoint's key into it, on one line."
        )
    return key


def _words(content: bytes) -> str:
    """Return what the server says went wrong, in its own words."""
    text = content.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    for key in ("error", "message", "detail"):
        if isinstance(value, dict):
            value = value.get(key, value)
    words = value if isinstance(value, str) else text
    return " ".join(words.split()) or "no words"


def _retry_after(value: str) -> float:
    """Return the seconds that a Retry-After header asks for: a number, or a date."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
