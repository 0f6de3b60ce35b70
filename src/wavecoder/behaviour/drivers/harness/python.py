"""Runs in the box, in the process of the subject: calls it and writes each result as a line.

Every call is made in a process of its own, forked from the one that loaded the subject: what one
call does to a variable, the next does not see, and one that never ends takes nothing with it.
Kinds are told by exact types alone, so that no method of a value is asked.
"""

from __future__ import annotations

import os
import signal
import sys
from _json import encode_basestring_ascii as _text
from types import GeneratorType, ModuleType
from typing import Any

__all__ = ["main"]

_SAID = 77  # exit status of a child that wrote its line
_DEEPEST = 60
_MOST_ITEMS = 2000  # of a generator
_ITERATED = (GeneratorType, map, filter, zip, enumerate, reversed, range)
_ITERATED_NAMES = frozenset(
    {"deque", "array", "dict_keys", "dict_values", "dict_items", "chain", "islice", "accumulate",
     "list_reverseiterator"}
)  # fmt: skip
_write, _exit, _type, _repr = os.write, os._exit, type, repr


class _Opaque(Exception):
    """A value that cannot be written plainly."""


def _encode(value: Any, depth: int = 0) -> str:
    kind = _type(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return _repr(value)
    if kind is float:
        if value != value:
            return "NaN"
        return _repr(value).replace("inf", "Infinity")
    if kind is str:
        return str(_text(value))
    if depth == _DEEPEST:
        raise _Opaque("a value too deep")
    return _container(value, kind, depth)


def _container(value: Any, kind: Any, depth: int) -> str:
    bare = kind.__module__ in ("builtins", "collections", "array", "itertools", "types")
    if kind in (list, tuple) or (issubclass(kind, tuple) and _is_named(kind)):
        base = list if kind is list else tuple
        return _items(base.__iter__(value), depth)
    if kind in (bytes, bytearray):
        return _items(iter(bytes(value)), depth)
    if kind in (set, frozenset):
        return '{"s":' + _items(kind.__iter__(value), depth) + "}"
    if issubclass(kind, dict) and bare:
        pairs = (
            f"[{_encode(one, depth + 1)},{_encode(its, depth + 1)}]"
            for one, its in dict.items(value)
        )
        return '{"m":[' + ",".join(pairs) + "]}"
    if kind in _ITERATED or (bare and kind.__name__ in _ITERATED_NAMES):
        return _items(iter(value), depth)
    numpy = sys.modules.get("numpy") if kind.__module__ == "numpy" else None
    if numpy is not None and (kind is numpy.ndarray or issubclass(kind, numpy.generic)):
        return _encode(value.tolist(), depth + 1)
    raise _Opaque(f"a value of the type {kind.__name__}")


def _is_named(kind: Any) -> bool:
    return _type(kind.__dict__.get("_fields")) is tuple and kind.__bases__ == (tuple,)


def _items(items: Any, depth: int) -> str:
    made: list[str] = []
    for one in items:
        if len(made) == _MOST_ITEMS:
            raise _Opaque(f"more than {_MOST_ITEMS} items")
        made.append(_encode(one, depth + 1))
    return "[" + ",".join(made) + "]"


def _words(error: BaseException) -> str:
    try:
        said = str(error)
    except BaseException:
        said = ""
    return f"{_type(error).__name__}: {said}".replace("\n", " ")[:300]


def _called(target: Any, text: str, names: dict[str, Any], room: int) -> str:
    """Call with the arguments of a text; return kind and content of the line."""
    arguments = eval(text, names)
    before = [_try(one) for one in arguments]
    try:
        result = target(*arguments)
        if result is None:
            after = [_try(one) for one in arguments]
            made = "null"
            if after != before and None not in after:
                made = "[" + ",".join(str(one) for one in after) + "]"
        else:
            made = _encode(result)
    except _Opaque as opaque:
        return f"O {opaque}"
    except SystemExit:
        return "C it ended its process"
    except BaseException as error:
        return f"R {_words(error)}"
    return f"V {made}" if len(made) <= room else f"O a value of {len(made)} characters"


def _try(value: Any) -> str | None:
    try:
        return _encode(value)
    except _Opaque:
        return None


def _loaded(code: str, function: str) -> Any:
    """Run what stands in a text and return its function; a dotted name stands in a class."""
    module = ModuleType("subject")
    sys.modules["subject"] = module
    names = module.__dict__
    exec(compile(code, "subject.py", "exec", dont_inherit=True), names)
    found: Any = module
    for part in function.split("."):
        found = getattr(found, part)
    return found


def _child(
    target: Any, calls: list[tuple[int, str]], say: Any, at: int, room: int, seconds: float
) -> None:
    """Make calls until one does not end; the place of each is written to a descriptor."""
    for one in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(one, signal.SIG_DFL)
    clean = {"inf": float("inf"), "nan": float("nan")}
    for number, text in calls:
        _write(at, b".")
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, 3 * seconds + 1)
        say(number, _called(target, text, dict(clean), room))


def main(
    code: str, function: str, calls: list[tuple[int, str]], mark: str, room: int,
    seconds: float, most_lost: int, shared: bool,
) -> None:  # fmt: skip
    """Call a function with every argument list; see `wire.py` for what is written.

    Args:
        code: The subject's text.
        function: Its name, with its class.
        calls: Numbers, and expressions of tuples.
        mark: What every line begins with.
        room: Characters that a value may take.
        seconds: CPU time of a call.
        most_lost: After so many calls without end the others are not made.
        shared: One process makes calls until one of them ends it.
    """
    out = os.dup(2)
    os.dup2(1, 2)

    def say(number: int, line: str) -> None:
        _write(out, f"{mark} {number} {line}\n".encode("utf-8", "backslashreplace"))

    try:
        target = _loaded(code, function)
    except BaseException as error:
        say(-1, f"F {_words(error)}")
        _exit(0)
    lost = 0
    while calls and lost < most_lost:
        some = calls if shared else calls[:1]
        progress, at = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _child(target, some, say, at, room, seconds)
            finally:
                _exit(_SAID)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(at)
        made = len(os.read(progress, 4096))
        os.close(progress)
        number = calls[max(made, 1) - 1][0]
        calls = calls[max(made, 1) :]
        if status in (-signal.SIGPROF, -signal.SIGALRM):
            lost += 1
            say(number, f"T it did not end in {seconds:g} s of CPU time")
        elif status != _SAID:
            say(number, f"C {'signal' if status < 0 else 'exit status'} {abs(status)}")
    for number, _ in calls:
        say(number, "T it was not run: too many calls before it did not end")
    _exit(0)
