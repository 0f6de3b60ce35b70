"""What the writers of all languages have in common."""

import json
import math
from collections.abc import Callable
from typing import Any

from wavecoder.behaviour.shapes import Shape, ShapeKind

__all__ = [
    "ANY",
    "UntypedError",
    "Write",
    "bracketed",
    "checked",
    "each",
    "pairs",
    "quoted",
    "special",
]

K = ShapeKind
Write = Callable[[Any, Shape], str]


class UntypedError(ValueError):
    """A value cannot be written in a type."""


ANY = Shape(K.ANY)


def checked(value: Any, shape: Shape) -> Shape:
    """Return the shape if the value has it; of any, what it is."""
    kind, exact = shape.kind, type(value)
    fits = {
        K.INT: exact is int and shape.least <= value <= shape.most,
        K.FLOAT: exact in (int, float),
        K.BOOL: exact is bool,
        K.TEXT: exact is str,
        K.CHAR: exact is str and len(value) == 1,
        K.LIST: exact in (list, tuple),
        K.SET: exact in (list, tuple, set),
        K.MAP: exact is dict,
        K.TUPLE: exact in (list, tuple) and len(value) == len(shape.parts),
        K.MAYBE: True,
        K.ANY: exact in (type(None), bool, int, float, str, list, tuple, dict),
    }[kind]
    if not fits:
        raise UntypedError(f"{str(value)[:60]!r} is no {shape.text or kind.value}")
    return shape


def bracketed(value: Any, shape: Shape, write: Write, marks: str) -> str:
    """Return the items, written, between two marks."""
    item = shape.parts[0] if shape.parts else ANY
    return marks[0] + ", ".join(write(one, checked(one, item)) for one in value) + marks[-1]


def pairs(value: Any, shape: Shape, write: Write) -> list[tuple[str, str]]:
    """Return keys and values of a map, written."""
    key, item = shape.parts or (ANY, ANY)
    made = []
    for one, its in value.items():
        # A map of JSON has texts for keys.
        if key.kind is K.INT and type(one) is str and one.lstrip("-").isdecimal():
            one = int(one)
        made.append((write(one, checked(one, key)), write(its, checked(its, item))))
    return made


def each(value: Any, shape: Shape, write: Write) -> list[str]:
    """Return the parts of a tuple, written."""
    return [write(one, checked(one, part)) for one, part in zip(value, shape.parts, strict=True)]


def quoted(text: str) -> str:
    """Return a text between double quotes, as JSON has it: escapes that most languages know."""
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False)


def special(value: Any, nan: str, infinity: str) -> str:
    """Return a number with a point, or the names for what has none."""
    number = float(value)
    if math.isnan(number):
        return nan
    if math.isinf(number):
        return infinity if number > 0 else f"-{infinity}"
    return repr(number)
