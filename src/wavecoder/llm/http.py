"""Any OpenAI-compatible endpoint: `http://host:port/v1#name`, `https://a/v1,https://b/v1#name`.

The part behind `#` is the model's name there; it alone is the model's identity, as the address
does not decide the replies. How it is asked, and asked again, is in `llm/route.py`.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from wavecoder.errors import ModelError, RefusedRequestError
from wavecoder.llm.route import Route, TransientError
from wavecoder.protocols import Limits
from wavecoder.records import ChatReply, ChatRequest, FinishReason

__all__ = ["HttpModel"]

Usage = tuple[int | None, int | None]
"""Tokens of a prompt and of its completion, as far as the endpoint says."""

_FINISH_REASONS = {
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
}
"""Other servers' words for the two."""
_WRONG_NAMES = 3
"""Replies of another model, and none of the right one, that end the run."""
# Signs in a refusal that a parameter is not known. "max_tokens is too large" is about its value;
# the newer name is named only where it is wanted.
_UNKNOWN = {
    "response_format": re.compile(r"response_format|json_schema|structured output", re.I),
    "max_tokens": re.compile(r"max_completion_tokens"),
    "seed": re.compile(r"\bseed\b"),
}
# A refusal may repeat the request, so a parameter's name alone is no sign.
_REFUSES = re.compile(
    r"unknown|unsupported|unrecogni[sz]ed|unexpected|extra|forbidden|"
    r"(?:not|n't) (?:\w+ )?(?:support|permit|allow|available|implement)|max_completion_tokens",
    re.IGNORECASE,
)
# What may follow a name that is still the same model's: a date or a number, but no size like -405b.
_VERSION = re.compile(r"[-@:](\d{3,}(?![\da-z])|latest$)")
_CHARACTERS_PER_TOKEN = 3.5  # of code and prose mixed; only how the requests are spread rests on it


class HttpModel:
    """A model behind one or more HTTP endpoints; to be used in one event loop."""

    def __init__(
        self, spec: str, api_key_env: str | None = None, *, first_wait: float = 0.5
    ) -> None:
        """Read the addresses and the name from `spec`; nothing is sent.

        Args:
            spec: `http://host:port/v1#name`; more addresses stand in front, with commas between.
            api_key_env: Name of the environment variable that holds the key, if one is needed.
            first_wait: Seconds before the second try; all other waits are multiples of it.

        Raises:
            ConfigError: `spec` is no address with a name, or the variable is not set.
        """
        self._route = Route(
            spec, "/chat/completions", api_key_env=api_key_env, first_wait=first_wait
        )
        self.identity = self._route.name
        self._note: Callable[[str], None] = lambda text: None
        self._without: set[str] = set()
        """Parameters that the endpoint does not know, as its own words said."""
        self._right: set[str] = set()
        """Addresses that replied as the right model."""
        self._wrong: Counter[str] = Counter()
        """Replies of another model, by address."""
        self._written = 200.0
        """Tokens of a reply, as the last ones had them."""

    @property
    def concurrency(self) -> int:
        """Requests worth having in flight now: as many as the endpoints take."""
        return self._route.limit

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not ended."""
        return self._route.in_flight

    def drive(self, limits: Limits, note: Callable[[str], None]) -> None:
        """Keep to `limits`; tell `note` what a person should know."""
        self._note = note
        self._route.drive(limits, note)

    def drain(self) -> None:
        """Let what is in flight finish; what waits gets a StoppedError."""
        self._route.drain()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply.

        Whole replies of no use that came before it (another model's, say) were paid for, too: their
        tokens count as its own, or stand in the error's `used`.

        Raises:
            RefusedRequestError: The endpoint refuses this request for good, in its own words.
            FailedRequestError: It failed again and again, while others were answered.
            ModelError: The endpoint refuses every request, or does not answer.
        """
        characters = sum(len(message.content) for message in request.messages)
        tokens = characters / _CHARACTERS_PER_TOKEN + self._written
        wasted: list[Usage] = []
        read = partial(self._reply, wasted)
        path = "/completions" if request.raw else None
        while True:
            body = self._body(request)
            try:
                reply = await self._route.post(body, read, tokens=tokens, path=path)
            except ModelError as error:
                if isinstance(error, RefusedRequestError) and self._do_without(str(error), body):
                    continue
                if wasted:
                    error.used = _sum(wasted)
                raise
            written = reply.completion_tokens
            if written is not None and reply.prompt_tokens is not None:
                self._route.correct(written + reply.prompt_tokens - tokens)
                self._written += 0.1 * (written - self._written)
            return _with(reply, wasted) if wasted else reply

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._route.close()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the request as the endpoint takes it."""
        sampling = request.sampling
        body: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
        }
        if request.raw:
            body["prompt"] = request.messages[0].content
        else:
            body["messages"] = [
                {"role": message.role, "content": message.content} for message in request.messages
            ]
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if request.reply_schema is not None:
            schema = {"name": "reply", "strict": True, "schema": request.reply_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if "max_tokens" in self._without:  # the newer name, which the older models do not know
            body["max_completion_tokens"] = sampling.max_tokens
        return {key: value for key, value in body.items() if key not in self._without}

    def _do_without(self, words: str, body: Mapping[str, Any]) -> bool:
        """Say whether the request can be sent without a parameter that was refused."""
        for name, sign in _UNKNOWN.items():
            if name in body and sign.search(words) and _REFUSES.search(words):
                if name not in self._without:
                    self._note(f"{self.identity} does not take {name}; it is asked without.")
                self._without.add(name)
                return True
        # Sent before another request learned it.
        return any(name in body for name in self._without)

    def _reply(
        self, wasted: list[Usage], content: bytes, seconds: float, address: str
    ) -> ChatReply:
        """Read the body of a chat completion; what a whole one of no use took goes to `wasted`."""
        value = None
        try:
            value = json.loads(content, object_pairs_hook=_unique)
            choice = value["choices"][0]
            finish_reason = choice.get("finish_reason")
            # What goes on from a text comes as text.
            text = choice["text"] if "text" in choice else choice["message"].get("content")
            if not isinstance(text, str | None):
                raise TypeError
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if _usage(value) != (None, None):
                wasted.append(_usage(value))
            start = content[:60].decode("utf-8", "replace")
            raise TransientError(f"the reply is no chat completion: {start!r}") from error
        used = _usage(value)
        try:
            self._check_name(value.get("model"), address)
        except (ModelError, TransientError):
            wasted.append(used)
            raise
        finish_reason = _FINISH_REASONS.get(str(finish_reason), str(finish_reason))
        if finish_reason not in list(FinishReason):
            wasted.append(used)
            raise RefusedRequestError(
                f"{self.identity} ended the reply with {finish_reason[:100]!r}."
            )
        return ChatReply(
            text=text or "",
            finish_reason=FinishReason(finish_reason),
            prompt_tokens=used[0],
            completion_tokens=used[1],
            seconds=seconds,
            endpoint=address,
        )

    def _check_name(self, served: object, address: str) -> None:
        """Refuse the reply of another model than the one that was asked for.

        Raises:
            ModelError: The endpoint answers as another model from the start.
            TransientError: This one reply is another model's.
        """
        if served is None or _same_model(self.identity, str(served)):
            self._right.add(address)
            return
        self._wrong[address] += 1
        if address in self._right or self._wrong[address] < _WRONG_NAMES:
            raise TransientError(f"the reply is of {str(served)[:100]!r}, another model")
        raise ModelError(
            f"{address} answers as {str(served)[:100]!r}, not as {self.identity!r}. Write the name "
            f"it answers by behind the #, or have it serve the model you want."
        )


def _same_model(asked: str, served: str) -> bool:
    """Say whether a reply's model is the one asked for, or a dated or longer name of it.

    `gpt-4o` is answered as `gpt-4o-2024-08-06`, `Qwen2.5` as `qwen/qwen2.5`; `gpt-4o-mini` is
    another model, and so is `llama-3-70b` for `llama-3`.
    """
    wanted, given = (
        name.lower().rsplit("/", 1)[-1].removesuffix(".gguf").removesuffix("-latest")
        for name in (asked, served)
    )
    if given in (wanted, ""):
        return True
    return given.startswith(wanted) and _VERSION.match(given, len(wanted)) is not None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says two things under one name."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key occurs twice")
    return table


def _usage(value: object) -> Usage:
    """Return what a reply took; None for a count that the endpoint gives not, or without sense."""
    usage = value.get("usage") if isinstance(value, dict) else None
    if not isinstance(usage, dict):
        return None, None
    prompt, completion = (
        count if type(count) is int and 0 <= count < 1 << 31 else None
        for count in (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    )
    return prompt, completion


def _sum(usages: Sequence[Usage]) -> Usage:
    """Return what several replies took together, as far as it is known."""
    prompts, completions = (
        [count for count in counts if count is not None] for counts in zip(*usages, strict=True)
    )
    return (sum(prompts) if prompts else None, sum(completions) if completions else None)


def _with(reply: ChatReply, wasted: Sequence[Usage]) -> ChatReply:
    """Return a reply that bears what was paid on the way to it, too."""
    prompt, completion = reply.prompt_tokens, reply.completion_tokens
    if prompt is None or completion is None:
        return reply
    more_prompt, more_completion = _sum(wasted)
    return reply.model_copy(
        update={
            "prompt_tokens": prompt + (more_prompt or 0),
            "completion_tokens": completion + (more_completion or 0),
        }
    )
