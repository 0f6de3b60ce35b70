"""An answer becomes texts that may hold code: its fenced blocks, or the whole of it.

Every step takes time in proportion to the answer's length, whatever it is.
"""

import re
from typing import NamedTuple

from wavecoder.languages import language_named
from wavecoder.records import Problem

__all__ = ["Block", "blocks", "cut_at", "is_buggy", "is_prose", "plain"]

_SURROGATE = re.compile("[\ud800-\udfff]")
# The marks of chat templates, which a model that was tuned badly writes out.
_END_MARKS = re.compile(
    r"<\|?(?:endoftext|im_end|im_start|end_of_text|eot_id|end|EOT|eos|fim_\w{1,12}|file_sep)\|>"
    r"|<｜end▁of▁sentence｜>|</s>[ \t]*$",
    re.MULTILINE,
)
# Alpaca's headings: a model that goes on behind its answer invents the next task.
_HEADING = re.compile(r"^#{2,3} (Instruction|Input|Response):?[ \t]*$", re.MULTILINE)
_THOUGHT_END = "</think>"
# At the start of a line (perhaps in a list or a quotation), or at its end behind other text.
_MARKS = re.compile(
    r"^(?P<indent>[ \t]*+(?:(?:[-*+>]|\d{1,3}[.)])[ \t]++)?)"
    r"(?P<run>`{3,}+|~{3,}+)(?P<rest>[^\n]*+)$"
    r"|(?P<late>`{3,}+)(?P<tag>[ \t]*+[\w+#.-]{0,20}+)[ \t]*+$",
    re.MULTILINE,
)
_WORD = re.compile(r"[*_`\"'(]*[A-Za-z][A-Za-z'’-]*[*_`\"')]*[,.:!?)]*")
_CODE_WORDS = re.compile(
    r"(?:for|if|while|return|let|var|const|try|else|elif|with|from|import|raise|yield|not|break|do"
    r"|match|switch|case|defer|go|auto|int|long|double|float|bool|boolean|string|char|del|pass"
    r"|global)[:(]*\Z"
)
_TAG = re.compile(r"[\w+#.-]+")
_NO_CODE = frozenset({"text", "txt", "plaintext", "plain", "output", "console", "markdown", "md"})


class Block(NamedTuple):
    """A text that may hold code."""

    text: str
    language: str | None
    """The language its tag names: a name from `LANGUAGES`, `""` for what is none, or None."""
    fenced: bool
    closed: bool = True


def plain(completion: str) -> str:
    """Return an answer without what is no part of it, with bare line feeds.

    A byte order mark, the thoughts of a reasoning model, a prompt in Alpaca's form said again, an
    end mark and all behind it are left out. Half characters, which no file can hold, become U+FFFD.
    """
    text = completion.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    text = _SURROGATE.sub("\ufffd", text)
    thought = text.rfind(_THOUGHT_END)
    if thought >= 0:
        text = text[thought + len(_THOUGHT_END) :]
    text = _behind_prompt(text)
    end = _END_MARKS.search(text)
    return text[: end.start()] if end else text


def cut_at(text: str, words: tuple[str, ...]) -> str:
    """Return the text in front of the first of the words."""
    found = [at for word in words if (at := text.find(word)) >= 0]
    return text[: min(found, default=len(text))]


def is_prose(line: str) -> bool:
    """Say whether a line at the left edge is words: its first three are, or all of them."""
    words = line[:200].split()[:3]
    if line[:1].isspace() or not words or line.rstrip()[-1:] in "{};":
        return False
    if _CODE_WORDS.match(words[0]):
        return False
    return all(_WORD.fullmatch(word) for word in words) and (
        len(words) == 3 or line.rstrip()[-1:] in ".:!?"
    )


def is_buggy(text: str, problem: Problem, name: str) -> bool:
    """Say whether a text has the function that was to be repaired in it, word for word.

    Its body stands right below a line with its name; below other lines it may be a right one's end.
    """
    theirs = _lines(problem.buggy_solution)
    ours = _lines(text)
    found = f"{ours}\n".find(f"\n{theirs}\n") if theirs else -1
    above = ours[: max(found, 0)].rpartition("\n")[2]
    # HumanEval 115's stub ends in an import.
    return found >= 0 and (name in above or above.startswith("import "))


def _lines(text: str) -> str:
    """Return a text without indents, empty lines and braces at its end."""
    lines = [bare for line in text.split("\n") if (bare := line.strip())]
    while lines and not lines[-1].strip("}; "):
        lines.pop()
    return "\n".join(lines)


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of an answer that may be code, or else the whole of it.

    A fence that is never closed reaches to the end: the answer was cut off. Marks further to the
    right than the opening ones by four are part of the code, as in a docstring.
    """
    found: list[Block] = []
    opening: re.Match[str] | None = None
    lines_from = 0
    for mark in _MARKS.finditer(text):
        if opening is None:
            if _opens(mark):
                opening, lines_from = mark, mark.end() + 1
        elif _closes(opening, mark):
            found.append(_block(opening, text[lines_from : mark.start()], closed=True))
            opening = None
    if opening is not None:
        found.append(_block(opening, text[lines_from:], closed=False))
    found = [block for block in found if block.text.strip()]
    code = [block for block in found if block.language != ""]
    return code or found or [Block(text, None, fenced=False)]


def _behind_prompt(text: str) -> str:
    """Return the text behind a prompt in Alpaca's form that it begins with."""
    headings = _HEADING.finditer(text)
    first = next(headings, None)
    if first is None:
        return text
    before = text[: first.start()].strip()
    if before and not before.startswith("Below is"):
        return text
    answer = first if first[1] == "Response" else None
    answer = answer or next((one for one in headings if one[1] == "Response"), None)
    return text[answer.end() + 1 :] if answer else text


def _opens(mark: re.Match[str]) -> bool:
    """Say whether marks open a block: a tag may follow, not more words or marks."""
    if mark["late"]:
        return True
    rest = mark["rest"].strip()
    return "`" not in rest and len(rest.split()) <= 2


def _closes(opening: re.Match[str], mark: re.Match[str]) -> bool:
    run = opening["run"] or opening["late"]
    if mark["late"]:
        return not mark["tag"] and mark["late"].startswith(run)
    if mark["rest"].strip() or not mark["run"].startswith(run):
        return False
    return len(mark["indent"]) < len(opening["indent"] or "") + 4


def _block(opening: re.Match[str], text: str, *, closed: bool) -> Block:
    tag = _TAG.search(opening["rest"] or opening["tag"] or "")
    language = None
    if tag:
        known = language_named(tag[0])
        name = tag[0].lower()
        language = known.name if known else "" if name in _NO_CODE else None
    width = len(opening["indent"] or "")
    if width:
        lines = text.split("\n")
        text = "\n".join(line[min(width, len(line) - len(line.lstrip())) :] for line in lines)
    return Block(text.strip("\n"), language, fenced=True, closed=closed)
