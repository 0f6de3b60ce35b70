"""The rule that a test can fail: it asserts of no constant, and compares nothing with itself."""

import re
from collections.abc import Sequence

from wavecoder.generate.checks.draft import Check, Draft, Problem, quoted, read_leaves
from wavecoder.languages import Leaf

__all__ = ["CHECKS"]

_ASSERT = re.compile(
    r"(?:debug_)?assert\w*|(?:EXPECT|ASSERT|REQUIRE|CHECK)(?:_\w+)?|expect|"
    r"Are(?:Equal|Same)|IsTrue"
)
_HOLDS = re.compile(r"(?i:(?:debug_)?assert|(?:assert|expect|is)_?true|require|check)")
_SAME = re.compile(
    r"(?i:(?:debug_)?(?:assert|expect|check|require)_?"
    r"(?:eq|equals?|are_?equal|same|strict_?equal|deep_?equal))|Are(?:Equal|Same)"
)
# Python's statement, and what Ruby calls without brackets.
_BARE = frozenset({"assert", "assert_equal", "assert_same"})
_TO_BE = frozenset({"toBe", "toEqual", "toStrictEqual", "equal", "eq", "equals"})
_TRUE = (["true"], ["True"], ["TRUE"], ["1"])
_EQUAL = frozenset({"==", "===", "is", "eql?"})


def _asserts(draft: Draft) -> Problem | None:
    if draft.assignment.task.solution_is != "code" or not draft.writes_code:
        return None
    code, name = draft.solution, draft.assignment.solution_language
    found = [leaf for leaf in read_leaves(code, name) if not leaf.is_comment]
    for at, leaf in enumerate(found):
        if not leaf.is_named and leaf.text != "assert":
            continue
        if _ASSERT.fullmatch(leaf.text) and (said := _says_nothing(found, at)):
            what = f"the solution has a test that cannot fail: {quoted(said)}"
            return Problem(what, "solution", leaf.line)
    return None


def _says_nothing(found: Sequence[Leaf], at: int) -> str | None:
    """Return an assertion that holds whatever the code does, or None."""
    word = found[at].text
    if at and found[at - 1].text in ("def", "function", "func", "fn", "void", "import", "@"):
        return None
    start = at + 1
    if found[start : start + 1] and found[start].text == "!":
        start += 1
    bracketed = found[start : start + 1] and found[start].text == "("
    if not bracketed and word not in _BARE:
        return None
    arguments, end = _arguments(found, start + 1) if bracketed else _statement(found, start)
    said = " ".join(leaf.text for leaf in found[at : min(end, at + 14)])
    texts = [[leaf.text for leaf in argument] for argument in arguments]
    if not texts or not texts[0]:
        return None
    if word == "expect" or (word == "assert" and found[end : end + 1] and found[end].text == "."):
        return said if _expects_itself(found, end, texts[0]) else None
    if _SAME.fullmatch(word) and len(texts) > 1 and texts[0] == texts[1]:
        return said
    if _HOLDS.fullmatch(word) and texts[0] in _TRUE:
        return said
    return said if word == "assert" and _itself(texts[0]) else None


def _expects_itself(found: Sequence[Leaf], end: int, first: list[str]) -> bool:
    """Say whether `expect(x)` goes on with `.toBe(x)`."""
    for at in range(end, min(end + 8, len(found) - 1)):
        if found[at].text in _TO_BE and found[at + 1].text == "(":
            theirs, _ = _arguments(found, at + 2)
            return bool(theirs) and [leaf.text for leaf in theirs[0]] == first
        if found[at].text == "toBeTruthy" or found[at].text == ";":
            return found[at].text == "toBeTruthy" and first == ["true"]
    return False


def _itself(texts: list[str]) -> bool:
    """Say whether a comparison has the same on both sides, or two equal literals."""
    for at, text in enumerate(texts):
        if text in _EQUAL:
            return texts[:at] == texts[at + 1 :]
    return False


def _arguments(found: Sequence[Leaf], start: int) -> tuple[list[list[Leaf]], int]:
    """Return the arguments from `start` up to the closing bracket, and the place behind it."""
    arguments: list[list[Leaf]] = [[]]
    depth = 0
    for at in range(start, len(found)):
        text = found[at].text
        if text in (")", "]", "}") and depth == 0:
            return arguments, at + 1
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        if text == "," and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(found[at])
    return arguments, len(found)


def _statement(found: Sequence[Leaf], start: int) -> tuple[list[list[Leaf]], int]:
    """Return the parts of `assert x, "message"`, which has no brackets, and the place behind it."""
    parts: list[list[Leaf]] = [[]]
    depth, at = 0, start
    while at < len(found):
        text = found[at].text
        if depth == 0 and (text == ";" or found[at].line != found[at - 1].line):
            break
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        if text in (",", ":") and depth == 0:
            parts.append([])
        else:
            parts[-1].append(found[at])
        at += 1
    return parts, at


CHECKS = (Check("empty_assert", _asserts),)
