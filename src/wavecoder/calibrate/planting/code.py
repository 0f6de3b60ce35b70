"""Defects of the code: it does not parse, lacks something, or does something else."""

import re
from dataclasses import replace
from random import Random

from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.planting.edit import (
    COMMENT,
    function_of,
    parameters,
    spliced,
    tokens_of,
    with_body,
)
from wavecoder.calibrate.planting.pool import Defect, Pool
from wavecoder.generate.bugs import Bug
from wavecoder.languages import mutants

__all__ = ["DEFECTS"]


def _broken_syntax(case: Case, pool: Pool, rng: Random) -> Case | None:
    found = [leaf for leaf in tokens_of(case.code, case.language) if leaf.text in (")", "]", "}")]
    if not found:
        return None
    leaf = rng.choice(found)
    return _changed(case, spliced(case.code, leaf.start, leaf.end, ""))


# What a line brings in, by language: the line, and names of which the code must use one.
_BRINGS = {
    "python": (r"^(?:import (?P<a>\w+)|from [\w.]+ import (?P<b>\w+))$", None),
    "java": (
        r"^import java\.util\.\*;$",
        r"\b(?:List|Map|Set|ArrayList|HashMap|Arrays|Optional)\b",
    ),
    "go": (r"^import \([^)]*\)$", r"\b(?:math|strings|sort|strconv)\.[A-Z]"),
    "cpp": (r"^(?:#include.*\n|using namespace std;\n)+", r"\b(?:vector|string|map|sort)\b"),
    "rust": (r"^use std::.*collections::.*;$", r"\bHash(?:Map|Set)\s*[:<]"),
}


def _missing_import(case: Case, pool: Pool, rng: Random) -> Case | None:
    row = _BRINGS.get(case.language)
    if row is None:
        return None
    code = case.code
    for match in re.finditer(row[0], code, re.MULTILINE):
        name = next((one for one in match.groupdict().values() if one), None)
        used = rf"\b{name}\b" if row[1] is None else row[1]
        rest = code[: match.start()] + code[match.end() :]
        if re.search(used, rest):
            return _changed(case, rest.strip())
    return None


def _undefined_name(case: Case, pool: Pool, rng: Random) -> Case | None:
    """Misspell one use of a parameter."""
    names = [one for one in parameters(case) if len(one) > 1] or parameters(case)
    uses = [leaf for leaf in tokens_of(case.code, case.language) if leaf.text in names]
    # The first is the declaration; a field of that name is no use of it.
    own = case.code.encode()
    later = [
        leaf
        for at, leaf in enumerate(uses)
        if any(one.text == leaf.text for one in uses[:at])
        and own[leaf.start - 1 : leaf.start] not in (b".", b">", b":")
    ]
    if not later:
        return None
    leaf = rng.choice(later)
    return _changed(case, spliced(case.code, leaf.start, leaf.end, f"{leaf.text}_given"))


def _wrong_language(case: Case, pool: Pool, rng: Random) -> Case | None:
    side = pool.elsewhere(case, rng)
    return None if side is None else case.with_code(side.code)


def _not_translated(case: Case, pool: Pool, rng: Random) -> Case | None:
    return case.with_code(case.raw.code)


def _other_solution(case: Case, pool: Pool, rng: Random) -> Case | None:
    other = pool.other(case, rng)
    return None if other is None else _changed(case, other.code)


def _off_by_one(case: Case, pool: Pool, rng: Random) -> Case | None:
    """Change a value or an operator of the solution, where that surely changes what it does."""
    found = [
        one.code
        for one in mutants(case.code, case.language, certain=True)
        if one.kind in ("value misuse", "operator misuse")
    ]
    return _changed(case, rng.choice(found)) if found else None


def _human_bug(case: Case, pool: Pool, rng: Random) -> Case | None:
    wrong = case.reference.wrong
    return None if wrong is None else _changed(case, wrong)


def _dropped_return(case: Case, pool: Pool, rng: Random) -> Case | None:
    found = [leaf for leaf in tokens_of(case.code, case.language) if leaf.text == "return"]
    data = case.code.encode()
    valued = [one for one in found if data[one.end : one.end + 1] not in (b";", b"\n", b"")]
    if not valued:
        return None
    leaf = valued[-1]  # the last one decides most results
    return _changed(case, spliced(case.code, leaf.start, leaf.end + 1, ""))


def _truncated(case: Case, pool: Pool, rng: Random) -> Case | None:
    lines = case.code.rstrip().split("\n")
    if len(lines) < 4:
        return None
    kept = rng.randrange(len(lines) // 2, len(lines) - 1)
    # A whole statement may end there in Python: the cut goes through the line.
    last = lines[kept]
    return _changed(case, "\n".join([*lines[:kept], last[: max(1, len(last) * 2 // 3)]]))


_UNDONE = {
    "python": ("pass", "raise NotImplementedError"),
    "javascript": ('throw new Error("not implemented");', "return null;"),
    "typescript": ('throw new Error("not implemented");',),
    "java": ("throw new UnsupportedOperationException();",),
    "go": ('panic("not implemented")',),
    "rust": ("unimplemented!()", "todo!()"),
    "cpp": ('throw std::runtime_error("not implemented");', "return {};"),
    "php": ("return null;",),
    "ruby": ("raise NotImplementedError", "nil"),
    "c": ("return 0;",),
}


def _placeholder(case: Case, pool: Pool, rng: Random) -> Case | None:
    mark = COMMENT.get(case.language, "//")
    said = rng.choice(("TODO: implement this", "Your code here", "rest of the implementation"))
    undone = rng.choice(_UNDONE[case.language]) if case.language in _UNDONE else ""
    code = with_body(case, f"{mark} {said}\n{undone}")
    return None if code is None else _changed(case, code)


def _copied_raw(case: Case, pool: Pool, rng: Random) -> Case | None:
    """Give the raw code as the exercise's solution, under the exercise's name."""
    own, theirs = function_of(case), case.raw.name
    if own is None:
        return None
    return case.with_code(re.sub(rf"\b{re.escape(theirs)}\b", own, case.raw.code))


def _swapped(case: Case, pool: Pool, rng: Random) -> Case | None:
    assert case.bug is not None
    raw = case.raw.model_copy(update={"code": case.bug.code})
    return replace(case, raw=raw, bug=Bug(case.bug.kind, case.raw.code))


def _unchanged(case: Case, pool: Pool, rng: Random) -> Case | None:
    """Let only a comment tell the wrong side from the right one."""
    assert case.bug is not None
    mark = COMMENT.get(case.language, "//")
    return replace(case, bug=Bug(case.bug.kind, f"{mark} The bug is here.\n{case.raw.code}"))


def _changed(case: Case, code: str) -> Case:
    """Return the case with another solution; of a repair with another right side."""
    if case.task.solution == "raw_code":
        return replace(case, raw=case.raw.model_copy(update={"code": code}))
    return case.with_code(code)


_ALL = ("generation", "repair", "translation")
DEFECTS = (
    Defect("broken_syntax", "a bracket is missing", _broken_syntax, tasks=_ALL),
    Defect("missing_import", "an import that is needed is gone", _missing_import),
    Defect("undefined_name", "a name is used that nobody defines", _undefined_name),
    Defect("wrong_language", "the code is in another language", _wrong_language),
    Defect("not_translated", "the original is given back", _not_translated, tasks=("translation",)),
    Defect("other_solution", "another exercise's solution", _other_solution, tasks=_ALL),
    Defect("off_by_one", "a value or an operator is another", _off_by_one, tasks=_ALL),
    Defect("human_bug", "a bug that a person put in", _human_bug),
    Defect("dropped_return", "a return is missing", _dropped_return, tasks=_ALL),
    Defect("truncated", "the code ends in the middle", _truncated, tasks=_ALL),
    Defect("placeholder", "the body is left to do", _placeholder),
    Defect("copied_raw", "the raw code is the answer", _copied_raw, tasks=("generation",)),
    Defect("swapped", "the wrong side is the answer", _swapped, tasks=("repair",)),
    Defect("unchanged", "both sides are one, but for a comment", _unchanged, tasks=("repair",)),
)
"""Those of the code."""
