import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.examples import ExampleDatabase
from wavecoder.generate.method import Desk, Method, Outcome
from wavecoder.records import ChatReply, ChatRequest, Example, FinishReason, RawCode

CODE = "def add(x, y):\n    if x > y:\n        return x + y\n    return y\n"


class Asked:
    """A method at work on one function, and what it asked."""

    def __init__(self, make: Callable[[GenerateConfig], Method]) -> None:
        self.make = make
        self.requests: list[ChatRequest] = []

    def __call__(
        self,
        *replies: str | ChatReply,
        raw: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        examples: Sequence[Example] = (),
        attempt: int = 0,
        seed: int = 0,
    ) -> Outcome:
        """Return the outcome when the generator gives these replies in order, the last for good."""
        self.requests = []

        async def answer(desk: Desk, request: ChatRequest) -> ChatReply:
            self.requests.append(request)
            reply = replies[min(len(self.requests), len(replies)) - 1]
            if isinstance(reply, ChatReply):
                return reply
            return chat_reply(reply)

        async def nobody(desk: Desk, request: ChatRequest) -> ChatReply:
            raise AssertionError("a method without a discriminator asked it")

        desk = Desk(
            raw=raw_code(**(raw or {})),
            place=0,
            round=3,
            attempt=attempt,
            examples=ExampleDatabase(examples),
            generator="writer@1",
            discriminator="judge@1",
            random=lambda text: Random(f"{seed}/{text}"),
            ask_generator=answer,
            ask_discriminator=nobody,
        )
        table = {"generator": "scripted:x", "method": "field", **(config or {})}
        return asyncio.run(self.make(GenerateConfig.model_validate(table)).attempt(desk))

    @property
    def last(self) -> str:
        """Return the last user message."""
        return self.requests[-1].messages[-1].content


def raw_code(**changes: Any) -> RawCode:
    fields = {
        "id": "f1",
        "language": "python",
        "name": "Sums.addLarge",
        "code": CODE,
        "docstring": "Adds two numbers.\n\nMore on that.",
        "source": "test",
        "path": "t.py",
        "start_line": 1,
        "end_line": 4,
        "content_hash": "0",
    }
    return RawCode.model_validate({**fields, **changes})


def chat_reply(text: str, finish_reason: FinishReason = FinishReason.STOP) -> ChatReply:
    return ChatReply(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=None,
        completion_tokens=None,
        seconds=0.0,
    )


@pytest.fixture
def cut_off() -> ChatReply:
    """A reply that ended at its allowance."""
    return chat_reply("[Problem] Add two nu", FinishReason.LENGTH)


@pytest.fixture
def asking() -> type[Asked]:
    """Put a method to work on one function."""
    return Asked
