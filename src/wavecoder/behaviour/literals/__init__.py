"""Values written as expressions of a language, in the type that a function declares.

Each language has one function, `(value, shape) -> text`. Whatever does not fit raises
`UntypedError`: that is how an argument is told from one that is not.
"""

from collections.abc import Mapping
from typing import Any

from wavecoder.behaviour.literals.common import ANY, UntypedError, Write, checked
from wavecoder.behaviour.literals.cpp import cpp
from wavecoder.behaviour.literals.go import go
from wavecoder.behaviour.literals.java import java
from wavecoder.behaviour.literals.loose import php, python, ruby, script
from wavecoder.behaviour.literals.rust import rust
from wavecoder.behaviour.shapes import Shape

__all__ = ["UntypedError", "literal"]

_WRITERS: Mapping[str, Write] = {
    "python": python,
    "javascript": script,
    "typescript": script,
    "php": php,
    "ruby": ruby,
    "java": java,
    "go": go,
    "cpp": cpp,
    "c": cpp,
    "rust": rust,
}


def literal(value: Any, shape: Shape | None, language: str) -> str:
    """Return an expression for a value.

    Args:
        value: None, a bool, a number, a text, or lists and dicts of them.
        shape: What it has to be; None for any type.
        language: A name from `wavecoder.languages`.

    Raises:
        UntypedError: It does not fit, or the language has no such expression.
    """
    write = _WRITERS.get(language)
    if write is None:
        raise UntypedError(f"no value can be written in {language}")
    return write(value, checked(value, shape or ANY))
