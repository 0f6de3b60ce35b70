"""Any OpenAI-compatible endpoint: `http://host:port/v1#name`, `https://host/v1#name`.

The part behind `#` is the model's name there; it alone is the model's identity, as the address
does not decide the replies. How it is asked, and asked again, is in `llm/route.py`.
"""

import json
from collections.abc import Mapping
from typing import Any

from wavecoder.errors import RefusedRequestError
from wavecoder.llm.route import Route, TransientError
from wavecoder.records import ChatReply, ChatRequest, FinishReason

__all__ = ["HttpModel"]


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
        self._route = Route(
            spec, "/chat/completions", api_key_env=api_key_env, first_wait=first_wait
        )
        self.identity = self._route.name
        self.concurrency: int | None = None

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply.

        Raises:
            RefusedRequestError: The endpoint refuses this request for good, in its own words.
            ModelError: The endpoint refuses every request, or does not answer in 5 tries.
        """
        messages = [message.model_dump() for message in request.messages]
        body = {"messages": messages, **request.sampling.model_dump()}
        return await self._route.post(body, _reply)

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._route.close()


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
        raise TransientError(f"the reply is no chat completion: {start!r}") from error
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
