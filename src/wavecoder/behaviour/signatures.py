"""Which functions stand in a text, and what each takes: told by tree-sitter."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tree_sitter import Node

from wavecoder.behaviour.subjects import Signature, Subject
from wavecoder.languages import LANGUAGES, Language
from wavecoder.languages.syntax import Reading, read

__all__ = ["Found", "found", "functions_in", "of_subject", "signature"]

_RECEIVERS = frozenset({"self", "cls"})
_STATIC = re.compile(r"\b(?:static|staticmethod)\b")
_PRIVATE = re.compile(r"\b(?:private|protected)\b")
_ASYNC = re.compile(r"\basync\b")
_FEW = frozenset(
    {"list_splat_pattern", "dictionary_splat_pattern", "rest_pattern", "spread_parameter",
     "variadic_parameter", "variadic_parameter_declaration", "splat_parameter", "block_parameter",
     "hash_splat_parameter", "variadic_declaration"}
)  # fmt: skip
_SKIPPED = frozenset(
    {"comment", "line_comment", "block_comment", "attribute_item", "positional_separator"}
)


class Found(NamedTuple):
    """A function and where it stands; bytes of the text."""

    signature: Signature
    start: int
    end: int
    body: tuple[int, int] | None
    expression: bool
    """Its body is an expression: `x => x + 1`."""
    told: bool
    """The signature says all that a call must give."""
    public: bool
    asynchronous: bool
    depth: int
    """In how many other functions it stands."""


def functions_in(code: str, language: str) -> list[str]:
    """Return the names of the functions in a text: public before private, last before first.

    Args:
        code: A text.
        language: A name from `wavecoder.languages`.
    """
    outer = [one for one in found(code, language) if one.depth == 0]
    ordered = sorted(reversed(outer), key=lambda one: not one.public)
    return list(dict.fromkeys(one.signature.name for one in ordered))


def signature(subject: Subject) -> Signature | None:
    """Return what a function takes; None where it is not there or that cannot be told."""
    one = of_subject(subject)
    return one.signature if one is not None and one.told else None


def of_subject(subject: Subject) -> Found | None:
    """Return the outermost function of the subject's name, of several the last; or None."""
    named = [
        one
        for one in found(subject.code, subject.language)
        if one.signature.name == subject.function
    ]
    return min(reversed(named), key=lambda one: one.depth, default=None)


def found(code: str, language: str) -> list[Found]:
    """Return the functions in a text in order; those without a name are left out."""
    row = LANGUAGES.get(language)
    if row is None or not code.strip():
        return []
    reading = read(code, language)
    return list(_found(reading, row))


def _found(reading: Reading, row: Language) -> Iterator[Found]:
    pending: list[tuple[Node, int, str]] = [(reading.tree.root_node, 0, "")]
    while pending:
        node, depth, owner = pending.pop()
        function, name_node = _named(node, row)
        inside = reading.start <= node.start_byte and node.end_byte <= reading.end
        if function is not None and name_node is not None and inside:
            one = _one(reading, row, (node, function, name_node), depth, owner)
            if one is not None:
                yield one
        if node.type in row.scopes and node.start_byte >= reading.start:
            named = node.child_by_field_name("name") or node.child_by_field_name("type")
            owner = _text(named, reading) if named else "?"
        deeper = depth + (function is not None)
        pending.extend((child, deeper, owner) for child in reversed(node.named_children))


def _named(node: Node, row: Language) -> tuple[Node | None, Node | None]:
    """Return the function that `node` is or gives a name to, and the node of its name."""
    if node.type in row.assigned:
        left, right = row.assigned[node.type]
        name, value = node.child_by_field_name(left), node.child_by_field_name(right)
        whole = name is not None and value is not None and value.child_by_field_name("body")
        return (value, name) if whole else (None, None)
    if node.type not in row.functions:
        return None, None
    name = node.child_by_field_name("name")
    if name is None:
        name = node.child_by_field_name("declarator")
        while name is not None and (inner := _declared(name)) is not None:
            name = inner
    return node, name


def _declared(node: Node) -> Node | None:
    """Return what a declarator of C is about; a reference's has no field for it."""
    inner = node.child_by_field_name("declarator")
    if inner is None and node.type in ("reference_declarator", "parenthesized_declarator"):
        inner = node.named_children[0] if node.named_children else None
    return inner


def _one(
    reading: Reading, row: Language, nodes: tuple[Node, Node, Node], depth: int, owner: str
) -> Found | None:
    node, function, name_node = nodes
    name = re.split(r"::|\.", _text(name_node, reading))[-1]
    around = node.parent if node.parent is not None else node
    wrapped = around if around.type in row.wrappers else node
    body = function.child_by_field_name("body")
    head_end = body.start_byte if body is not None else function.end_byte
    head = reading.data[wrapped.start_byte : head_end].decode("utf-8", "replace")
    listed = _list(function)
    told, receiver, required = True, False, 0
    parameters: list[tuple[str, str]] = []
    for child in _parameters(listed):
        if child.type == "self_parameter" or _text(child, reading).split(":")[0] in _RECEIVERS:
            receiver = True
            continue
        # What stands behind `*rest` is given by its name, as behind a lone `*`.
        if child.type in ("keyword_separator", "keyword_parameter", "list_splat_pattern"):
            told = told and not _required_after(child, listed, reading)
            break
        if row.name == "go" and child.type == "variadic_parameter_declaration":
            continue
        if child.type in _FEW or child.type == "optional_type" or _is_rest(child):
            continue
        some = _parameter(child, row, reading)
        if some is None:
            continue
        parameters += some
        required += 0 if _has_default(child) else len(some)
    methods = row.name == "go" and function.child_by_field_name("receiver") is not None
    if row.name == "ruby" and node.type == "singleton_method":
        receiver = False
    static = not (receiver or methods) and (not owner or bool(_STATIC.search(head)) or
                                            row.name == "rust")  # fmt: skip
    if node.type == "singleton_method":
        static = True
    made = Signature(
        name=name,
        parameters=tuple(parameters),
        returns=_returns(function, name_node, row, reading),
        required=required,
        owner=owner or ("?" if methods or receiver else ""),
        static=static,
        generic=_generic(function, around, reading),
    )
    place = (body.start_byte - reading.start, body.end_byte - reading.start) if body else None
    return Found(
        signature=made,
        start=node.start_byte - reading.start,
        end=node.end_byte - reading.start,
        body=place,
        expression=body is not None and function.type == "arrow_function"
        and body.type != "statement_block",
        told=told,
        public=not (name.startswith("_") or _PRIVATE.search(head)
                    or (row.name == "go" and name[:1].islower())),
        asynchronous=bool(_ASYNC.search(head.partition(name)[0] + head.partition("=")[2][:12])),
        depth=depth,
    )  # fmt: skip


def _list(function: Node) -> Node | None:
    """Return the list of parameters; C's stands inside the declarator."""
    node: Node | None = function
    while node is not None:
        listed = node.child_by_field_name("parameters") or node.child_by_field_name("parameter")
        if listed is not None:
            return listed
        node = _declared(node)
    return None


def _parameters(listed: Node | None) -> list[Node]:
    if listed is None:
        return []
    if listed.type == "identifier":  # x => …
        return [listed]
    return [child for child in listed.named_children if child.type not in _SKIPPED]


def _required_after(node: Node, listed: Node | None, reading: Reading) -> bool:
    """Say whether a parameter that must be given by its name stands at or behind `node`."""
    behind = [one for one in _parameters(listed) if one.start_byte >= node.start_byte]
    named = ("identifier", "typed_parameter", "keyword_parameter")
    return any(one.type in named and not _has_default(one) and not _is_rest(one) for one in behind)


def _has_default(node: Node) -> bool:
    fields = ("value", "default_value", "right")
    return node.type == "optional_parameter" or any(node.child_by_field_name(f) for f in fields)


def _is_rest(node: Node) -> bool:
    kinds = {child.type for child in node.children}
    return bool(kinds & _FEW) or "..." in kinds


def _parameter(node: Node, row: Language, reading: Reading) -> list[tuple[str, str]] | None:
    """Return a parameter's names and types: several of one in Go; None for C's `void`."""
    name = node.child_by_field_name("name") or node.child_by_field_name("pattern")
    name = name or node.child_by_field_name("left")
    kind = node.child_by_field_name("type")
    written = _text(kind, reading).removeprefix(":").strip() if kind else ""
    if row.name == "go":
        names = node.children_by_field_name("name")
        return [(_text(one, reading), written) for one in names] or [("_", written)]
    if row.name in ("c", "cpp"):
        return _declaration(node, reading)
    if row.name == "java" and (dimensions := node.child_by_field_name("dimensions")):
        written += _text(dimensions, reading)
    if name is None and node.type == "typed_parameter":
        name = node.named_children[0]
    text = _text(name if name is not None else node, reading)
    return [(text.lstrip("$").removeprefix("mut "), written)]


def _declaration(node: Node, reading: Reading) -> list[tuple[str, str]] | None:
    """Return a parameter of C or C++: its type is its text without its name."""
    text = _text(node, reading)
    declarator = node.child_by_field_name("declarator")
    value = node.child_by_field_name("default_value")
    if value is not None:
        text = text[: text.rindex("=")].strip()
    if text == "void":
        return None
    name = declarator
    while name is not None and (inner := _declared(name)) is not None:
        name = inner
    if name is None or name.type != "identifier":
        return [("", text)]
    start = len(reading.data[node.start_byte : name.start_byte].decode("utf-8", "replace"))
    spelled = _text(name, reading)
    return [(spelled, (text[:start] + text[start + len(spelled) :]).strip())]


def _returns(function: Node, name: Node, row: Language, reading: Reading) -> str:
    if row.name in ("c", "cpp"):
        text = reading.data[function.start_byte : name.start_byte].decode("utf-8", "replace")
        words = r"\b(?:static|inline|constexpr|extern|virtual)\b|\[\[\w+\]\]"
        return re.sub(words, "", text).strip()
    for field in ("return_type", "result"):
        if (node := function.child_by_field_name(field)) is not None:
            return _text(node, reading).removeprefix(":").strip()
    if row.name == "java" and (node := function.child_by_field_name("type")) is not None:
        return _text(node, reading)
    return ""


def _generic(function: Node, around: Node, reading: Reading) -> tuple[str, ...]:
    listed = function.child_by_field_name("type_parameters")
    if listed is None and around.type == "template_declaration":
        listed = around.child_by_field_name("parameters")
    if listed is None:
        return ()
    texts = (_text(one, reading) for one in listed.named_children)
    return tuple(
        re.sub(r"^(?:class|typename|const)\s+|[\s:].*$", "", text, flags=re.DOTALL)
        for text in texts
    )


def _text(node: Node | None, reading: Reading) -> str:
    if node is None:
        return ""
    return reading.data[node.start_byte : node.end_byte].decode("utf-8", "replace")
