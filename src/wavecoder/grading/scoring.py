"""Programs are run against their problems' tests, several at a time.

What may be the machine's doing and not the program's, a box that broke or a time that passed while
the program hardly ran, is run once more with nothing else beside it. A box that breaks again is
`harness`, which no score counts against the model.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from wavecoder.grading import job_for
from wavecoder.protocols import Sandbox
from wavecoder.records import Execution, Mode, Problem, Status, Trial
from wavecoder.sandbox import Cause, Report, execution

__all__ = ["Scorer", "Work"]


class Work(NamedTuple):
    """A trial and the problem it is of."""

    problem: Problem
    trial: Trial
    fault: str = ""
    """Why there is no program to run, in a sentence."""


class _Turns:
    """Many may be at work at once, or one alone."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._working = 0
        self._alone = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._working += 1
        try:
            yield
        finally:
            with self._condition:
                self._working -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._condition:
            # One at a time waits here; who comes later to `together` waits for it.
            self._condition.wait_for(lambda: not self._alone)
            self._alone += 1
            self._condition.wait_for(lambda: not self._working)
        try:
            yield
        finally:
            with self._condition:
                self._alone -= 1
                self._condition.notify_all()


class Scorer:
    """Runs trials in a sandbox."""

    def __init__(self, sandbox: Sandbox, workers: int) -> None:
        """Take a sandbox.

        Args:
            sandbox: Where programs run.
            workers: Programs that run at a time.
        """
        self.sandbox = sandbox
        self.workers = workers
        self._turns = _Turns()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="box")

    def close(self) -> None:
        """Wait for what is running; idempotent."""
        self._pool.shutdown(cancel_futures=True)

    def submit(self, work: Work, modes: Sequence[Mode]) -> "Future[Trial]":
        """Begin to run a trial; its future gives the trial with its executions."""
        return self._pool.submit(self._scored, work, modes)

    def score(self, works: Iterable[Work], modes: Sequence[Mode]) -> Iterator[Trial]:
        """Yield every trial with its executions, in order, a few running ahead."""
        waiting: deque[Future[Trial]] = deque()
        try:
            for work in works:
                waiting.append(self.submit(work, modes))
                if len(waiting) > 4 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()

    def _scored(self, work: Work, modes: Sequence[Mode]) -> Trial:
        done = {str(mode): self._run(work, mode) for mode in modes}
        return work.trial.model_copy(update=done)

    def _run(self, work: Work, mode: Mode) -> Execution:
        fault = work.fault or ("" if work.trial.program.strip() else "There is no program.")
        if fault:
            return Execution(
                status=Status.ERROR,
                detail=fault,
                seconds=0.0,
                cpu_seconds=0.0,
                isolated=self.sandbox.isolated,
            )
        job = job_for(work.problem, work.trial.program, mode)
        with self._turns.together():
            report = self.sandbox.run(job)
        found = execution(job, report)
        if found.status != Status.HARNESS and not _starved(report):
            return found
        with self._turns.alone():
            report = self.sandbox.run(job)
        return execution(job, report, attempts=2)


def _starved(report: Report) -> bool:
    """Return whether time passed in which the machine, maybe, did not let the program run."""
    last = report.steps[-1] if report.steps else None
    # CPU time is the program's own; wall time is what the machine left it.
    return report.overdue or (last is not None and last.cause == Cause.WALL)
