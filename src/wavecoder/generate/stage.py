"""Stage `generate`: an instance for each function of the coreset, written, checked and judged."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ConfigError, RefusedRequestError, StoppedError, WaveCoderError
from wavecoder.generate.assign import assign
from wavecoder.generate.checks import Draft, first_failure
from wavecoder.generate.discriminator import discriminator_request, parse_verdict
from wavecoder.generate.examples import ExampleDatabase, as_example
from wavecoder.generate.generator import Assignment, generator_request
from wavecoder.generate.sections import parse_sections
from wavecoder.generate.task import built_in_tasks, load_task
from wavecoder.languages import language
from wavecoder.llm import Ledger, Remembering, Slots, open_model
from wavecoder.records import (
    ChatReply,
    ChatRequest,
    Example,
    FinishReason,
    Instance,
    RawCode,
    Rejected,
    Sampling,
)
from wavecoder.stage import Context

__all__ = ["Generate"]

Outcome = Instance | Rejected


class Generate:
    """Generator, checks, discriminator and example database (paper section 2.2.2).

    Rounds: the functions are taken in coreset order, `round_size` at a time; a round sees the
    examples of all rounds before it, whatever the order replies arrived in.
    """

    name: ClassVar[str] = "generate"
    data_version: ClassVar[int] = 1
    streaming: ClassVar[bool] = True
    writes: ClassVar[type[Instance]] = Instance

    class Config(BaseModel):
        """The `generate` table of a recipe."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        generator: str
        """The model that writes: `local:NAME`, `http://host:port/v1#NAME`, `scripted:FILE`."""
        discriminator: str | None = None
        """The model that judges; the generator's where left out."""
        api_key_env: str | None = None
        """Name of the environment variable that holds the endpoint's key."""
        tasks: dict[str, Annotated[float, Field(gt=0)] | None] = Field(
            default_factory=lambda: dict.fromkeys(built_in_tasks())
        )
        """Tasks, by name or by path of a task's file, and their weights; a task without a weight
        has its own (the built-in ones: the paper's counts)."""
        target_languages: tuple[str, ...] = ("python", "javascript", "java", "go", "cpp", "rust")
        """Languages a translation may go to; by default those of HumanEvalPack."""
        examples: Literal["none", "static", "feedback"] = "feedback"
        """Examples in the prompts: none, only the tasks' own, or also those of earlier rounds."""
        good_examples: Annotated[int, Field(ge=0)] = 2
        """Good examples in a generator's prompt. The released code shows one; a small model copies
        a single one word by word, and far less often one of two."""
        bad_examples: Annotated[int, Field(ge=0)] = 1
        """Bad examples in a generator's prompt, as in the released code."""
        round_size: Annotated[int, Field(gt=0)] = 8
        """Functions that see the same examples."""
        attempts: Annotated[int, Field(gt=0)] = 1
        """How often a function is tried, with a new random seed, until an instance is accepted. The
        last attempt is the outcome; the replies of the others are in the run's replies alone."""
        generator_sampling: Sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=512)
        discriminator_sampling: Sampling = Sampling(temperature=0.0, max_tokens=256)

    def __init__(self, config: Config) -> None:
        """Load the tasks and name the models; neither is asked yet.

        Raises:
            ConfigError: A task or language is unknown.
            ModelNotFoundError: A model is unknown.
        """
        self.config = config
        if not config.tasks:
            raise ConfigError("generate.tasks is empty. Name a task, or leave the key out.")
        # Sorted, so that the order in the recipe, which no fingerprint sees, decides nothing.
        loaded = [(load_task(name), config.tasks[name]) for name in sorted(config.tasks)]
        self.tasks = {task.name: task for task, _ in loaded}
        self.weights = {task.name: weight or task.weight for task, weight in loaded}
        self.targets = tuple(language(name).name for name in config.target_languages)
        self.generator = open_model(config.generator, api_key_env=config.api_key_env)
        self.discriminator = (
            self.generator
            if config.discriminator in (None, config.generator)
            else open_model(config.discriminator, api_key_env=config.api_key_env)
        )

    def identity(self) -> Mapping[str, object]:
        """Return the config, with models by revision and tasks by content."""
        config = self.config.model_dump(mode="json", exclude={"api_key_env", "tasks"})
        return {
            **config,
            "generator": self.generator.identity,
            "discriminator": self.discriminator.identity,
            "weights": self.weights,
            "tasks": {name: task.model_dump(mode="json") for name, task in self.tasks.items()},
        }

    def inputs(self, ctx: Context) -> Iterable[RawCode]:
        """Return the coreset, in pick order.

        Raises:
            ConfigError: The recipe has no stage before this one.
        """
        if not ctx.upstream:
            raise ConfigError(
                "generate needs functions and no stage before it gives any; "
                "add collect and select to the recipe."
            )
        return list(ctx.upstream.values())[-1].records(RawCode)

    def run(self, inputs: Iterable[RawCode], ctx: Context) -> Iterator[Outcome]:
        """Yield an instance, or the reason why there is none, for each function in order."""
        with asyncio.Runner() as runner, Ledger(ctx.replies) as ledger:
            work = _Work(self, ctx, ledger)
            outcomes = work.outcomes(inputs)
            try:
                while True:
                    try:
                        yield runner.run(_next(outcomes))
                    except StopAsyncIteration:
                        return
            finally:
                runner.run(work.close(outcomes))


async def _next(outcomes: AsyncIterator[Outcome]) -> Outcome:
    return await anext(outcomes)


@dataclass
class _Job:
    """One function on its way to an outcome."""

    raw: RawCode
    place: int
    """Its place in the coreset, from 0."""
    round: int
    replies: list[ChatReply] = field(default_factory=list)
    """The replies its outcome rests on."""


class _Work:
    """One run of the stage: the models, the rounds in flight and the example database."""

    def __init__(self, stage: Generate, ctx: Context, ledger: Ledger) -> None:
        self.stage = stage
        self.ctx = ctx
        same = stage.discriminator is stage.generator
        self.generator = Remembering(stage.generator, ledger)
        self.discriminator = self.generator if same else Remembering(stage.discriminator, ledger)
        own = (example for task in stage.tasks.values() for example in task.own_examples)
        self.database = ExampleDatabase(() if stage.config.examples == "none" else own)
        # The outcomes the database has not taken yet, in record order.
        self.waiting = deque(as_example(one) for one in ctx.finished(Instance))
        self.place = len(self.waiting)
        self.slots = {
            model.identity: Slots(min(ctx.concurrency, model.concurrency or ctx.concurrency))
            for model in (stage.generator, stage.discriminator)
        }
        self.flying: set[asyncio.Task[Outcome]] = set()
        self.closing = False

    async def outcomes(self, inputs: Iterable[RawCode]) -> AsyncIterator[Outcome]:
        """Yield the outcomes in input order, a round at a time."""
        size = self.stage.config.round_size
        functions = iter(inputs)
        # A resumed run first completes the round in which it was stopped.
        while batch := list(islice(functions, size - self.place % size)):
            self._learn(len(self.waiting) - self.place % size)
            jobs = [
                _Job(raw, place, self.place // size)
                for place, raw in enumerate(batch, start=self.place)
            ]
            tasks = [asyncio.create_task(self._function(job)) for job in jobs]
            self.flying.update(tasks)
            for job, task in zip(jobs, tasks, strict=True):
                outcome = await task
                self.flying.discard(task)
                self.place += 1
                self.waiting.append(as_example(outcome))
                for reply in job.replies:
                    self.ctx.used(reply)
                yield outcome

    async def close(self, outcomes: AsyncIterator[Outcome]) -> None:
        """Let the requests in flight finish, so that their replies are kept; begin no others."""
        self.closing = True
        await asyncio.gather(*self.flying, return_exceptions=True)
        await outcomes.aclose()  # type: ignore[attr-defined]
        await self.generator.close()
        await self.discriminator.close()

    def _learn(self, count: int) -> None:
        """Let the database take the next `count` outcomes."""
        for _ in range(count):
            example = self.waiting.popleft()
            if example is not None and self.stage.config.examples == "feedback":
                self.database.add(example)

    async def _function(self, job: _Job) -> Outcome:
        """Return what became of one function after its last attempt."""
        stage, raw = self.stage, job.raw
        rng = self.ctx.rng(raw.id)
        assignment = assign(raw, job.place, stage.weights, stage.tasks, stage.targets, rng)
        if assignment is None:
            detail = f"none of the tasks {', '.join(stage.tasks)} suits it"
            return Rejected(id=raw.id, reason="no_task", detail=detail)
        for attempt in range(stage.config.attempts):
            outcome = await self._attempt(job, assignment, attempt)
            if isinstance(outcome, Instance) or outcome.reason == "model_refused":
                break
        return outcome

    async def _attempt(self, job: _Job, assignment: Assignment, attempt: int) -> Outcome:
        """Ask the generator, check its reply, ask the discriminator."""
        raw, task, config = job.raw, assignment.task, self.stage.config
        rng = self.ctx.rng(f"{raw.id}/{attempt}")
        draw = partial(self.database.draw, task.name, (raw.language, assignment.target_language))
        good = draw(rng, good=True, count=config.good_examples)
        bad = draw(rng, good=False, count=config.bad_examples)
        sampling = config.generator_sampling
        sampling = sampling.model_copy(update={"seed": sampling.seed ^ rng.getrandbits(31)})
        request = generator_request(assignment, good, bad, sampling)
        reply = await self._ask(job, self.generator, request)
        refused = partial(Rejected, id=raw.id, task=task.name)
        if isinstance(reply, str):
            return refused(reason="model_refused", detail=reply)
        refused = partial(refused, reply=reply.text)
        if reply.finish_reason is FinishReason.LENGTH:
            detail = f"the reply was cut at {reply.completion_tokens} tokens"
            return refused(reason="cut_off", detail=detail)
        sections = parse_sections(reply.text)
        if isinstance(sections, str):
            return refused(reason="no_sections", detail=sections)
        draft = Draft(assignment, sections, good)
        judged = [*draw(rng, good=False, count=1, judged=True), *draw(rng, good=True, count=1)]
        instance = Instance(
            id=raw.id,
            task=task.name,
            language=raw.language,
            target_language=assignment.target_language,
            instruction=sections.instruction,
            information=draft.information,
            solution=draft.solution,
            raw_code=raw,
            bug=assignment.bug.kind if assignment.bug else None,
            reply=reply.text,
            verdict=None,
            generator=self.generator.identity,
            discriminator=None,
            round=job.round,
            attempt=attempt,
            example_ids=tuple(dict.fromkeys(one.id for one in (*good, *bad, *judged))),
        )
        failure = first_failure(draft)
        if failure is not None:
            return refused(reason=failure[0], detail=failure[1], instance=instance)
        return await self._discriminate(job, instance, judged)

    async def _discriminate(self, job: _Job, draft: Instance, examples: list[Example]) -> Outcome:
        """Return the instance with its verdict, or the rule that refused it."""
        task, config = self.stage.tasks[draft.task], self.stage.config
        request = discriminator_request(task, draft, examples, config.discriminator_sampling)
        reply = await self._ask(job, self.discriminator, request)
        refused = partial(Rejected, id=draft.id, task=draft.task)
        if isinstance(reply, str):
            return refused(reason="model_refused", detail=reply, instance=draft)
        refused = partial(refused, reply=reply.text)
        verdict = parse_verdict(reply.text, task.rules)
        if isinstance(verdict, str):
            return refused(reason="no_verdict", detail=verdict, instance=draft)
        judge = self.discriminator.identity
        instance = draft.model_copy(update={"verdict": verdict, "discriminator": judge})
        if verdict.passed:
            return instance
        failed = next((rule for rule in verdict.rules if not rule.passed), None)
        if failed is None:
            detail = "every rule is yes and the overall answer is no"
            return refused(reason="overall_no", detail=detail, instance=instance)
        detail = failed.reason or "the discriminator gives no reason"
        return refused(reason=f"rule_{failed.rule}", detail=detail, instance=instance)

    async def _ask(self, job: _Job, model: Remembering, request: ChatRequest) -> ChatReply | str:
        """Return the reply, or the model's own words where it refuses this request for good."""
        async with self.slots[model.identity].hold(job.place):
            if self.closing or self.ctx.stop.is_set():
                raise StoppedError("Stopped in generate; every finished reply is saved.")
            asked = model.asked
            try:
                reply = await model.complete(request)
            except RefusedRequestError as error:
                return str(error)
            except WaveCoderError:
                self.closing = True  # before the slot goes to the next who waits
                raise
        if model.asked > asked:
            self.ctx.progress.tokens(reply.completion_tokens)
        job.replies.append(reply)
        return reply
