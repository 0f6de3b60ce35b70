"""Rules on pairs: solution and information, summary and code, draft and example."""

import re
from collections.abc import Sequence
from itertools import groupby

from wavecoder.generate.checks.draft import (
    Check,
    Draft,
    Problem,
    line_of,
    quoted,
    read_tokens,
    runs,
    words,
)

__all__ = ["CHECKS"]


def _differs(draft: Draft) -> Problem | None:
    assignment = draft.assignment
    if assignment.task.information == "generator" or assignment.task.solution_is != "code":
        return None
    if draft.information is None or assignment.target_language:
        return None
    name = assignment.solution_language
    if read_tokens(draft.information, name) == read_tokens(draft.solution, name):
        return Problem("the solution is the information again, but for comments and spaces")
    return None


# Fewer tokens in a row, or fewer marks among them, are a name, a phrase or a formula's term.
_PASTED, _FEWEST_MARKS = 6, 2
# A formula may stand in a summary; it is pasted where so much of the summary is code.
_PASTED_SHARE = 0.35
_MARK = re.compile(r"[^\w\s.,'\"]")
_TOKEN = re.compile(r"\w+|[^\w\s]")


def _pastes(draft: Draft) -> Problem | None:
    """Refuse prose of which much stands in the code, token by token."""
    if draft.assignment.task.solution_is != "prose":
        return None
    raw = draft.assignment.raw_code
    text = draft.solution
    # Token by token as in prose: a string literal is a single one to the grammar.
    code = _TOKEN.findall(" ".join(read_tokens(raw.code, raw.language)))
    theirs = {
        run for run in runs(code, _PASTED) if len(list(filter(_MARK.match, run))) >= _FEWEST_MARKS
    }
    found = [(match[0], match.start()) for match in _TOKEN.finditer(text)]
    pasted: set[int] = set()
    for at in range(len(found) - _PASTED + 1):
        if tuple(token for token, _ in found[at : at + _PASTED]) in theirs:
            pasted.update(range(at, at + _PASTED))
    if len(pasted) < max(1, _PASTED_SHARE * len(found)):
        return None
    start = found[min(pasted)][1]
    what = (
        f"{len(pasted) / len(found):.0%} of the solution is the code again: {quoted(text[start:])}"
    )
    return Problem(what, "solution", line_of(text, start))


# Only what is marked as code: prose without marks may coin names of its own.
_NAME = re.compile(r"`([A-Za-z_$@]\w{2,})(?:\(\))?`")


def _speaks_of_another(draft: Draft) -> Problem | None:
    """Refuse prose whose names of code are all unknown to the code it is about."""
    if draft.assignment.task.solution_is != "prose":
        return None
    raw = draft.assignment.raw_code
    text = draft.solution
    found = _NAME.findall(text)
    known = f"{raw.name} {raw.code} {raw.docstring or ''}".lower()
    if not found or any(name.lower() in known for name in found):
        return None
    what = f"the solution speaks of {found[0]}, which the code does not have"
    return Problem(what, "solution", line_of(text, text.index(found[0])))


# Three of four runs of six tokens; solutions shorter than that many tokens are alike by chance.
_COPY_RUN, _COPY_SHARE, _COPY_TOKENS = 6, 0.75, 40
_IMPORTS = re.compile(r"^[ \t]*(?:#[ \t]*include|import|from|use|using|package)\b.*$", re.MULTILINE)


def _copies_raw(draft: Draft) -> Problem | None:
    """Refuse an answer that is the raw code again, where that should only be an idea for it."""
    task = draft.assignment.task
    if not draft.writes_code or task.information != "generator":
        return None
    raw = draft.assignment.raw_code
    if draft.assignment.solution_language != raw.language:
        return None
    own = read_tokens(_IMPORTS.sub("", draft.solution), raw.language)
    if len(own) < _COPY_TOKENS:
        return None
    theirs = set(runs(read_tokens(_IMPORTS.sub("", raw.code), raw.language), _COPY_RUN))
    found = runs(own, _COPY_RUN)
    share = sum(run in theirs for run in found) / len(found)
    if share < _COPY_SHARE:
        return None
    what = f"{share:.0%} of the solution stands in the raw code word by word; an idea is asked for"
    return Problem(what, "solution", 1)


# Turns of phrase are shared by chance ("takes a list of strings and returns a new list"): it takes
# half of a draft in runs of `_RUN` words, or `_LONG_RUN` words on end, to call it copied.
_RUN = 8
_LONG_RUN = 14


def _copied(draft: Draft) -> Problem | None:
    task = draft.assignment.task
    # Where the program gives both sides, the instruction is all that is new; in a summary it is the
    # solution, and "Summarize f" may well recur.
    told = task.information == "generator" or task.solution == "raw_code"
    prose = told or task.solution_is == "prose"
    part = "instruction" if told else "solution"
    own: Sequence[str] = ()
    if not prose:
        own = read_tokens(draft.solution, draft.assignment.solution_language)
    found = runs(words(draft.sections.instruction if told else draft.solution), _RUN)
    for example in draft.shown:
        if not prose:
            # Loops and signatures recur in any code.
            name = example.target_language or example.language
            same_language = name == draft.assignment.solution_language
            if same_language and own == read_tokens(example.solution, name):
                return Problem(f"the solution is that of the example {example.id}", part, 1)
            continue
        theirs = set(runs(words(example.instruction if told else example.solution), _RUN))
        common = [run in theirs for run in found]
        # Runs of eight that follow each other make a longer one.
        longest = max((len(list(same)) for shared, same in groupby(common) if shared), default=0)
        if longest and (2 * sum(common) >= len(common) or longest >= _LONG_RUN - _RUN + 1):
            first = " ".join(found[common.index(True)])
            return Problem(f"it repeats the example {example.id}: {quoted(first)}", part, 1)
    return None


CHECKS = (
    Check("no_difference", _differs),
    Check("pasted_code", _pastes),
    Check("other_code", _speaks_of_another),
    Check("copies_raw_code", _copies_raw),
    Check("copied", _copied),
)
