"""Completions are sampled and programs run, many at a time, and given out in order.

A trial asks its model, then goes to the sandbox; while programs run, others are sampled. Replies
are in the ledger before they are used, so that what is sampled once is never paid for again: not
by a run that was killed, and not by one in another mode.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from wavecoder.errors import FailedRequestError, RefusedRequestError, StoppedError, WaveCoderError
from wavecoder.evaluate.config import EvaluateConfig
from wavecoder.evaluate.extraction import candidate
from wavecoder.evaluate.prompts import (
    Prompt,
    Style,
    clean_description,
    describe_prompt,
    is_explain,
    prompt_for,
)
from wavecoder.grading.scoring import Scorer, Work
from wavecoder.llm import Remembering, Slots
from wavecoder.records import ChatReply, ChatRequest, Problem, Rejected, Sampling, Trial
from wavecoder.stage import Context

__all__ = ["Asked", "Engine"]

_LOOK_SECONDS = 0.2  # between two looks at whether the user asked to stop


@dataclass
class Asked:
    """One trial on its way."""

    id: str
    problem: Problem
    index: int
    place: int
    model: str = ""
    """The checkpoint's name, where several are measured."""
    outcome: Trial | Rejected | None = None
    replies: list[ChatReply] = field(default_factory=list)

    def trial(self, completion: str, program: str) -> Trial:
        """Return the trial of a completion, before its program was run."""
        return Trial(
            id=self.id,
            benchmark=self.problem.benchmark,
            task_id=self.problem.id,
            language=self.problem.language,
            index=self.index,
            completion=completion,
            program=program,
            bug_type=self.problem.bug_type,
            model=self.model,
        )


class Engine:
    """One run of `evaluate`."""

    def __init__(
        self,
        config: EvaluateConfig,
        model: Remembering,
        scorer: Scorer,
        ctx: Context,
        *,
        style: Style,
    ) -> None:
        """Take what asks and what runs.

        Args:
            config: The stage's table.
            model: Who writes the completions.
            scorer: Who runs the programs.
            ctx: The stage's context.
            style: How this model is asked.
        """
        self.config, self.model, self.scorer, self.ctx = config, model, scorer, ctx
        self.style = style
        self._slots = Slots(self._most)
        self._waiting: deque[Asked] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None
        self._moved = asyncio.Event()

    def _most(self) -> int:
        limit = self.ctx.limits.concurrency
        return limit if self.model.concurrency is None else min(limit, self.model.concurrency)

    async def batches(self, inputs: Iterable[Asked]) -> AsyncIterator[Sequence[Asked]]:
        """Yield the trials that are done, in order, as soon as those before them are.

        Raises:
            StoppedError: The user asked to stop.
            ModelError: The model does not answer.
            SandboxError: Programs cannot be run.
        """
        todo = iter(inputs)
        following = next(todo, None)
        watch = asyncio.create_task(self._watch())
        try:
            while True:
                while following is not None and self._may_begin():
                    self._begin(following)
                    following = next(todo, None)
                done = self._pop_done()
                if done:
                    yield done
                elif self._broken is not None and not self._tasks:
                    raise self._broken
                elif not self._waiting and following is None:
                    return
                else:
                    await self._moved.wait()
                    self._moved.clear()
        finally:
            watch.cancel()

    async def close(self) -> None:
        """Let the requests in flight finish, so that their replies are kept; begin no others."""
        self._break(StoppedError("Stopped in evaluate; every finished reply is saved."))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.model.close()

    def _may_begin(self) -> bool:
        room = 2 * self._most() + 4 * self.scorer.workers + 8
        return self._broken is None and len(self._tasks) < room and len(self._waiting) < 1024

    def _begin(self, asked: Asked) -> None:
        self._waiting.append(asked)
        if asked.outcome is not None:  # it cannot be made
            return
        task = asyncio.create_task(self._work(asked))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._break(error)
        self._moved.set()

    def _break(self, error: BaseException) -> None:
        if self._broken is None:
            self._broken = error
            self.model.drain()
            self._slots.stop()
        self._moved.set()

    def _pop_done(self) -> list[Asked]:
        done = []
        while self._waiting and self._waiting[0].outcome is not None:
            done.append(self._waiting.popleft())
        return done

    async def _watch(self) -> None:
        said = 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self.ctx.stop.is_set():
                self._break(StoppedError("Stopped in evaluate; what was finished is saved."))
            self._slots.give()
            if time.monotonic() - said >= 1.0:
                said = time.monotonic()
                words = f"{self.model.in_flight} of {self._most()}"
                self.ctx.progress.figures({"in flight": words})

    async def _work(self, asked: Asked) -> None:
        """Sample a completion and run its program."""
        try:
            completion = await self._completion(asked)
        except (RefusedRequestError, FailedRequestError) as error:
            refused = isinstance(error, RefusedRequestError)
            reason = "model_refused" if refused else "model_failed"
            asked.outcome = Rejected(id=asked.id, reason=reason, detail=str(error))
            return
        problem = asked.problem
        program = candidate(problem, completion, style=self.style)
        trial = asked.trial(completion, program)
        future = self.scorer.submit(Work(problem, trial), self.config.modes)
        asked.outcome = await asyncio.wrap_future(future)

    async def _completion(self, asked: Asked) -> str:
        problem, style = asked.problem, self.style
        description = None
        if is_explain(problem):
            reply = await self._ask(asked, describe_prompt(problem, style=style))
            description = clean_description(problem, reply.text)
        prompt = prompt_for(problem, style=style, description=description)
        return (await self._ask(asked, prompt)).text

    async def _ask(self, asked: Asked, prompt: Prompt) -> ChatReply:
        config = self.config
        sampling = Sampling(
            temperature=config.temperature,
            top_p=config.top_p,
            max_tokens=config.max_new_tokens or prompt.max_new_tokens,
            seed=config.seed + asked.index,
            stop=prompt.stop or None,
        )
        request = ChatRequest(
            messages=prompt.messages,
            raw=prompt.raw or None,
            sampling=sampling,
            attempt=asked.index,
        )
        async with self._slots.hold(asked.place):
            before = self.model.asked
            try:
                reply = await self.model.complete(request)
            except (RefusedRequestError, FailedRequestError):
                raise
            except WaveCoderError as error:
                self._break(error)
                raise
        if self.model.asked > before and reply.completion_tokens is not None:
            self.ctx.progress.tokens(reply.completion_tokens)
        asked.replies.append(reply)
        return reply
