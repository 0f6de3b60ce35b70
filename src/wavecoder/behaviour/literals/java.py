"""Java: containers are made by the class that the type names, or the usual one."""

import json
from typing import Any

from wavecoder.behaviour.literals.common import ANY, UntypedError, checked, pairs, special
from wavecoder.behaviour.shapes import Shape, ShapeKind

__all__ = ["java"]

K = ShapeKind
_BOXES = {
    "int": "Integer", "long": "Long", "short": "Short", "byte": "Byte", "char": "Character",
    "double": "Double", "float": "Float", "boolean": "Boolean",
}  # fmt: skip
_MADE = {
    "Deque": "ArrayDeque", "ArrayDeque": "ArrayDeque", "Queue": "LinkedList", "Vector": "Vector",
    "LinkedList": "LinkedList", "TreeSet": "TreeSet", "HashSet": "HashSet", "TreeMap": "TreeMap",
    "HashMap": "HashMap",
}  # fmt: skip
_USUAL = {K.LIST: "ArrayList", K.SET: "LinkedHashSet", K.MAP: "LinkedHashMap"}


def java(value: Any, shape: Shape) -> str:
    """Return an expression of Java."""
    kind = shape.kind
    if kind is K.ANY:
        return java(value, _told(value))
    if kind is K.MAYBE:
        if value is None:
            return "java.util.Optional.empty()"
        return f"java.util.Optional.of({java(value, checked(value, shape.parts[0]))})"
    return _simple(value, shape) if kind not in _USUAL else _container(value, shape)


def _simple(value: Any, shape: Shape) -> str:
    kind, text = shape.kind, shape.text
    if kind is K.INT:
        return f"(({_unboxed(text)}) {value}{'L' if text in ('long', 'Long') else ''})"
    if kind is K.FLOAT:
        return f"(({_unboxed(text)}) {special(value, 'Double.NaN', 'Double.POSITIVE_INFINITY')})"
    if kind is K.BOOL:
        return json.dumps(value)
    if kind is K.TEXT:
        return _quoted(value, '"')
    if kind is K.CHAR and ord(value) <= 0xFFFF:
        return _quoted(value, "'")
    raise UntypedError(f"{value!r} is no {text} of Java")


def _container(value: Any, shape: Shape) -> str:
    head = shape.text.partition("<")[0]
    made = _MADE.get(head, _USUAL[shape.kind])
    if shape.kind is K.MAP:
        puts = "".join(f"put({key}, {its}); " for key, its in pairs(value, shape, java))
        kinds = ", ".join(_boxed(one) for one in shape.parts)
        return f"new java.util.{made}<{kinds}>() {{{{ {puts}}}}}"
    item = shape.parts[0]
    inside = ", ".join(java(one, checked(one, item)) for one in value)
    if shape.text.endswith("[]"):
        return f"new {head.replace('[]', '')}{'[]' * shape.text.count('[]')} {{{inside}}}"
    boxed = _boxed(item)
    return f"new java.util.{made}<{boxed}>(java.util.Arrays.<{boxed}>asList({inside}))"


def _unboxed(text: str) -> str:
    return next((one for one, box in _BOXES.items() if box == text), text or "int")


def _boxed(shape: Shape) -> str:
    text = shape.text or {K.INT: "Integer", K.TEXT: "String"}.get(shape.kind, "Object")
    text = text.removeprefix("? extends ")
    return _BOXES.get(text, text)


def _told(value: Any) -> Shape:
    """Return what a value is where anything may stand."""
    told = {
        bool: Shape(K.BOOL),
        int: Shape(K.INT, text="int"),
        float: Shape(K.FLOAT, text="double"),
        str: Shape(K.TEXT),
        list: Shape(K.LIST, (ANY,), "List"),
        tuple: Shape(K.LIST, (ANY,), "List"),
        dict: Shape(K.MAP, (Shape(K.TEXT), ANY), "Map"),
    }.get(type(value))
    if told is None:
        raise UntypedError("nothing is no plain value of Java")
    return checked(value, told)


def _quoted(text: str, quote: str) -> str:
    """Return a text with what is not ASCII as escapes of UTF-16, which the compiler reads."""
    data = text.encode("utf-16-be", "replace")
    named = {"\n": "\\n", "\r": "\\r", "\\": "\\\\", quote: "\\" + quote}
    made = []
    for high, low in zip(data[::2], data[1::2], strict=True):
        number = high << 8 | low
        one = chr(number)
        made.append(named.get(one) or (one if 32 <= number < 127 else f"\\u{number:04x}"))
    return quote + "".join(made) + quote
