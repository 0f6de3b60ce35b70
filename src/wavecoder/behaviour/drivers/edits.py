"""Small changes to a subject's text, told by its tree: a `main` of its own gets another name."""

import re

from wavecoder.behaviour.signatures import found

__all__ = ["other_main", "renamed_main", "spliced"]

other_main = "subject_main"


def spliced(code: str, start: int, end: int, text: str) -> str:
    """Return a text with the bytes from `start` to `end` replaced."""
    data = code.encode("utf-8", "replace")
    made = data[:start] + text.encode("utf-8", "replace") + data[end:]
    return made.decode("utf-8", "replace")


def renamed_main(code: str, language: str) -> str:
    """Return a text whose function `main` is called otherwise: the driver has one."""
    data = code.encode("utf-8", "replace")
    for one in found(code, language):
        if one.signature.name == "main" and one.depth == 0 and not one.signature.owner:
            head = data[one.start : one.body[0] if one.body else one.end].decode("utf-8", "replace")
            renamed = re.sub(r"\bmain\b(?=\s*[(<])", other_main, head, count=1)
            return spliced(code, one.start, one.start + len(head.encode()), renamed)
    return code
