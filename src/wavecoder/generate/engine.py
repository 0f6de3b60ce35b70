"""The engine: functions on their way to outcomes, many at a time, in an order that decides nothing.

Functions are taken in coreset order, `round_size` at a time. A round sees the examples of rounds
that are complete at least `lag` rounds ago and of no others, so replies may come in any order and a
slow one holds up nobody until the window of `lag` rounds is full of waiting outcomes. Outcomes are
given out in coreset order.

With a target, a function is begun only while the accepted ones and those on their way are fewer
than the target. What is begun is then the shortest beginning of the coreset that holds the target,
and no reply is paid for that the dataset does not need.

An accepted instance that nearly repeats an earlier one is refused, once everything before it is
decided: that, too, hangs on the coreset's order alone.
"""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from wavecoder.contamination import document_of_record, first_hit, told
from wavecoder.errors import (
    BudgetError,
    FailedRequestError,
    ModelError,
    RefusedRequestError,
    StoppedError,
    WaveCoderError,
)
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.duplicates import AcceptedInstances
from wavecoder.generate.examples import ExampleDatabase, as_example
from wavecoder.generate.method import Desk, Method, Outcome
from wavecoder.generate.proofs import Prover, Refusal
from wavecoder.languages.secrets import secret_in
from wavecoder.llm import Budget, Remembering, Slots
from wavecoder.records import ChatReply, ChatRequest, Example, Instance, RawCode, Rejected
from wavecoder.stage import Context

__all__ = ["Engine", "Job"]

_RECENT = 100  # inputs whose failures are counted
_NUMBER = re.compile(r"\d+")
_MOST_CHARACTERS = 50_000  # of a refused reply that stand in its record
_LOOK_SECONDS = 0.2  # between two looks at whether the user asked to stop


@dataclass
class Job:
    """One function on its way to an outcome."""

    raw: RawCode
    place: int
    """Its place in the coreset, from 0."""
    retried: bool
    """It failed before, and its round is over."""
    replies: list[tuple[str, ChatReply]] = field(default_factory=list)
    """The replies its outcome rests on, each with the model's identity."""
    outcome: Outcome | None = None


class Engine:
    """One run of `generate`: the models, the rounds in flight and the example database."""

    def __init__(
        self,
        config: GenerateConfig,
        method: Method,
        models: tuple[Remembering, Remembering],
        ctx: Context,
        budget: Budget,
        inputs: int,
        *,
        prover: Prover | None = None,
        index: Path | None = None,
    ) -> None:
        """Begin behind the outcomes that are on disk.

        Args:
            config: The stage's table.
            method: What is done with a function.
            models: The generator and the discriminator, maybe the same object.
            ctx: The stage's context.
            budget: What the models may spend.
            inputs: How many functions there are, those with outcomes included.
            prover: Runs code, where the recipe asks for proof.
            index: Hashes of the benchmarks of which no instance may hold a problem.
        """
        self.config = config
        self.method = method
        self.prover, self.index = prover, index
        self.generator, self.discriminator = models
        self._leaves = not all(model.free for model in models)
        """What is sent leaves this machine."""
        self.ctx = ctx
        self.budget = budget
        self._inputs = inputs
        self.round_size, self.lag = config.rounds(inputs)
        self.database = ExampleDatabase(() if config.examples == "none" else method.own_examples)
        self._snapshots: dict[int, ExampleDatabase] = {}
        self._on_disk = ctx.finished(Instance)
        self._next_on_disk: tuple[int, Outcome] | None = next(self._on_disk, None)
        self._new: dict[int, Example | None] = {}
        """Examples of outcomes made here that the database has not taken yet, by place; with
        feedback only."""
        self._known = AcceptedInstances()
        """The accepted instances, for those that would repeat one."""
        self._undecided: deque[Job] = deque()
        """What is on its way or waits for an earlier one that is, in order."""
        self._folded = 0
        """Places whose outcomes the database has taken."""
        self._jobs: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepted = ctx.accepted
        self._recent: deque[str | None] = deque(maxlen=_RECENT)
        self._broken: BaseException | None = None
        self._moved = asyncio.Event()
        # By object: two endpoints may serve a model of one name.
        self._slots = {
            id(model): Slots(partial(_most, ctx.limits.concurrency, model)) for model in models
        }

        self._remember()

    def _remember(self) -> None:
        """Take the accepted instances that are on disk; those made after their round come last."""
        if not self.config.near_duplicates:
            return
        retried = []
        for _, outcome in self.ctx.finished(Instance) if self.ctx.begun else ():
            if not isinstance(outcome, Instance):
                continue
            if outcome.retried:
                retried.append(outcome)
            else:
                self._known.add(outcome)
        for instance in retried:
            self._known.add(instance)

    async def batches(self, inputs: Iterable[RawCode]) -> AsyncIterator[Sequence[Job]]:
        """Yield the jobs that have their outcome, in input order, as soon as they have it."""
        functions = self._numbered(inputs)
        waiting: Job | None = next(functions, None)
        watch = asyncio.create_task(self._watch())
        watch.add_done_callback(self._see)
        try:
            while True:
                self._look()
                while waiting is not None and self._may_begin(waiting):
                    self._begin(waiting)
                    waiting = next(functions, None)
                done = self._pop_done()
                if done:
                    yield done
                elif self._broken is not None and not self._tasks:
                    raise self._broken
                elif not self._jobs:
                    if waiting is None or self._enough():
                        break
                    raise AssertionError("no function is on its way and none may begin")
                else:
                    await self._moved.wait()
                    self._moved.clear()
            self._say_of_target(waiting)
            self._say_failures()
            # The target is reached: what is left is not asked for, and what failed stays so.
            while waiting is not None and not waiting.retried:
                rest = [waiting, *islice(functions, 255)]
                for job in rest:
                    detail = f"there are {self.config.target} accepted instances without it"
                    job.outcome = Rejected(id=job.raw.id, reason="not_needed", detail=detail)
                yield rest
                waiting = next(functions, None)
        finally:
            watch.cancel()

    async def close(self) -> None:
        """Let the requests in flight finish, so that their replies are kept; begin no others.

        Raises:
            ArtifactError: One of these replies could not be kept.
        """
        known = self._broken
        self._stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.generator.close()
        await self.discriminator.close()
        if self._broken is not known and not isinstance(self._broken, StoppedError):
            assert self._broken is not None
            raise self._broken

    def _numbered(self, inputs: Iterable[RawCode]) -> Iterator[Job]:
        for raw in inputs:
            place = self.ctx.place
            yield Job(raw, place, retried=place < self.ctx.begun)

    def _enough(self) -> bool:
        return self.config.target is not None and self._accepted >= self.config.target

    def _say_of_target(self, waiting: Job | None) -> None:
        """Say what a person who named a target would not expect."""
        target = self.config.target
        if target is None:
            return
        if waiting is not None and waiting.retried:
            self.ctx.progress.note(
                f"generate: there are {target} accepted instances, as generate.target asks; the "
                f"functions that failed and are not needed for that stay as they are."
            )
        elif (
            waiting is None
            and not self._enough()
            and not self.ctx.retrying
            and self._accepted  # more functions would help nothing where none is accepted
        ):
            self.ctx.progress.note(
                f"generate: the {self._inputs} functions gave {self._accepted} accepted instances, "
                f"fewer than generate.target {target}; raise select.k for more."
            )

    def _may_begin(self, job: Job) -> bool:
        """Say whether a function's turn has come: it is needed, and its examples are there."""
        if self._broken is not None:
            return False
        # A few more than can be asked for, so that a free slot is taken at once; not the whole
        # window, whose prompts would be written before the first reply is read.
        if len(self._tasks) >= 2 * self._most_in_flight() + 8:
            return False
        target = self.config.target
        if target is not None and self._accepted + len(self._tasks) >= target:
            return False
        if self.config.examples != "feedback":
            # Nothing waits for anything; how many wait in memory is all there is to bound.
            return len(self._jobs) < 8 * self.ctx.limits.concurrency + 1024
        number = job.place // self.round_size
        return self._fold((number - self.lag + 1) * self.round_size)

    def _fold(self, places: int) -> bool:
        """Let the database take the outcomes of the first `places`; say whether all are there."""
        while self._folded < places:
            place = self._folded
            if place in self._new:
                example = self._new.pop(place)
            elif self._next_on_disk is not None and self._next_on_disk[0] <= place:
                at, outcome = self._next_on_disk
                self._next_on_disk = next(self._on_disk, None)
                if at < place:
                    continue
                example = _example(outcome)
            elif place < self.ctx.begun:
                example = None  # it failed then and is tried again now: no example for others
            else:
                return False
            if example is not None:
                self.database.add(example)
            self._folded += 1
        return True

    def _most_in_flight(self) -> int:
        return sum(slots.most() for slots in self._slots.values())

    def _begin(self, job: Job) -> None:
        number = job.place // self.round_size
        if number not in self._snapshots:
            # Rounds begin in order, and a job keeps the snapshot that it was given.
            self._snapshots = {number: self.database.snapshot()}
        self._jobs.append(job)
        self._undecided.append(job)
        task = asyncio.create_task(self._work(job, number, self._snapshots[number]))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._stop()
        self._see(task)
        self._moved.set()

    def _see(self, task: "asyncio.Task[None]") -> None:
        """Let no error of a task pass unseen."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._break(error)

    def _settle(self, job: Job, outcome: Outcome) -> None:
        """Give a job its outcome, and take of it what others need to know."""
        failed = isinstance(outcome, Rejected) and outcome.failed
        self._recent.append(outcome.detail if isinstance(outcome, Rejected) and failed else None)
        self._accepted += isinstance(outcome, Instance)
        job.outcome = outcome
        while self._undecided and self._undecided[0].outcome is not None:
            self._decide(self._undecided.popleft())
        if failed:
            self._check_failures()

    def _decide(self, job: Job) -> None:
        """Refuse what nearly repeats an earlier instance; all before it is decided."""
        if isinstance(job.outcome, Instance) and self.config.near_duplicates:
            repeated = self._known.add_new(job.outcome)
            if repeated is not None:
                self._accepted -= 1
                job.outcome = _repeats(job.outcome, *repeated)
        if not job.retried and self.config.examples == "feedback":
            assert job.outcome is not None
            self._new[job.place] = _example(job.outcome)

    def _failures(self) -> list[str]:
        return [detail for detail in self._recent if detail is not None]

    def _check_failures(self) -> None:
        """Stop where too many of the last functions failed, and say why."""
        failures = self._failures()
        if len(failures) <= self.ctx.limits.max_failed * _RECENT:
            return
        # The same failure may name another number of tokens each time.
        kinds = [_NUMBER.sub("#", detail) for detail in failures]
        ((kind, count),) = Counter(kinds).most_common(1)
        detail = next(one for one, its in zip(failures, kinds, strict=True) if its == kind)
        then = (
            "`wavecoder run` leaves them failed"
            if self.ctx.retrying
            else f"`wavecoder failed {self.ctx.folder.parent} --retry` asks for the failed ones"
        )
        self._break(
            ModelError(
                f"{len(failures)} of the last {len(self._recent)} functions failed, {count} of "
                f"them so: {detail.rstrip('.')}. Mend that and give the same command again; "
                f"{then}, and --max-failed sets how many may fail."
            )
        )

    def _break(self, error: BaseException) -> None:
        """Begin nothing more; the first error is raised when what is in flight has ended."""
        # A reply that is lost is worth more words than that the user asked to stop; that a model
        # or the budget gives no more then is not.
        lost = not isinstance(error, (ModelError, BudgetError, StoppedError))
        if self._broken is None or (isinstance(self._broken, StoppedError) and lost):
            self._broken = error
            self._stop()

    def _stop(self) -> None:
        for model in (self.generator, self.discriminator):
            model.drain()
        for slots in self._slots.values():
            slots.stop()
        if self._broken is None:
            self._broken = StoppedError(
                f"Stopped in {self.ctx.stage}; every finished reply is saved."
            )
        self._moved.set()

    def _pop_done(self) -> list[Job]:
        done = []
        while self._jobs and self._jobs[0].outcome is not None:
            done.append(self._jobs.popleft())
        return done

    async def _watch(self) -> None:
        """Look now and then whether the user asked to stop; say how the engine does."""
        said = 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._look()
            for slots in self._slots.values():
                slots.give()  # a request that waits to be sent again makes room for another
            if time.monotonic() - said >= 1.0:
                said = time.monotonic()
                self._say()

    def _look(self) -> None:
        if self.ctx.stop.is_set() and self._broken is None:
            self._stop()

    def _say_failures(self) -> None:
        """Say at the end that most failed, where they were too few to stop the run."""
        failures = self._failures()
        if len(failures) > self.ctx.limits.max_failed * len(self._recent):
            self.ctx.progress.note(
                f"{len(failures)} of the last {len(self._recent)} functions failed, at last: "
                f"{failures[-1].rstrip('.')}. Mend that, then ask for the failed ones again with "
                f"`wavecoder failed {self.ctx.folder.parent} --retry`."
            )

    def _say(self) -> None:
        models = {id(model): model for model in (self.generator, self.discriminator)}
        sent = sum(model.in_flight for model in models.values())
        # A limit that was cut a moment ago stands below what is still out.
        words: dict[str, float | str] = {
            "in flight": f"{sent} of {max(sent, self._most_in_flight())}"
        }
        cost, tokens = self.budget.spent
        words["spent"] = f"{tokens:,} tokens" if not cost else f"${cost:.2f}, {tokens:,} tokens"
        self.ctx.progress.figures(words)

    async def _work(self, job: Job, number: int, examples: ExampleDatabase) -> None:
        """Give a job its outcome, after its last attempt."""
        for attempt in range(self.config.attempts):
            desk = Desk(
                raw=job.raw,
                place=job.place,
                round=number,
                attempt=attempt,
                examples=examples,
                generator=self.generator.identity,
                discriminator=self.discriminator.identity,
                random=self.ctx.rng,
                ask_generator=partial(self._ask, job, self.generator),
                ask_discriminator=partial(self._ask, job, self.discriminator),
                prover=self.prover,
            )
            outcome = await self._attempt(desk)
            if isinstance(outcome, Instance) or outcome.failed:
                break
        outcome = _shortened(outcome)
        self._settle(job, _marked(outcome) if job.retried else outcome)

    async def _attempt(self, desk: Desk) -> Outcome:
        failed = partial(Rejected, id=desk.raw.id)
        if self._leaves and (secret := secret_in(desk.raw.code, desk.raw.docstring)) is not None:
            return failed(reason="secret", detail=secret)
        try:
            outcome = await self.method.attempt(desk)
            return await self._proved(desk, self._clean(outcome))
        except RefusedRequestError as error:
            return failed(
                reason="model_refused", detail=str(error), task=desk.task, instance=desk.draft
            )
        except FailedRequestError as error:
            return failed(
                reason="model_failed", detail=str(error), task=desk.task, instance=desk.draft
            )

    def _clean(self, outcome: Outcome) -> Outcome:
        """Refuse an instance that holds a problem of a benchmark."""
        if self.index is None or isinstance(outcome, Rejected):
            return outcome
        hit = first_hit(document_of_record(outcome), self.index)
        return outcome if hit is None else _refused(outcome, "contaminated", told(hit))

    async def _proved(self, desk: Desk, outcome: Outcome) -> Outcome:
        """Return an accepted instance with its proof, where the method did not ask for one."""
        if self.prover is None or isinstance(outcome, Rejected) or outcome.proof is not None:
            return outcome
        found = await self.prover.written(desk, outcome)
        if not isinstance(found, Refusal):
            return outcome.model_copy(update={"proof": found})
        return _refused(outcome, found.reason, found.detail)

    async def _ask(
        self, job: Job, model: Remembering, desk: Desk, request: ChatRequest
    ) -> ChatReply:
        """Ask a model when its turn comes; earlier functions go first."""
        if desk.attempt:
            request = request.model_copy(update={"attempt": desk.attempt})
        async with self._slots[id(model)].hold(job.place):
            asked = model.asked
            try:
                reply = await model.complete(request)
            except (RefusedRequestError, FailedRequestError):
                raise
            except WaveCoderError as error:
                self._break(error)  # before the slot goes to the next who waits
                raise
        if model.asked > asked and reply.completion_tokens is not None:
            self.ctx.progress.tokens(reply.completion_tokens)
        kept = reply
        if len(reply.text) > _MOST_CHARACTERS:  # it would wait with its outcome
            kept = reply.model_copy(update={"text": reply.text[:_MOST_CHARACTERS]})
        job.replies.append((model.identity, kept))
        return reply


def _most(concurrency: int, model: Remembering) -> int:
    if model.adapts:
        return model.concurrency or concurrency
    return min(concurrency, model.concurrency or concurrency)


def _repeats(instance: Instance, other: str, similarity: float) -> Rejected:
    detail = f"instruction and solution are {similarity:.2f} similar to the accepted {other}"
    return _refused(instance, "near_duplicate", detail)


def _refused(instance: Instance, reason: str, detail: str) -> Rejected:
    return Rejected(
        id=instance.id,
        reason=reason,
        detail=detail,
        task=instance.task,
        reply=instance.reply,
        instance=instance,
    )


def _example(outcome: Outcome) -> Example | None:
    """Return the outcome as an example; there is nothing to learn from one that was good before."""
    if isinstance(outcome, Rejected) and outcome.reason == "near_duplicate":
        return None
    return as_example(outcome)


def _shortened(outcome: Outcome) -> Outcome:
    """Return an outcome without most of a reply that never ends; the ledger has all of it."""
    if isinstance(outcome, Instance) or len(outcome.reply or "") <= _MOST_CHARACTERS:
        return outcome
    reply = f"{(outcome.reply or '')[:_MOST_CHARACTERS]} …"
    instance = outcome.instance and outcome.instance.model_copy(
        update={"reply": outcome.instance.reply[:_MOST_CHARACTERS]}
    )
    return outcome.model_copy(update={"reply": reply, "instance": instance})


def _marked(outcome: Outcome) -> Outcome:
    """Return an outcome whose instance says that it was made after its round."""
    if isinstance(outcome, Instance):
        return outcome.model_copy(update={"retried": True})
    if outcome.instance is None:
        return outcome
    instance = outcome.instance.model_copy(update={"retried": True})
    return outcome.model_copy(update={"instance": instance})
