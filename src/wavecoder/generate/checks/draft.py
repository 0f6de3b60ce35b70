"""What a check is given, and what it gives back."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from wavecoder.generate.generator import Assignment
from wavecoder.generate.sections import Sections, fences
from wavecoder.languages import Leaf, leaves
from wavecoder.languages.signatures import Signature, signatures
from wavecoder.records import Example

__all__ = [
    "Check",
    "Draft",
    "Failure",
    "Problem",
    "line_of",
    "quoted",
    "read_leaves",
    "read_signatures",
    "read_tokens",
    "runs",
    "words",
]


@dataclass(frozen=True)
class Draft:
    """What a generator wrote for an assignment, cut into sections."""

    assignment: Assignment
    sections: Sections
    shown: Sequence[Example]
    """The good examples that were in the prompt."""

    @property
    def solution(self) -> str:
        """The solution as it stands in the instance: the program's, or the model's unfenced."""
        task = self.assignment.task
        if task.solution == "raw_code":
            return self.assignment.raw_code.code
        blocks = fences(self.sections.solution)
        if task.solution_is == "code" and len(blocks) == 1:
            return blocks[0].body
        return self.sections.solution

    @property
    def information(self) -> str | None:
        """The information as it stands in the instance: the program's, or the model's."""
        if self.assignment.task.information == "generator":
            return self.sections.information
        return self.assignment.information

    @property
    def writes_code(self) -> bool:
        """Whether the solution is code that the model wrote."""
        task = self.assignment.task
        return task.solution == "generator" and task.solution_is == "code"

    @property
    def written(self) -> dict[str, str]:
        """What the model wrote, by part."""
        task = self.assignment.task
        parts = {"instruction": self.sections.instruction}
        if task.information == "generator" and self.sections.information:
            parts["information"] = self.sections.information
        if task.solution == "generator":
            parts["solution"] = self.solution
        return parts


class Problem(NamedTuple):
    """What is wrong with a draft."""

    what: str
    part: str | None = None
    """`instruction`, `information`, `solution` or `raw code`; None where it is none alone."""
    line: int | None = None
    """Line of the part, from 1, as it stands in the instance."""


class Failure(NamedTuple):
    """A check that a draft does not pass."""

    slug: str
    reason: str
    """One sentence, with the place."""
    part: str | None
    line: int | None


@dataclass(frozen=True)
class Check:
    """One rule that a program decides."""

    slug: str
    find: Callable[[Draft], Problem | None]

    def __call__(self, draft: Draft) -> str | None:
        """Return the sentence that says what is wrong and where, or None."""
        failure = self.failure(draft)
        return failure.reason if failure else None

    def failure(self, draft: Draft) -> Failure | None:
        """Return what is wrong, or None."""
        problem = self.find(draft)
        if problem is None:
            return None
        what, part, line = problem
        place = f" ({part}, line {line})" if part and line else ""
        return Failure(self.slug, what + place, part, line)


def quoted(text: str) -> str:
    """Return the beginning of `text` between quotes, for a sentence."""
    return repr(text if len(text) <= 60 else text[:57] + "…")


def words(text: str) -> list[str]:
    """Return the words of `text` in lower case."""
    return re.findall(r"\w+", text.lower())


def runs(items: Sequence[str], length: int) -> list[tuple[str, ...]]:
    """Return every run of `length` items."""
    return [tuple(items[at : at + length]) for at in range(len(items) - length + 1)]


def line_of(text: str, at: int) -> int:
    """Return the line, from 1, of the character at `at`."""
    return text.count("\n", 0, at) + 1


# The checks of one draft ask for the same few texts again and again.
@lru_cache(maxsize=8)
def read_leaves(code: str, language: str) -> tuple[Leaf, ...]:
    """Return the tokens and comments of code."""
    return tuple(leaves(code, language))


@lru_cache(maxsize=8)
def read_signatures(code: str, language: str) -> tuple[Signature, ...]:
    """Return the functions of code."""
    return tuple(signatures(code, language))


def read_tokens(code: str, language: str) -> list[str]:
    """Return the tokens of code, without comments."""
    return [leaf.text for leaf in read_leaves(code, language) if not leaf.is_comment]
