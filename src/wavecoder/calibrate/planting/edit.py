"""Edits of code by its tokens."""

import re
from collections.abc import Iterator

from wavecoder.behaviour import Subject, functions_in
from wavecoder.behaviour.signatures import Found, of_subject
from wavecoder.calibrate.cases import Case
from wavecoder.languages import Leaf, leaves

__all__ = [
    "COMMENT",
    "before_body",
    "function_of",
    "parameters",
    "spliced",
    "tokens_of",
    "with_body",
]

COMMENT = {"python": "#", "ruby": "#"}
"""What begins a comment; elsewhere two slashes."""


def spliced(code: str, start: int, end: int, new: str) -> str:
    """Return code with the bytes from `start` to `end` replaced."""
    data = code.encode("utf-8", "replace")
    return (data[:start] + new.encode() + data[end:]).decode("utf-8", "replace")


def tokens_of(code: str, language: str) -> Iterator[Leaf]:
    """Yield the tokens of code, without comments."""
    return (leaf for leaf in leaves(code, language) if not leaf.is_comment)


def function_of(case: Case) -> str | None:
    """Return the name of the function that the case is about."""
    names = functions_in(case.code, case.language)
    for side in reversed(case.reference.sides):
        if side.function in names:
            return side.function
    return names[0] if names else None


def parameters(case: Case) -> list[str]:
    """Return the names of its parameters."""
    found = _found(case)
    return [name for name, _ in found.signature.parameters] if found else []


def before_body(case: Case, statement: str) -> str | None:
    """Return the code with statements in front of the function's own, or None."""
    found = _found(case)
    if found is None or found.body is None or found.expression:
        return None
    start, _ = found.body
    data = case.code.encode("utf-8", "replace")
    if case.language in ("python", "ruby"):
        lead = data[data.rfind(b"\n", 0, start) + 1 : start].decode("utf-8", "replace")
        if lead.strip():
            return None  # on the line of its head
        text = statement.replace("\n", f"\n{lead}")
        return spliced(case.code, start, start, f"{text}\n{lead}")
    if data[start : start + 1] != b"{":
        return None
    text = "\n".join(f"    {line}" for line in statement.split("\n"))
    return spliced(case.code, start + 1, start + 1, f"\n{text}")


def with_body(case: Case, statement: str) -> str | None:
    """Return the code with other statements in place of the function's own, or None."""
    found = _found(case)
    if found is None or found.body is None or found.expression:
        return None
    start, end = found.body
    data = case.code.encode("utf-8", "replace")
    if case.language in ("python", "ruby"):
        lead = data[data.rfind(b"\n", 0, start) + 1 : start].decode("utf-8", "replace")
        if lead.strip():
            return None
        return spliced(case.code, start, end, statement.replace("\n", f"\n{lead}"))
    if data[start : start + 1] != b"{":
        return None
    text = re.sub(r"^", "    ", statement, flags=re.MULTILINE)
    return spliced(case.code, start, end, "{\n" + text + "\n}")


def _found(case: Case) -> Found | None:
    name = function_of(case)
    return of_subject(Subject(case.code, case.language, name)) if name else None
