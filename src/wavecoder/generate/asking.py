"""What stages share that ask models through the engine: prices, limits, a sandbox, outcomes."""

import asyncio
import json
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing, contextmanager
from pathlib import Path

from wavecoder.artifact import write_text
from wavecoder.generate.engine import Engine, Job
from wavecoder.generate.proofs import Prover
from wavecoder.llm import Budget, Ledger, Prices, Remembering
from wavecoder.protocols import ChatModel
from wavecoder.records import Instance, Level, RawCode
from wavecoder.sandbox import open_sandbox
from wavecoder.stage import Context

__all__ = ["held", "outcomes", "prices_of", "prover_for", "write_free"]


def _free(models: Iterable[ChatModel]) -> set[str]:
    """Return the identities of those that cost nothing."""
    return {model.identity for model in models if getattr(model, "free", False)}


def write_free(models: Iterable[ChatModel], ctx: Context) -> None:
    """Note in the artifact which models cost nothing, for the report."""
    write_text(ctx.files / "free.json", json.dumps({"models": sorted(_free(models))}) + "\n")


def prices_of(models: Iterable[ChatModel], path: Path | None) -> Prices:
    """Return what tokens cost, with nothing for a model that runs on this machine.

    Args:
        models: Who is asked.
        path: The user's own prices.

    Raises:
        ConfigError: They cannot be read.
    """
    return Prices.load(path).with_free(_free(models))


def held(
    models: Sequence[ChatModel], ledger: Ledger, ctx: Context
) -> tuple[list[Remembering], Budget]:
    """Return models behind their ledger, held to the limits, and the budget they share.

    One that stands twice in `models` is one behind the ledger, too.

    Raises:
        ConfigError: There is a cap on cost and a model's price is unknown.
    """
    limits = ctx.limits
    prices = prices_of(models, limits.prices)
    budget = Budget(prices=prices, max_cost=limits.max_cost, max_tokens=limits.max_tokens)
    spent = ledger.usage()
    for identity in dict.fromkeys(model.identity for model in models):
        budget.begin(identity, *spent.get(identity, (0, 0)))
    remembering: dict[int, Remembering] = {}
    for model in models:
        if id(model) in remembering:
            continue
        drive = getattr(model, "drive", None)
        if drive is not None:
            drive(limits, ctx.progress.note)
        remembering[id(model)] = Remembering(model, ledger, budget)
    return [remembering[id(model)] for model in models], budget


@contextmanager
def prover_for(levels: Mapping[str, Level], ctx: Context) -> Iterator[Prover | None]:
    """Give what runs code, where one of the levels asks for it.

    Raises:
        SandboxError: No sandbox works here.
    """
    if all(level == Level.PARSED for level in levels.values()):
        yield None
        return
    limits = ctx.limits
    with closing(open_sandbox(limits.sandbox, unsandboxed=limits.unsandboxed)) as sandbox:
        for weakness in sandbox.weaknesses:
            ctx.progress.note(f"{ctx.stage}: {weakness}")
        with closing(Prover(sandbox, levels, threads=ctx.processes)) as prover:
            yield prover


def outcomes(
    make: Callable[[Ledger], Engine], inputs: Iterable[RawCode], ctx: Context
) -> Generator[Job, None, None]:
    """Yield the jobs of an engine with their outcomes, in order; count the replies they rest on.

    Close it: only then are the requests in flight waited for and their replies kept.

    Args:
        make: Makes the engine over the run's replies.
        inputs: The functions.
        ctx: The stage's context.
    """
    with asyncio.Runner() as runner, Ledger(ctx.replies) as ledger:
        engine = make(ledger)
        batches = engine.batches(inputs)
        try:
            while (jobs := runner.run(_next(batches))) is not None:
                for job in jobs:
                    assert job.outcome is not None
                    # One that failed rests on no reply; tried again, it would count them twice.
                    if isinstance(job.outcome, Instance) or not job.outcome.failed:
                        for model, reply in job.replies:
                            ctx.used(model, reply)
                    yield job
        finally:
            runner.run(_end(engine, batches))


async def _next(batches: AsyncIterator[Sequence[Job]]) -> Sequence[Job] | None:
    return await anext(batches, None)


async def _end(engine: Engine, batches: AsyncIterator[Sequence[Job]]) -> None:
    await engine.close()
    await batches.aclose()  # type: ignore[attr-defined]
