"""Functions and methods cut out of a file, each with its name, its doc comment and its code.

A tree is walked from a list, never by recursion, and what lies inside a function is not walked.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import cleandoc
from typing import NamedTuple

from tree_sitter import Node

from wavecoder.languages.syntax import SyntaxIssue, first_issue, parse, read
from wavecoder.languages.table import LANGUAGES, Language

__all__ = ["FunctionSpan", "functions", "statements"]

# A name of a thousand nested classes would be longer than the file.
_MOST_SCOPES = 10

_SPACE = re.compile(rb"[ \t\f]*")
_STRING = re.compile(r"""[rRuU]?(\"{3}|'{3}|"|')(.*)\1""", re.DOTALL)
_MARK_BEFORE = re.compile(r"^\s*(?:/\*[*!]*|\*+(?!/)|//[/!]*|#+[:!]?)?")
_MARK_BEHIND = re.compile(r"\s*\*+/\s*$")
_BODIES = re.compile(r"block|body|compound")
_FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})
_DECLARATIONS = frozenset({"lexical_declaration", "variable_declaration", "expression_statement"})
# Comments that speak to a tool, not to a reader.
_DIRECTIVE = re.compile(
    r"\s*(?:eslint|jshint|jslint|tslint|istanbul|c8 |prettier|@ts-|go:|nolint|rubocop|noinspection|"
    r"phpcs|clang-format|NOLINT|ReSharper)"
)


@dataclass(frozen=True)
class FunctionSpan:
    """A function in a text."""

    name: str
    """Qualified by the classes around it: `Path.exists`."""
    start_byte: int
    """In the text in UTF-8. Decorators belong to the function, a doc comment above does not."""
    end_byte: int
    start_line: int
    """Counted from 1."""
    end_line: int
    """Inclusive."""
    docstring: str | None
    """The text of the doc comment, without marks."""
    code: str
    """The function without its doc comment, moved to the left edge."""
    issue: SyntaxIssue | None
    """The first place in it that does not parse."""


def functions(text: str, language: str) -> Iterator[FunctionSpan]:
    """Yield the outermost functions of a file, and the methods of its classes, in order.

    A function inside another is part of it. What has no body (a prototype, an abstract method) is
    left out. In JavaScript and TypeScript `name = (…) => …` is a function of that name.

    Args:
        text: A whole file.
        language: A name from `LANGUAGES`.
    """
    row = LANGUAGES[language]
    file = _File(text.encode("utf-8", "replace"), row)
    nobody: tuple[str, ...] = ()
    root = parse(text, language).root_node
    pending: list[tuple[Node, Node | None, tuple[str, ...]]] = [(root, None, nobody)]
    while pending:
        node, parent, scopes = pending.pop()
        kind = node.type
        if kind in row.comments:
            file.comments.append(node)
        elif kind in row.leads:
            file.see_lead(node)
        elif value := _function(node, row):
            yield file.cut(value, _outer(node, parent, row), (*scopes, file.name(node)))
        else:
            file.lead = None
            if kind in row.scopes:
                scopes = (*scopes, *file.scope(node))[-_MOST_SCOPES:]
            elif kind in row.barren or (row.holders and kind not in row.holders | row.wrappers):
                continue
            if node.named_child_count:
                pending.extend([(child, node, scopes) for child in reversed(node.named_children)])


def statements(text: str, language: str) -> list[str]:
    """Return the statements in the body of the first function, without comments between them.

    A body that is an expression is one statement.
    """
    row = LANGUAGES[language]
    reading = read(text, language)
    pending = [reading.tree.root_node]
    while pending:
        node = pending.pop()
        function = _function(node, row)
        if function is None:
            pending.extend(reversed(node.named_children))
            continue
        body = function.child_by_field_name("body")
        if body is None:
            return []
        found = [body]
        if _BODIES.search(body.type):
            found = [child for child in body.named_children if child.type not in row.comments]
        if len(found) == 1 and found[0].type == "statement_list":  # Go's, inside the block
            found = [child for child in found[0].named_children if child.type not in row.comments]
        return [_text(child, reading.data) for child in found]
    return []


def _function(node: Node, row: Language) -> Node | None:
    """Return the function that `node` is, or gives a name to; None where it is no such node."""
    kind = node.type
    if kind in row.functions:
        # Only Ruby's methods may have a body without a node of its own.
        return node if node.child_by_field_name("body") or row.name == "ruby" else None
    if kind in row.assigned:
        value = node.child_by_field_name(row.assigned[kind][1])
        return value if value and value.type in _FUNCTION_VALUES else None
    return None


def _outer(node: Node, parent: Node | None, row: Language) -> Node:
    """Return what the function's text is: with decorators, with `const … ;`."""
    if parent is None:
        return node
    alone = (
        node.type in row.assigned and parent.type in _DECLARATIONS and parent.named_child_count == 1
    )
    return parent if alone or parent.type in row.wrappers else node


class _Lines(NamedTuple):
    """A run of decorators."""

    start_byte: int
    start_row: int
    end_row: int


class _File:
    """A file on the way through its tree: what was seen above the next function."""

    def __init__(self, data: bytes, row: Language) -> None:
        self.data = data
        self.row = row
        self.lead: _Lines | None = None
        self.comments: list[Node] = []
        """Those behind the last function."""

    def see_lead(self, node: Node) -> None:
        """Remember a decorator that stands before its function, not inside it."""
        row = node.start_point.row
        start = (node.start_byte, row)
        if self.lead and self.lead.end_row >= row - 1:
            start = self.lead[:2]
        self.lead = _Lines(*start, node.end_point.row)

    def cut(self, value: Node, outer: Node, names: tuple[str, ...]) -> FunctionSpan:
        """Return the function whose body is in `value` and whose text is `outer`."""
        start, (first_row, column) = outer.start_byte, outer.start_point
        left = start - column
        if self.lead and self.lead.end_row >= first_row - 1:
            start, first_row, _ = self.lead
        self.lead = None
        end = outer.end_point
        pieces = [self.data[start : outer.end_byte]]
        if self.row.name == "python":
            docstring, cut, mend = _docstring(value, self.data)
            pieces = [self.data[start : cut.start], mend, self.data[cut.stop : outer.end_byte]]
        else:
            docstring = self._comment_above(first_row) if self.comments else None
        self.comments.clear()
        margin = self.data[left : left + self._indent(left)]
        return FunctionSpan(
            name=".".join(names),
            start_byte=start,
            end_byte=outer.end_byte,
            start_line=first_row + 1,
            end_line=end.row + (end.column > 0),
            docstring=docstring,
            code=_dedent(b"".join(pieces), margin).decode("utf-8", "replace").rstrip(),
            issue=first_issue(outer, self.data) if outer.has_error else None,
        )

    def name(self, node: Node) -> str:
        """Return the name of a function's node, with the class where the node itself tells it."""
        kind = node.type
        if kind in self.row.assigned:
            named = node.child_by_field_name(self.row.assigned[kind][0])
        elif self.row.name in ("c", "cpp"):
            named = _declared(node)
        else:
            named = node.child_by_field_name("name")
        name = " ".join(_text(named, self.data).split()) if named else "?"
        if self.row.name == "cpp":
            # n::Stack<T>::push, find<int>, operator bool() const
            inside = r"(?=::)" if "operator" in name else ""
            name = re.sub(rf"<[^()]*>{inside}", "", name).replace("::", ".").lstrip(".")
            name = re.sub(r"(operator\s*[\w:]+)\s*\(.*", r"\1", name)
        receiver = node.child_by_field_name("receiver") if self.row.name == "go" else None
        if receiver:
            # (s *Server[T])
            found = re.search(r"(\w+)\s*(?:\[[^()]*)?\)$", _text(receiver, self.data))
            name = f"{found[1]}.{name}" if found else name
        return name

    def scope(self, node: Node) -> tuple[str, ...]:
        """Return the name of a class's node, or nothing where it has none."""
        named = node.child_by_field_name("name") or node.child_by_field_name("type")
        found = re.match(r"[\w:$]+", _text(named, self.data)) if named else None
        return (found[0].replace("::", "."),) if found else ()

    def _indent(self, line_start: int) -> int:
        """Return how many bytes of white space begin a line."""
        found = _SPACE.match(self.data, line_start)
        return found.end() - line_start if found else 0

    def _comment_above(self, row: int) -> str | None:
        """Return the text of the comment that ends on the line before `row`.

        Only comments that no code stands before count.
        """
        parts: list[str] = []
        for node in reversed(self.comments):
            (first, column), end = node.start_point, node.end_point
            # Rust's doc comments reach to the start of the next line.
            last = end.row - (end.column == 0 and end.row > first)
            if last < row - 1:
                break
            if last >= row or self._indent(node.start_byte - column) != column:
                continue
            text = _text(node, self.data).rstrip()
            is_block = text.startswith("/*")
            if is_block and parts:
                break
            parts.append(text)
            row = first
            if is_block:
                break
        return _plain("\n".join(reversed(parts))) if parts else None


def _declared(node: Node) -> Node | None:
    """Return the node of the name inside a C declarator: `*(*name(int a))(void)`."""
    inner = node.child_by_field_name("declarator")
    while inner and inner.type != "operator_cast":
        deeper = inner.child_by_field_name("declarator")
        if deeper is None and inner.type.endswith("_declarator"):  # these name no field
            deeper = next((child for child in inner.named_children), None)
        if deeper is None:
            break
        inner = deeper
    return inner


def _docstring(function: Node, data: bytes) -> tuple[str | None, slice, bytes]:
    """Return a Python function's docstring, the bytes to leave out, and what to put there."""
    body = function.child_by_field_name("body")
    children = body.named_children if body else []
    place = next((i for i, child in enumerate(children) if child.type != "comment"), 0)
    statement = children[place] if children else None
    if statement and statement.type == "expression_statement" and statement.child_count == 1:
        found = _STRING.fullmatch(_text(statement, data))
        if found and statement.named_children[0].type == "string":
            after = children[place + 1].start_byte if len(children) > place + 1 else None
            # Without its only statement the function would be no Python.
            cut = slice(statement.start_byte, after or statement.end_byte)
            return cleandoc(found[2]) or None, cut, b"" if after else b"pass"
    return None, slice(function.end_byte, function.end_byte), b""


def _plain(comment: str) -> str | None:
    """Return a comment's text without marks, rules and directives; None if nothing is left."""
    lines = []
    for line in comment.splitlines():
        bare = _MARK_BEFORE.sub("", line, count=1)
        if bare.endswith("/") or "*/" in bare:
            bare = _MARK_BEHIND.sub("", bare)
        bare = bare.rstrip()
        if not _DIRECTIVE.match(bare):
            lines.append(bare if re.search(r"\w", bare) else "")
    return cleandoc("\n".join(["", *lines])).strip() or None


def _dedent(code: bytes, margin: bytes) -> bytes:
    """Move code to the left by the white space its first line began with."""
    if not margin:
        return code
    return b"\n".join(line.removeprefix(margin) for line in code.split(b"\n"))


def _text(node: Node, data: bytes) -> str:
    return data[node.start_byte : node.end_byte].decode("utf-8", "replace")
