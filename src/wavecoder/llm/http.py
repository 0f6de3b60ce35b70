"""Any OpenAI-compatible endpoint: `http://host:port/v1#name`, `https://host/v1#name`.

The part behind `#` is the model's name there; it alone is the model's identity, as the address
does not decide the replies. The key comes from an environment variable and is never shown.

What is transient (429, 5xx, a reset, a timeout, a reply cut short) is tried again, up to 5 times
in all, after a growing, jittered wait, or the wait the endpoint asks for. A slow endpoint is not a
broken one: a request may take 600 s.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from wavecoder.errors import ConfigError, ModelError, RefusedRequestError
from wavecoder.records import ChatReply, ChatRequest, FinishReason

if TYPE_CHECKING:
    import aiohttp

__all__ = ["HttpModel"]

_TRIES = 5
_REQUEST_SECONDS = 600.0
_CONNECT_SECONDS = 30.0
_LONGEST_WAIT = 600.0  # seconds an endpoint may ask for; a person should decide on more
_REFUSED = (400, 413, 422)
_TRANSIENT = (408, 409, 425, 429)  # and everything from 500


class _TransientError(Exception):
    """A failure that may pass; `wait` is what the endpoint asked for, in seconds."""

    def __init__(self, words: str, wait: float = 0.0) -> None:
        super().__init__(words)
        self.wait = wait


class HttpModel:
    """A model behind an HTTP endpoint; to be used in one event loop."""

    def __init__(
        self, spec: str, api_key_env: str | None = None, *, first_wait: float = 0.5
    ) -> None:
        """Read the address and the name from `spec`; nothing is sent.

        Args:
            spec: `http://host:port/v1#name`.
            api_key_env: Name of the environment variable that holds the key, if one is needed.
            first_wait: Seconds before the second try; doubled before each further one.

        Raises:
            ConfigError: `spec` is no address with a name, or the variable is not set.
        """
        self._url, self._address, self.identity = _parse(spec)
        self.concurrency: int | None = None
        self._key = _api_key(api_key_env)
        self._first_wait = first_wait
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply.

        Raises:
            RefusedRequestError: The endpoint refuses this request for good, in its own words.
            ModelError: The endpoint refuses every request, or does not answer in 5 tries.
        """
        body = _body(self.identity, request)
        for tried in range(1, _TRIES + 1):
            try:
                return await self._ask(body)
            except _TransientError as error:
                if tried == _TRIES or error.wait > _LONGEST_WAIT:
                    asked = f", and asks to wait {error.wait:.0f} s" if error.wait else ""
                    raise ModelError(
                        f"{self._address} does not answer ({error}; try {tried} of {_TRIES}"
                        f"{asked}). Give the same command again later."
                    ) from error
                # Jitter keeps requests that failed together from coming back together.
                backoff = self._first_wait * 2 ** (tried - 1) * random.uniform(0.5, 1.0)
                await asyncio.sleep(error.wait + backoff)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the connections; idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, body: Mapping[str, Any]) -> ChatReply:
        """Send the request once."""
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
        started = time.monotonic()
        try:
            # A redirect could carry the key to another host.
            async with self._session.post(self._url, json=body, allow_redirects=False) as response:
                content = await response.read()
        except TimeoutError as error:
            words = str(error) or f"no reply within {_REQUEST_SECONDS:.0f} s"
            raise _TransientError(words) from error
        except aiohttp.ClientSSLError as error:
            raise ModelError(
                f"{self._address} cannot be trusted: {error}. Check the address."
            ) from error
        except aiohttp.ClientError as error:
            words = self._redact(str(error)) or type(error).__name__
            raise _TransientError(f"the connection failed: {words}") from error
        if response.status != 200:
            self._fail(response.status, content, response.headers)
        return _reply(content, time.monotonic() - started)

    def _fail(self, status: int, content: bytes, headers: Mapping[str, str]) -> NoReturn:
        """Raise what a status other than 200 means."""
        words = f"HTTP {status}: {self._redact(_words(content))}"
        if status in _TRANSIENT or status >= 500:
            raise _TransientError(words, _retry_after(headers.get("Retry-After", "")))
        if status in _REFUSED:
            raise RefusedRequestError(f"{self.identity} refuses the request ({words}).")
        do = "Check the address, which often ends in /v1, and the model's name behind the #."
        if status in (401, 403):
            do = "Check the key, and that api_key_env names the variable that holds it."
        raise ModelError(f"{self._address} does not serve {self.identity} ({words}). {do}")

    def _redact(self, words: str) -> str:
        """Return `words` without the key: some endpoints echo it."""
        return words.replace(self._key, "***") if self._key else words


def _parse(spec: str) -> tuple[str, str, str]:
    """Return the URL to post to, the address to show, and the model's name."""
    form = "Write it as http://host:port/v1#name."
    try:
        parts = urlsplit(spec)
        host, port = parts.hostname, parts.port
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
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    url = urlunsplit((parts.scheme, parts.netloc, f"{path}/chat/completions", parts.query, ""))
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


def _body(name: str, request: ChatRequest) -> dict[str, Any]:
    return {
        "model": name,
        "messages": [message.model_dump() for message in request.messages],
        **request.sampling.model_dump(),
    }


def _words(content: bytes) -> str:
    """Return what the server says went wrong, in its own words, at most 300 characters."""
    text = content.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    for key in ("error", "message", "detail"):
        if isinstance(value, dict):
            value = value.get(key, value)
    words = value if isinstance(value, str) else text
    return " ".join(words.split())[:300] or "no words"


def _retry_after(value: str) -> float:
    """Return the seconds that a Retry-After header asks for: a number, or a date."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _reply(content: bytes, seconds: float) -> ChatReply:
    """Read the body of a chat completion."""
    try:
        value = json.loads(content)
        choice = value["choices"][0]
        finish_reason, text = choice["finish_reason"], choice["message"].get("content") or ""
        if not isinstance(text, str):
            raise TypeError
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        start = content[:60].decode("utf-8", "replace")
        raise _TransientError(f"the reply is no chat completion: {start!r}") from error
    if finish_reason not in list(FinishReason):
        raise RefusedRequestError(f"The endpoint ended the reply with {finish_reason!r}.")
    return ChatReply(
        text=text,
        finish_reason=FinishReason(finish_reason),
        prompt_tokens=_tokens(value, "prompt_tokens"),
        completion_tokens=_tokens(value, "completion_tokens"),
        seconds=seconds,
    )


def _tokens(value: Mapping[str, Any], name: str) -> int:
    """Return a count of the reply's usage, 0 where the endpoint gives none that makes sense."""
    usage = value.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and 0 <= count < 1 << 31 else 0
