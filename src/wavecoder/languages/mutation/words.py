"""One word of a function made another: values, operators, variables and functions misused."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from wavecoder.languages.mutation.kinds import Variable
from wavecoder.languages.mutation.names import Function, kind_of_value
from wavecoder.languages.mutation.tree import Part, word_set

__all__ = ["Edit", "Effect", "Kind", "functions", "operators", "values", "variables"]


class Kind(StrEnum):
    """HumanEvalPack's classes of bugs, under its own names."""

    VALUE = "value misuse"
    OPERATOR = "operator misuse"
    VARIABLE = "variable misuse"
    FUNCTION = "function misuse"
    MISSING = "missing logic"
    EXCESS = "excess logic"


class Effect(StrEnum):
    """How the value of an edited part changes."""

    FLIP = "flip"
    """True becomes false and false true, at every evaluation."""
    OTHER = "other"
    """It is another one at every evaluation."""
    SOME = "some"
    """It is another one at some evaluations: operands vary."""
    MIX = "mix"
    """And becomes or, or or becomes and: another one where just one side is true."""
    DROPPED = "dropped"
    """A statement that changes a variable is gone."""
    REPEATED = "repeated"
    """It is done twice."""
    ONCE = "once"
    """A loop ends after its first round."""
    UNKNOWN = "unknown"


class Edit(NamedTuple):
    """A change of a text that is not made yet."""

    kind: Kind
    what: str
    start: int
    end: int
    new: str
    part: Part
    """What changes its value or, for the last effects, the statement or loop."""
    effect: Effect


_FLIPS = {
    **{"==": "!=", "!=": "==", "===": "!==", "!==": "===", "<": ">=", ">=": "<", ">": "<="},
    **{"<=": ">", "in": "not in", "not in": "in", "is": "is not", "is not": "is"},
    **{"=~": "!~", "!~": "=~", "<>": "=="},
}
_NEARLY = {"<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<=")}
_LOGICAL = {"and": "or", "or": "and", "&&": "||", "||": "&&"}
_SAME_RANK = {"+": "-", "-": "+", "/": "*", "//": "*", "%": "*", "<<": ">>", ">>": "<<"}
_OTHER_RANK = {"*": "+", "**": "*", "&": "|", "|": "&", "^": "&"}
_AUGMENTED = {
    **{"+=": "-=", "-=": "+=", "*=": "+=", "/=": "*=", "//=": "*=", "%=": "*=", "&=": "|="},
    **{"|=": "&=", "^=": "|=", "<<=": ">>=", ">>=": "<<=", "**=": "*="},
    **{"++": "--", "--": "++"},
}
_ARITHMETIC = frozenset({*_SAME_RANK, *_OTHER_RANK})
_STREAMS = re.compile(r"c(?:out|err|in|log)$|stream$|^(?:os|out|ss|oss|iss|in|is|s|o|i)$")
_PAIRS = (
    *(("min", "max"), ("any", "all"), ("startswith", "endswith"), ("startsWith", "endsWith")),
    *(("lstrip", "rstrip"), ("trimStart", "trimEnd"), ("upper", "lower"), ("isupper", "islower")),
    *(("toUpperCase", "toLowerCase"), ("find", "rfind"), ("indexOf", "lastIndexOf")),
    *(("split", "rsplit"), ("floor", "ceil"), ("Floor", "Ceil"), ("Floor", "Ceiling")),
    *(("push", "unshift"), ("pop", "shift"), ("push_back", "push_front")),
    *(("pop_back", "pop_front"), ("HasPrefix", "HasSuffix"), ("TrimLeft", "TrimRight")),
    *(("TrimPrefix", "TrimSuffix"), ("ToUpper", "ToLower"), ("Max", "Min"), ("Index", "LastIndex")),
    *(("keys", "values"), ("keySet", "values"), ("isdigit", "isalpha"), ("isDigit", "isLetter")),
    *(("IsDigit", "IsLetter"), ("toupper", "tolower"), ("isUpperCase", "isLowerCase")),
    *(("starts_with", "ends_with"), ("trim_start", "trim_end"), ("to_uppercase", "to_lowercase")),
    *(("is_some", "is_none"), ("is_ok", "is_err"), ("first", "last"), ("begin", "rbegin")),
    *(("front", "back"), ("start_with?", "end_with?"), ("upcase", "downcase"), ("some", "every")),
    *(("any?", "all?"), ("select", "reject"), ("ltrim", "rtrim"), ("strtoupper", "strtolower")),
    *(("StartsWith", "EndsWith"), ("TrimStart", "TrimEnd"), ("Any", "All"), ("First", "Last")),
    *(("strpos", "strrpos"), ("ksort", "sort"), ("anyMatch", "allMatch"), ("sin", "cos")),
    *(("addFirst", "addLast"), ("getFirst", "getLast"), ("array_push", "array_unshift")),
    *(("array_keys", "array_values"), ("IndexOf", "LastIndexOf"), ("appendleft", "append")),
    *(("popleft", "pop"), ("strchr", "strrchr"), ("union", "intersection"), ("lower", "title")),
)
# Other result wherever the arguments differ at all.
_PLAIN_PAIRS = word_set(
    "min max any all startswith endswith startsWith endsWith upper lower toUpperCase toLowerCase "
    "HasPrefix HasSuffix Max Min ToUpper ToLower starts_with ends_with start_with? end_with? "
    "upcase downcase any? all? some every is_some is_none is_ok is_err to_uppercase to_lowercase "
    "strtoupper strtolower StartsWith EndsWith anyMatch allMatch keys values toupper tolower "
    "select reject"
)
_PARTNERS: Mapping[str, list[str]] = defaultdict(list)
for _left, _right in _PAIRS:
    _PARTNERS[_left].append(_right)
    _PARTNERS[_right].append(_left)
_INTEGER = re.compile(r"(-?)(\d[\d_]*)([uUlLnN]{0,3}|[iu](?:\d+|size))")
_FLOAT = re.compile(r"(\d+)(\.\d*(?:f32|f64|[fFdDmM])?)")
_QUOTED = re.compile(
    r"""([A-Za-z@]*)(\#*)(?P<quote>\"{3}|'{3}|["'`])(?P<inside>.*)(?P=quote)(\#*)""", re.DOTALL
)
_CHARACTERS = frozenset({"character_literal", "char_literal", "rune_literal"})


def values(function: Function, part: Part) -> Iterator[Edit]:
    """Yield what makes a literal another: a number off by one, a boolean swapped, another text."""
    role = part.role
    if role not in ("int_", "float_", "bool_", "string") or part.type == "regex":
        return
    if role != "string" and _decides(part):
        return  # `while True`
    text = function.source.text(part)
    for new, effect in _values(function, part, text):
        what = f"{_short(text)} becomes {_short(new)}"
        yield Edit(Kind.VALUE, what, part.start, part.end, new, part, effect)


def _values(function: Function, part: Part, text: str) -> Iterator[tuple[str, Effect]]:
    if part.role == "bool_":
        new = "false" if text.lower() == "true" else "true"
        new = new.title() if text[0].isupper() else new
        yield new.upper() if text.isupper() else new, Effect.FLIP
    elif found := _INTEGER.fullmatch(text):
        number = int(found[1] + found[2].replace("_", ""))
        negated = part.parent is not None and (
            part.parent.role == "unary" and function.source.operator(part.parent) == "-"
        )
        for other in (number + 1, number - 1):
            # `-0` is nothing that a person writes; below 0 nothing may be counted.
            if not (other == 0 and (negated or number < 0)) and (number < 0 or other >= 0):
                yield f"{other}{found[3]}", _unless_truth(function, number, other)
    elif found := _FLOAT.fullmatch(text):
        yield f"{int(found[1]) + 1}{found[2]}", Effect.OTHER
    elif part.role == "string" and (quoted := _QUOTED.fullmatch(text)):
        inside = quoted["inside"]
        for near in _texts(inside, part):
            new = text[: quoted.start("inside")] + near + text[quoted.end("inside") :]
            yield new, Effect.OTHER


def _unless_truth(function: Function, number: int, near: int) -> Effect:
    """Return what another number does; to C's `bool` all but 0 is one."""
    if function.returns == "bool" and function.source.row.name in ("c", "cpp"):
        return Effect.FLIP if (number == 0) != (near == 0) else Effect.UNKNOWN
    return Effect.OTHER


def _texts(inside: str, part: Part) -> Iterator[str]:
    if part.type in _CHARACTERS or part.type == "character":
        if len(inside) == 1 and inside.isascii() and inside.isalnum():
            yield chr(ord(inside) + (-1 if inside in "zZ9" else 1))
    elif not inside:
        yield " "
    elif "\n" not in inside:
        yield ""
        if len(inside) > 1 and "\\" not in inside[-2:] and inside[:-1].strip():
            yield inside[:-1]


def operators(function: Function, part: Part) -> Iterator[Edit]:
    """Yield what makes an operator another one."""
    if part.role not in ("binary", "assign", "unary"):
        return
    sign = function.source.operator(part)
    at = function.source.operator_part(part)
    if at is None or (part.role == "assign" and not part.one("left")):
        return
    for new, effect in _operators(function, part, sign):
        yield Edit(Kind.OPERATOR, f"{sign} becomes {new}", at.start, at.end, new, part, effect)


def _operators(function: Function, part: Part, sign: str) -> Iterator[tuple[str, Effect]]:
    if part.role != "binary":
        if sign in _AUGMENTED:
            right = part.one("right")
            if not (right is not None and _is_text(function, right) and sign == "+="):
                yield _AUGMENTED[sign], Effect.SOME
        return
    sides = _sides(part)
    if sign in _FLIPS:
        yield _FLIPS[sign], Effect.FLIP if len(sides) == 2 else Effect.UNKNOWN
        for new in _NEARLY.get(sign, ()):
            yield new, Effect.UNKNOWN
    elif sign in _LOGICAL:
        alone = not any(_is_logical(function, one) for one in (part.parent, *sides))
        yield _LOGICAL[sign], Effect.MIX if alone else Effect.UNKNOWN
    elif sign in _ARITHMETIC and len(sides) == 2 and _is_arithmetic(function, part, sign, sides):
        new = _SAME_RANK.get(sign) or _OTHER_RANK[sign]
        yield new, _effect_of_arithmetic(function, part, sign, sides)


def _is_logical(function: Function, part: Part | None) -> bool:
    return part is not None and part.role == "binary" and function.source.operator(part) in _LOGICAL


def _is_arithmetic(function: Function, part: Part, sign: str, sides: Sequence[Part]) -> bool:
    """Say whether an operation is one on numbers, for all that can be seen, and its edit counts."""
    if any(_is_text(function, side) for side in sides) or any(
        kind_of_value(function, side) == "list" for side in sides
    ):
        return False
    if sign in ("<<", ">>"):
        is_output = part.parent is None or part.parent.type == "expression_statement"
        left = sides[0]
        while left.role == "binary":
            left = _sides(left)[0]
        return not is_output and _STREAMS.search(function.source.text(left)) is None
    # x + 0, x * 1; and 2 + 2 may be 2 * 2.
    idle = "0" if sign in ("+", "-") else "1"
    if function.source.text(sides[1]) == idle or all(side.role == "int_" for side in sides):
        return False
    return sign not in ("&", "|") or "bool" not in [kind_of_value(function, one) for one in sides]


def _effect_of_arithmetic(
    function: Function, part: Part, sign: str, sides: Sequence[Part]
) -> Effect:
    kinds = [kind_of_value(function, side) for side in sides]
    if not set(kinds) & {"int", "float"} and function.returns not in ("int", "float"):
        return Effect.UNKNOWN
    if sign in ("+", "-"):
        return Effect.OTHER if sides[1].role == "int_" else Effect.SOME
    around = [part.parent, *sides] if part.parent else sides
    ranked = any(
        one.role == "binary" and function.source.operator(one) in _ARITHMETIC for one in around
    )
    # The edit would change what belongs to what.
    return Effect.UNKNOWN if ranked or sign not in ("*", "/", "//", "%", "**") else Effect.SOME


def variables(function: Function, part: Part) -> Iterator[Edit]:
    """Yield what makes a variable another of the function that is known there.

    Where types are declared, one of the same type; elsewhere none that is known to be of another.
    Two names around an operator are exchanged, too.
    """
    if part.role == "binary":
        yield from _exchanged(function, part)
        return
    # In `{ x }` the name is that of the member, too.
    if part.role != "name" or part.type == "shorthand_property_identifier":
        return
    name = function.source.text(part)
    own = function.variables.get(name)
    if name in ("self", "cls") or own is None or all(part is not read for read in own.reads):
        return
    if function.source.row.name == "go" and not own.is_parameter and len(own.reads) < 2:
        return  # it would be unused, which is no Go
    typed = function.source.row.name in ("java", "c", "cpp", "go", "rust", "csharp")
    above = list(part.above())
    for other in function.variables.values():
        known = other is not own and other.place <= part.start and other.scope in above
        fits = (
            other.kind == own.kind
            if typed
            else not (own.kind and other.kind) or (other.kind == own.kind)
        )
        if known and fits and (own.kind or not typed) and other.name not in ("self", "cls"):
            what = f"{name} becomes {other.name}"
            free = _independent(own, other) and not function.compares(name, other.name)
            effect = Effect.SOME if free else Effect.UNKNOWN
            yield Edit(Kind.VARIABLE, what, part.start, part.end, other.name, part, effect)


def _independent(one: Variable, other: Variable) -> bool:
    """Say whether two variables have whatever values callers give them."""
    return all(it.is_parameter and not it.writes and not it.doubtful for it in (one, other))


def _exchanged(function: Function, part: Part) -> Iterator[Edit]:
    sides, sign = _sides(part), function.source.operator(part)
    if len(sides) != 2 or sign not in ("-", "/", "//", "%", "<", "<=", ">", ">=", "in", "not in"):
        return
    left, right = sides
    if left.role != "name" or right.role != "name":
        return
    names = [function.source.text(side) for side in sides]
    if names[0] == names[1]:
        return
    between = function.source.data[left.end : right.start].decode("utf-8", "replace")
    new = f"{names[1]}{between}{names[0]}"
    known = [function.variables.get(name) for name in names]
    numeric = all(one is not None and one.kind in ("int", "float") for one in known)
    effect = Effect.SOME if sign in "-/" and numeric else Effect.UNKNOWN
    what = f"{names[0]} and {names[1]} change places"
    yield Edit(Kind.VARIABLE, what, left.start, right.end, new, part, effect)


def functions(function: Function, part: Part) -> Iterator[Edit]:
    """Yield what makes a call one of another function that takes as much.

    The other is a known partner (`min` and `max`), or is called in the function itself, on the same
    object with as many arguments.
    """
    if part.role != "call":
        return
    name, at = function.source.callee(part)
    if at is None or not name or name in function.variables:
        return
    for new in _PARTNERS.get(name, ()):
        # Ruby's `first` may be a word of anyone's; others have brackets.
        effect = Effect.SOME if {name, new} <= _PLAIN_PAIRS else Effect.UNKNOWN
        what = f"{name} becomes {new}"
        yield Edit(Kind.FUNCTION, what, at.start, at.end, new, part, effect)
    for new in function.siblings(part, name):
        what = f"{name} becomes {new}"
        yield Edit(Kind.FUNCTION, what, at.start, at.end, new, part, Effect.UNKNOWN)


def _sides(part: Part) -> list[Part]:
    return [kid for kid in part.inner if kid.field not in ("operator", "operators")]


def _is_text(function: Function, part: Part) -> bool:
    return (
        part.role == "string"
        or kind_of_value(function, part) == "string"
        or (part.role == "" and "string" in part.type)
    )


def _decides(part: Part) -> bool:
    """Say whether a literal is a condition by itself."""
    holder = part.parent
    while holder is not None and holder.role == "paren":
        part, holder = holder, holder.parent
    return holder is not None and (
        (holder.role in ("loop", "if_") and part.field == "condition")
        or (part.role == "bool_" and holder.type == "boolean_operator")
    )


def _short(text: str) -> str:
    """Return a literal's text, its middle left out where it is long."""
    return text if len(text) <= 40 else f"{text[:20]}…{text[-10:]}"
