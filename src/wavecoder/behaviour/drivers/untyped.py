"""TypeScript without its types: JavaScript, character by character where it was."""

from tree_sitter import Node

from wavecoder.languages import parse

__all__ = ["without_types"]

# What stands for no code at all.
_GONE = frozenset(
    {"type_annotation", "type_parameters", "type_arguments", "interface_declaration",
     "type_alias_declaration", "accessibility_modifier", "override_modifier", "implements_clause",
     "function_signature", "ambient_declaration", "asserts_annotation", "type_predicate_annotation",
     "abstract_method_signature", "index_signature"}
)  # fmt: skip
# Words that are types' alone, by what they stand in.
_WORDS = {
    "optional_parameter": ("?", "readonly"),
    "public_field_definition": ("?", "!", "readonly", "declare", "abstract"),
    "non_null_expression": ("!",),
    "abstract_class_declaration": ("abstract",),
}
# What becomes code that is not written there.
_MADE = frozenset({"enum_declaration", "internal_module", "module", "decorator", "import_alias"})


def without_types(code: str) -> str | None:
    """Return TypeScript as JavaScript; None where types alone do not make the difference.

    Args:
        code: TypeScript.
    """
    data = bytearray(code.encode("utf-8", "replace"))
    pending = [parse(code, "typescript").root_node]
    while pending:
        node = pending.pop()
        if node.type in _MADE and node.is_named:
            return None
        if node.type in _GONE:
            _blank(data, node.start_byte, node.end_byte)
            continue
        kept = _kept(node, data)
        if kept is None:
            return None
        pending.extend(kept)
    return data.decode("utf-8", "replace")


def _kept(node: Node, data: bytearray) -> list[Node] | None:
    """Blank what of a node is types only; return the children to look at, or None for neither."""
    kind = node.type
    if kind in ("as_expression", "satisfies_expression"):
        value = node.named_children[0]
        _blank(data, value.end_byte, node.end_byte)
        return [value]
    if kind == "type_assertion":
        value = node.named_children[-1]
        _blank(data, node.start_byte, value.start_byte)
        return [value]
    if kind in ("import_statement", "export_statement") and any(
        child.type == "type" for child in node.children
    ):
        _blank(data, node.start_byte, node.end_byte)
        return []
    if kind == "required_parameter":
        first = node.children[0]
        if first.type in ("accessibility_modifier", "readonly"):
            return None  # such a parameter of a constructor makes a field
        if data[first.start_byte : first.end_byte] == b"this":
            after = node.next_sibling
            comma = after is not None and after.type == ","
            _blank(data, node.start_byte, after.end_byte if after and comma else node.end_byte)
            return []
    for child in node.children:
        if child.type in _WORDS.get(kind, ()):
            _blank(data, child.start_byte, child.end_byte)
    return list(node.children)


def _blank(data: bytearray, start: int, end: int) -> None:
    data[start:end] = bytes(one if one in b"\n\r" else 32 for one in data[start:end])
