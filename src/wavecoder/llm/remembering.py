"""A chat model that asks only for what the ledger does not hold, and within the budget."""

import asyncio

from wavecoder.errors import ModelError, StoppedError, WaveCoderError
from wavecoder.llm.budget import Budget
from wavecoder.llm.ledger import Ledger, key_of, plain_text
from wavecoder.protocols import ChatModel
from wavecoder.records import ChatReply, ChatRequest

__all__ = ["Remembering"]


class _Flight:
    """A request on its way; others who ask the same wait for it."""

    def __init__(self) -> None:
        self.landed = asyncio.Event()
        self.error: WaveCoderError | None = None


class Remembering:
    """A chat model that asks another one only for what the ledger does not hold.

    Equal requests in flight at the same time are sent once. Whoever opened the ledger closes it.

    The budget counts the replies that came, as the ledger does, so that a run that is resumed goes
    on from the same sum. Whole replies of no use (another model's, say) count with the one that was
    of use; where none was, in this process alone. What an endpoint bills for a try without a whole
    reply (it came too late, was cut short, or the run was killed meanwhile) nobody tells us, and it
    is not counted.
    """

    def __init__(self, model: ChatModel, ledger: Ledger, budget: Budget | None = None) -> None:
        """Put `ledger` in front of `model`; what is sent must fit the budget."""
        self.identity = model.identity
        self.free: bool = getattr(model, "free", False)
        """It costs nothing, and what is asked stays on this machine."""
        self.adapts = hasattr(model, "drive")
        """It keeps to the run's limits itself; how many it takes changes all the time."""
        self.asked = 0
        """Requests sent to the model."""
        self.remembered = 0
        """Replies that came from the ledger or from an equal request in flight."""
        self._model = model
        self._ledger = ledger
        self._budget = budget
        self._flights: dict[str, _Flight] = {}
        self._drained = False
        self._at_model = 0

    @property
    def in_flight(self) -> int:
        """Requests that were sent and not answered yet, where the model tells; else those it has.

        A model that adapts keeps some waiting until the endpoint takes them.
        """
        sent: int = getattr(self._model, "in_flight", self._at_model)
        return sent

    @property
    def concurrency(self) -> int | None:
        """Most requests worth having in flight now; None leaves it to the caller."""
        return self._model.concurrency

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply to `request`, stored before it is returned.

        Raises:
            RefusedRequestError: This request can never succeed.
            FailedRequestError: It failed again and again, while others were answered.
            ModelError: The model does not answer.
            BudgetError: Nothing more may be spent.
            ArtifactError: The ledger cannot be read or written.
        """
        plain = plain_text(request)
        key = key_of(self.identity, request.attempt, plain)
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            # Landed, or its asker was cancelled: then the first who waited asks in its place.
        stored = self._ledger.get(key)
        if stored is not None:
            self.remembered += 1
            return stored
        flight = self._flights[key] = _Flight()
        try:
            reply = await self._ask(request)
            return await self._ledger.store(key, self.identity, request.attempt, plain, reply)
        except WaveCoderError as error:
            flight.error = error
            raise
        finally:
            del self._flights[key]
            flight.landed.set()

    async def _ask(self, request: ChatRequest) -> ChatReply:
        """Send a request, within the budget."""
        admission = None
        if self._budget is not None:
            characters = sum(len(message.content) for message in request.messages)
            admission = await self._budget.admit(
                self.identity,
                prompt_characters=characters,
                max_tokens=request.sampling.max_tokens,
            )
        if self._drained:  # while it waited for the budget
            if admission is not None:
                admission.release()
            raise StoppedError("Stopped; every finished reply is saved.")
        self.asked += 1
        self._at_model += 1
        try:
            reply = await self._model.complete(request)
            if admission is not None:
                admission.settle(reply.prompt_tokens, reply.completion_tokens)
            return reply
        except ModelError as error:
            if admission is not None and error.used is not None:
                admission.settle(*error.used)
            raise
        finally:
            self._at_model -= 1
            if admission is not None:
                admission.release()  # nothing, once it is settled

    def drain(self) -> None:
        """Let what is in flight finish and send nothing more, where the model can do that."""
        self._drained = True
        drain = getattr(self._model, "drain", None)
        if drain is not None:
            drain()

    async def close(self) -> None:
        """Release the model; the ledger stays open."""
        await self._model.close()
