"""Kinds of values, as far as a declaration or an expression itself tells."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wavecoder.languages.mutation.tree import Part, Source, word_set

__all__ = ["COMPARISONS", "Variable", "kind_of", "value_kind"]

_NUMBER_TYPES = re.compile(
    r"(?:unsigned |signed |const |mut |&|: ?)*"
    r"(?:u?int(?:8|16|32|64)?(?:_t)?|long(?: long)?(?: int)?"
    r"|short|byte|unsigned|float(?:32|64)?|double|number|size_t|ssize_t|off_t|[iu](?:8|16|32|64|128)|"
    r"[iu]size|f32|f64|Integer|Long|Double|Float|decimal|uint|ulong)"
)
_FLOAT_TYPES = re.compile(r"float|double|number|f32|f64|decimal", re.IGNORECASE)
_BOOL_TYPES = re.compile(r":? ?(?:_?[Bb]ool|[Bb]oolean)")
_STRING_TYPES = re.compile(r"(?:const |&|: ?)*(?:str|[Ss]tring|std::string|char ?\*|&str|String)&?")
_GIVE_NUMBERS = word_set(
    "len sum ord abs int float count size length strlen sizeof indexOf lastIndexOf strlen round "
    "floor ceil sqrt pow Count Length"
)
_GIVE_BOOLS = word_set(
    "isinstance any all bool startswith endswith isdigit isalpha startsWith endsWith includes "
    "contains isEmpty is_empty empty? HasPrefix HasSuffix Contains starts_with ends_with hasattr "
    "callable every some in_array is_array is_null isset has_key"
)
_LITERALS = {
    **{"int_": "int", "float_": "float", "bool_": "bool", "string": "string"},
    **{"list_": "list", "each": "list"},
}
_SIZES = frozenset({"length", "size", "Length", "Count"})
_NUMERIC = frozenset({"-", "/", "//", "**", "<<", ">>", "^"})
COMPARISONS = word_set("== != === !== < <= > >= in is") | {"not in", "is not"}


@dataclass(eq=False)
class Variable:
    """A parameter or a variable of a function."""

    name: str
    kind: str
    """`number`, `bool`, `string`, `list`, another type's text, or empty: it is not known."""
    scope: Part
    """It is known in this part, behind `place`."""
    place: int
    """Byte behind its declaration."""
    is_parameter: bool
    writes: list[Part] = field(default_factory=list)
    """Declarations and assignments, and what changes it: `x += 1`, `x++`."""
    reads: list[Part] = field(default_factory=list)
    """Names in expressions, but for those of `x += 1` itself."""
    doubtful: bool = False
    """A function inside has a variable of its name, or uses it."""


def kind_of(text: str) -> str:
    """Return the kind of a type's text: one of ours, or the text itself; empty for `auto`."""
    text = " ".join(text.split()).lstrip(": ")
    if text in (
        "auto",
        "var",
        "void",
        "None",
        "const auto",
        "auto&",
        "const auto&",
        "mixed",
        "any",
    ):
        return "void" if text in ("void", "None") else ""
    if _BOOL_TYPES.fullmatch(text):
        return "bool"
    if _NUMBER_TYPES.fullmatch(text):
        return "float" if _FLOAT_TYPES.search(text) else "int"
    return "string" if _STRING_TYPES.fullmatch(text) else text


def value_kind(source: Source, part: Part, variables: Mapping[str, Variable]) -> str:
    """Return the kind of an expression, or nothing.

    Args:
        source: Its text.
        part: The expression.
        variables: Those of its function, by name.
    """
    while part.role == "paren" and part.inner:
        part = part.inner[0]
    role = part.role
    if role in _LITERALS:
        # JavaScript has one kind of number.
        return "float" if part.type == "number" else _LITERALS[role]
    if role == "name":
        found = variables.get(source.text(part))
        return found.kind if found else ""
    if role == "unary":
        sign = source.operator(part)
        inside = part.inner[-1] if part.inner and sign == "-" else None
        return (
            "bool"
            if sign in ("!", "not")
            else value_kind(source, inside, variables)
            if inside
            else ""
        )
    if role == "call":
        return _kind_of_call(source.callee(part)[0])
    if role == "member":
        last = part.inner[-1] if part.inner else None
        return "int" if last and source.text(last) in _SIZES else ""
    return _kind_of_operation(source, part, variables) if role == "binary" else ""


def _kind_of_call(name: str) -> str:
    if name in _GIVE_BOOLS:
        return "bool"
    return ("float" if name in ("sum", "abs") else "int") if name in _GIVE_NUMBERS else ""


def _kind_of_operation(source: Source, part: Part, variables: Mapping[str, Variable]) -> str:
    sign = source.operator(part)
    if sign in COMPARISONS:
        return "bool"
    sides = [kid for kid in part.inner if kid.field not in ("operator", "operators")]
    kinds = [value_kind(source, side, variables) for side in sides]
    if sign in ("and", "or", "&&", "||"):
        return "bool" if kinds == ["bool", "bool"] else ""
    if "string" in kinds:
        return "string" if sign in ("+", ".", "%") else ""
    if set(kinds) <= {"int", "float"} and kinds:
        floats = "float" in kinds or (sign == "/" and source.row.name in ("python", "javascript"))
        return "float" if floats else "int"
    numeric = sign in _NUMERIC and not (sign == "<<" and source.row.name in ("cpp", "ruby"))
    # In `xs * 2` and `xs - ys` the sides may be lists; a number on the left is a number's.
    return "float" if numeric and ("int" in kinds or "float" in kinds) else ""
