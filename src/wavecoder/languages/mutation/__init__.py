"""Bugs put into right code by edits of its tree, in HumanEvalPack's six classes.

`tree.py`, `kinds.py` and `names.py` read a function; `words.py`, `missing.py` and `excess.py` make
the edits; `certain.py` says which are certain to change what it does. Nothing is edited in
comments, docstrings, types, asserts, messages of errors and of logs, nor in code that is never
reached or whose value is never read; no edit is made that is known to change nothing, as the loss
of `+ 0`.

The classes are those of OctoPack (arXiv 2308.07124, table 5).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from wavecoder.languages.mutation.certain import reason
from wavecoder.languages.mutation.excess import excess
from wavecoder.languages.mutation.missing import missing
from wavecoder.languages.mutation.names import Function, functions_of
from wavecoder.languages.mutation.statements import unreached
from wavecoder.languages.mutation.tree import Source, source
from wavecoder.languages.mutation.words import (
    Edit,
    Kind,
    functions,
    operators,
    values,
    variables,
)
from wavecoder.languages.syntax import parses, read

__all__ = ["BUG_CLASSES", "Mutant", "mutants"]

BUG_CLASSES = tuple(str(kind) for kind in Kind)
"""HumanEvalPack's names of the six classes."""
_RULES = (values, operators, variables, functions, missing, excess)


@dataclass(frozen=True)
class Mutant:
    """A function with a bug put in."""

    kind: str
    """One of `BUG_CLASSES`."""
    what: str
    """What was done, in a few words: `< becomes <=`."""
    start: int
    """First byte of the change in the right code in UTF-8."""
    end: int
    """Byte behind it; `start` where something was put in."""
    line: int
    """Of `start`, counted from 1."""
    code: str
    """The whole wrong code."""
    certain: str | None
    """Why it behaves otherwise on some input, or None: nobody can say without tests."""


def mutants(code: str, language: str, *, certain: bool = False) -> Iterator[Mutant]:
    """Yield every edit of the functions in `code`, in the order of their places.

    Each parses. Edits that give the same code are given once.

    Args:
        code: A function, or several, that parse in `language`.
        language: A name from `LANGUAGES`.
        certain: Only those that are certain to change behaviour.
    """
    text = source(code, language)
    seen = {code}
    for function in functions_of(text):
        for edit in _edits(function):
            why = reason(function, edit)
            if certain and why is None:
                continue
            wrong = _made(text, edit)
            if wrong not in seen and _parses(wrong, language, edit):
                seen.add(wrong)
                line = text.data.count(b"\n", 0, edit.start) + 1
                yield Mutant(str(edit.kind), edit.what, edit.start, edit.end, line, wrong, why)


def _edits(function: Function) -> Iterator[Edit]:
    idle = [*unreached(function.source, function.body), *function.unread()]
    for part in idle:
        for one in part.walk():
            one.open = False
    for part in function.body.walk():
        if part.open and part.named:
            for rule in _RULES:
                yield from rule(function, part)


def _parses(wrong: str, language: str, edit: Edit) -> bool:
    if edit.kind in (Kind.MISSING, Kind.EXCESS):
        return parses(wrong, language)
    # One word for another turns no code into prose: it is enough that there are no error nodes.
    return not read(wrong, language).tree.root_node.has_error


def _made(text: Source, edit: Edit) -> str:
    data = text.data[: edit.start] + edit.new.encode() + text.data[edit.end :]
    return data.decode("utf-8", "replace")
