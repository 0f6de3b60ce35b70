"""A reply under labels of our choice becomes its sections, or a sentence that says why it cannot.

Like `sections.py`, which reads the four sections of the paper and no others: models write
`[Problem]`, `Problem:`, `**Problem**` and `## Problem`, and all of these are labels; inside a fence
nothing is.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from wavecoder.generate.sections import fences

__all__ = ["is_open", "parse_labels"]

_MARKS = re.compile(r"^[ \t]*+(?:`{3,}|~{3,})", re.MULTILINE)


def is_open(text: str) -> bool:
    """Say whether a code fence is opened in `text` and not closed."""
    end = 0
    for block in fences(text):
        if _MARKS.search(text, end, block.start):
            return True
        end = block.end
    return _MARKS.search(text, end) is not None


def parse_labels(reply: str, names: Sequence[str]) -> dict[str, str] | str:
    """Return the sections of a reply by the names given, or the reason why it lacks them.

    Each name must occur once, in the order given; a section may be empty. What stands before the
    first label is left out.
    """
    pattern = _labels(tuple(names))
    # A fence that opens behind a label goes on a line of its own, or its end would be taken for
    # another's beginning.
    text = pattern.sub(_broken_off, reply.replace("\r\n", "\n"))
    labels = list(_outside(pattern, text))
    found: dict[str, str] = {}
    for index, match in enumerate(labels):
        name = match["name"].lower()
        if name in found:
            return f"the section {name} occurs twice"
        end = labels[index + 1].start() if index + 1 < len(labels) else len(text)
        found[name] = text[match.end() : end].strip()
    missing = [name for name in names if name not in found]
    if missing:
        return f"no section {', '.join(missing)}"
    return found if list(found) == list(names) else f"the sections come as {', '.join(found)}"


def _outside(labels: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yield the labels that stand outside fences."""
    blocks = fences(text)
    index = 0
    for label in labels.finditer(text):
        while index < len(blocks) and blocks[index].end <= label.start():
            index += 1
        if index == len(blocks) or label.start() < blocks[index].start:
            yield label


def _broken_off(label: re.Match[str]) -> str:
    behind = label.string[label.end() : label.end() + 3]
    return label[0] + "\n" if behind in ("```", "~~~") else label[0]


@cache
def _labels(names: tuple[str, ...]) -> re.Pattern[str]:
    # Possessive repeats, so that a megabyte of marks takes no longer than a megabyte of words.
    return re.compile(
        r"^[ \t]*+(?:[->#]++[ \t]*+)?(?:\d++[.)][ \t]*+)?[*_`]{0,3}+"
        rf"(?P<open>\[)?(?P<name>{'|'.join(names)})(?(open)\])[*_`]{{0,3}}+[ \t]*+"
        r"(?:[:：][*_]{0,3}+|(?(open)|$))[ \t]*+",
        re.IGNORECASE | re.MULTILINE | re.ASCII,
    )
