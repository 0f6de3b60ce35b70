"""A generator's reply becomes four sections, or a sentence that says why it cannot.

Models write `instruction:`, `**Instruction:**`, `### Instruction` or `2. instruction -`; all of
these are labels. What is missing, doubled or empty is never guessed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["SECTIONS", "Fence", "Sections", "fences", "parse_sections"]

SECTIONS = ("task_name", "instruction", "information", "solution")
"""The keys of the paper's generator (section 2.2.2)."""

_LABEL = re.compile(
    r"^[ \t]*(?:[->#]+[ \t]*|\*[ \t]+)?(?:\d+[.)][ \t]*)?(?P<mark>[*_`]{0,3})"
    r"(?P<name>task[ _]name|instruction|information|solution)"
    r"(?P<inner>[*_`]{0,3})[ \t]*(?:(?::|-(?=[ \t])|–)(?P<outer>[*_]{0,3})|$)[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
# Longer marks than the opening ones close it, shorter ones are part of the body.
_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<tag>[^\n`~]*)\n"
    r"(?P<body>.*?)"
    r"^(?P<closing>[ \t]*)(?P=marks)[`~]*[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_OPENING = re.compile(r"^[ \t]*(?P<marks>`{3,}|~{3,})(?P<tag>[^\n`~]*)$", re.MULTILINE)
# "given" is our own word for what the program puts in.
_ABSENT = re.compile(
    r"(?:none|n/?a|null|nil|noinput|no input|nothing|given|"
    r"(?:(?:none|nothing)(?: is)?|not) (?:needed|required|necessary|applicable|provided|given)|"
    r"(?:there is )?no (?:(?:additional|further|extra|other|more) )?"
    r"(?:information|info|input|context|data)"
    r"(?: (?:(?:is|was) )?(?:needed|required|necessary|provided|given|available))?)?",
    re.IGNORECASE,
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
    """The sections of a reply; the task's name is asked for and tells nothing new."""

    instruction: str
    information: str | None
    """None where the model wrote `none` or a like word."""
    solution: str


def fences(text: str) -> list[Fence]:
    """Return the closed fenced blocks of `text`, in order."""
    return [
        Fence(match["tag"].strip().lower(), _dedented(match), match.start(), match.end())
        for match in _FENCE.finditer(text)
    ]


def parse_sections(reply: str) -> Sections | str:
    """Return the four sections of a reply, or the reason why it has not got them."""
    reply = "\n".join(_lines(reply.replace("\r\n", "\n")))
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
        found[name] = _content(match, reply[match.end() : end])
        order.append(name)
    missing = [name for name in SECTIONS if name not in found]
    if missing:
        return f"no section {', '.join(missing)}"
    if order != list(SECTIONS):
        return f"the sections come in the order {', '.join(order)}"
    inside = [range(block.start, block.end) for block in blocks]
    openings = [match.start() for match in _OPENING.finditer(reply)]
    if any(not any(start in block for block in inside) for start in openings):
        return "a code fence is not closed"
    empty = [name for name in ("instruction", "solution") if not found[name]]
    if empty:
        return f"the section {', '.join(empty)} is empty"
    information = found["information"]
    absent = _ABSENT.fullmatch(information.strip(" .`*\"'()<>-"))
    return Sections(
        instruction=found["instruction"],
        information=None if absent else information,
        solution=found["solution"],
    )


def _lines(reply: str) -> Iterator[str]:
    """Yield the reply's lines, a fence that opens behind a label on a line of its own."""
    marks = ""
    for line in reply.split("\n"):
        label = None if marks else _LABEL.match(line)
        if label and _OPENING.match(line[label.end() :]):
            yield line[: label.end()]
            line = line[label.end() :]
        fence = _OPENING.match(line)
        if fence and not marks:
            marks = fence["marks"]
        elif fence and fence["marks"].startswith(marks) and not fence["tag"].strip():
            marks = ""
        yield line


def _content(label: re.Match[str], text: str) -> str:
    """Return what follows a label, without the marks that were opened before it."""
    text = re.sub(r"\A(?:[ \t]*\n)+", "", text).rstrip()
    if not _OPENING.match(text):  # a fence's indent says how far its body is indented
        text = text.lstrip()
    first, line_end, rest = text.partition("\n")
    mark = label["mark"]
    if mark and not label["inner"] and not label["outer"] and first.endswith(mark):
        return first.removesuffix(mark).rstrip() + line_end + rest
    return text


def _dedented(fence: re.Match[str]) -> str:
    """Return the body of a fence that may stand in a list."""
    lines = fence["body"].strip("\n").split("\n")
    # A fence that opened behind a label has lost its indent; its end still has it.
    least = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    indent = len(fence["indent"]) or min(len(fence["closing"]), least)
    return "\n".join(line[min(indent, len(line) - len(line.lstrip())) :] for line in lines)
