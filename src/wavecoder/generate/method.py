"""How a function becomes an instance: what a method is given, and what it gives back.

The engine decides when a function's turn comes, which examples it may see and what happens when a
model fails; a method decides what is asked, and what an answer is worth.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from wavecoder.generate.examples import ExampleDatabase
from wavecoder.records import ChatReply, ChatRequest, Example, Instance, RawCode, Rejected

if TYPE_CHECKING:
    from wavecoder.generate.config import GenerateConfig
    from wavecoder.generate.proofs import Prover

__all__ = ["Desk", "Method", "Outcome"]

Outcome = Instance | Rejected

Ask = Callable[["Desk", ChatRequest], Awaitable[ChatReply]]


@dataclass
class Desk:
    """What a method has for one attempt at one function."""

    raw: RawCode
    place: int
    """Its place in the coreset, from 0."""
    round: int
    attempt: int
    """From 0."""
    examples: ExampleDatabase
    """What the round may see; draw from it, do not add to it."""
    generator: str
    """Identity of the model that writes."""
    discriminator: str
    """Identity of the model that judges."""
    random: Callable[[str], Random]
    """A generator that depends on the run's seed and this text alone."""
    ask_generator: Ask
    ask_discriminator: Ask
    prover: "Prover | None" = None
    """Runs code; None where the recipe asks for no proof."""
    task: str | None = None
    """Set by the method as soon as it is known: stands in the record if a model then fails."""
    draft: Instance | None = None
    """Set by the method once there is one, for the same reason."""

    def rng(self, *, every_attempt: bool = False) -> Random:
        """Return the function's own generator, of this attempt or the same for every attempt."""
        return self.random(self.raw.id if every_attempt else f"{self.raw.id}/{self.attempt}")

    async def write(self, request: ChatRequest) -> ChatReply:
        """Ask the generator.

        Raises:
            ModelError: It refuses, or fails; the engine makes the record of that.
        """
        return await self.ask_generator(self, request)

    async def judge(self, request: ChatRequest) -> ChatReply:
        """Ask the discriminator; see `write`."""
        return await self.ask_discriminator(self, request)


class Method(Protocol):
    """A recipe of the field: how one function becomes one instance.

    ```python
    class Copy:
        def __init__(self, config):
            self.own_examples = ()

        def identity(self):
            return {"prompt": "Say what this does:"}

        async def attempt(self, desk):
            message = Message(role="user", content="Say what this does: " + desk.raw.code)
            reply = await desk.write(ChatRequest(messages=(message,)))
            return Rejected(id=desk.raw.id, reason="never_good", detail=reply.text)
    ```
    """

    own_examples: Sequence[Example]
    """What the example database begins with."""

    def __init__(self, config: "GenerateConfig") -> None:
        """Load prompts; nothing is asked."""

    def identity(self) -> Mapping[str, Any]:
        """Return what decides the prompts beside the config: their texts."""

    async def attempt(self, desk: Desk) -> Outcome:
        """Return the instance, or why there is none, under the id of `desk.raw`."""
