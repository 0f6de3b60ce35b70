"""Rules on names: what the code uses is there, and what was asked for is what it defines."""

import re

from wavecoder.generate.checks.draft import (
    Check,
    Draft,
    Problem,
    line_of,
    read_signatures,
    read_tokens,
)
from wavecoder.generate.checks.syntax import syntax_issue
from wavecoder.languages import outside_names
from wavecoder.languages.imports import missing_import, strange_import
from wavecoder.languages.signatures import Signature

__all__ = ["CHECKS"]


def _undefined(draft: Draft) -> Problem | None:
    if not draft.writes_code:
        return None
    code, name = draft.solution, draft.assignment.solution_language
    if name != "python":
        missing = missing_import(code, name) if syntax_issue(code, name) is None else None
        if missing is None:
            return None
        what = f"the solution uses {missing.name} and does not import it: it needs {missing.what}"
        return Problem(what, "solution", missing.line)
    if re.search(r"^\s*from\s+\S+\s+import\s*\*", code, re.MULTILINE):
        return None  # any name may come from there
    names = outside_names(code, name)
    if not names:
        return None
    use = re.search(rf"\b{re.escape(names[0])}\b", code)
    what = f"the solution uses {', '.join(names)} and never defines or imports it"
    return Problem(what, "solution", line_of(code, use.start()) if use else None)


def _strange_import(draft: Draft) -> Problem | None:
    if not draft.writes_code:
        return None
    found = strange_import(draft.solution, draft.assignment.solution_language)
    if found is None:
        return None
    return Problem(f"the solution imports {found.name}, {found.what}", "solution", found.line)


# `largest(items)`, the function `largest`, a class named `Box`: what the instruction calls by name.
_CALLED = re.compile(
    r"`(?P<call>[A-Za-z_]\w*[?!]?)\([^`]*\)`|"
    r"\b(?:function|method|class|struct|trait|interface|procedure|subroutine)s?"
    r"(?:,? (?:called|named))? `(?P<named>[A-Za-z_]\w*[?!]?)(?:\([^`]*\))?`"
)


def _asked_name(draft: Draft) -> Problem | None:
    """Refuse code that has none of the names that the instruction calls things by."""
    text = draft.sections.instruction
    found = [match["call"] or match["named"] for match in _CALLED.finditer(text)]
    if not found:
        return None
    code = {_plain(draft.assignment.raw_code.name.rsplit(".", 1)[-1])}
    if draft.assignment.task.information != "generator":
        where = "the code that it is about"
        code |= _names(draft.assignment.raw_code.code, draft.assignment.raw_code.language)
    elif draft.writes_code:
        where = "the solution"
        code = _names(draft.solution, draft.assignment.solution_language)
    else:
        return None
    if any(_plain(name) in code for name in found):
        return None
    what = f"the instruction names {found[0]}, and {where} has nothing of that name"
    return Problem(what, "instruction", line_of(text, text.index(found[0])))


def _names(code: str, language: str) -> set[str]:
    found = read_tokens(code, language)
    return {_plain(token) for token in found if token[:1].isalpha() or "_" in token}


def _plain(name: str) -> str:
    """Return a name without case and style: `parse_url`, `parseURL` and `_parse_url` are one."""
    return re.sub(r"[\W_]+", "", name).lower()


# Both write what would be a parameter elsewhere in another way: the length of an array, an object
# that holds the options.
_COUNTS_FREELY = frozenset({"c", "cpp"})
_TAKES_OBJECTS = frozenset({"javascript", "typescript", "php", "ruby"})
# Nobody calls these by name, so that another language has another name for them.
_UNNAMED = re.compile(r"__\w+__|main|constructor|initialize|operator.*")


def _same_surface(draft: Draft) -> Problem | None:
    """Refuse a translation whose function has another name, or takes other arguments."""
    assignment = draft.assignment
    target = assignment.target_language
    if target is None or not draft.writes_code or syntax_issue(draft.solution, target) is not None:
        return None
    raw = assignment.raw_code
    source, own = read_signatures(raw.code, raw.language), _plain(raw.name.rsplit(".", 1)[-1])
    if not source or _UNNAMED.fullmatch(source[0].name):
        return None
    wanted = next((one for one in source if _plain(one.name) == own), source[0])
    theirs = read_signatures(draft.solution, target)
    names = (wanted.name, raw.name.rsplit(".", 1)[-1])
    same = [one for one in theirs if any(_alike(one.name, name) for name in names)]
    if not same:
        if any(_alike(one, name) for one in _names(draft.solution, target) for name in names):
            return None  # a closure, a macro: it is there, in a form we do not read
        what = f"the translation has no function {wanted.name}"
        if theirs:
            what += f"; it has {', '.join(dict.fromkeys(one.name for one in theirs[:3]))}"
        return Problem(what, "solution", theirs[0].line if theirs else None)
    if any(_takes(one, wanted, raw.language, target) for one in same):
        return None
    what = f"{same[0].name} takes {_many(same[0])}; the original takes {_many(wanted)}"
    return Problem(what, "solution", same[0].line)


def _alike(one: str, other: str) -> bool:
    """Say whether two names are one, but for style and for an `is_` or `get_` in front."""
    left, right = _plain(one), _plain(other)
    short, long = sorted((left, right), key=len)
    return short == long or (len(short) > 2 and (long.startswith(short) or long.endswith(short)))


def _takes(one: Signature, wanted: Signature, source: str, target: str) -> bool:
    """Say whether some number of arguments suits both."""
    least, most = wanted.least, wanted.most
    if wanted.most is None or one.most is None:
        return True
    if {source, target} & _TAKES_OBJECTS and one.most <= wanted.most and one.most > 0:
        least = 0 if wanted.most > 2 else least  # options may be one object
    if target in _COUNTS_FREELY:
        most = wanted.most * 2 + 1
    if source in _COUNTS_FREELY:
        least = min(wanted.least, max(1, wanted.least // 2)) if wanted.least else 0
    assert most is not None
    return one.least <= most and least <= one.most


def _many(one: Signature) -> str:
    if one.most is None:
        return f"{one.least} arguments or more"
    count = str(one.least) if one.least == one.most else f"{one.least} to {one.most}"
    return f"{count} argument{'' if count == '1' else 's'}"


CHECKS = (
    Check("undefined_name", _undefined),
    Check("strange_import", _strange_import),
    Check("other_name", _asked_name),
    Check("other_surface", _same_surface),
)
