"""A Python program examined inside a box, by `guard.py`.

Strict: the program's process is forked before the tests are known. The tests then run in the
supervisor, and what they call is done in the program's process. Arguments and results travel as
plain built-in values of exact types; what is none of those (an object, a function) stays where it
is and is named by a number. Such a `Remote` equals nothing but itself, so that no overloaded
comparison is ever asked. A stop by `sys.exit`, `os._exit` or a signal is an end without a verdict.

Whatever the program's process sends, forged or not, is a value that one of its functions could have
returned: the tests judge it, and it can name nothing that they did not ask for.

Published: the program and its tests are one text, run in one namespace in the program's process;
at the end it asks for a number and gives it back. A program that knows this file can do the same.
"""

from __future__ import annotations

import builtins
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType
    from typing import Any, NoReturn

    from wavecoder.sandbox.inside.guard import Ended, Process

    # A value that stays where it is -> its number, and what it is.
    Keep = Callable[[object], tuple[int, str]]
    # Cause, whether all tests passed and it ended as it should, failure, whether a test failed.
    _Verdict = tuple[str, bool, str, bool]
else:
    from guard import Ended, Process

__all__ = ["examine"]

_MOST = 512 << 20  # bytes of one message; Mbpp/255 of MBPP+ has one of half of that
_MANY = 16  # items of a list that may be encoded as few words
_SHORT = 32  # bytes of a text that is kept once however often it comes
_DEEPEST = 200  # levels of containers in one another, on both sides
_ASKED = b"?"


class _Nonsense(Exception):
    """Bytes that no honest program's process sends."""


class _NotPlain(Exception):
    """A value that cannot travel."""


# --- values as bytes -----------------------------------------------------------------------------


def _encode(value: Any, into: bytearray, keep: Keep, depth: int = 0) -> None:
    """Append a value's bytes; `keep(object)` gives the number of what stays where it is.

    Kinds are told by the type alone: an object may say anything of its `__class__`.
    """
    kind = type(value)
    if value is None:
        into += b"N"
    elif value is True or value is False:
        into += b"T" if value else b"F"
    elif issubclass(kind, int):
        value = int.__add__(value, 0)
        data = int.to_bytes(value, (int.bit_length(value) + 8) // 8, "little", signed=True)
        into += b"i" + _long(data)
    elif issubclass(kind, float):
        into += b"f" + _short(float.hex(float.__add__(value, -0.0)).encode())
    elif issubclass(kind, complex):
        into += b"c" + _short(float.hex(complex.real.__get__(value)).encode())
        into += _short(float.hex(complex.imag.__get__(value)).encode())
    elif issubclass(kind, str):
        into += b"s" + _long(str.encode(value, "utf-8", "surrogatepass"))
    elif issubclass(kind, (bytes, bytearray)):
        into += b"b" + _long(bytes(memoryview(value)))
    elif issubclass(kind, (list, tuple, set, frozenset, dict)):
        _encode_items(value, into, keep, depth)
    else:
        _encode_object(value, into, keep, depth)


def _encode_items(value: Any, into: bytearray, keep: Keep, depth: int) -> None:
    if depth == _DEEPEST:
        raise RecursionError("the result is too deep")
    kind = type(value)
    base = next(one for one in (list, tuple, set, frozenset, dict) if issubclass(kind, one))
    tag = {list: b"l", tuple: b"t", set: b"S", frozenset: b"Z", dict: b"d"}[base]
    items: list[Any]
    if base is dict:
        items = [*dict.items(value)]
        into += tag + len(items).to_bytes(4, "little")
        items = [one for pair in items for one in pair]
    else:
        items = [*base.__iter__(value)]
        if base in (list, tuple) and len(items) >= _MANY and set(map(type, items)) == {str}:
            words = [*dict.fromkeys(items)]
            if len(words) <= len(items) // 4 and len(words) <= 256:
                _encode_words(words, items, into, tag)
                return
        into += tag + len(items).to_bytes(4, "little")
    for item in items:
        _encode(item, into, keep, depth + 1)


def _encode_words(words: list[str], items: list[str], into: bytearray, tag: bytes) -> None:
    """Append few words that many items are: a byte an item, made without a loop of ours."""
    into += b"W" + tag + len(words).to_bytes(2, "little")
    for word in words:
        into += _long(word.encode("utf-8", "surrogatepass"))
    numbers = {word: number for number, word in enumerate(words)}
    into += _long(bytes(map(numbers.__getitem__, items)))


def _encode_object(value: Any, into: bytearray, keep: Keep, depth: int) -> None:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        if depth == _DEEPEST:
            raise RecursionError("the result is too deep")
        _encode(value.tolist(), into, keep, depth + 1)
        return
    number, what = keep(value)
    into += b"R" + number.to_bytes(4, "little") + _long(what.encode("utf-8", "replace"))


def _short(data: bytes) -> bytes:
    return len(data).to_bytes(1, "little") + data


def _long(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


class _Reader:
    """Bytes of the other process as values; every length is checked against what is there."""

    def __init__(self, data: bytes, remote: Callable[[int, str], Any]) -> None:
        self.data, self.at, self.remote = data, 0, remote
        self.texts: dict[bytes, str] = {}

    def whole(self) -> Any:
        """Return the one value that the bytes are.

        Raises:
            _Nonsense: They are not one.
        """
        value = self.value(0)
        if self.at != len(self.data):
            raise _Nonsense
        return value

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise _Nonsense
        piece, self.at = self.data[self.at : end], end
        return piece

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "little")

    def real(self) -> float:
        try:
            return float.fromhex(self.take(self.number(1)).decode("ascii"))
        except (ValueError, OverflowError):
            raise _Nonsense from None

    def text(self) -> str:
        data = self.take(self.number())
        text = self.texts.get(data)
        if text is None:
            try:
                text = data.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise _Nonsense from None
            if len(data) <= _SHORT:  # a million times the same word is one word
                self.texts[data] = text
        return text

    def items(self, depth: int, each: int = 1) -> list[Any]:
        size = self.number() * each
        if size > len(self.data) or depth == _DEEPEST:  # an item has a byte at least
            raise _Nonsense
        found = []
        for _ in range(size):
            found.append(self.value(depth + 1))
        return found

    def value(self, depth: int) -> Any:
        tag = self.take(1)
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag == b"i":
            return int.from_bytes(self.take(self.number()), "little", signed=True)
        if tag == b"f":
            return self.real()
        if tag == b"c":
            return complex(self.real(), self.real())
        if tag == b"s":
            return self.text()
        if tag == b"b":
            return self.take(self.number())
        if tag in _CONTAINERS:
            return self.container(tag, depth)
        if tag == b"W":
            return self.words()
        if tag == b"R":
            number = self.number()
            return self.remote(number, self.text())
        raise _Nonsense

    def words(self) -> Any:
        kind = {b"l": list, b"t": tuple}.get(self.take(1))
        words = [self.text() for _ in range(self.number(2))]
        numbers = self.take(self.number())
        if kind is None or (numbers and max(numbers) >= len(words)):
            raise _Nonsense
        return kind(map(words.__getitem__, numbers))

    def container(self, tag: bytes, depth: int) -> Any:
        try:
            if tag == b"d":
                items = self.items(depth, 2)
                return dict(zip(items[::2], items[1::2], strict=True))
            return _CONTAINERS[tag](self.items(depth))
        except TypeError:  # not hashable
            raise _Nonsense from None


_CONSTANTS = {b"N": None, b"T": True, b"F": False}
_CONTAINERS: dict[bytes, Any] = {b"l": list, b"t": tuple, b"S": set, b"Z": frozenset, b"d": dict}


def _pack(value: object, keep: Keep) -> memoryview:
    """Return a message, which may be large: no copy is made of it here or where it is written.

    Raises:
        RecursionError: The value is too deep.
        MemoryError: It is too large.
    """
    into = bytearray(4)
    _encode(value, into, keep)
    size = len(into) - 4
    if size > _MOST:
        raise MemoryError("the result is too large")
    into[:4] = size.to_bytes(4, "little")
    return memoryview(into)


# --- the program's side --------------------------------------------------------------------------


class _Side:
    """The program's end of the link."""

    def __init__(self, replies: int) -> None:
        self.replies = replies
        self.kept: list[Any] = []

    def keep(self, value: Any) -> tuple[int, str]:
        self.kept.append(value)
        what = f"module {value.__name__}" if type(value) is type(os) else type(value).__name__
        return len(self.kept) - 1, what

    def here(self, number: int, what: str) -> Any:
        return self.kept[number]

    def reply(self, *value: Any) -> None:
        try:
            data = _pack(value, self.keep)
        except (RecursionError, MemoryError) as error:
            data = _pack(("raised", type(error).__name__, str(error)), self.keep)
        while data:
            data = data[os.write(self.replies, data) :]

    def do(self, task: Callable[..., Any], *arguments: Any) -> None:
        """Do something, and reply with what came of it."""
        try:
            self.reply("value", task(*arguments))
        except SystemExit:
            os._exit(0)
        except BaseException as error:
            self.reply("raised", type(error).__name__, _words(error))


def _program_side(program: str, requests: int, replies: int) -> NoReturn:
    """Run the program, then do what is asked of it until told to end."""
    side = _Side(replies)
    module = type(os)("candidate")
    sys.modules["candidate"] = module
    names = module.__dict__
    side.do(lambda: exec(compile(program, "candidate.py", "exec"), names))
    asked = {
        "names": lambda wanted: {name: names[name] for name in wanted if name in names},
        **_DONE,
    }
    while True:
        size = int.from_bytes(_read_exactly(requests, 4), "little")
        name, *arguments = _Reader(_read_exactly(requests, size), side.here).whole()
        if name == "end":
            os._exit(0)
        side.do(asked[name], *arguments)


_DONE: dict[str, Callable[..., Any]] = {
    "call": lambda function, args, kwargs: function(*args, **kwargs),
    "get": getattr,
    "set": setattr,
    "item": lambda value, key: value[key],
    "iter": lambda value: [*value],
    "len": len,
    "bool": bool,
}


def _words(error: BaseException) -> str:
    try:
        return str(error)[:1000]
    except Exception:
        return ""


def _read_exactly(descriptor: int, size: int) -> bytes:
    blocks = []
    while size:
        block = os.read(descriptor, size)
        if not block:
            os._exit(0)
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)


# --- the tests' side -----------------------------------------------------------------------------


class Remote:
    """Something of the program's that is no plain value. It equals itself and nothing else.

    The program is told which item of it is wanted, but never what that is compared with. Its
    special attributes are not asked for: libraries take memory addresses from some of them.
    """

    def __init__(self, link: _Link, number: int, what: str) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_what", what)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._link.ask("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__name__":
            raise AttributeError(name)
        return self._link.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("item", self, key)

    def __contains__(self, item: Any) -> bool:
        return item in iter(self)

    def __iter__(self) -> Iterator[Any]:
        items = self._link.ask("iter", self)
        return iter(items if type(items) is list else [])

    def __len__(self) -> int:
        size = self._link.ask("len", self)
        return size if type(size) is int else 0

    def __bool__(self) -> bool:
        return self._link.ask("bool", self) is True

    def __repr__(self) -> str:
        return f"<{self._what} of the program>"


class _Link:
    """The way to the program's process."""

    def __init__(
        self, process: Process, requests: int, replies: int, call_seconds: float | None
    ) -> None:
        self.process, self.requests, self.replies = process, requests, replies
        self.call_seconds = call_seconds
        self.ended = ""
        """Why nothing more can be asked, however tests take it."""
        os.set_blocking(requests, False)
        os.set_blocking(replies, False)

    def ask(self, *request: Any) -> Any:
        """Have something done there; return its plain result.

        Raises:
            Exception: What the program raised, as the built-in exception of that name.
            Ended: The process is over, out of time, or talks nonsense.
        """
        until = None if self.call_seconds is None else time.monotonic() + self.call_seconds
        data = _pack(request, self._number)
        # An answer that comes late would be taken for that to the next request.
        if self.ended:
            raise Ended(self.ended)
        try:
            self._write(data, until)
            return self.answer(until)
        except Ended as ended:
            self.ended = ended.cause
            raise

    def answer(self, until: float | None = None) -> Any:
        """Return what the process says next."""
        size = int.from_bytes(self._read(4, until), "little")
        if size > _MOST:
            raise Ended("violation")
        try:
            reply = _Reader(self._read(size, until), self._remote).whole()
        except _Nonsense:
            raise Ended("violation") from None
        if type(reply) is not tuple or [type(one) for one in reply[:1]] != [str]:
            raise Ended("violation")
        if reply[0] == "value" and len(reply) == 2:
            return reply[1]
        if reply[0] == "raised" and [type(one) for one in reply[1:]] == [str, str]:
            raise _exception(reply[1], reply[2])
        raise Ended("violation")

    def end(self) -> bool:
        """Tell the process to end; return whether it did so in good order."""
        if self.ended:
            raise Ended(self.ended)
        self._write(_pack(("end",), self._number), None)
        self.process.wait()
        self.process.end()
        return self.process.code == 0

    def _remote(self, number: int, what: str) -> Any:
        kind, _, name = what.partition(" ")
        if kind == "module" and name in _MODULES:
            __import__(name)  # the tests' own copy
            return sys.modules[name]
        return Remote(self, number, what)

    def _number(self, value: Any) -> tuple[int, str]:
        if type(value) is Remote:
            return value._number, ""
        raise _NotPlain(f"a test gives the program a {type(value).__name__}")

    def _write(self, data: memoryview, until: float | None) -> None:
        while data:
            self.process.wait(also=self.requests, writing=True, until=until)
            try:
                data = data[os.write(self.requests, data) :]
            except BrokenPipeError:
                raise Ended("exit") from None

    def _read(self, size: int, until: float | None) -> bytes:
        blocks = []
        while size:
            try:
                block = os.read(self.replies, min(size, 1 << 20))
            except BlockingIOError:
                self.process.wait(also=self.replies, until=until)
                continue
            if not block:
                self.process.wait()
                raise Ended("exit")
            blocks.append(block)
            size -= len(block)
        return b"".join(blocks)


# Importing these does something.
_MODULES = sys.stdlib_module_names - {"antigravity", "this"} | {"collections.abc", "os.path"}


class _Raised(Exception):
    """An exception of the program's own kind."""


def _exception(name: str, words: str) -> Exception:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(words)
        except TypeError:  # UnicodeDecodeError and its like want more
            pass
    return _Raised(f"{name}: {words}")


def _names(code: CodeType) -> set[str]:
    """Return every name that a piece of code and the functions in it may look up."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            found |= _names(constant)
    return found


def examine(
    step: dict[str, Any], job: dict[str, Any], receive: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Run an exam; return a report like that of `guard` for any step."""
    process = Process(job["limits"], step["cpu_seconds"], step["wall_seconds"])
    from_us, requests = os.pipe()
    replies, to_us = os.pipe()
    program_side = _program_side if step["strict"] else _published

    def run() -> NoReturn:
        sys.path[:1] = job["path"]
        for name in ("exam", "guard", "forkserver"):  # the program's own may be called so
            sys.modules.pop(name, None)
        program_side(step["program"], 3, 4)

    process.start(run, {3: from_us, 4: to_us})
    secret = receive()  # after the fork: the program's memory holds nothing of it
    try:
        if step["strict"]:
            link = _Link(process, requests, replies, step["call_seconds"])
            tests = compile(secret["tests"], "tests.py", "exec")
            verdict = _strict(link, tests, step["entry_point"])
        else:
            verdict = _one_text(process, requests, replies, secret["token"])
    except Ended as ended:
        verdict = (ended.cause, False, "", False)
    cause, answered, failure, wrong = verdict
    process.end()
    for mine in (requests, replies):
        os.close(mine)
    return process.report(cause, answered, failure, wrong)


def _strict(link: _Link, tests: CodeType, entry_point: str) -> _Verdict:
    """Have the tests judge the program."""
    names: dict[str, Any] = {"__name__": "tests"}
    try:
        link.answer()
        looked_up = _names(tests) - set(dir(builtins)) | {entry_point}
        wanted = sorted(name for name in looked_up if not name.startswith("__"))
        theirs = link.ask("names", wanted)
        if type(theirs) is not dict:
            raise Ended("violation")
        # Not one more than was asked for: it could be a built-in function of the tests.
        names.update((name, theirs[name]) for name in wanted if name in theirs)
        exec(tests, names)
    except Ended:
        raise
    except Exception as error:
        wrong = isinstance(error, AssertionError)
        return "exit", False, f"{type(error).__name__}: {_words(error)}", wrong
    return "exit", link.end(), "", False


def _published(text: str, secret: int, answer: int) -> NoReturn:
    """Run program and tests as one text, as published harnesses do."""
    try:
        exec(compile(text, "<string>", "exec"), {})
    except AssertionError as error:
        os.write(2, f"\nAssertionError: {_words(error)}".encode("utf-8", "replace"))
        os._exit(1)
    except BaseException as error:
        os.write(2, f"\n{type(error).__name__}: {_words(error)}".encode("utf-8", "replace"))
        os._exit(2)
    # Until it is asked for, the token is nowhere near: no copying of descriptors will find it.
    os.write(answer, _ASKED)
    os.write(answer, _read_exactly(secret, 16))
    os._exit(0)


def _one_text(process: Process, requests: int, replies: int, token: bytes) -> _Verdict:
    """Wait for the end of a published exam."""
    os.set_blocking(replies, False)
    asked = False
    try:
        process.wait(also=replies)
        asked = os.read(replies, 4096) == _ASKED
        if asked:
            os.write(requests, token)
    except BrokenPipeError:
        asked = False
    except Ended as ended:
        if ended.cause != "exit":
            raise
    process.wait()
    process.end()
    try:
        answered = asked and os.read(replies, 4096) == token
    except BlockingIOError:
        answered = False
    words = process.err.kept().decode("utf-8", "replace").strip().rpartition("\n")[2]
    wrong = process.code == 1 and words.startswith("AssertionError")
    return "exit", answered, "" if answered else words[-1000:], wrong
