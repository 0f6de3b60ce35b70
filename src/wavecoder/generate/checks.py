"""Checks by program that a draft must pass before the discriminator is asked; they cost nothing.

Each takes a draft and returns None, or one sentence that says what is wrong. To add one: write the
function and put it into `CHECKS` under its slug.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wavecoder.generate.bugs import changed_lines
from wavecoder.generate.generator import Assignment
from wavecoder.generate.sections import Sections, fences
from wavecoder.languages import (
    language,
    language_named,
    names_language,
    outside_names,
    syntax_errors,
    tokens,
)
from wavecoder.records import Example

__all__ = ["CHECKS", "Draft", "first_failure"]


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
        if self.assignment.task.information == "teacher":
            return self.sections.information
        return self.assignment.information


def _instruction_length(draft: Draft) -> str | None:
    # Code Alpaca's bounds on an instruction: more than 3 and at most 150 words.
    words = len(draft.sections.instruction.split())
    if 3 < words <= 150 and "\n\n" not in draft.sections.instruction:
        return None
    return f"the instruction has {words} words in one paragraph or more; 4 to 150 in one are right"


def _names_language(draft: Draft) -> str | None:
    wanted = [draft.assignment.raw_code.language]
    if draft.assignment.target_language:
        wanted.append(draft.assignment.target_language)
    titles = [
        language(name).title
        for name in wanted
        if not names_language(draft.sections.instruction, name)
    ]
    return f"the instruction does not name {' and '.join(titles)}" if titles else None


# "The given function" may well be a parameter; code that is above, below or shown cannot be one.
_LEANS = re.compile(
    r"\b(?:(?:function|code|method|class|snippet) (?:above|below|shown)|"
    r"(?:above|shown|following) (?:function|code|method|class|snippet)|"
    r"(?:given|provided|original|real) (?:code|snippet)|real function)\b",
    re.IGNORECASE,
)


def _stands_alone(draft: Draft) -> str | None:
    if draft.information is not None:
        return None
    match = _LEANS.search(draft.sections.instruction)
    return f"the instruction leans on what the reader does not see: {match[0]!r}" if match else None


def _code_only(draft: Draft) -> str | None:
    if draft.assignment.task.solution != "teacher" or draft.assignment.task.solution_is != "code":
        return None
    text = draft.sections.solution
    blocks = fences(text)
    if not blocks:
        return None  # bare code: `syntax` tells it from prose
    if len(blocks) > 1:
        return f"the solution has {len(blocks)} code blocks; one is right"
    outside = (text[: blocks[0].start] + text[blocks[0].end :]).strip()
    return f"the solution has prose outside its code: {_quoted(outside)}" if outside else None


def _fence_language(draft: Draft) -> str | None:
    blocks = fences(draft.sections.solution)
    if draft.assignment.task.solution_is != "code" or len(blocks) != 1 or not blocks[0].tag:
        return None
    tagged = language_named(blocks[0].tag)
    wanted = draft.assignment.solution_language
    if draft.assignment.task.solution == "raw_code" or tagged is None or tagged.name == wanted:
        return None
    return f"the solution is marked as {tagged.title}; {language(wanted).title} is asked for"


def _syntax(draft: Draft) -> str | None:
    if draft.assignment.task.solution_is != "code":
        return None
    name = draft.assignment.solution_language
    issues = syntax_errors(draft.solution, name)
    if not issues:
        return None
    return f"the solution is no {language(name).title}: line {issues[0].line}, {issues[0].what}"


_LAYOUT = re.compile(
    r"^\s*(?:[-*+#]|\d+\.)\s|^\s*(?:Args|Arguments|Parameters|Returns|Raises|Notes?):", re.M
)


def _prose_only(draft: Draft) -> str | None:
    if draft.assignment.task.solution_is != "prose":
        return None
    if "```" in draft.solution:
        return "the solution holds a code block; prose is asked for"
    if _LAYOUT.search(draft.solution):
        return "the solution holds a list or a heading; plain sentences are asked for"
    words = len(draft.solution.split())
    return None if 8 <= words <= 200 else f"the solution has {words} words; 8 to 200 are right"


def _gives_away(draft: Draft) -> str | None:
    if draft.assignment.bug is None:
        return None
    right, wrong = changed_lines(draft.assignment.raw_code.code, draft.assignment.bug.code)
    for line in (right, wrong):
        if "".join(line.split()) in "".join(draft.sections.instruction.split()):
            return f"the instruction quotes the line to find: {_quoted(line)}"
    return None


def _undefined_name(draft: Draft) -> str | None:
    if draft.assignment.task.solution != "teacher" or draft.assignment.task.solution_is != "code":
        return None
    names = outside_names(draft.solution, draft.assignment.solution_language)
    if not names:
        return None
    return f"the solution uses {', '.join(names)} and never defines or imports it"


_PLACEHOLDER = re.compile(
    r"\b(?:your|rest of the|remaining) (?:code|implementation|logic)\b|\bTO"
    r"DO\b|"
    r"\bnot (?:yet )?implemented\b|NotImplementedError|unimplemented!|^\s*\.\.\.\s*$|"
    r"\b(?:code|implementation|logic) (?:goes|comes) here\b",
    re.IGNORECASE | re.MULTILINE,
)


def _placeholder(draft: Draft) -> str | None:
    if draft.assignment.task.solution != "teacher":
        return None
    match = _PLACEHOLDER.search(draft.solution)
    return f"the solution leaves work undone: {_quoted(match[0].strip())}" if match else None


def _differs(draft: Draft) -> str | None:
    assignment = draft.assignment
    if assignment.task.information == "teacher" or assignment.task.solution_is != "code":
        return None
    if draft.information is None or assignment.target_language:
        return None
    name = assignment.solution_language
    if tokens(draft.information, name) == tokens(draft.solution, name):
        return "the solution is the information again, but for comments and spaces"
    return None


def _copied(draft: Draft) -> str | None:
    task = draft.assignment.task
    # Where the program gives both sides, the instruction is all that is new; in a summary it is the
    # solution, and "Summarize f" may well recur.
    told = task.information == "teacher" or task.solution == "raw_code"
    words = _words(draft.sections.instruction if told else draft.solution)
    own = {name.lower() for name in re.findall(r"\w+", draft.assignment.raw_code.name)}
    for example in draft.shown:
        theirs = set(_runs(_words(example.instruction if told else example.solution)))
        for run in _runs(words):
            # A run with the function's own name in it is a turn of phrase, not a copy.
            if run in theirs and not own & set(run):
                return f"it repeats the example {example.id}: {_quoted(' '.join(run))}"
    return None


CHECKS: dict[str, Callable[[Draft], str | None]] = {
    "instruction_length": _instruction_length,
    "language_not_named": _names_language,
    "leans_on_unseen": _stands_alone,
    "prose_outside_code": _code_only,
    "wrong_language": _fence_language,
    "syntax_error": _syntax,
    "prose_expected": _prose_only,
    "placeholder": _placeholder,
    "undefined_name": _undefined_name,
    "gives_away": _gives_away,
    "no_difference": _differs,
    "copied": _copied,
}
"""Every check by the reason slug it gives, in the order they run: cheap ones first."""


def first_failure(draft: Draft) -> tuple[str, str] | None:
    """Return (slug, sentence) of the first check that fails, or None."""
    for slug, check in CHECKS.items():
        problem = check(draft)
        if problem:
            return slug, problem
    return None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _runs(words: list[str]) -> list[tuple[str, ...]]:
    """Return every run of eight words: shorter ones ("find and fix the bug") recur by chance."""
    return [tuple(words[at : at + 8]) for at in range(len(words) - 7)]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
