"""The stage `evaluate`: completions are sampled, and their programs run.

Of several checkpoints, all trials of one are made before the next is loaded: one is in memory.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import ClassVar

from wavecoder.artifact import write_text
from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.evaluate.config import EvaluateConfig
from wavecoder.evaluate.engine import Asked, Engine
from wavecoder.evaluate.prompts import words
from wavecoder.evaluate.samples import Kind, Sample, Samples, open_samples
from wavecoder.evaluate.trained import TRAINED, Opened, open_checkpoints
from wavecoder.grading import module_of
from wavecoder.grading.scoring import Scorer, Work
from wavecoder.llm import Budget, Ledger, Prices, Remembering, open_model
from wavecoder.protocols import ChatModel
from wavecoder.records import Problem, Rejected, Trial, digest
from wavecoder.sandbox import open_sandbox
from wavecoder.stage import Context

__all__ = ["Evaluate"]


class Evaluate:
    """Sample `samples` completions of every problem, and run each in every mode."""

    name: ClassVar[str] = "evaluate"
    data_version: ClassVar[int] = 1
    streaming: ClassVar[bool] = True
    writes: ClassVar[type[Trial]] = Trial
    Config = EvaluateConfig

    def __init__(self, config: EvaluateConfig) -> None:
        """Open the model, or the answers, and read the benchmarks.

        Raises:
            ConfigError: A benchmark is unknown, or its data or the answers are not as they should
                be.
            ModelError: The model cannot be opened.
        """
        self.config = config
        self.problems = {
            (problem.benchmark, problem.id): problem
            for name in dict.fromkeys(config.benchmarks)
            for problem in load_benchmark(name)[: config.limit]
        }
        problems = list(self.problems.values())
        self.model: ChatModel | None = None
        self.answers: Samples | None = None
        self.trained: dict[str, Opened] = {}
        if config.model is not None and config.model != TRAINED:
            self.model = open_model(config.model, api_key_env=config.api_key_env)
        if config.answers is not None:
            self.answers = open_samples(config.answers, problems, partial=config.partial)

    def identity(self) -> Mapping[str, object]:
        """Return what decides the trials: who answers, the problems, the prompts, the rules."""
        own, own_file = {"model", "api_key_env", "answers"}, self.config.answers
        if self.config.model != TRAINED:
            own |= {"checkpoints", "base_prompt"}
        return {
            **self.config.model_dump(mode="json", exclude=own),
            "model": self._who(),
            "answers": None if own_file is None else _digest(own_file),
            "prompts": digest(json.dumps(words(), sort_keys=True)),
            "problems": digest(*(one.model_dump_json() for one in self.problems.values())),
            # Once they are installed, the trials are others.
            **({"without": sorted(self.lacking)} if self.lacking else {}),
        }

    def _who(self) -> str | None:
        """Return who is measured; which checkpoints there are, the stage before decides."""
        return self.config.model if self.model is None else self.model.identity

    @cached_property
    def lacking(self) -> Mapping[str, str]:
        """Say for every language whose programs cannot be run here what is missing."""
        found = {}
        for language in dict.fromkeys(one.language for one in self.problems.values()):
            try:
                module_of(language).toolchain()
            except ConfigError as error:
                found[language] = str(error)
        return found

    def inputs(self, ctx: Context) -> Sequence[Asked]:
        """Return the trials that there will be: all samples of a problem, then of the next.

        Of several checkpoints, all problems of one, then of the next.

        Raises:
            ConfigError: Programs cannot be run in any of the languages, or there is no checkpoint
                of a name.
            ArtifactError, ModelNotFoundError: What `train` left is not whole.
        """
        if {one.language for one in self.problems.values()} <= set(self.lacking):
            raise ConfigError(" ".join(self.lacking.values()))
        problems = list(self.problems.values())
        if self.config.model == TRAINED:
            self.trained = open_checkpoints(ctx.upstream, self.config.checkpoints)
        if self.answers is None:
            pairs = [(one, index) for one in problems for index in range(self.config.samples)]
        else:
            counts = self.answers.counts
            pairs = [(one, index) for one in problems for index in range(counts.get(one.id, 0))]
        whole = [(model, *pair) for model in self.trained or [""] for pair in pairs]
        return [
            Asked(_id(model, problem, index), problem, index, place, model)
            for place, (model, problem, index) in enumerate(whole)
        ]

    def run(self, inputs: Iterable[Asked], ctx: Context) -> Iterator[Trial | Rejected]:
        """Yield each trial with its executions, or why there is none."""
        self._write_who(ctx)
        with (
            closing(
                open_sandbox(ctx.limits.sandbox, unsandboxed=ctx.limits.unsandboxed)
            ) as sandbox,
            closing(Scorer(sandbox, _workers())) as scorer,
        ):
            for word in (*sandbox.weaknesses, *self.lacking.values()):
                ctx.progress.note(f"evaluate: {word}")
            inputs = map(self._begun, inputs)
            if self.answers is not None:
                yield from self._graded(inputs, self.answers, scorer, ctx)
            else:
                for name, own in groupby(inputs, key=lambda asked: asked.model):
                    yield from self._sampled(own, name, scorer, ctx)

    def _write_who(self, ctx: Context) -> None:
        """Write who is measured, for the report: the checkpoints, and which models are free."""
        if self.trained:
            rows = [one.model_dump(mode="json") for one, _ in self.trained.values()]
            write_text(ctx.files / "checkpoints.json", json.dumps(rows, indent=2) + "\n")
            free = {"models": sorted(self._free())}
            write_text(ctx.files / "free.json", json.dumps(free) + "\n")

    def _begun(self, asked: Asked) -> Asked:
        """Give a trial that cannot be made its outcome."""
        missing = self.lacking.get(asked.problem.language)
        if missing is not None:
            asked.outcome = Rejected(id=asked.id, reason="no_toolchain", detail=missing)
        return asked

    def _graded(
        self, inputs: Iterable[Asked], answers: Samples, scorer: Scorer, ctx: Context
    ) -> Iterator[Trial]:
        """Run what others' files hold, in the files' order, which need not be the problems'."""
        for note in answers.notes:
            ctx.progress.note(f"evaluate: {note}")
        todo = {(asked.problem.id, asked.index): asked for asked in inputs}
        works = (
            Work(
                asked.problem,
                asked.trial(sample.text, _program(asked.problem, sample)),
                sample.fault,
            )
            for sample in answers
            if (asked := todo.get((sample.task_id, sample.index))) is not None
        )
        yield from scorer.score(works, self.config.modes)

    def _sampled(
        self, inputs: Iterable[Asked], name: str, scorer: Scorer, ctx: Context
    ) -> Iterator[Trial | Rejected]:
        """Ask a model, run what it writes, and close the model."""
        found = self.trained[name][1] if name else self.model
        assert found is not None
        if name:
            ctx.progress.note(f"evaluate: {name}, {found.identity}")
        style = self.config.prompt
        if name == "base" and self.config.base_prompt is not None:
            style = self.config.base_prompt
        with asyncio.Runner() as runner, Ledger(ctx.replies) as ledger:
            model = self._remembering(found, ctx, ledger)
            engine = Engine(self.config, model, scorer, ctx, style=style)
            batches = engine.batches(inputs)
            try:
                while (done := runner.run(_next(batches))) is not None:
                    for asked in done:
                        assert asked.outcome is not None
                        if not (isinstance(asked.outcome, Rejected) and asked.outcome.failed):
                            for reply in asked.replies:
                                ctx.used(model.identity, reply)
                        yield asked.outcome
            finally:
                runner.run(_end(engine, batches))

    @property
    def models(self) -> Sequence[ChatModel]:
        """Return the models that are asked, as far as they are known.

        What is trained is there once the stage before has run, and costs nothing.
        """
        known = () if self.model is None else (self.model,)
        return known or tuple(model for _, model in self.trained.values())

    def prices(self, path: Path | None) -> Prices:
        """Return what tokens cost, with nothing for a model that runs on this machine.

        Args:
            path: The user's own prices.

        Raises:
            ConfigError: They cannot be read.
        """
        return Prices.load(path).with_free(self._free())

    def _free(self) -> list[str]:
        return [one.identity for one in self.models if getattr(one, "free", False)]

    def _remembering(self, model: ChatModel, ctx: Context, ledger: Ledger) -> Remembering:
        """Return the model behind its ledger, held to the run's limits and budget."""
        limits = ctx.limits
        prices = self.prices(limits.prices)
        budget = Budget(prices=prices, max_cost=limits.max_cost, max_tokens=limits.max_tokens)
        budget.begin(model.identity, *ledger.usage().get(model.identity, (0, 0)))
        drive = getattr(model, "drive", None)
        if drive is not None:
            drive(limits, ctx.progress.note)
        return Remembering(model, ledger, budget)


def _id(model: str, problem: Problem, index: int) -> str:
    """Return a trial's id; a checkpoint's name has no slash."""
    return f"{model}/" * bool(model) + f"{problem.benchmark}:{problem.id}:{index}"


def _workers() -> int:
    """Return how many programs run at a time.

    One more than there are cores: at its end a box waits for the kernel and leaves its core alone.
    """
    return (os.cpu_count() or 1) + 1


def _digest(path: Path) -> str:
    """Return what stands for a file of answers, or a folder of them."""
    hashed = blake2b(digest_size=16)
    for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if one.is_file():
            hashed.update(str(one.relative_to(path)).encode())
            with one.open("rb") as file:
                while block := file.read(1 << 20):
                    hashed.update(block)
    return hashed.hexdigest()


def _program(problem: Problem, sample: Sample) -> str:
    """Return the whole program of another's answer."""
    return sample.text if sample.kind == Kind.SOLUTION else problem.prompt + sample.text


async def _next(batches: AsyncIterator[Sequence[Asked]]) -> Sequence[Asked] | None:
    return await anext(batches, None)


async def _end(engine: Engine, batches: AsyncIterator[Sequence[Asked]]) -> None:
    await engine.close()
    await batches.aclose()  # type: ignore[attr-defined]
