"""The words of this package: a function, what it gave back, and why it could not be asked."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Kind", "Outcome", "Signature", "Subject", "Unrunnable"]

Kind = Literal["value", "raised", "timeout", "crashed", "opaque"]


@dataclass(frozen=True)
class Subject:
    """A function in a text; what it needs may stand beside it."""

    code: str
    language: str
    """A name from `wavecoder.languages`."""
    function: str
    """Its name, without a class."""


@dataclass(frozen=True)
class Signature:
    """What a function takes and says it gives."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    """Name and type as written ("" where none is), without those that take any number."""
    returns: str = ""
    """Type as written; "" where none is."""
    required: int = 0
    """How many of the parameters have no default."""
    owner: str = ""
    """The class it stands in; "" where it is a plain function."""
    static: bool = True
    """It needs no object of its class."""
    generic: tuple[str, ...] = ()
    """Names that stand for any type: `T`."""


@dataclass(frozen=True)
class Outcome:
    """What came of one call."""

    kind: Kind
    """`value`: it gave something back. `raised`: it refused, in its language's way. `timeout`: it
    did not end. `crashed`: its process ended, or was ended, without a result. `opaque`: it gave
    back what cannot be written as a plain value."""
    value: Any = None
    """None, a bool, a number, a text, or lists and dicts (by text) of them. Where the function
    gave nothing back and changed its arguments: the list of them, afterwards."""
    words: str = ""
    """What was raised, or why there is no value."""


@dataclass(frozen=True)
class Unrunnable:
    """Why a function cannot be asked at all."""

    slug: str
    """`no_toolchain`, `no_function`, `not_typed` (arguments cannot be written in the types it
    declares), `does_not_compile`, `needs_more` (it takes from outside what is not there),
    `does_not_load`, `method_of_a_class`, `asynchronous`, or `broken_box` (the sandbox is at fault).
    """
    detail: str
    """A sentence."""
