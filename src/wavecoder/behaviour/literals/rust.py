"""Rust: numbers with their type behind them, references where the type is one."""

import json
from dataclasses import replace
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

__all__ = ["rust"]

K = ShapeKind


def rust(value: Any, shape: Shape) -> str:
    """Return an expression of Rust."""
    if shape.borrowed:
        owned = rust(value, replace(shape, borrowed=""))
        # A text between quotes is a reference already.
        return owned if shape.text == "str" else shape.borrowed + owned
    if shape.kind is K.MAYBE:
        inner = shape.parts[0]
        return "None" if value is None else f"Some({rust(value, checked(value, inner))})"
    if shape.kind is K.TUPLE and shape.text.startswith("["):
        return f"[{', '.join(each(value, shape, rust))}]"
    if shape.kind is K.TUPLE:
        return f"({''.join(one + ', ' for one in each(value, shape, rust))})"
    if shape.kind in (K.LIST, K.SET, K.MAP):
        return _container(value, shape)
    return _simple(value, shape)


def _container(value: Any, shape: Shape) -> str:
    made = shape.text.partition("<")[0]
    if shape.text.startswith("["):  # a slice is borrowed from a vector
        return f"vec!{bracketed(value, shape, rust, '[]')}[..]"
    if made == "Vec":
        return "vec!" + bracketed(value, shape, rust, "[]")
    where = "" if "::" in made else "std::collections::"
    if shape.kind is K.MAP:
        inside = ", ".join(f"({key}, {its})" for key, its in pairs(value, shape, rust))
        return f"{where}{made}::from([{inside}])"
    return f"{where}{made}::from({bracketed(value, shape, rust, '[]')})"


def _simple(value: Any, shape: Shape) -> str:
    kind, text = shape.kind, shape.text
    if kind is K.INT:
        return f"({value}{text})"
    if kind is K.FLOAT:
        number = special(value, f"{text}::NAN", f"{text}::INFINITY")
        return f"({number}{text if number[-1].isdigit() else ''})"
    if kind is K.BOOL:
        return json.dumps(value)
    if kind is K.CHAR:
        return f"'{_escaped(value)}'"
    if kind is K.TEXT:
        return f'"{_escaped(value)}"' if text == "str" else f'String::from("{_escaped(value)}")'
    raise UntypedError(f"no {text} can be written in Rust")


def _escaped(text: str) -> str:
    return "".join(
        one if " " <= one <= "~" and one not in "\"'\\" else f"\\u{{{ord(one):x}}}"
        for one in text.encode("utf-8", "replace").decode()
    )
