"""Running as a grader: results pinned from a solution that is known to be right, and tests.

The code of a generation or a translation must give what the known-good functions give on inputs
that a program found; a repair must pass its benchmark's tests on one side and fail on the other. It
is the one place here that knows `wavecoder.behaviour`.
"""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from wavecoder import __version__
from wavecoder.artifact import writing
from wavecoder.behaviour import (
    Outcome,
    Subject,
    Unrunnable,
    find_calls,
    functions_in,
    observe,
    same,
    tolerance,
)
from wavecoder.calibrate.cases import Case, Reference
from wavecoder.calibrate.grades import Grade
from wavecoder.errors import ConfigError
from wavecoder.grading import LANGUAGES, job_for
from wavecoder.grading.scoring import Scorer, Work
from wavecoder.protocols import Sandbox
from wavecoder.records import Execution, Mode, Problem, Status, Trial, digest

__all__ = ["Runner"]

_CALLS = 12
_FEWEST = 3
"""Results on which two functions agree by more than chance."""
_SECONDS = 2.0
# Not the program's fault.
_OURS = frozenset({"no_toolchain", "broken_box"})
_UNTOLD = Grade(refused=None, reason="nothing of it could be run")


@dataclass(frozen=True)
class _Pinned:
    """Inputs, and what the right function gives on them."""

    calls: Sequence[Sequence[Any]]
    results: Sequence[Outcome]
    relative: float


class Runner:
    """Grades by running, a few at a time; what was graded is kept in a file, if one is named."""

    def __init__(self, sandbox: Sandbox, workers: int, kept: Path | None = None) -> None:
        """Take a sandbox.

        Args:
            sandbox: Where programs run.
            workers: Programs that run at a time.
            kept: JSON lines of grades, read first and appended to.

        Raises:
            ArtifactError: The file cannot be written.
        """
        self.sandbox = sandbox
        self._scorer = Scorer(sandbox, workers)
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="calibrate")
        self._pins: dict[str, _Pinned | None] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._kept = kept
        self._grades: dict[str, Grade] = {}
        self.missing: dict[str, str] = {}
        """Why programs of a language cannot be run here, by language."""
        if kept is not None and kept.exists():
            for line in kept.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                    self._grades[row["key"]] = Grade(
                        row["refused"], tuple(row["rules"]), row["reason"]
                    )
                except (ValueError, KeyError, TypeError):
                    continue  # a line that a killed run had begun

    def close(self) -> None:
        """Wait for what is running; idempotent."""
        self.pool.shutdown(cancel_futures=True)
        self._scorer.close()

    def grade(self, case: Case) -> Grade:
        """Return what running a case shows.

        Raises:
            SandboxError: The host is at its end.
        """
        key = _key(case)
        known = self._grades.get(key)
        if known is not None:
            return known
        found = self._grade(case)
        with self._lock:
            self._grades[key] = found
            if self._kept is not None:
                row = {"key": key, "case": case.id, **asdict(found)}
                with writing(self._kept), self._kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        return found

    def _grade(self, case: Case) -> Grade:
        task = case.task.name
        if case.task.solution_is != "code":
            return Grade(refused=None, reason="there is no code that the generator wrote")
        if task == "repair":
            return self._repaired(case)
        pinned = self._pin(case.reference, case.id.partition("+")[0])
        if pinned is not None:
            return self._compared(case, pinned)
        if case.reference.problem is not None:
            return self._tested(case.reference.problem, case.code)
        return _UNTOLD

    def _repaired(self, case: Case) -> Grade:
        right, wrong = case.raw.code, case.bug.code if case.bug else ""
        problem = case.reference.problem
        if problem is not None:
            first = self._tested(problem, right)
            if first.refused is not False:
                return first
            second = self._run(problem, wrong)
            if second is not None and second.status == Status.PASSED:
                return Grade(True, ("wrong_passes",), "the wrong side passes all tests")
            return first
        pinned = self._pin(case.reference, case.id.partition("+")[0])
        if pinned is None:
            return _UNTOLD
        first = self._compared(case, pinned)
        if first.refused is not False:
            return first
        name = case.reference.sides[-1].function
        told = observe(
            self.sandbox, _subject(wrong, case.raw.language, name), pinned.calls, seconds=_SECONDS
        )
        if isinstance(told, Unrunnable):
            return _UNTOLD if told.slug in _OURS else first
        if all(map(same, pinned.results, told)):
            return Grade(True, ("bug_not_shown",), "both sides give the same on all inputs")
        return first

    def _tested(self, problem: Problem, code: str) -> Grade:
        went = self._run(problem, code)
        if went is None or went.status == Status.HARNESS:
            return _UNTOLD
        if went.status == Status.PASSED:
            return Grade(refused=False)
        return Grade(True, (f"tests_{went.status.value}",), went.detail or str(went.status))

    def _run(self, problem: Problem, code: str) -> Execution | None:
        """Return how a program fares under a problem's tests by the strict rule."""
        if problem.language not in LANGUAGES:
            return None
        trial = Trial(
            id=problem.id,
            benchmark=problem.benchmark,
            task_id=problem.id,
            language=problem.language,
            index=0,
            completion="",
            program=code,
        )
        try:
            job_for(problem, code, Mode.STRICT)
        except ConfigError as error:  # no toolchain
            self.missing[problem.language] = str(error)
            return None
        return self._scorer.submit(Work(problem, trial), [Mode.STRICT]).result().strict

    def _pin(self, reference: Reference, name: str) -> _Pinned | None:
        """Return inputs and the right results, found once for all cases that share them."""
        if not reference.sides:
            return None
        key = digest(*(part for one in reference.sides for part in (one.language, one.code)))
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._pins:
                self._pins[key] = self._found(reference, Random(name))
            return self._pins[key]

    def _found(self, reference: Reference, rng: Random) -> _Pinned | None:
        sides = [Subject(one.code, one.language, one.function) for one in reference.sides]
        calls = find_calls(self.sandbox, sides, rng, most=_CALLS)
        if not calls:
            return None
        told = observe(self.sandbox, sides[0], calls, seconds=_SECONDS, twice=True)
        if isinstance(told, Unrunnable):
            if told.slug == "no_toolchain":
                self.missing[sides[0].language] = told.detail
            return None
        pairs = [
            (call, one)
            for call, one in zip(calls, told, strict=True)
            if one.kind in ("value", "raised")
        ]
        if sum(one.kind == "value" for _, one in pairs) < _FEWEST:
            return None
        return _Pinned([call for call, _ in pairs], [one for _, one in pairs], tolerance(*sides))

    def _compared(self, case: Case, pinned: _Pinned) -> Grade:
        subject = _subject(case.code, case.language, case.reference.sides[-1].function)
        told = observe(self.sandbox, subject, pinned.calls, seconds=_SECONDS)
        if isinstance(told, Unrunnable):
            if told.slug in _OURS:
                if told.slug == "no_toolchain":
                    self.missing[case.language] = told.detail
                return _UNTOLD
            return Grade(True, ("does_not_run",), told.detail)
        for call, want, got in zip(pinned.calls, pinned.results, told, strict=True):
            if not same(want, got, relative=pinned.relative):
                given = str(want.value if want.kind == "value" else want.kind)[:120]
                other = str(got.value if got.kind == "value" else f"{got.kind} {got.words}")[:120]
                reason = f"on {json.dumps(call)[:120]} it gives {other}, not {given}"
                rule = "not_same" if got.kind in ("value", "raised") else got.kind
                return Grade(True, (rule,), reason)
        return Grade(refused=False)


def _subject(code: str, name: str, function: str) -> Subject:
    """Return the function of some code that is to be called: the one of a name, or the last."""
    names = functions_in(code, name)
    plain = function.replace("_", "").lower()
    alike = [one for one in names if one.replace("_", "").lower() == plain]
    return Subject(code, name, (alike or names or [function])[0])


def _key(case: Case) -> str:
    """Return what stands for all that decides a grade; a new version grades anew."""
    problem = case.reference.problem
    return digest(
        __version__,
        case.task.name,
        case.language,
        case.code,
        case.raw.code,
        case.bug.code if case.bug else "",
        problem.id if problem else "",
        *(part for one in case.reference.sides for part in (one.language, one.code)),
    )
