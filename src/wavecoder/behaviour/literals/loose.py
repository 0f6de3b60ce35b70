"""Python, JavaScript, PHP and Ruby, whose values need no types."""

import json
import math
from typing import Any

from wavecoder.behaviour.literals.common import (
    UntypedError,
    bracketed,
    checked,
    each,
    pairs,
    quoted,
)
from wavecoder.behaviour.shapes import Shape, ShapeKind

__all__ = ["php", "python", "ruby", "script"]

K = ShapeKind
_LONG = (1 << 63) - 1


def python(value: Any, shape: Shape) -> str:
    """Return an expression of Python."""
    kind = shape.kind
    if kind is K.MAYBE:
        return "None" if value is None else python(value, checked(value, shape.parts[0]))
    if kind is K.FLOAT:
        return repr(float(value)) if math.isfinite(value) else f"float('{value}')"
    if kind is K.TUPLE:
        return "(" + "".join(one + ", " for one in each(value, shape, python)) + ")"
    if kind is K.LIST and shape.text == "tuple":
        return "tuple(" + bracketed(value, shape, python, "[]") + ")"
    if kind is K.SET:
        maker = "frozenset" if "rozen" in shape.text else "set"
        return f"{maker}({bracketed(value, shape, python, '[]')})"
    if isinstance(value, list | tuple):
        return bracketed(value, shape, python, "[]")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {v}" for k, v in pairs(value, shape, python)) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)


def script(value: Any, shape: Shape) -> str:
    """Return an expression of JavaScript."""
    kind = shape.kind
    if kind is K.MAYBE:
        return "null" if value is None else script(value, checked(value, shape.parts[0]))
    if kind is K.SET:
        return f"new Set({bracketed(value, shape, script, '[]')})"
    if kind is K.TUPLE:
        return "[" + ", ".join(each(value, shape, script)) + "]"
    if isinstance(value, list | tuple):
        return bracketed(value, shape, script, "[]")
    if isinstance(value, dict):
        listed = pairs(value, shape, script)
        if kind is K.MAP and "Map" in shape.text:
            return "new Map([" + ", ".join(f"[{k}, {v}]" for k, v in listed) + "])"
        return "{" + ", ".join(f"[{k}]: {v}" for k, v in listed) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and abs(value) > (1 << 53):
        raise UntypedError(f"{value} is no number of JavaScript")
    return quoted(value) if isinstance(value, str) else repr(value)


def php(value: Any, shape: Shape) -> str:
    """Return an expression of PHP."""
    kind = shape.kind
    if kind is K.MAYBE:
        return "null" if value is None else php(value, checked(value, shape.parts[0]))
    if isinstance(value, list | tuple):
        return bracketed(value, shape, php, "[]")
    if isinstance(value, dict):
        return "[" + ", ".join(f"{k} => {v}" for k, v in pairs(value, shape, php)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, float) and not math.isfinite(value):
        return "NAN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    if isinstance(value, int) and abs(value) > _LONG:
        raise UntypedError(f"{value} is no integer of PHP")
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def ruby(value: Any, shape: Shape) -> str:
    """Return an expression of Ruby."""
    if isinstance(value, list | tuple):
        return bracketed(value, shape, ruby, "[]")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} => {v}" for k, v in pairs(value, shape, ruby)) + "}"
    if isinstance(value, str):
        return quoted(value).replace("#", "\\#")
    if isinstance(value, float) and not math.isfinite(value):
        sign = "-" if value < 0 else ""
        return "Float::NAN" if math.isnan(value) else f"{sign}Float::INFINITY"
    if value is None:
        return "nil"
    return json.dumps(value) if isinstance(value, bool) else repr(value)
