"""What the functions of a text are called and how many arguments each takes."""

from collections.abc import Iterator
from typing import NamedTuple

from tree_sitter import Node

from wavecoder.languages.syntax import Reading, read
from wavecoder.languages.table import LANGUAGES, Language

__all__ = ["Signature", "signatures"]

_OBJECTS = frozenset({"self", "cls", "this"})
_OPTIONAL = frozenset(
    {"default_parameter", "typed_default_parameter", "optional_parameter", "assignment_pattern",
     "optional_parameter_declaration"}
)  # fmt: skip
_MANY = frozenset(
    {"list_splat_pattern", "dictionary_splat_pattern", "spread_parameter", "rest_pattern",
     "rest_parameter", "variadic_parameter", "variadic_parameter_declaration", "splat_parameter",
     "hash_splat_parameter", "variadic_declaration"}
)  # fmt: skip
_NONE = frozenset(
    {"comment", "line_comment", "block_comment", "keyword_separator", "positional_separator",
     "attribute_item", "block_parameter", "self_parameter", "receiver_parameter", "decorator"}
)  # fmt: skip


class Signature(NamedTuple):
    """A function with a body."""

    name: str
    """Without its class."""
    least: int
    """Fewest arguments; the object it belongs to is none."""
    most: int | None
    """Most arguments; None for any number."""
    line: int
    """Where it begins, from 1."""
    empty: bool
    """Its body has no statement, only comments; a constructor may be so."""
    outer: bool
    """It is in no other function."""
    member: bool
    """It is in a class."""


def signatures(code: str, language: str) -> list[Signature]:
    """Return the functions in a text, in order; those without a name (`x => x + 1`) are left out.

    Args:
        code: Code, or a lone method.
        language: A name from `LANGUAGES`.
    """
    reading = read(code, language)
    return list(_signatures(reading, LANGUAGES[language]))


def _signatures(reading: Reading, row: Language) -> Iterator[Signature]:
    pending: list[tuple[Node, bool, bool]] = [(reading.tree.root_node, True, False)]
    while pending:
        node, outer, member = pending.pop()
        function, name = _named(node, row, reading)
        if function is not None and name and reading.start <= node.start_byte < reading.end:
            parameters = _parameters(function)
            least, most = _count(parameters, row, reading)
            line = reading.data.count(b"\n", reading.start, node.start_byte) + 1
            body = function.child_by_field_name("body")
            typeless = row.name == "cpp" and function.child_by_field_name("type") is None
            machinery = typeless or "constructor" in function.type
            empty = body is not None and not machinery and _is_empty(body, row)
            yield Signature(name, least, most, line, empty, outer, member)
        inside = function is not None
        classes = node.type in row.scopes and node.start_byte >= reading.start
        children = [(child, outer and not inside, (member or classes) and not inside)
                    for child in node.named_children]  # fmt: skip
        pending.extend(reversed(children))


def _named(node: Node, row: Language, reading: Reading) -> tuple[Node | None, str]:
    """Return the function that `node` is or gives a name to, and the name; or (None, "")."""
    if node.type in row.assigned:
        left, right = row.assigned[node.type]
        name, value = node.child_by_field_name(left), node.child_by_field_name(right)
        if name is not None and value is not None and value.child_by_field_name("body"):
            return value, _text(name, reading).rsplit(".", 1)[-1]
        return None, ""
    if node.type not in row.functions:
        return None, ""
    found = node.child_by_field_name("name")
    if found is None:
        found = node.child_by_field_name("declarator")
        while found is not None and (inner := found.child_by_field_name("declarator")):
            found = inner
    if found is None:
        return node, ""
    name_text = _text(found, reading)
    return node, name_text.rsplit("::", 1)[-1].rsplit(".", 1)[-1]


def _parameters(function: Node) -> Node | None:
    """Return the list of parameters; C's stands inside the declarator."""
    node: Node | None = function
    while node is not None:
        found = node.child_by_field_name("parameters") or node.child_by_field_name("parameter")
        if found is not None:
            return found
        node = node.child_by_field_name("declarator")
    return None


def _count(parameters: Node | None, row: Language, reading: Reading) -> tuple[int, int | None]:
    if parameters is None:
        return 0, 0
    if not parameters.named_child_count:  # `x => …`, or none at all
        return (1, 1) if parameters.type == "identifier" else (0, 0)
    least = most = 0
    many = any(child.type in ("...", "params") for child in parameters.children)
    for child in parameters.named_children:
        kind, text = child.type, _text(child, reading)
        named = text.split(":")[0].strip()
        if kind in _NONE or text == "void" or named in _OBJECTS:
            continue
        if row.name == "csharp" and kind != "parameter":  # `params int[] rest` is not in a node
            continue
        inside = {one.type for one in child.children} | {kind}
        if inside & _MANY or "..." in inside:
            many = True
            continue
        # Go gives several names one type: `a, b int`.
        names = max(1, len(child.children_by_field_name("name"))) if row.name == "go" else 1
        most += names
        optional = inside & _OPTIONAL or child.child_by_field_name("value") is not None
        if not (optional or child.child_by_field_name("default_value") or "=" in inside):
            least += names
    return least, None if many else most


def _is_empty(body: Node, row: Language) -> bool:
    if body.type not in _BLOCKS:
        return False
    return not any(child.type not in row.comments for child in body.named_children)


_BLOCKS = frozenset(
    {"block", "statement_block", "compound_statement", "constructor_body", "body_statement"}
)


def _text(node: Node, reading: Reading) -> str:
    return reading.data[node.start_byte : node.end_byte].decode("utf-8", "replace")
