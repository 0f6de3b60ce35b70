"""What a check found, and how a check that cannot be made is one that found something."""

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from wavecoder.errors import WaveCoderError

__all__ = ["BROKEN", "Finding", "Findings", "Level", "fail", "ok", "tried", "warn"]

BROKEN = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError),
    *(MemoryError, NameError, OSError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(sqlite3.Error, subprocess.SubprocessError),
)
"""What a check, or a plugin of somebody else's that it builds, may raise: all standard errors but
those that end a process."""


class Level(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARN = "warn"
    """A run may do without it."""
    FAIL = "FAIL"
    """A run that needs it cannot go on."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    level: Level
    what: str
    """What was looked at."""
    found: str
    do: str = ""
    """What a person can do, a sentence."""

    def __str__(self) -> str:
        """Return it as one line."""
        found = " ".join(self.found.split()).rstrip(".")
        return f"{self.level:<4}  {self.what}: {found}. {self.do}".rstrip()


Findings = Iterator[Finding]
ok, warn, fail = (partial(Finding, level) for level in Level)


def tried(what: str, check: Callable[[], Findings]) -> Findings:
    """Yield what a check finds, or why it could not be made."""
    try:
        yield from check()
    except WaveCoderError as error:
        yield fail(what, str(error))
    except BROKEN as error:
        yield fail(what, f"it cannot be checked ({type(error).__name__}: {error})")
