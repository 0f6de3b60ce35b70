"""What can be told of a piece of code by parsing it: is it legal, what are its leaves.

Nothing here recurses, so that code may nest as deep as it likes. Offsets are bytes of the text in
UTF-8; lines and columns count from 1.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from functools import cache, lru_cache
from itertools import groupby, islice
from multiprocessing import get_context
from signal import ITIMER_VIRTUAL, setitimer
from typing import NamedTuple

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Tree

from wavecoder.languages.table import LANGUAGES, Language, grammars

__all__ = [
    "Guard",
    "Leaf",
    "Reading",
    "SlowParseError",
    "SyntaxIssue",
    "first_issue",
    "guarded",
    "leaves",
    "parse",
    "parses",
    "read",
    "syntax_errors",
    "tokens",
]


# Text that is no code at all has one in every line.
_MOST_ISSUES = 20


# A parse is given up behind so much CPU time: fifty times what code takes, which is 0.1 s a
# megabyte, so that no file of people is cut off on a slow machine. What reaches it is no code
# (`a<a<a<…` in Java), and takes memory by the square of its length.
_SLOW_SECONDS, _SLOW_BYTES_PER_SECOND = 0.5, 200_000
# Below this a parse is short, and small, whatever the text.
_ALWAYS_QUICK = 8_192


class Guard(StrEnum):
    """What is done about texts on which a parser takes all time or memory there is.

    That happens inside the parser, in C, where nothing can stop it but the end of its process.
    """

    NONE = "none"
    """Nothing."""
    TIMED = "timed"
    """A slow parse ends this process."""
    APART = "apart"
    """A long text is parsed in a process of its own first, and refused if that process ends."""


_guard: ContextVar[Guard] = ContextVar("guard", default=Guard.NONE)


class SlowParseError(ValueError):
    """A text on which the parser takes time and memory out of all proportion."""


class SyntaxIssue(NamedTuple):
    """A place where text is no code of the language."""

    line: int
    column: int
    what: str
    """`missing ;`, `unexpected 'foo bar'`."""


class Leaf(NamedTuple):
    """A token or a comment, with its place in the text."""

    text: str
    start: int
    end: int
    line: int
    is_comment: bool
    is_named: bool
    """A name or a literal; False for keywords and punctuation."""
    in_expression: bool
    """It stands right inside an operation or an assignment: `<` is less-than, no bracket."""


class Reading(NamedTuple):
    """A text with its tree, which may hold a class put around the text."""

    data: bytes
    """What was parsed."""
    tree: Tree
    start: int
    """Where the text begins in `data`."""
    end: int


def parse(text: str, language: str) -> Tree:
    """Return the syntax tree of the text as it stands; it has error nodes where it is no code.

    Args:
        text: Code.
        language: A name from `LANGUAGES`.

    Raises:
        SlowParseError: It takes the parser all time or memory, and `Guard.APART` is on.
    """
    return read(text, language, wrapped=False).tree


def parses(text: str, language: str) -> bool:
    """Say whether the text is code of the language: a file, some statements, or a lone method."""
    return not syntax_errors(text, language)


def syntax_errors(text: str, language: str) -> list[SyntaxIssue]:
    """Return the first places where the text is no code of the language; none where it is.

    A method without its class is code. Prose is not, even where a lenient grammar takes each word
    for a call; nor is a comment alone, nor code of another language that happens to fit.
    """
    row = LANGUAGES[language]
    found: list[list[SyntaxIssue]] = []
    for reading in _readings(text, row, wrapped=True):
        root = reading.tree.root_node
        if not root.has_error:
            if _is_one_function(reading, row):
                return []
            issue = _not_code(list(_leaves(reading, row)), row)
            return [issue] if issue else []
        issues = _issues(root, reading.data, reading.start, reading.end)
        found.append(list(islice(issues, _MOST_ISSUES)))
    return min(found, key=len)


def tokens(text: str, language: str) -> list[str]:
    """Return the text's tokens without comments; a string literal is one token."""
    return [leaf.text for leaf in leaves(text, language) if not leaf.is_comment]


def leaves(text: str, language: str) -> Iterator[Leaf]:
    """Yield the text's tokens and comments in order."""
    found = _leaves(read(text, language), LANGUAGES[language])
    return (leaf for leaf in found if leaf.text)


def read(text: str, language: str, *, wrapped: bool = True) -> Reading:
    """Return the first reading without errors, or else the plainest one.

    Args:
        text: Code.
        language: A name from `LANGUAGES`.
        wrapped: Try a class around the text, too.
    """
    plainest = None
    for reading in _readings(text, LANGUAGES[language], wrapped=wrapped):
        if not reading.tree.root_node.has_error:
            return reading
        plainest = plainest or reading
    assert plainest is not None  # every language has a grammar
    return plainest


def first_issue(node: Node, data: bytes) -> SyntaxIssue | None:
    """Return the first place inside `node` that does not parse, or None."""
    return next(_issues(node, data, 0, len(data)), None)


def _readings(text: str, row: Language, *, wrapped: bool) -> Iterator[Reading]:
    """Yield the text's readings, each parsed when asked for: as it stands, then inside a class."""
    data = text.encode("utf-8", "replace")
    loaded = grammars(row.name)
    if row.name == "php":
        # The second grammar takes anything before an opening tag for a page's text.
        is_page = data.lstrip().startswith(b"<?")
        loaded = loaded[1:] if is_page else loaded if b"<?" in data else loaded[:1]
    for grammar in loaded:
        yield Reading(data, _tree(grammar, data, row), 0, len(data))
        if row.wrap and wrapped:
            before, after = (part.encode() for part in row.wrap)
            inside = before + data + after
            tree = _tree(grammar, inside, row)
            yield Reading(inside, tree, len(before), len(before) + len(data))


@contextmanager
def guarded(guard: Guard) -> Iterator[None]:
    """Parse long texts under a guard from here on."""
    token = _guard.set(guard)
    try:
        yield
    finally:
        _guard.reset(token)


# Filters ask several things of one function, one after the other.
@lru_cache(maxsize=8)
def _short_tree(grammar: Grammar, data: bytes) -> Tree:
    return Parser(grammar).parse(data)


def _tree(grammar: Grammar, data: bytes, row: Language) -> Tree:
    if len(data) <= _ALWAYS_QUICK:
        return _short_tree(grammar, data)
    guard = _guard.get()
    if guard is Guard.NONE:
        return Parser(grammar).parse(data)
    if guard is Guard.APART and not _survives(data, row):
        raise SlowParseError(f"the parser took all time or memory for its {len(data):,} bytes")
    return _timed(grammar, data)


def _timed(grammar: Grammar, data: bytes) -> Tree:
    """Parse, or end this process: by default SIGVTALRM does so, without asking Python."""
    setitimer(ITIMER_VIRTUAL, _SLOW_SECONDS + len(data) / _SLOW_BYTES_PER_SECOND)
    try:
        return Parser(grammar).parse(data)
    finally:
        setitimer(ITIMER_VIRTUAL, 0)


def _survives(data: bytes, row: Language) -> bool:
    process = get_context("spawn").Process(target=_try, args=(data, row.name))
    process.start()
    process.join()
    return process.exitcode == 0


def _try(data: bytes, name: str) -> None:
    for grammar in grammars(name):
        _timed(grammar, data)


def _leaves(reading: Reading, row: Language) -> Iterator[Leaf]:
    data, tree, start, end = reading
    first_line = data.count(b"\n", 0, start)
    cursor = tree.walk()
    parents = [""]
    while True:
        node = cursor.node
        assert node is not None  # a cursor is always somewhere
        kind = node.type
        is_comment = kind in row.comments
        whole = is_comment or (kind in row.strings and not _interpolates(node))
        if not whole and cursor.goto_first_child():
            parents.append(kind)
            continue
        here, there = node.start_byte, node.end_byte
        if start <= here and there <= end:
            text = data[here:there].decode("utf-8", "replace")
            # The end of a line is a token to some grammars. Python's takes an empty body.
            if text.strip() or kind == "block":
                yield Leaf(
                    text,
                    here - start,
                    there - start,
                    node.start_point.row - first_line + 1,
                    is_comment,
                    node.is_named,
                    _is_operation(parents[-1]),
                )
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            parents.pop()


def _interpolates(node: Node) -> bool:
    return any(child.type in ("interpolation", "template_substitution") for child in node.children)


@lru_cache(maxsize=4096)
def _is_operation(kind: str) -> bool:
    """Say whether a node of that type is an operation, in any grammar."""
    words = r"binary|unary|boolean_operator|comparison|not_operator|assign|update|inc_|dec_"
    return re.search(words, kind) is not None


def _issues(node: Node, data: bytes, start: int, end: int) -> Iterator[SyntaxIssue]:
    """Yield the error nodes inside `node`, going down only where there are some.

    Args:
        node: The root, or a part of its tree.
        data: What was parsed.
        start: Where the text begins in `data`: what line 1 is.
        end: Where the text ends.
    """
    first_line = data.count(b"\n", 0, start)
    pending = [node]
    while pending:
        node = pending.pop()
        broken = [child for child in node.children if child.has_error or child.is_missing]
        if not broken and (node.has_error or node.is_missing):
            at = min(max(node.start_byte, start), end)
            text = data[node.start_byte : node.end_byte].decode("utf-8", "replace").strip()
            line = text.split("\n", 1)[0]
            what = f"unexpected {line[:40]!r}" if line else f"missing {node.type}"
            row = data.count(b"\n", 0, at) - first_line + 1
            column = len(data[data.rfind(b"\n", 0, at) + 1 : at].decode("utf-8", "replace")) + 1
            yield SyntaxIssue(row, column, what)
        pending.extend(reversed(broken))


def _is_one_function(reading: Reading, row: Language) -> bool:
    """Say whether a text without errors is a function with a body, and nothing else.

    Such a text is code, but for words and other languages that fit a lenient grammar; where there
    may be some, it is not said.
    """
    data, tree, start, end = reading
    if _doubtful(row.name).search(data, start, end):
        return False
    node = tree.root_node.descendant_for_byte_range(start, end)
    beside = row.comments | row.leads
    while node is not None and node.type not in row.functions:
        if node.end_byte < end and data[node.end_byte : end].strip(b"; \t\n"):
            return False  # more behind it
        field = row.assigned.get(node.type, ("", ""))[1]
        value = node.child_by_field_name(field) if field else None
        if value and value.child_by_field_name("body"):
            node = value
            break
        node = next((one for one in node.named_children if one.type not in beside), None)
    body = node.child_by_field_name("body") if node else None
    if node is None or body is None or not (body.named_child_count or row.name != "python"):
        return False
    return node.start_byte >= start and not data[node.end_byte : end].strip(b"; \t\n")


@cache
def _doubtful(name: str) -> re.Pattern[bytes]:
    """Return what is in every text that fits the grammar and is no code of the language."""
    row = LANGUAGES[name]
    foreign = "|".join(sorted(row.foreign))
    parts = [rf"\b(?:{foreign})\s+\w"] if foreign else []
    if row.bare_calls:
        # Not in a comment or a string.
        parts.append(r"^[^#'\"\n]*\b\w+[ \t]+\w+[ \t]+\w+[ \t]+\w")
    return re.compile("|".join(parts or [r"(?!)"]).encode(), re.MULTILINE)


def _not_code(found: list[Leaf], row: Language) -> SyntaxIssue | None:
    """Return why text that parses is no code all the same, or None."""
    found = [leaf for leaf in found if not leaf.is_comment]
    if not found:
        return SyntaxIssue(1, 1, "there is no code, only space or comments")
    names = [leaf.is_named and leaf.text.isidentifier() for leaf in found]
    if all(re.fullmatch(r"\w+" if leaf.is_named else "[.,]", leaf.text) for leaf in found):
        return SyntaxIssue(1, 1, "these are words, no code")
    empty = next((leaf for leaf in found if not leaf.text), None)
    if empty:
        return SyntaxIssue(empty.line, 1, "a body without statements")
    # Runs of names with nothing between them, on one line each.
    pairs = zip(found, names, strict=True)
    for (line, are_names), run in groupby(pairs, lambda pair: (pair[0].line, pair[1])):
        words = [leaf.text for leaf, _ in run] if are_names else []
        if len(words) > 1 and words[0] in row.foreign:
            what = f"{words[0]!r} before {words[1]!r} is another language"
            return SyntaxIssue(line, 1, what)
        if len(words) > 3 and row.bare_calls:
            return SyntaxIssue(line, 1, f"{' '.join(words[:4])!r} are words, no code")
    return None
