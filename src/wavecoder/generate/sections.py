"""A generator's reply becomes four sections, or a sentence that says why it cannot.

Models write `instruction:`, `**Instruction:**`, `### Instruction` or `2. instruction -`; all of
these are labels. A reply that is one JSON object with the four keys is read too. What is missing,
doubled or empty is never guessed. Every step takes time in proportion to the reply's length: a
reply may be a megabyte of anything.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

__all__ = ["SECTIONS", "Fence", "Sections", "fences", "is_broken", "json_object", "parse_sections"]

SECTIONS = ("task_name", "instruction", "information", "solution")
"""The keys of the paper's generator (section 2.2.2)."""

# ASCII, because a case-blind match otherwise takes ſ for s and ı for i.
_LABEL = re.compile(
    r"^[ \t]*+(?:[->#]++[ \t]*+|\*[ \t]++)?(?:\d++[.)][ \t]*+)?(?P<mark>[*_`]{0,3})"
    r"(?P<name>task\\?[ _-]?name|instruction|information|solution)"
    r"(?P<inner>[*_`]{0,3})[ \t]*+(?:(?:[:：]|-(?=[ \t])|–)(?P<outer>[*_]{0,3})|$)[ \t]*+",
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)
_MARKS = re.compile(r"^(?P<indent>[ \t]*+)(?P<marks>`{3,}+|~{3,}+)(?P<rest>[^\n]*+)$", re.MULTILINE)
# "given" is our own word for what the program puts in.
_ABSENT = re.compile(
    r"(?:none|n/?a|null|nil|noinput|no input|nothing|given|"
    r"(?:(?:none|nothing)(?: is)?|not) (?:needed|required|necessary|applicable|provided|given)|"
    r"(?:there is )?no (?:(?:additional|further|extra|other|more) )?"
    r"(?:information|info|input|context|data)"
    r"(?: (?:(?:is|was) )?(?:needed|required|necessary|provided|given|available))?)?",
    re.IGNORECASE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")


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


class _TwiceError(ValueError):
    """A key occurs twice in a JSON object."""


def fences(text: str) -> list[Fence]:
    """Return the closed fenced blocks of `text`, in order."""
    return _fenced(text)[0]


def is_broken(text: str) -> bool:
    r"""Say whether `text` holds half a character (a lone surrogate), which no file can hold.

    JSON lets a model write one: `"\ud83d"`.
    """
    return _SURROGATE.search(text) is not None


def json_object(reply: str, *, strict: bool) -> dict[str, Any] | str | None:
    """Return the JSON object that a whole reply is, in a fence or not.

    Args:
        reply: A model's reply.
        strict: Refuse a line break or another control character inside a string, as JSON does.

    Returns:
        The object; or the reason why what begins as one cannot be read; or None where the reply
        does not begin as one. A key that occurs twice, at any depth, is such a reason.
    """
    text = reply.strip().removeprefix("\ufeff")
    head, _, body = text.partition("\n")
    if head.rstrip().lower() in ("```", "```json") and body.endswith("```"):
        text = body.removesuffix("```").strip()
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text, object_pairs_hook=_once, strict=strict)
    except _TwiceError as error:
        return f"the key {error.args[0]} occurs twice in the JSON object"
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5,000 digits
        what = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        return f"the reply begins as a JSON object and is none ({what})"
    return dict(found)


def parse_sections(reply: str) -> Sections | str:
    """Return the four sections of a reply, or the reason why it has not got them."""
    if is_broken(reply):
        return "the reply holds half a character"
    table = json_object(reply, strict=False)
    if isinstance(table, str):
        return table
    found = _labelled(reply) if table is None else _keyed(table)
    if isinstance(found, str):
        return found
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


def _keyed(table: dict[str, Any]) -> dict[str, str] | str:
    """Return the sections by name from a JSON object."""
    missing = [name for name in SECTIONS if name not in table]
    if missing:
        return f"no section {', '.join(missing)}"
    if len(table) > len(SECTIONS):
        return f"the JSON object has {len(table)} keys; the {len(SECTIONS)} sections are right"
    if table["information"] is None:
        table = {**table, "information": ""}
    found: dict[str, str] = {}
    for name in SECTIONS:
        if not isinstance(table[name], str):
            return f"the section {name} is no text"
        if is_broken(table[name]):
            return f"the section {name} holds half a character"
        found[name] = dedent(table[name].replace("\r\n", "\n").strip("\n")).strip()
    if _fenced(found["solution"])[1]:
        return "a code fence is not closed"
    return found


def _labelled(reply: str) -> dict[str, str] | str:
    """Return the sections by name from a reply with labels."""
    reply = "\n".join(_lines(reply.removeprefix("\ufeff").replace("\r\n", "\n")))
    blocks, unclosed = _fenced(reply)
    labels = list(_labels(reply, blocks))
    found: dict[str, str] = {}
    for index, match in enumerate(labels):
        name = "task_name" if match["name"][0] in "tT" else match["name"].lower()
        end = labels[index + 1].start() if index + 1 < len(labels) else len(reply)
        if name in found:
            return f"the section {name} occurs twice"
        found[name] = _content(match, reply[match.end() : end])
    missing = [name for name in SECTIONS if name not in found]
    if missing:
        return f"no section {', '.join(missing)}"
    if tuple(found) != SECTIONS:
        return f"the sections come in the order {', '.join(found)}"
    return "a code fence is not closed" if unclosed else found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise _TwiceError(ascii(key[:40]))
        table[key] = value
    return table


def _fenced(text: str) -> tuple[list[Fence], bool]:
    """Return the closed blocks of a text, and whether another one is opened and not closed."""
    marks = list(_MARKS.finditer(text))
    # The longest end of each kind still to come, so that no opening looks for an end in vain.
    to_come = [0] * len(marks)
    longest = {"`": 0, "~": 0}
    for index in range(len(marks) - 1, -1, -1):
        kind = marks[index]["marks"][0]
        to_come[index] = longest[kind]
        if _closes(marks[index]):
            longest[kind] = max(longest[kind], len(marks[index]["marks"]))
    blocks: list[Fence] = []
    unclosed = False
    index = 0
    while index < len(marks):
        opening = marks[index]
        if _opens(opening) and len(opening["marks"]) <= to_come[index]:
            index += 1
            # Longer marks than the opening ones close it, shorter ones are part of the body.
            while not (
                _closes(marks[index]) and marks[index]["marks"].startswith(opening["marks"])
            ):
                index += 1
            blocks.append(_block(text, opening, marks[index]))
        else:
            unclosed = unclosed or _opens(opening)
        index += 1
    return blocks, unclosed


def _opens(mark: re.Match[str]) -> bool:
    return "`" not in mark["rest"] and "~" not in mark["rest"]


def _closes(mark: re.Match[str]) -> bool:
    return not mark["rest"].strip(" \t")


def _block(text: str, opening: re.Match[str], closing: re.Match[str]) -> Fence:
    """Return the block between two marks; it may stand in a list and be indented."""
    lines = text[opening.end() + 1 : closing.start()].strip("\n").split("\n")
    # A fence that opened behind a label has lost its indent; its end still has it.
    least = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    indent = len(opening["indent"]) or min(len(closing["indent"]), least)
    body = "\n".join(line[min(indent, len(line) - len(line.lstrip())) :] for line in lines)
    return Fence(opening["rest"].strip().lower(), body, opening.start(), closing.end())


def _labels(text: str, blocks: Sequence[Fence]) -> Iterator[re.Match[str]]:
    """Yield the labels that stand outside the blocks."""
    index = 0
    for label in _LABEL.finditer(text):
        while index < len(blocks) and blocks[index].end <= label.start():
            index += 1
        if index == len(blocks) or label.start() < blocks[index].start:
            yield label


def _lines(reply: str) -> Iterator[str]:
    """Yield the reply's lines, a fence that opens behind a label on a line of its own."""
    marks = ""
    for line in reply.split("\n"):
        label = None if marks else _LABEL.match(line)
        if label:
            behind = _MARKS.match(line[label.end() :])
            if behind and _opens(behind):
                yield line[: label.end()]
                line = line[label.end() :]
        fence = _MARKS.match(line)
        if fence and not marks and _opens(fence):
            marks = fence["marks"]
        elif fence and fence["marks"].startswith(marks) and _closes(fence):
            marks = ""
        yield line


def _content(label: re.Match[str], text: str) -> str:
    """Return what follows a label, without the marks that were opened before it."""
    text = re.sub(r"\A(?:[ \t]*+\n)+", "", text).rstrip()
    fence = _MARKS.match(text)
    if not fence or not _opens(fence):  # a fence's indent says how far its body is indented
        text = text.lstrip()
    first, line_end, rest = text.partition("\n")
    mark = label["mark"]
    if mark and not label["inner"] and not label["outer"] and first.endswith(mark):
        return first.removesuffix(mark).rstrip() + line_end + rest
    return text
