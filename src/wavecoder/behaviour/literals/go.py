"""Go: composite literals of the declared type."""

import json
import math
from typing import Any

from wavecoder.behaviour.literals.common import UntypedError, bracketed, checked, each, pairs
from wavecoder.behaviour.shapes import Shape, ShapeKind

__all__ = ["go"]

K = ShapeKind


def go(value: Any, shape: Shape) -> str:
    """Return an expression of Go."""
    kind, text = shape.kind, shape.text
    if kind is K.ANY:
        return _told(value)
    if kind is K.MAYBE:
        if value is None:
            return f"({text})(nil)"
        inner = shape.parts[0]
        made = go(value, checked(value, inner))
        return f"func() {text} {{ var made {inner.text} = {made}; return &made }}()"
    return _simple(value, shape) if kind in _SIMPLE else _container(value, shape)


_SIMPLE = frozenset({K.INT, K.FLOAT, K.BOOL, K.TEXT})


def _simple(value: Any, shape: Shape) -> str:
    if shape.kind is K.BOOL:
        return json.dumps(value)
    if shape.kind is K.TEXT:
        return _quoted(value)
    if shape.kind is K.INT:
        return f"{shape.text}({value})"
    if not math.isfinite(value):
        raise UntypedError(f"Go has no constant for {value}")
    return f"{shape.text}({float(value)!r})"


def _container(value: Any, shape: Shape) -> str:
    text = shape.text
    if shape.kind is K.LIST:
        return text + bracketed(value, shape, go, "{}")
    if shape.kind is K.TUPLE:
        return f"{text}{{{', '.join(each(value, shape, go))}}}"
    if shape.kind is K.SET:
        item = shape.parts[0]
        return f"{text}{{{''.join(f'{go(one, checked(one, item))}: {{}}, ' for one in value)}}}"
    if shape.kind is K.MAP:
        return f"{text}{{{', '.join(f'{key}: {its}' for key, its in pairs(value, shape, go))}}}"
    raise UntypedError(f"no {text} can be written in Go")


def _told(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[]interface{}{" + ", ".join(map(_told, value)) + "}"
    if isinstance(value, dict):
        made = (f"{_quoted(str(key))}: {_told(its)}" for key, its in value.items())
        return "map[string]interface{}{" + ", ".join(made) + "}"
    if isinstance(value, str):
        return _quoted(value)
    if value is None:
        return "nil"
    return json.dumps(value) if not isinstance(value, float) else f"float64({value!r})"


def _quoted(text: str) -> str:
    r"""Return a text with every byte that is no plain ASCII as `\x` and two digits."""
    return '"' + "".join(
        chr(one) if 32 <= one < 127 and one not in b'"\\' else f"\\x{one:02x}"
        for one in text.encode("utf-8", "replace")
    ) + '"'  # fmt: skip
