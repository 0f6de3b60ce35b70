"""Calls with the results expected of them, as documentation has them.

Only what can be read without doubt: a call of the function with literals, a sign that says "gives"
(`>>>` and the next line, `==`, `->`, `=>`, `// 3`) and a literal, alone on their lines.
"""

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["doctest_cases", "read_literal"]

_LEADER = re.compile(r"^\s*(?:/\*+|\*/|\*(?!\*)|///?!?|//!|#+(?!\[)|--|;;)?\s?")
_PROMPT = re.compile(r"^\s*(?:>>>|irb>|>|php >|julia>)\s*")
_SIGN = re.compile(r"\s*;?\s*(?:===?|[-=]+>|➞|→|#\s*=>|//\s*(?:=>|->|→)?|#\s*(?:->|→)?)\s*")
_ASSERT = re.compile(r"^(?:assert\s+|assert\(\s*)")
_WORDS: dict[str, Any] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "nil": None,
    "None": None, "undefined": None, "nullptr": None, "NaN": float("nan"),
}  # fmt: skip
_NUMBER = re.compile(
    r"[-+]?(?:\d[\d_]*\.\d+|\d[\d_]*\.|\.\d+|\d[\d_]*)(?:[eE][-+]?\d+)?[lLfF]?(?![\w.])"
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_ESCAPE = re.compile(r"\\(u\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}
# A brace opens a list where there are no other literals for one.
_BRACED = frozenset({"cpp", "c", "java", "go"})


def doctest_cases(text: str, language: str, function: str) -> list[tuple[list[Any], Any]]:
    """Return the calls of a function that a text shows, with the results it says they have.

    Args:
        text: A docstring or comment, or code with some.
        language: A name from `wavecoder.languages`: it decides what braces mean.
        function: The function that is called.
    """
    lines = [_LEADER.sub("", line, count=1) if language != "python" else line.strip()
             for line in text.splitlines()]  # fmt: skip
    found: list[tuple[list[Any], Any]] = []
    seen: set[str] = set()
    for at, line in enumerate(lines):
        prompt = _PROMPT.match(line)
        rest = line[prompt.end() :] if prompt else line.strip()
        rest = _LEADER.sub("", rest, count=1) if language == "python" and not prompt else rest
        for call, expected in _cases(rest, lines[at + 1 :], language, function, bool(prompt)):
            if repr(call) not in seen:
                seen.add(repr(call))
                found.append((call, expected))
    return found


def _cases(
    line: str, following: list[str], language: str, function: str, prompted: bool
) -> Iterator[tuple[list[Any], Any]]:
    """Yield what a line shows: one case, or none."""
    asserted = _ASSERT.match(line)
    start = asserted.end() if asserted else 0
    head = re.match(rf"(?:\w+\.)?{re.escape(function)}\s*\(", line[start:])
    if head is None:
        return
    reader = _Reader(line, language)
    try:
        call, end = reader.items(start + head.end(), ")")
        sign = _SIGN.match(line, end)
        if sign is not None and sign.end() > end and sign[0].strip(" ;"):
            comparing = "==" in sign[0]
            # Code of the function itself may compare; that is no promise.
            if comparing and not (asserted or prompted) and re.search(r"[:{]\s*$", line):
                return
            expected, stop = reader.value(sign.end())
            rest = line[stop:].strip().rstrip(");.,").strip()
            if not rest or rest.startswith(("#", "//", "(", "*/")):
                if comparing and prompted and following and following[0].strip() == "False":
                    return
                yield call, expected
        elif prompted and not line[end:].strip(" ;") and following:
            wanted = following[0].strip()
            if wanted:
                expected, stop = _Reader(wanted, language).value(0)
                if not wanted[stop:].strip():
                    yield call, expected
    except _DoubtError:
        return


class _DoubtError(ValueError):
    """A text that is no literal."""


def read_literal(text: str, language: str) -> Any:
    """Return the value of a literal.

    Raises:
        ValueError: It is none, or there is more.
    """
    value, end = _Reader(text, language).value(0)
    if text[end:].strip():
        raise _DoubtError(f"there is more than a literal in {text[:40]!r}")
    return value


class _Reader:
    """Reads literals as the languages have them in common."""

    def __init__(self, text: str, language: str) -> None:
        self.text, self.language = text, language

    def value(self, at: int, depth: int = 0) -> tuple[Any, int]:
        """Return the literal at a place, and where it ends."""
        at = self._space(at)
        one = self.text[at : at + 1]
        if depth > 20:
            raise _DoubtError("too deep")
        if one in ("'", '"', "`"):
            return self._string(at)
        if one == "[":
            return self.items(at + 1, "]", depth + 1)
        if one == "(":
            items, end = self.items(at + 1, ")", depth + 1)
            # (3) is 3, and (3,) a tuple.
            alone = len(items) == 1 and not self.text[at:end].rstrip(") ").endswith(",")
            return (items[0] if alone else items), end
        if one == "{":
            return self._braces(at + 1, depth + 1)
        number = _NUMBER.match(self.text, at)
        if number is not None:
            digits = number[0].rstrip("lLfF").replace("_", "")
            return (float(digits) if re.search(r"[.eE]", digits) else int(digits)), number.end()
        word = _NAME.match(self.text, at)
        if word is not None and word[0] in _WORDS and self.text[word.end() : word.end() + 1] != "(":
            return _WORDS[word[0]], word.end()
        raise _DoubtError(f"no literal at {self.text[at : at + 20]!r}")

    def items(self, at: int, end: str, depth: int = 0) -> tuple[list[Any], int]:
        """Return the literals up to a closing bracket, and where that ends."""
        found: list[Any] = []
        while True:
            at = self._space(at)
            if self.text[at : at + 1] == end:
                return found, at + 1
            value, at = self.value(at, depth)
            found.append(value)
            at = self._space(at)
            if self.text[at : at + 1] == ",":
                at += 1
            elif self.text[at : at + 1] != end:
                raise _DoubtError(f"no {end} at {self.text[at : at + 20]!r}")

    def _braces(self, at: int, depth: int) -> tuple[Any, int]:
        start = self._space(at)
        if self.text[start : start + 1] == "}":
            return ([] if self.language in _BRACED else {}), start + 1
        key, after = self._key(start, depth)
        after = self._space(after)
        if not re.match(r":|=>", self.text[after:]):
            if self.language not in _BRACED and self.language != "python":
                raise _DoubtError("braces without pairs")
            items, end = self.items(start, "}", depth)
            if self.language == "python":
                items = sorted(items, key=repr)
            return items, end
        pairs: dict[Any, Any] = {}
        at = start
        while True:
            at = self._space(at)
            if self.text[at : at + 1] == "}":
                return pairs, at + 1
            key, at = self._key(at, depth)
            sign = re.compile(r"\s*(?::|=>)").match(self.text, at)
            if sign is None or isinstance(key, list | dict):
                raise _DoubtError("a key without a value")
            pairs[key], at = self.value(sign.end(), depth)
            at = self._space(at)
            if self.text[at : at + 1] == ",":
                at += 1

    def _key(self, at: int, depth: int) -> tuple[Any, int]:
        word = _NAME.match(self.text, at)
        if word is not None and word[0] not in _WORDS:
            if self.language == "python":
                raise _DoubtError("a name for a key")
            return word[0], word.end()
        return self.value(at, depth)

    def _string(self, at: int) -> tuple[str, int]:
        quote = self.text[at]
        end = at + 1
        while self.text[end : end + 1] not in ("", quote):
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise _DoubtError("a text without an end")
        return _ESCAPE.sub(_escaped, self.text[at + 1 : end]), end + 1

    def _space(self, at: int) -> int:
        while self.text[at : at + 1].isspace():
            at += 1
        return at


def _escaped(found: re.Match[str]) -> str:
    text = found[1]
    if len(text) > 1:
        return chr(int(text[1:].strip("{}"), 16))
    return _NAMED.get(text, text)
