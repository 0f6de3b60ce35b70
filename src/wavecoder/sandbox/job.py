"""What is run in a box, and what comes back.

A `Job` is a few text files and the steps done with them, one after the other, in one box that is
new and empty for it: compile, then run. A step that fails ends the job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Cause", "Exam", "Job", "Limits", "Report", "Rule", "Step", "StepReport"]


@dataclass(frozen=True)
class Limits:
    """What all processes of a box may use together."""

    memory: int = 1 << 30
    """Bytes, what they keep in the box's files counted in."""
    processes: int = 128
    """Processes and threads."""
    disk: int = 64 << 20
    """Bytes of files."""
    files: int = 4096
    """Files and folders."""
    output: int = 8 << 20
    """Bytes a step may write to its standard output and error together; more ends it."""


class Rule(StrEnum):
    """When a step has passed."""

    EXIT = "exit"
    """Its exit status is 0."""
    ANSWER = "answer"
    """So, and trusted code at its end gave back a random token. It stands on descriptor 3 and goes
    to descriptor 4; what the program prints decides nothing."""
    SILENT = "silent"
    """It printed nothing, whatever its exit status (HumanEvalPack's rule for JavaScript)."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command."""

    argv: Sequence[str]
    rule: Rule = Rule.EXIT
    compiles: bool = False
    """What fails here is a program that does not compile."""
    trusted: bool = False
    """It does nothing with the program: where it fails, the fault is ours."""
    wrong: str = ""
    """A pattern: where the output has it, a test's assertion failed, rather than anything else."""
    cpu_seconds: float
    wall_seconds: float
    """Much more than `cpu_seconds`: a slow machine is not the program's fault."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Beside the box's own few variables."""
    examiner: Sequence[str] = ()
    """A second command, of trusted code, for `Rule.ANSWER`: it gets the token, and the two are
    joined by descriptors 5 (to read) and 6 (to write) of each. It exits with 1 where a test failed
    and with 3 where the first command sent nonsense, and says on its error output what was wrong.
    """


@dataclass(frozen=True, kw_only=True)
class Exam:
    """A Python program and its tests.

    In strict mode the program runs in one process and the tests in another, which the program
    cannot reach; what is called comes back as plain built-in values (`exam.py`). Otherwise both
    are one text, as published harnesses run it.
    """

    program: str
    tests: str
    strict: bool
    entry_point: str = ""
    """Strict: the function that is tested. A built-in function of its name is not meant."""
    cpu_seconds: float
    wall_seconds: float
    call_seconds: float | None = None
    """Strict: wall time a single call may take."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Files and steps."""

    steps: Sequence[Step | Exam]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    """Text by path in the box's folder, where the steps run."""
    limits: Limits = field(default_factory=Limits)
    folders: Mapping[str, str] = field(default_factory=dict)
    """Folders of the host that the box may read, by their path in the box: caches, libraries."""
    proc: bool = False
    """Whether a command needs /proc: a JVM and the Rust compiler do. Not with an examiner, whose
    memory and descriptors the program would find there."""

    def __post_init__(self) -> None:
        """Refuse what cannot be kept from the program.

        Raises:
            ValueError: An exam is not alone, or an examiner stands in /proc.
        """
        if len(self.steps) > 1 and any(isinstance(step, Exam) for step in self.steps):
            raise ValueError("an exam is a job of its own: its tests must come after its program")
        if self.proc and any(isinstance(step, Step) and step.examiner for step in self.steps):
            raise ValueError("an examiner cannot be hidden where there is /proc")


class Cause(StrEnum):
    """Why a step ended."""

    EXIT = "exit"
    CPU = "cpu"
    """Its CPU time was used up."""
    WALL = "wall"
    OUTPUT = "output"
    VIOLATION = "violation"
    """The kernel killed it for a call it may not make, or it broke the examiner's protocol."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """How a step went."""

    cause: Cause
    code: int
    """Exit status; negative: the signal that ended it."""
    answered: bool
    """The token came back: trusted code was reached, behind the last test."""
    seconds: float
    cpu_seconds: float
    stdout: bytes
    """The first and last part of it."""
    stderr: bytes
    written: int
    """Bytes written in all."""
    failure: str = ""
    """Exam and examiner: what the tests found wrong, in a line."""
    wrong: bool = False
    """Exam and examiner: a test's assertion failed, rather than anything else."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a job went."""

    steps: tuple[StepReport, ...]
    """Of the steps that were begun."""
    memory: bool
    """The kernel killed a process for want of memory."""
    isolated: bool
    problem: str = ""
    """Not empty: the box itself broke, in a sentence; the program is not to blame."""
    overdue: bool = False
    """The box gave no report in all the time its steps may take together."""
