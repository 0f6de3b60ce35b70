"""A box's report becomes a verdict on the program."""

import re

from wavecoder.records import Execution, Status
from wavecoder.sandbox.job import Cause, Exam, Job, Report, Rule, Step, StepReport

__all__ = ["execution"]

_MOST_DETAIL = 500  # characters
_NOT_STARTED = (126, 127)  # as a shell says that there is no such command
# What the compiler of Python raises; a program that raises one of these itself is one, too.
_NO_PYTHON = ("SyntaxError", "IndentationError", "TabError")


def execution(job: Job, report: Report, *, attempts: int = 1) -> Execution:
    """Return the verdict on the program of `job`.

    Args:
        job: What was run.
        report: How it went.
        attempts: How often it was run.
    """
    status, detail = _status(job, report)
    return Execution(
        status=status,
        detail=_printable(detail)[-_MOST_DETAIL:],
        seconds=sum(step.seconds for step in report.steps),
        cpu_seconds=sum(step.cpu_seconds for step in report.steps),
        isolated=report.isolated,
        attempts=attempts,
    )


def _status(job: Job, report: Report) -> tuple[Status, str]:
    if report.problem:
        return Status.HARNESS, report.problem
    for step, went in zip(job.steps, report.steps, strict=False):
        if not _passed(step, went, memory=report.memory):
            return _failed(step, went, memory=report.memory)
    if len(report.steps) == len(job.steps):
        return Status.PASSED, ""
    # The supervisor is gone, or was held up: nothing but the program could do that.
    if report.memory:
        return Status.MEMORY, "the box ran out of memory"
    if report.overdue:
        return Status.TIMEOUT, "the box gave no report in all its time"
    return Status.ERROR, "the program ended the box it ran in"


def _passed(step: Step | Exam, went: StepReport, *, memory: bool) -> bool:
    if went.cause != Cause.EXIT:
        return False
    if isinstance(step, Step) and step.rule == Rule.SILENT:
        return not went.written and not memory  # what the kernel killed is silent, too
    if isinstance(step, Exam) or step.rule == Rule.ANSWER:
        return went.code == 0 and went.answered
    return went.code == 0


def _failed(step: Step | Exam, went: StepReport, *, memory: bool) -> tuple[Status, str]:
    """Return the verdict on a step that did not pass, and why."""
    compiles = isinstance(step, Step) and step.compiles
    if isinstance(step, Step) and step.trusted:
        return Status.HARNESS, f"a step of our own failed: {_last_words(went) or went.cause}"
    if memory:
        return Status.MEMORY, "it used more memory than it may"
    if went.cause in (Cause.CPU, Cause.WALL):
        what = "CPU" if went.cause == Cause.CPU else "wall"
        used = went.cpu_seconds if went.cause == Cause.CPU else went.seconds
        return Status.TIMEOUT, f"{'compiling ' if compiles else ''}{used:.1f} s of {what} time"
    if went.cause == Cause.OUTPUT:
        return Status.OUTPUT, f"it wrote more than {went.written} bytes"
    if went.cause == Cause.VIOLATION:
        return Status.VIOLATION, "it broke the rules of the box"
    words = went.failure or _last_words(went)
    if compiles:
        # A compiler's own exit status; a program has no say in it.
        broken = went.code in _NOT_STARTED
        return (Status.HARNESS if broken else Status.COMPILE_ERROR), words
    return _by_its_words(step, went, words)


def _by_its_words(step: Step | Exam, went: StepReport, words: str) -> tuple[Status, str]:
    """Return the verdict on a step that ended by itself, and badly."""
    if went.wrong or (isinstance(step, Step) and step.wrong and _matches(step.wrong, went)):
        return Status.WRONG, words
    if isinstance(step, Exam) and words.startswith(_NO_PYTHON):
        return Status.COMPILE_ERROR, words
    if isinstance(step, Exam) and words.startswith("MemoryError"):
        return Status.MEMORY, words
    if went.code < 0 and not went.failure:
        return Status.ERROR, f"signal {-went.code}: {words}"
    if went.code == 0:
        silent = isinstance(step, Step) and step.rule == Rule.SILENT
        words = f"it printed: {words}" if silent else "it ended before its tests were through"
        return Status.ERROR, words
    return Status.ERROR, words or f"exit status {went.code}"


def _matches(pattern: str, went: StepReport) -> bool:
    return any(
        re.search(pattern, stream.decode("utf-8", "replace"))
        for stream in (went.stderr, went.stdout)
    )


def _last_words(went: StepReport) -> str:
    text = (went.stderr or went.stdout).decode("utf-8", "replace").strip()
    return text[-_MOST_DETAIL:]


def _printable(text: str) -> str:
    """Return text without control characters, which could steer a reader's terminal."""
    return "".join(
        one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in text
    )
