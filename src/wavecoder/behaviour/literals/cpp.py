"""C++: braces behind the declared type."""

import json
import math
from typing import Any

from wavecoder.behaviour.literals.common import (
    UntypedError,
    bracketed,
    checked,
    each,
    pairs,
    special,
)
from wavecoder.behaviour.shapes import Shape, ShapeKind

__all__ = ["cpp"]

K = ShapeKind
_LEAST = -(1 << 63)


def cpp(value: Any, shape: Shape) -> str:
    """Return an expression of C++."""
    kind, text = shape.kind, shape.text
    if kind is K.ANY:
        return _told(value)
    if kind is K.MAYBE:
        inner = shape.parts[0]
        return f"{text}({'' if value is None else cpp(value, checked(value, inner))})"
    if kind in (K.LIST, K.SET):
        return text + bracketed(value, shape, cpp, "{}")
    if kind is K.MAP:
        return f"{text}{{{', '.join(f'{{{k}, {its}}}' for k, its in pairs(value, shape, cpp))}}}"
    if kind is K.TUPLE:
        return f"{text}({', '.join(each(value, shape, cpp))})"
    return _simple(value, shape)


def _simple(value: Any, shape: Shape) -> str:
    kind, text = shape.kind, shape.text
    if kind is K.BOOL:
        return json.dumps(value)
    if kind is K.TEXT:
        data = value.encode("utf-8", "replace")
        return (
            _quoted(data) if text == "const char*" else f"std::string({_quoted(data)}, {len(data)})"
        )
    if kind is K.FLOAT:
        return f"static_cast<{text}>({special(value, 'NAN', 'INFINITY')})"
    if kind is K.INT:
        # The least number is no literal.
        number = f"({value + 1}LL - 1)" if value == _LEAST else f"{value}LL"
        return f"static_cast<{text}>({number})"
    if ord(value) > 127:
        raise UntypedError(f"{value!r} is no char of C++")
    return f"static_cast<char>({ord(value)})"


def _told(value: Any) -> str:
    """Return what `boost::any` holds: a number, a bool or a text."""
    if isinstance(value, bool):
        return f"boost::any({json.dumps(value)})"
    if isinstance(value, int) and abs(value) < 1 << 31:
        return f"boost::any({value})"
    if isinstance(value, float) and math.isfinite(value):
        return f"boost::any({value!r})"
    if isinstance(value, str):
        return f"boost::any({_simple(value, Shape(K.TEXT))})"
    raise UntypedError(f"{str(value)[:40]!r} is nothing for a boost::any")


def _quoted(data: bytes) -> str:
    return '"' + "".join(
        chr(one) if 32 <= one < 127 and one not in b'"\\?' else f"\\{one:03o}" for one in data
    ) + '"'  # fmt: skip
