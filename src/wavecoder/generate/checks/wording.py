"""Rules on the instruction."""

import re

from wavecoder.generate.bugs import changed_lines
from wavecoder.generate.checks.draft import Check, Draft, Problem, line_of, quoted
from wavecoder.languages import language, names_language

__all__ = ["CHECKS"]


def _length(draft: Draft) -> Problem | None:
    # Code Alpaca's bounds on an instruction: more than 3 and at most 150 words.
    count = len(draft.sections.instruction.split())
    if 3 < count <= 150 and "\n\n" not in draft.sections.instruction:
        return None
    return Problem(
        f"the instruction has {count} words in one paragraph or more; 4 to 150 in one are right",
        "instruction",
    )


def _names_language(draft: Draft) -> Problem | None:
    wanted = [draft.assignment.raw_code.language]
    if draft.assignment.target_language:
        wanted.append(draft.assignment.target_language)
    titles = [
        language(name).title
        for name in wanted
        if not names_language(draft.sections.instruction, name)
    ]
    if not titles:
        return None
    return Problem(f"the instruction does not name {' and '.join(titles)}", "instruction")


# "The given function" may well be a parameter; code that is above, below or shown cannot be one.
_LEANS = re.compile(
    r"\b(?:(?:function|code|method|class|snippet) (?:above|below|shown)|"
    r"(?:above|shown|following) (?:function|code|method|class|snippet)|"
    r"(?:given|provided|original|real) (?:code|snippet)|real function)\b"
    r"(?! (?:signature|header|prototype|name)s?\b)",
    re.IGNORECASE,
)


def _stands_alone(draft: Draft) -> Problem | None:
    if draft.information is not None:
        return None
    text = draft.sections.instruction
    match = _LEANS.search(text)
    if match is None:
        return None
    what = f"the instruction leans on what the reader does not see: {match[0]!r}"
    return Problem(what, "instruction", line_of(text, match.start()))


_ASKS_FOR_REPAIR = re.compile(
    r"\b(?:bugs?|fix|repair|correct|wrong|errors?|mistakes?|faults?|fails?|problems?|defects?)\b",
    re.IGNORECASE,
)


def _asks(draft: Draft) -> Problem | None:
    if draft.assignment.bug is None or _ASKS_FOR_REPAIR.search(draft.sections.instruction):
        return None
    return Problem("the instruction does not say that something is wrong with the code")


# `else:` or `return x` may well stand in a sentence.
_TELLING = 12


def _gives_away(draft: Draft) -> Problem | None:
    if draft.assignment.bug is None:
        return None
    right, wrong = changed_lines(draft.assignment.raw_code.code, draft.assignment.bug.code)
    for line in (right, wrong):
        told = "".join(line.split())
        if len(told) >= _TELLING and told in "".join(draft.sections.instruction.split()):
            return Problem(
                f"the instruction quotes the line to find: {quoted(line)}", "instruction"
            )
    return None


# What a model says that does not do what it was asked.
_DECLINES = re.compile(
    r"\A\W*(?:i'?m (?:very |so )?sorry|i am (?:very |so )?sorry|sorry, (?:but )?i|"
    r"i (?:cannot|can't|can not|am unable to|am not able to) |as an ai\b|"
    r"unfortunately, i )|\bas an ai (?:language )?model\b",
    re.IGNORECASE,
)


def _declines(draft: Draft) -> Problem | None:
    for part, text in draft.written.items():
        match = _DECLINES.search(text)
        if match:
            what = f"the model declines in the {part}: {quoted(match[0].strip())}"
            return Problem(what, part, line_of(text, match.start()))
    return None


CHECKS = (
    Check("declined", _declines),
    Check("instruction_length", _length),
    Check("language_not_named", _names_language),
    Check("leans_on_unseen", _stands_alone),
    Check("asks_for_nothing", _asks),
    Check("gives_away", _gives_away),
)
