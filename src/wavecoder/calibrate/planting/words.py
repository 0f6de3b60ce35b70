"""Defects of the words: summaries that paste or lie, instructions that lack or lean."""

import re
from dataclasses import replace
from random import Random

from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.planting.pool import Defect, Pool
from wavecoder.languages import LANGUAGES
from wavecoder.languages.table import language

__all__ = ["DEFECTS"]


def _copied_summary(case: Case, pool: Pool, rng: Random) -> Case | None:
    code = " ".join(case.raw.code.split())
    said = rng.choice(("{0}", "The function is defined as {0}", "It does this: {0}."))
    return replace(case, solution=said.format(" ".join(code.split()[:150])))


def _other_summary(case: Case, pool: Pool, rng: Random) -> Case | None:
    other = pool.other(case, rng)
    return None if other is None else replace(case, solution=other.solution)


_OPPOSITES = (
    ("largest", "smallest"), ("maximum", "minimum"), ("longest", "shortest"), ("first", "last"),
    ("greater", "less"), ("larger", "smaller"), ("ascending", "descending"), ("even", "odd"),
    ("increasing", "decreasing"), ("true", "false"), ("sum", "product"), ("positive", "negative"),
    ("vowels", "consonants"), ("uppercase", "lowercase"), ("left", "right"), ("all", "no"),
    ("before", "after"), ("above", "below"), ("always", "never"), ("add", "subtract"),
    ("prime", "composite"), ("balanced", "unbalanced"), ("distinct", "equal"),
)  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.\-])\d{1,4}(?![\w.])")


def _changed_fact(case: Case, pool: Pool, rng: Random) -> Case | None:
    """Change one fact of a summary into its opposite, or a number into the next one."""
    text = case.solution
    changes: list[tuple[int, int, str]] = []
    for pair in _OPPOSITES:
        for word, other in (pair, pair[::-1]):
            for match in re.finditer(rf"\b{word}\b", text, re.IGNORECASE):
                new = other.capitalize() if match[0][0].isupper() else other
                changes.append((*match.span(), new))
    for match in _NUMBER.finditer(text):
        changes.append((*match.span(), str(int(match[0]) + 1)))
    if not changes:
        verb = re.search(r"\b[Rr]eturns?\b", text)
        if verb is None:
            return None
        changes.append((*verb.span(), "never " + verb[0].lower()))
    start, end, new = rng.choice(sorted(changes))
    return replace(case, solution=text[:start] + new + text[end:])


def _language_not_named(case: Case, pool: Pool, rng: Random) -> Case | None:
    text = case.instruction
    for name in {case.raw.language, case.language}:
        row = language(name)
        for title in (row.title, *row.also):
            text = re.sub(rf"\b{re.escape(title)}(?!\w)\s?", "", text)
    return replace(case, instruction=text)


_LEANING = (
    "Rewrite the function above so that it is easier to read, and keep what it does.",
    "Complete the code shown so that all of its tests pass.",
    "Implement the following function in {0} as described in the given code.",
    "Write the {0} method that is missing in the class above.",
    "Use the helper from the provided snippet to write the same function in {0}.",
)


def _leans(case: Case, pool: Pool, rng: Random) -> Case | None:
    said = rng.choice(_LEANING).format(language(case.language).title)
    if language(case.language).title not in said:
        said = f"In {language(case.language).title}: {said}"
    return replace(case, instruction=said)


_WITHIN = (
    "an airport shuttle timetable", "the humidity log of a greenhouse", "a chess opening book",
    "the seating plan of a theatre", "a train's braking distance",
)  # fmt: skip


def _other_instruction(case: Case, pool: Pool, rng: Random) -> Case | None:
    """Ask for something that the solution has nothing to do with."""
    title, subject = LANGUAGES[case.language].title, rng.choice(_WITHIN)
    name = case.reference.sides[-1].function if case.reference.sides else case.raw.name
    return replace(
        case,
        instruction=f"Write a {title} function `{name}` that prints a report of {subject}, a "
        "paragraph for each entry, with the newest one on top.",
    )


_FOUR = ("generation", "repair", "summarization", "translation")
DEFECTS = (
    Defect("copied_summary", "the code is the summary", _copied_summary, tasks=("summarization",)),
    Defect(
        "other_summary",
        "the summary of another function",
        _other_summary,
        by_program=False,
        tasks=("summarization",),
    ),
    Defect(
        "changed_fact",
        "the summary has one fact wrong",
        _changed_fact,
        by_program=False,
        tasks=("summarization",),
    ),
    Defect(
        "other_instruction",
        "the instruction asks for something else",
        _other_instruction,
        by_program=False,
        tasks=("generation",),
    ),
    Defect(
        "language_not_named", "the instruction names no language", _language_not_named, tasks=_FOUR
    ),
    Defect(
        "leans_on_unseen",
        "the instruction speaks of code that is not shown",
        _leans,
        tasks=("generation",),
    ),
)
"""Those of the words."""
