"""Rules on the form of the solution: code and nothing else, in its language, or plain prose."""

import re

from wavecoder.generate.checks.draft import Check, Draft, Problem, line_of, quoted
from wavecoder.generate.checks.syntax import other_language, syntax_issue, two_languages
from wavecoder.generate.sections import fences
from wavecoder.languages import language, language_named

__all__ = ["CHECKS"]


def _code_only(draft: Draft) -> Problem | None:
    if not draft.writes_code:
        return None
    text = draft.sections.solution
    blocks = fences(text)
    if not blocks:
        return None  # bare code: `syntax_error` tells it from prose
    if len(blocks) > 1:
        what = f"the solution has {len(blocks)} code blocks; one is right"
        return Problem(what, "solution", line_of(text, blocks[1].start))
    outside = (text[: blocks[0].start] + text[blocks[0].end :]).strip()
    if not outside:
        return None
    what = f"the solution has prose outside its code: {quoted(outside)}"
    return Problem(what, "solution", line_of(text, text.index(outside[:20])))


def _right_language(draft: Draft) -> Problem | None:
    if not draft.writes_code:
        return None
    wanted = draft.assignment.solution_language
    blocks = fences(draft.sections.solution)
    tagged = language_named(blocks[0].tag) if len(blocks) == 1 and blocks[0].tag else None
    if tagged is not None and tagged.name != wanted:
        asked = language(wanted).title
        return Problem(
            f"the solution is marked as {tagged.title}; {asked} is asked for", "solution"
        )
    found = other_language(draft.solution, wanted)
    return Problem(found[0], "solution", found[1]) if found else None


def _one_language(draft: Draft) -> Problem | None:
    if not draft.writes_code:
        return None
    found = two_languages(draft.solution, draft.assignment.solution_language)
    return Problem(found[0], "solution", found[1]) if found else None


def _syntax(draft: Draft) -> Problem | None:
    if draft.assignment.task.solution_is != "code":
        return None
    wanted = draft.assignment.solution_language
    found = syntax_issue(draft.solution, wanted)
    if found is None:
        return None
    return Problem(f"the solution is no {language(wanted).title}: {found[0]}", "solution", found[1])


_LAYOUT = re.compile(
    r"^\s*(?:[-*+#]|\d+\.)\s|^\s*(?:Args|Arguments|Parameters|Returns|Raises|Notes?):", re.M
)
# What a chatty model says when it is done.
_PLEASANTRY = re.compile(
    r"(?:^|[.!?]\s+)(?:(?:please )?let me know\b|(?:please )?feel free to\b|"
    r"(?:i )?hope (?:this|that|it)\b|would you like\b|"
    r"if you (?:have any|need (?:any|more|further)|would like|want me)\b)",
    re.IGNORECASE | re.MULTILINE,
)


def _prose_only(draft: Draft) -> Problem | None:
    if draft.assignment.task.solution_is != "prose":
        return None
    text = draft.solution
    if "```" in text:
        what = "the solution holds a code block; prose is asked for"
        return Problem(what, "solution", line_of(text, text.index("```")))
    layout = _LAYOUT.search(text)
    if layout:
        what = "the solution holds a list or a heading; plain sentences are asked for"
        return Problem(what, "solution", line_of(text, layout.end() - 1))
    match = _PLEASANTRY.search(text)
    if match:
        said = text[match.start() :].lstrip(".!? \n")
        what = f"the solution speaks to its reader at the end: {quoted(said)}"
        return Problem(what, "solution", line_of(text, match.start()))
    count = len(text.split())
    if 5 <= count <= 200:
        return None
    return Problem(f"the solution has {count} words; 5 to 200 are right", "solution")


# No sentence ends so, with or without a full stop behind it.
_CUT = re.compile(
    r"(?:[,(\[{\-–—]|\b(?:a|an|the|and|or|with|for|by|from|as|into|than|its|their))\Z"
)
_ENDS = re.compile(r"[.!?][\"'`)\]*]*\s+[A-Z`]")


def _whole_prose(draft: Draft) -> Problem | None:
    if draft.assignment.task.solution_is != "prose":
        return None
    text = draft.solution.rstrip()
    cut = _CUT.search(text)
    # Whoever ends sentences ends the last one as well.
    open_end = _ENDS.search(text) and not re.search(r"[.!?:…][\"'`)\]*]*\Z", text)
    if not cut and not open_end:
        return None
    what = f"the solution stops in the middle of a sentence: {quoted(text[-50:])}"
    return Problem(what, "solution", line_of(text, len(text)))


CHECKS = (
    Check("prose_outside_code", _code_only),
    Check("wrong_language", _right_language),
    Check("mixed_languages", _one_language),
    Check("syntax_error", _syntax),
    Check("prose_expected", _prose_only),
    Check("stops_midway", _whole_prose),
)
