"""The sample: which functions, what they would be asked at most, and asking them."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from wavecoder.errors import RefusedRequestError
from wavecoder.generate import Generate
from wavecoder.generate.examples import ExampleDatabase, as_example
from wavecoder.generate.method import Desk, Outcome
from wavecoder.llm import Ledger
from wavecoder.llm.budget import most_prompt_tokens
from wavecoder.llm.fake.replies import read_prompt
from wavecoder.protocols import ChatModel
from wavecoder.records import (
    ChatReply,
    ChatRequest,
    FinishReason,
    Instance,
    RawCode,
    digest,
)
from wavecoder.stage import Context

__all__ = [
    "Call",
    "Row",
    "Sampling",
    "Tried",
    "ask",
    "fed_back",
    "imagined",
    "most",
    "places",
    "replayed",
]

_MOST_EXAMPLES = 100
"""Outcomes of the sample that stand for those of earlier rounds."""
_PLAIN = (
    "Write a function that takes a list of whole numbers and returns the largest sum of "
    "neighbours in it, or zero for an empty list."
)
"""What a made-up reply says to a prompt that is none of ours: an instruction goes a long way."""


@dataclass(frozen=True)
class Row:
    """A function and its place in the coreset, from 0."""

    place: int
    raw: RawCode


@dataclass(frozen=True)
class Call:
    """One request, as far as it can be told without sending it."""

    model: str
    attempt: int
    characters: int
    """Of all messages together."""
    max_tokens: int
    reply: ChatReply | None
    """The reply, where it is there already; None where one was made up."""


@dataclass
class Tried:
    """A function of the sample with its outcome."""

    row: Row
    outcome: Outcome
    replies: list[tuple[str, ChatReply]]
    """With the model's identity, in the order they came."""


@dataclass
class Sampling(Context):
    """The context of the sample: that of the stage, with each reply kept."""

    replied: list[tuple[str, ChatReply]] = field(default_factory=list)
    """Those of the next outcome."""

    def used(self, model: str, reply: ChatReply) -> None:
        """Keep a reply that the next outcome rests on."""
        self.replied.append((model, reply))


Answer = Callable[[str, ChatRequest], ChatReply | None]
"""What is known of a reply: the model's identity and the request give it, or None to make it up."""


def places(stage: Generate, ctx: Context, *, functions: int, wanted: int) -> list[int]:
    """Return the places of the sample: functions whose prompts are those of the full run.

    With examples fed back, the prompts of the first rounds alone are known before anything is made;
    of these, or else of all functions, some are drawn. A larger sample holds the smaller ones.
    Where more are wanted than that, they are the coreset's first, which the run begins with too.
    """
    config = stage.config
    # With a target the run may end there.
    within = min(functions, config.target or functions)
    if config.examples == "feedback":
        size, lag = config.rounds(functions)
        if wanted > size * lag:
            return list(range(min(wanted, within)))
        within = min(within, size * lag)
    drawn = list(range(within))
    ctx.rng("estimate").shuffle(drawn)
    return sorted(drawn[:wanted])


def ask(stage: Generate, ctx: Sampling, rows: Sequence[Row]) -> list[Tried]:
    """Ask for the functions of the sample as the run will.

    Raises:
        ModelError: The model does not answer.
        BudgetError: What may be spent is not enough.
        StoppedError: The user asked to stop.
    """
    tried = []
    ctx.progress.start("sample", len(rows), 0)
    for row, outcome in zip(rows, stage.run(_at_places(rows, ctx), ctx), strict=True):
        replies, ctx.replied = ctx.replied, []
        tried.append(Tried(row, outcome, replies))
        ctx.progress.outcome(None if isinstance(outcome, Instance) else outcome.reason)
    accepted = sum(isinstance(one.outcome, Instance) for one in tried)
    ctx.progress.end(f"{accepted} of {len(tried)} accepted")
    return tried


def _at_places(rows: Sequence[Row], ctx: Context) -> Iterator[RawCode]:
    for row in rows:
        ctx.place = row.place
        yield row.raw


def imagined(
    stage: Generate, ctx: Context, rows: Sequence[Row], ledger: Ledger | None, functions: int
) -> list[list[Call]]:
    """Return the calls of functions that no model was asked about, replies being made up.

    Every attempt is gone through, unless replies that the ledger holds end it earlier.
    """

    def answer(model: str, request: ChatRequest) -> ChatReply | None:
        return None if ledger is None else ledger.get(ledger.key(model, request))

    return _rehearse(stage, ctx, [(row, _own(stage), answer) for row in rows], functions)


def replayed(
    stage: Generate, ctx: Context, tried: Sequence[Tried], functions: int
) -> list[list[Call]]:
    """Return the calls of the sample, from the replies that came."""
    work = [(one.row, _own(stage), _those(one)) for one in tried]
    return _rehearse(stage, ctx, work, functions)


def fed_back(
    stage: Generate, ctx: Context, tried: Sequence[Tried], functions: int
) -> list[list[Call]]:
    """Return the same calls as they were if the sample's outcomes were the examples."""
    made = [example for one in tried if (example := as_example(one.outcome)) is not None]
    work = []
    for one in tried:
        # A function's own outcome is no example for it: its reply would pass for copied.
        others = [example for example in made if not example.id.endswith(one.row.raw.id)]
        examples = ExampleDatabase([*stage.method.own_examples, *others[:_MOST_EXAMPLES]])
        work.append((one.row, examples, _those(one)))
    return _rehearse(stage, ctx, work, functions)


def _those(one: Tried) -> Answer:
    """Return an answer that gives the replies of one function, one after the other."""
    replies = deque(one.replies)

    def answer(model: str, request: ChatRequest) -> ChatReply:
        if not replies:
            raise RefusedRequestError("No reply came.")
        return replies.popleft()[1]

    return answer


def _own(stage: Generate) -> ExampleDatabase:
    return ExampleDatabase(() if stage.config.examples == "none" else stage.method.own_examples)


def _rehearse(
    stage: Generate,
    ctx: Context,
    work: Sequence[tuple[Row, ExampleDatabase, Answer]],
    functions: int,
) -> list[list[Call]]:
    size, _ = stage.config.rounds(functions)

    async def all_of_them() -> list[list[Call]]:
        return [await _calls(stage, ctx, size, *one) for one in work]

    return asyncio.run(all_of_them())


async def _calls(
    stage: Generate,
    ctx: Context,
    round_size: int,
    row: Row,
    examples: ExampleDatabase,
    answer: Answer,
) -> list[Call]:
    """Let the method go through one function; return what it asks."""
    calls: list[Call] = []

    async def reply(model: ChatModel, desk: Desk, request: ChatRequest) -> ChatReply:
        if desk.attempt:
            request = request.model_copy(update={"attempt": desk.attempt})
        known = answer(model.identity, request)
        characters = sum(len(message.content) for message in request.messages)
        calls.append(
            Call(model.identity, desk.attempt, characters, request.sampling.max_tokens, known)
        )
        return known or _made_up(request)

    for attempt in range(stage.config.attempts):
        desk = Desk(
            raw=row.raw,
            place=row.place,
            round=row.place // round_size,
            attempt=attempt,
            examples=examples,
            generator=stage.generator.identity,
            discriminator=stage.discriminator.identity,
            random=ctx.rng,
            ask_generator=partial(reply, stage.generator),
            ask_discriminator=partial(reply, stage.discriminator),
        )
        try:
            outcome = await stage.method.attempt(desk)
        except RefusedRequestError:
            break
        if isinstance(outcome, Instance) and all(call.reply for call in calls):
            break
    return calls


def _made_up(request: ChatRequest) -> ChatReply:
    """Return a reply that leads the paper's method through all of its calls."""
    prompt = read_prompt([message.model_dump() for message in request.messages])
    number = int(digest(request.model_dump_json()), 16)
    text = prompt.reply(number) if prompt.rules or prompt.task or prompt.write else _PLAIN
    return ChatReply(
        text=text,
        finish_reason=FinishReason.STOP,
        prompt_tokens=None,
        completion_tokens=None,
        seconds=0.0,
    )


def most(calls: Sequence[Call]) -> Iterator[tuple[str, int, int]]:
    """Yield model, prompt tokens and completion tokens, at most, of each call yet to be asked.

    A character is a token at most. A prompt may repeat all replies that came before it.
    """
    written: dict[int, int] = {}
    for call in calls:
        if call.reply is None:
            before = written.get(call.attempt, 0)
            yield call.model, most_prompt_tokens(call.characters) + before, call.max_tokens
            written[call.attempt] = before + call.max_tokens
