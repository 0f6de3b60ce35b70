"""The judge as a grader: the discriminator of a recipe, asked as `generate` asks it.

Its replies are in a ledger before they are used, so that none is paid for twice. A repeat has a
seed of its own for the sampler, the marker and the examples shown, as another run would.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from random import Random
from threading import Event

from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.grades import Grade
from wavecoder.errors import (
    ConfigError,
    FailedRequestError,
    RefusedRequestError,
    StoppedError,
)
from wavecoder.generate.discriminator import discriminator_request, parse_verdict, verdict_schema
from wavecoder.generate.examples import ExampleDatabase
from wavecoder.generate.methods.wavecoder import WaveCoder
from wavecoder.generate.quoting import marker
from wavecoder.generate.stage import Generate
from wavecoder.llm import Remembering
from wavecoder.records import ChatReply, ChatRequest, FinishReason

__all__ = ["Judge", "Judged"]

_LOOK_SECONDS = 0.2  # between two looks at whether the user asked to stop

Judged = tuple[Case, int, Grade]
"""A case, the number of the repeat, from 0, and the grade."""


class Judge:
    """Asks a stage's discriminator for its verdict on cases."""

    def __init__(self, stage: Generate, *, seed: int) -> None:
        """Take the stage whose discriminator is graded.

        Args:
            stage: Of a recipe.
            seed: Decides examples and markers.

        Raises:
            ConfigError: Its method judges nothing by rules.
        """
        if not isinstance(stage.method, WaveCoder):
            raise ConfigError(
                f"The method {stage.config.method} has no judge that can be calibrated. "
                f"Set generate.method=wavecoder."
            )
        self.config, self.tasks, self.seed = stage.config, stage.method.tasks, seed
        shown = () if self.config.examples == "none" else stage.method.own_examples
        self._examples = ExampleDatabase(shown)

    def request(self, case: Case, repeat: int) -> ChatRequest:
        """Return what the judge is asked about a case."""
        instance, task = case.instance, case.task
        rng = Random(f"{self.seed}/{case.id}/{repeat}")
        place = (instance.language, instance.target_language)
        examples = [
            *self._examples.draw(task.name, place, rng, good=False, count=1, judged=True),
            *self._examples.draw(task.name, place, rng, good=True, count=1),
        ]
        sampling = self.config.discriminator_sampling
        if repeat:
            sampling = sampling.model_copy(update={"seed": sampling.seed + repeat})
        request = discriminator_request(task, instance, examples, sampling, mark=marker(rng))
        if self.config.structured_verdicts:
            request = request.model_copy(update={"reply_schema": verdict_schema(task.rules)})
        return request

    def read(self, case: Case, reply: ChatReply) -> Grade:
        """Return the grade in a reply; one that holds no verdict refuses, as in `generate`."""
        used = (reply.prompt_tokens, reply.completion_tokens)
        if reply.finish_reason is FinishReason.LENGTH:
            most = self.config.discriminator_sampling.max_tokens
            return Grade(True, ("no_verdict",), f"the verdict was cut at {most} tokens", *used)
        verdict = parse_verdict(reply.text, case.task.rules)
        if isinstance(verdict, str):
            return Grade(True, ("no_verdict",), verdict, *used)
        if verdict.passed:
            return Grade(False, (), "", *used)
        failed = [one for one in verdict.rules if not one.passed]
        rules = tuple(one.rule for one in failed) or ("overall",)
        return Grade(True, rules, failed[0].reason if failed else "overall no", *used)

    def grade_all(
        self,
        cases: Sequence[Case],
        model: Remembering,
        *,
        repeats: int,
        most: int,
        stop: Event,
        tell: Callable[[Judged], None],
    ) -> None:
        """Ask for every verdict, many at a time, and tell each as soon as it is there.

        Args:
            cases: What is judged.
            model: The discriminator behind its ledger.
            repeats: How often each case is judged.
            most: Requests in flight.
            stop: Set when the user asks to stop.
            tell: Called in the order that the replies come.

        Raises:
            ModelError: The model does not answer.
            BudgetError: Nothing more may be spent.
            StoppedError: The user asked to stop; the replies that came are kept.
        """
        # Whole rounds, so that the first is complete when somebody stops in a later one.
        work = iter([(case, repeat) for repeat in range(repeats) for case in cases])
        with asyncio.Runner() as runner:
            runner.run(self._all(work, model, most, stop, tell))

    async def _all(
        self,
        work: Iterator[tuple[Case, int]],
        model: Remembering,
        most: int,
        stop: Event,
        tell: Callable[[Judged], None],
    ) -> None:
        watch = asyncio.create_task(_watch(model, stop))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(most):
                    group.create_task(self._some(work, model, stop, tell))
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            await model.close()
        if stop.is_set() and next(work, None) is not None:
            raise StoppedError("Stopped; every reply that came is kept.")

    async def _some(
        self,
        work: Iterator[tuple[Case, int]],
        model: Remembering,
        stop: Event,
        tell: Callable[[Judged], None],
    ) -> None:
        for case, repeat in work:
            if stop.is_set():
                raise StoppedError("Stopped; every reply that came is kept.")
            try:
                reply = await model.complete(self.request(case, repeat))
            except (RefusedRequestError, FailedRequestError) as error:
                tell((case, repeat, Grade(None, (), str(error))))
                continue
            tell((case, repeat, self.read(case, reply)))


async def _watch(model: Remembering, stop: Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(_LOOK_SECONDS)
    model.drain()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one error of a group: the first that is no end of a task by another's error."""
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    return errors
