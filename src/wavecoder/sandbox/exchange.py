"""What the host and the supervisor in a box tell each other: a job in, a report out."""

import ast
import contextlib
import marshal
import os
import secrets
import select
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wavecoder.sandbox.job import Cause, Exam, Job, Report, StepReport

__all__ = ["GRACE", "START", "Answer", "Ends", "converse", "packed", "reported"]

GRACE = 10.0
"""Seconds that a box may take beyond all its steps'; a starved host needs them."""
START = "import sys; sys.path.insert(0, {folder!r}); import {module}; {module}.main({arguments})"
"""What an interpreter is started with: where our modules lie, which one, and its arguments."""

_MOST_REPORT = 4 << 20  # bytes
_SAID = 8 << 10  # bytes kept of what the programs around a box print
_LEAVING = 2000  # milliseconds for a process whose report ended to come to its own end


def packed(job: Job, *, grouped: bool, paths: Sequence[str], env: Mapping[str, str]) -> bytes:
    """Return a job as the guard reads it: what the program may see, then the rest.

    Args:
        job: What is to be run.
        grouped: Whether a control group holds its memory and processes.
        paths: Folders with modules for a Python program.
        env: Variables of its commands.
    """
    limits = job.limits
    steps, secret = [], {"token": secrets.token_bytes(16), "tests": ""}
    for step in job.steps:
        one: dict[str, Any] = asdict(step)
        if isinstance(step, Exam):
            one["kind"] = "exam"
            if step.strict:
                secret["tests"] = one.pop("tests")
            else:
                one["program"] += "\n" + one.pop("tests")
        else:
            one["kind"] = "command"
            one["answers"] = step.rule == "answer"
            one["rule"] = str(step.rule)
        steps.append(one)
    public = {
        "files": {
            path: data if isinstance(data, bytes) else data.encode("utf-8", "replace")
            for path, data in job.files.items()
        },
        "steps": steps,
        "proc": job.proc,
        "path": paths,
        "env": env,
        "limits": {
            "disk": limits.disk,
            "output": limits.output,
            "memory": limits.memory,
            "data": None if grouped else limits.memory,
            "own_processes": None if grouped else limits.processes,
        },
    }
    parts = [marshal.dumps(_plain(part)) for part in (public, secret)]
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def _plain(value: Any) -> Any:
    """Return nested containers as the lists and dicts that marshal knows, texts made encodable."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_plain(one) for one in value]
    return value


@dataclass(frozen=True)
class Ends:
    """Our ends of what leads into a box, all descriptors."""

    job: int
    said: int
    report: int
    ended: int
    """It can be read when the box's first process is gone."""
    code: Callable[[], int | None]
    """The status with which it ended; called after that."""


class Answer:
    """What came back of a box."""

    def __init__(self) -> None:
        self.frame = bytearray()
        """From the report's descriptor: a byte when the box works, then a length and the report."""
        self.said = bytearray()
        """What the programs around the box, and the supervisor, printed."""
        self.overdue = False
        self.ended = False
        """Its first process is gone, and with it all others."""
        self.code: int | None = None
        """The status with which it ended; negative where it was ended from outside."""

    @property
    def whole(self) -> bool:
        """Whether the report is there."""
        size = int.from_bytes(self.frame[1:9], "little")
        return len(self.frame) >= 9 and len(self.frame) >= 9 + size


def converse(ends: Ends, data: bytes, seconds: float) -> Answer:
    """Give a box its job and take its report, waiting for neither longer than `seconds`."""
    deadline = time.monotonic() + seconds
    answer = Answer()
    with selectors.DefaultSelector() as selector:
        for fd in (ends.job, ends.said, ends.report):
            os.set_blocking(fd, False)
        selector.register(ends.job, selectors.EVENT_WRITE)
        # Its first process may be gone and another hold the report's descriptor open.
        for fd in (ends.said, ends.report, ends.ended):
            selector.register(fd, selectors.EVENT_READ)
        view = memoryview(data)
        while not answer.whole and len(answer.frame) <= _MOST_REPORT:
            left = deadline - time.monotonic()
            if left <= 0:
                answer.overdue = True
                return answer
            ready = {key.fd for key, _ in selector.select(left)}
            if ends.job in ready:
                view = _written(ends.job, view)
                if not view:
                    selector.unregister(ends.job)
            if ends.said in ready and not _take(ends.said, answer.said, _SAID):
                selector.unregister(ends.said)
            if (ends.report in ready and not _take(ends.report, answer.frame)) or (
                ends.ended in ready
            ):
                break
    _leave(ends, answer)
    return answer


def _written(fd: int, view: memoryview) -> memoryview:
    """Write what a pipe takes, and return the rest; nothing when nobody reads it."""
    try:
        return view[os.write(fd, view[: 1 << 20]) :]
    except BrokenPipeError:
        return view[:0]


def _take(fd: int, into: bytearray, most: int | None = None) -> bool:
    """Read what is there, keep as much of it as fits, and return whether more may come."""
    block = os.read(fd, 1 << 16)
    into += block if most is None else block[: max(0, most - len(into))]
    return bool(block)


def _leave(ends: Ends, answer: Answer) -> None:
    """Let a box end by itself; how one without a report ended says who is to blame."""
    poll = select.poll()
    poll.register(ends.ended, select.POLLIN)
    if poll.poll(_LEAVING):
        answer.ended = True
        answer.code = ends.code()
    if not answer.whole:
        for fd, into, most in (
            (ends.report, answer.frame, _MOST_REPORT),
            (ends.said, answer.said, _SAID),
        ):
            with contextlib.suppress(BlockingIOError):
                while _take(fd, into) and len(into) <= most:
                    pass


def reported(answer: Answer, *, memory: bool, isolated: bool) -> Report:
    """Return a box's report; one that gave none is explained.

    Args:
        answer: What came of it.
        memory: Whether it ran out of memory.
        isolated: Whether it was a box at all.
    """
    if answer.whole:
        steps = ast.literal_eval(answer.frame[9:].decode())
        reports = tuple(StepReport(**{**one, "cause": Cause(one["cause"])}) for one in steps)
        return Report(steps=reports, memory=memory, isolated=isolated)
    problem = ""
    if answer.overdue:
        problem = "" if answer.frame else "the box did not begin in all its time"
    elif not memory:
        problem = answer.said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        if not answer.frame:
            problem = problem or f"the box ended with status {answer.code} before it began"
        elif isolated and answer.code is not None and answer.code < 0:
            problem = problem or f"the box was ended from outside by signal {-answer.code}"
    return Report(
        steps=(), memory=memory, isolated=isolated, problem=problem, overdue=answer.overdue
    )
