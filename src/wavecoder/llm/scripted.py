"""Canned replies, for tests and dry runs: `scripted:replies.yaml`.

```yaml
- match: 'task_name: .*summarization'     # a regular expression on the last user message
  reply: |
    task_name: code summarization
- match: 'You judge'
  anywhere: true                          # …or on any message
  replies: [first, second]                # one is chosen by the request's seed
  finish_reason: length                   # default: stop
  delay: 0.5                              # seconds before it answers; default: none
```

The first rule that matches answers. From Python: `ScriptedModel.from_function("echo", function)`.
"""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavecoder.errors import ConfigError, ModelNotFoundError, RefusedRequestError
from wavecoder.plugins import validate
from wavecoder.records import ChatReply, ChatRequest, FinishReason, digest

__all__ = ["Line", "ScriptedModel"]


class Line(BaseModel):
    """One rule of a script: what it matches and what it answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    match: str
    """Regular expression, searched for; `(?s)` lets a dot match the end of a line."""
    anywhere: bool = False
    """Search in all messages, not only in the last user message."""
    reply: str | None = None
    replies: tuple[str, ...] = ()
    """In place of `reply`: the request's seed chooses among them."""
    finish_reason: FinishReason = FinishReason.STOP
    delay: Annotated[float, Field(ge=0)] = 0.0
    """Seconds before it answers."""

    @model_validator(mode="after")
    def _one_kind_of_reply(self) -> "Line":
        if (self.reply is None) == (not self.replies):
            raise ValueError("give either reply or replies")
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match is no regular expression ({error})") from error
        return self

    def answers(self, request: ChatRequest) -> bool:
        """Return True if this line is for `request`."""
        asked = [message.content for message in request.messages if message.role == "user"][-1:]
        texts = [message.content for message in request.messages] if self.anywhere else asked
        return any(re.search(self.match, text) for text in texts)

    def text(self, request: ChatRequest) -> str:
        """Return the reply for `request`."""
        if self.reply is not None:
            return self.reply
        return self.replies[request.sampling.seed % len(self.replies)]


class ScriptedModel:
    """A chat model that answers from a script; tokens are counted in words."""

    concurrency: int | None = None
    free = True

    def __init__(self, spec: str, api_key_env: str | None = None) -> None:
        """Read the script named by `spec`, `scripted:PATH`; the key is not used.

        Raises:
            ModelNotFoundError: The file is not there.
            ConfigError: It is not a script.
        """
        lines = _read(Path(spec.partition(":")[2]).expanduser())
        # The delay changes no reply; whatever else the script says does.
        deciding = [line.model_dump(mode="json", exclude={"delay"}) for line in lines]
        self.identity = f"scripted@{digest(json.dumps(deciding))}"
        self._find: Callable[[ChatRequest], tuple[ChatReply, float] | None] = lambda request: (
            _look_up(lines, request)
        )

    @classmethod
    def from_function(
        cls, identity: str, function: Callable[[ChatRequest], str | ChatReply]
    ) -> "ScriptedModel":
        """Return a model that answers with `function`, which may raise RefusedRequestError."""
        model = cls.__new__(cls)
        model.identity = identity

        def find(request: ChatRequest) -> tuple[ChatReply, float]:
            answer = function(request)
            if isinstance(answer, str):
                answer = _reply(request, answer, FinishReason.STOP)
            return answer, 0.0

        model._find = find
        return model

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the scripted reply.

        Raises:
            RefusedRequestError: No line of the script matches.
        """
        found = self._find(request)
        if found is None:
            asked = request.messages[-1].content if request.messages else ""
            raise RefusedRequestError(
                f"No line of the script ({self.identity}) matches the request {asked[:60]!r}. "
                f"Add one that does."
            )
        reply, delay = found
        await asyncio.sleep(delay)
        return reply

    async def close(self) -> None:
        """Release nothing."""


def _look_up(lines: list[Line], request: ChatRequest) -> tuple[ChatReply, float] | None:
    for line in lines:
        if line.answers(request):
            reply = _reply(request, line.text(request), line.finish_reason)
            return reply.model_copy(update={"seconds": line.delay}), line.delay
    return None


def _reply(request: ChatRequest, text: str, finish_reason: FinishReason) -> ChatReply:
    return ChatReply(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=sum(len(message.content.split()) for message in request.messages),
        completion_tokens=len(text.split()),
        seconds=0.0,
    )


def _read(path: Path) -> list[Line]:
    try:
        value: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelNotFoundError(
            f"Cannot read the script {path}: {error.strerror}. Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The script {path} is not UTF-8 text. Save it as UTF-8.") from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"The script {path} is not YAML: {problem}. Mend it there.") from error
    if not isinstance(value, list) or not value:
        raise ConfigError(
            f"The script {path} is no list of lines with match and reply. "
            f"See wavecoder.llm.scripted for one."
        )
    return [validate(Line, line, f"{path}[{number}]") for number, line in enumerate(value)]
