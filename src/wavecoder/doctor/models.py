"""Whether a model answers: its endpoint's list of models, then one small request."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from wavecoder.doctor.findings import Finding, Findings, Level, fail, ok, warn
from wavecoder.errors import ModelError
from wavecoder.plugins import nearest
from wavecoder.protocols import ChatModel, Limits
from wavecoder.records import ChatReply, ChatRequest, Message, Sampling

__all__ = ["Role", "look_at_model"]

_LIST_SECONDS = 20.0
_REPLY_SECONDS = 120.0
_QUESTION = ChatRequest(
    messages=(Message(role="user", content="Say the word: ready"),),
    sampling=Sampling(max_tokens=16),
)


@dataclass
class Role:
    """A model of a stage, and where it was named."""

    name: str
    """`generator`, `discriminator`, or both."""
    model: ChatModel
    spec: str
    """As in the recipe: `http://host:port/v1#name`."""
    key_env: str | None
    """The environment variable that holds the endpoint's key."""


def look_at_model(role: Role, *, ask: bool, seconds: float = _REPLY_SECONDS) -> Findings:
    """Yield whether a model is there and answers.

    Args:
        role: The model.
        ask: Send it one small request.
        seconds: How long it may take to reply.
    """
    kind = role.spec.partition(":")[0]
    if kind == "scripted":
        yield ok(role.name, f"{role.model.identity} answers from a script, and is not asked here")
        return
    reachable = True
    if kind in ("http", "https"):
        for finding in asyncio.run(_look_at_lists(role, ask=ask)):
            yield finding
            reachable &= finding.level is not Level.FAIL
    elif kind == "local":
        yield ok(role.name, f"{role.model.identity} is on this machine, and so is llama.cpp")
    if ask and reachable:
        yield asyncio.run(_ask(role, seconds))


async def _look_at_lists(role: Role, *, ask: bool) -> list[Finding]:
    """Return what each endpoint of a model says of the models it has."""
    import aiohttp

    key = os.environ.get(role.key_env or "", "").strip()
    timeout = aiohttp.ClientTimeout(total=_LIST_SECONDS)
    headers = {"Authorization": f"Bearer {key}"} if key else None
    found = []
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        for address, url in _addresses(role.spec):
            try:
                # A redirect could carry the key to another host.
                async with session.get(url, allow_redirects=False) as response:
                    status, content = response.status, await response.read()
            except (TimeoutError, aiohttp.ClientError) as error:
                words = str(error) or f"no answer within {_LIST_SECONDS:.0f} s"
                do = "Check the address, and that the server runs and can be reached from here."
                found.append(fail("endpoint", f"{address} does not answer ({words})", do))
            else:
                found.append(_list_finding(role, address, (status, content), ask=ask))
    return found


def _addresses(spec: str) -> Iterator[tuple[str, str]]:
    """Yield each address of a model, as it may be shown, and the URL of its list of models."""
    for one in spec.partition("#")[0].split(","):
        parts = urlsplit(one.strip())
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        # Without the query, which may hold a key.
        shown = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        yield shown, urlunsplit((parts.scheme, parts.netloc, f"{path}/models", parts.query, ""))


def _list_finding(role: Role, address: str, reply: tuple[int, bytes], *, ask: bool) -> Finding:
    """Return what an endpoint's answer for its list of models means."""
    status, content = reply
    name = role.spec.partition("#")[2]
    with_key = f"with the key in {role.key_env}" if role.key_env else "without a key"
    if status == 401:
        do = f"Put the right key into the environment variable {role.key_env}."
        if role.key_env is None:
            do = "Name the variable that holds the key: api_key_env in the stage's table."
        return fail("endpoint", f"{address} answers, and refuses us {with_key} (HTTP 401)", do)
    names = _names(content) if status == 200 else None
    if names is None:
        do = "Not every endpoint has such a list; an address often ends in /v1."
        return warn("endpoint", f"{address} answers without a list of models (HTTP {status})", do)
    # Some servers list a name with the version that an unversioned request gets.
    if name not in names and f"{name}:latest" not in names:
        some = ", ".join(names[:5]) + (f", and {len(names) - 5} more" if len(names) > 5 else "")
        said = f"{address} does not list {name!r} among its models ({some or 'it lists none'})"
        do = f"Write the right name behind the #.{nearest(name, names)}"
        return (warn if ask else fail)("endpoint", said, do)  # asking it settles the matter
    return ok("endpoint", f"{address} answers {with_key} and lists {name}")


def _names(content: bytes) -> list[str] | None:
    """Return the names in a list of models; None if it is no such list."""
    try:
        return [str(one["id"]) for one in json.loads(content)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


async def _ask(role: Role, seconds: float) -> Finding:
    """Return how a model takes one small request."""
    model, notes = role.model, list[str]()
    drive: Any = getattr(model, "drive", None)
    if drive is not None:
        drive(Limits(concurrency=1), notes.append)
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            reply = await model.complete(_QUESTION)
    except TimeoutError:
        # What the client waited for says more than that it waited.
        words = f": {notes[-1]}" if notes else ""
        do = "Check that it runs and is not overloaded; a run would go on waiting."
        return fail(role.name, f"{model.identity} gave no reply within {seconds:g} s{words}", do)
    except ModelError as error:
        return fail(role.name, str(error))
    finally:
        await model.close()
    return ok(role.name, f"{_answered(reply, model)} in {time.monotonic() - began:.1f} s")


def _answered(reply: ChatReply, model: ChatModel) -> str:
    where = f" at {reply.endpoint}" if reply.endpoint else ""
    tokens = "it does not say how many tokens"
    if reply.prompt_tokens is not None and reply.completion_tokens is not None:
        tokens = f"{reply.prompt_tokens} tokens read, {reply.completion_tokens} written"
    return f"{model.identity}{where} answered {reply.text[:40]!r} ({tokens})"
