"""A generator's reply becomes four sections, or a sentence that says why it cannot.

Models write `instruction:`, `**Instruction:**`, `### Instruction` or `2. instruction -`; all of
these are labels. What is missing, doubled or empty is never guessed.
"""

import re
from dataclasses import dataclass

__all__ = ["SECTIONS", "Fence", "Sections", "fences", "parse_sections"]

SECTIONS = ("task_name", "instruction", "information", "solution")
"""The keys of the paper's generator (section 2.2.2)."""

_LABEL = re.compile(
    r"^[ \t]*(?:[-*>#]+[ \t]*)?(?:\d+[.)][ \t]*)?[*_`\"]{0,3}"
    r"(?P<name>task[ _]name|instruction|information|solution)"
    r"[*_`\"]{0,3}[ \t]*(?:(?P<colon>:|-(?=[ \t])|–)[*_]{0,3}|$)[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<tag>[^\n`]*)\n"
    r"(?P<body>.*?)"
    r"^[ \t]*(?P=marks)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_OPENING = re.compile(r"^[ \t]*(`{3,}|~{3,})", re.MULTILINE)
_ABSENT = frozenset(
    {"", "none", "n/a", "na", "null", "<noinput>", "noinput", "no input", "nothing"}
)


@dataclass(frozen=True)
class Fence:
    """A fenced block of code."""

    tag: str
    """What stands behind the opening marks: `python`."""
    body: str
    start: int
    end: int


@dataclass(frozen=True)
class Sections:
    """The four sections of a reply."""

    task_name: str
    instruction: str
    information: str | None
    """None where the model wrote `none` or a like word."""
    solution: str


def fences(text: str) -> list[Fence]:
    """Return the closed fenced blocks of `text`, in order."""
    return [
        Fence(match["tag"].strip().lower(), match["body"].strip("\n"), match.start(), match.end())
        for match in _FENCE.finditer(text)
    ]


def parse_sections(reply: str) -> Sections | str:
    """Return the four sections of a reply, or the reason why it has not got them."""
    blocks = fences(reply)
    labels = [
        match
        for match in _LABEL.finditer(reply)
        if not any(block.start <= match.start() < block.end for block in blocks)
    ]
    found: dict[str, str] = {}
    order: list[str] = []
    for index, match in enumerate(labels):
        name = match["name"].lower().replace(" ", "_")
        end = labels[index + 1].start() if index + 1 < len(labels) else len(reply)
        if name in found:
            return f"the section {name} occurs twice"
        found[name] = reply[match.end() : end].strip()
        order.append(name)
    missing = [name for name in SECTIONS if name not in found]
    if missing:
        return f"no section {', '.join(missing)}"
    if order != list(SECTIONS):
        return f"the sections come in the order {', '.join(order)}"
    if len(_OPENING.findall(reply)) != 2 * len(blocks):
        return "a code fence is not closed"
    empty = [name for name in ("instruction", "solution") if not found[name]]
    if empty:
        return f"the section {', '.join(empty)} is empty"
    information = found["information"]
    absent = information.strip(" .`*\"'()<>-").lower() in _ABSENT or information == "<noinput>"
    return Sections(
        task_name=found["task_name"],
        instruction=found["instruction"],
        information=None if absent else information,
        solution=found["solution"],
    )
