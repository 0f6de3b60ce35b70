"""Text becomes 64-bit hashes of tokens, in three ways, and runs of tokens become hashes of runs.

- `words`: every word, in lower case; punctuation, comment marks and white space are left out. A
  docstring, a comment and a sentence in prose with the same words are the same.
- `symbols`: code without comments and triple-quoted texts: words in lower case, numbers, operators,
  and a string literal as one token without its quotes. Brackets, commas and semicolons, which
  formatters move, are left out.
- `shapes`: the symbols again, blind to names: a number is any number, a string any string, and a
  name is so many tokens behind where it stood before (Baker 1996 calls code equal in this way
  parameterised duplicates). Keywords, built-in functions and what stands behind a dot keep their
  text, as none of these can be renamed without changing what the code does.

No knowledge of the language is needed but how comments begin, so that this costs little: 1.5 KB in
20 microseconds. numba compiles the loops; its arrays have no annotations, so they are Any.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from wavecoder.contamination.names import BUILT_IN, KEYWORDS

__all__ = [
    "BOTH",
    "HASH",
    "SLASH",
    "SLASH_CHARS",
    "Hashes",
    "Style",
    "Tokens",
    "compiled",
    "runs",
    "span",
    "style_of",
    "symbols",
    "words",
]

Hashes = NDArray[np.uint64]

# FNV-1a over a token's bytes, then SplitMix64's finish (Steele, Lea and Flood 2014), so that sums
# of token hashes are as good as random.
_FNV, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
# An odd number with half of its bits set: the base of the polynomial that hashes a run.
_BASE = np.uint64(0x9E3779B97F4A7C15)
_NUMBER, _STRING, _DOT = (np.uint64(0x1000 + i) for i in range(3))
_FAR = 16
"""Tokens that a name is looked for before it; a run is shorter."""

# Bits of a style.
_HASH, _SLASH, _SHORT = 1, 2, 4

_QUOTES = (ord('"'), ord("'"), ord("`"))
# What formatters add, take away or move: ( ) [ ] { } , ; : \
_MOVED = np.zeros(128, dtype=np.bool_)
_MOVED[[ord(one) for one in "()[]{},;:\\"]] = True


class Style(NamedTuple):
    """How comments begin, and which quotes hold a text; `bits` is what the loops take."""

    bits: int


HASH, SLASH, SLASH_CHARS, BOTH = (
    Style(_HASH),
    Style(_SLASH),
    Style(_SLASH | _SHORT),
    Style(_HASH | _SLASH),
)
_STYLES = {
    "python": (HASH,),
    "ruby": (HASH,),
    "php": (BOTH,),
    "javascript": (SLASH,),
    "typescript": (SLASH,),
}


def style_of(language: str | None) -> tuple[Style, ...]:
    """Return how code of a language is read; where it is not known, both ways it may be."""
    return (HASH, SLASH) if language is None else _STYLES.get(language, (SLASH_CHARS,))


class Tokens(NamedTuple):
    """Tokens of a text, each array of shape (tokens,)."""

    hashes: Hashes
    shapes: Hashes
    """As `hashes`, blind to names; of `words` the same array."""
    back: NDArray[np.uint8]
    """Of a name: so many tokens before it the same name stood; 0 where that is far."""
    starts: NDArray[np.int32]
    """Bytes of the text in UTF-8."""
    ends: NDArray[np.int32]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with numba, and keep the machine code where a folder for it can be written."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither this folder nor the user's cache can be written
        return numba.njit(nogil=True)(function)


def words(data: bytes) -> Tokens:
    """Return the words of a text in UTF-8, in lower case."""
    hashes, starts, ends = _words(np.frombuffer(data, dtype=np.uint8))
    return Tokens(hashes, hashes, np.empty(0, dtype=np.uint8), starts, ends)


def symbols(data: bytes, style: Style) -> Tokens:
    """Return the tokens of code in UTF-8 without its comments."""
    return Tokens(*_symbols(np.frombuffer(data, dtype=np.uint8), style.bits, *_kept()))


def runs(tokens: Tokens, size: int, *, blind: bool = False) -> Hashes:
    """Return the hash of each run of `size` tokens, shape (max(0, tokens - size + 1),).

    Args:
        tokens: Of `words` or `symbols`.
        size: Tokens in a run.
        blind: Leave names out. What a name repeats counts only where both are in the run, so that
            a run does not depend on what stands before it.
    """
    if blind:
        return _blind_runs(tokens.shapes, tokens.back, size)  # type: ignore[no-any-return]
    return _runs(tokens.hashes, size)  # type: ignore[no-any-return]


def span(hashes: Hashes) -> int:
    """Return the hash of all tokens in order: what `runs` gives for a run of that many."""
    return int(_runs(hashes, len(hashes))[0])


@cache
def _kept() -> tuple[Hashes, Hashes]:
    """Return the hashes of keywords, and of built-in names, each sorted."""
    return _hashes_of(KEYWORDS), _hashes_of(BUILT_IN)


def _hashes_of(names: Iterable[str]) -> Hashes:
    found = [int(_text_hash(np.frombuffer(name.encode(), dtype=np.uint8))) for name in names]
    return np.array(sorted(found), dtype=np.uint64)


@compiled
def _mix(value: Any) -> Any:
    """Return the number with its bits spread."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


@compiled
def _is_word(byte: Any) -> Any:
    return (
        (byte >= 97 and byte <= 122)
        or (byte >= 65 and byte <= 90)
        or (byte >= 48 and byte <= 57)
        or byte == 95
        or byte >= 128
    )


@compiled
def _text_hash(data: Any) -> Any:
    """Return the hash of a name, in its own case."""
    value = _FNV
    for byte in data:
        value = (value ^ np.uint64(byte)) * _PRIME
    return _mix(value)


@compiled
def _words(data: Any) -> Any:
    size = len(data)
    hashes = np.empty(size // 2 + 1, dtype=np.uint64)
    starts = np.empty(size // 2 + 1, dtype=np.int32)
    ends = np.empty(size // 2 + 1, dtype=np.int32)
    count = at = 0
    while at < size:
        if not _is_word(data[at]):
            at += 1
            continue
        start, value = at, _FNV
        while at < size and _is_word(data[at]):
            byte = data[at]
            low = byte + 32 if byte >= 65 and byte <= 90 else byte
            value = (value ^ np.uint64(low)) * _PRIME
            at += 1
        hashes[count], starts[count], ends[count] = _mix(value), start, at
        count += 1
    return hashes[:count].copy(), starts[:count].copy(), ends[:count].copy()


@compiled
def _line_end(data: Any, at: int) -> Any:
    while at < len(data) and data[at] != 10:
        at += 1
    return at


@compiled
def _comment_end(data: Any, at: int, style: int) -> Any:
    """Return where the comment that begins here ends, or `at` where none does."""
    byte = data[at]
    after = data[at + 1] if at + 1 < len(data) else 0
    if byte == 35 and style & 1:
        return _line_end(data, at)
    if byte == 47 and style & 2:
        if after == 47:
            return _line_end(data, at)
        if after == 42:
            at += 2
            while at < len(data):
                if data[at] == 42 and at + 1 < len(data) and data[at + 1] == 47:
                    return at + 2
                at += 1
    return at


@compiled
def _is_triple(data: Any, at: int) -> Any:
    return at + 2 < len(data) and data[at + 1] == data[at] and data[at + 2] == data[at]


@compiled
def _triple_end(data: Any, at: int) -> int:
    """Return where the text that three quotes begin ends, the quotes included."""
    quote = data[at]
    at += 3
    while at + 2 < len(data):
        if data[at] == 92:
            at += 1
        elif data[at] == quote and _is_triple(data, at):
            return at + 3
        at += 1
    return len(data)


@compiled
def _quote_end(data: Any, at: int, style: int) -> int:
    """Return where the text that a quote begins ends, or `at` where it is no such text."""
    quote, start = data[at], at
    at += 1
    while at < len(data) and data[at] != quote:
        if data[at] == 10 and quote != 96:
            return start
        at += 2 if data[at] == 92 else 1
    if at >= len(data):
        return start
    # A lifetime of Rust is no text, and the character literals of its like are short.
    if quote == 39 and style & 4 and at - start > 4 and data[start + 1] != 92:
        return start
    return at + 1


@compiled
def _string_hash(data: Any, start: int, end: int) -> Any:
    value = _FNV
    for at in range(start, end):
        byte = data[at]
        if byte > 32:
            low = byte + 32 if byte >= 65 and byte <= 90 else byte
            value = (value ^ np.uint64(low)) * _PRIME
    return _mix(value ^ _STRING)


@compiled
def _is_member(data: Any, at: int) -> Any:
    """Say whether what begins here stands behind a dot, an arrow or two colons."""
    at -= 1
    while at >= 0 and data[at] <= 32:
        at -= 1
    if at < 0:
        return False
    before = data[at - 1] if at > 0 else 0
    if data[at] == 46:
        return before != 46  # two dots are a range
    return (data[at] == 62 and before == 45) or (data[at] == 58 and before == 58)


@compiled
def _is_used(data: Any, at: int) -> Any:
    """Say whether what ends here is called, or looked into: `len(…)`, `Math.max`, `std::sort`."""
    while at < len(data) and data[at] <= 32:
        at += 1
    return at < len(data) and (data[at] in (40, 46, 58, 33, 60))  # ( . : ! <


@compiled
def _among(value: Any, known: Any) -> Any:
    at = np.searchsorted(known, value)
    return at < len(known) and known[at] == value


@compiled
def _shape(data: Any, start: int, end: int, value: Any, keywords: Any, built_in: Any) -> Any:
    """Return what stands for a word where names do not count; 0 for a name."""
    if data[start] >= 48 and data[start] <= 57:
        return _mix(_NUMBER)
    if _is_member(data, start):
        return _mix(value ^ _DOT)
    if _among(value, keywords) or (_among(value, built_in) and _is_used(data, end)):
        return value
    return np.uint64(0)


@compiled
def _word_end(data: Any, at: int) -> int:
    """Return where a word or number ends: `1.5` and `1_000` are one."""
    is_number = data[at] >= 48 and data[at] <= 57
    at += 1
    while at < len(data) and (
        _is_word(data[at])
        or (is_number and data[at] == 46 and at + 1 < len(data) and data[at + 1] != 46)
    ):
        at += 1
    return at


@compiled
def _is_prefix(data: Any, start: int, end: int) -> Any:
    """Say whether a word belongs to the text behind it: r"…", f"…"."""
    if end >= len(data) or end - start > 2 or data[end] not in (34, 39):
        return False
    letters = 0
    for at in range(start, end):
        letters += (data[at] | 32) in (114, 98, 102, 117)
    return letters == end - start


@compiled
def _word_hashes(data: Any, start: int, end: int) -> Any:
    """Return the hash of a word in lower case, and in its own."""
    own, low = _FNV, _FNV
    for at in range(start, end):
        byte = data[at]
        own = (own ^ np.uint64(byte)) * _PRIME
        low = (low ^ np.uint64(byte + 32 if byte >= 65 and byte <= 90 else byte)) * _PRIME
    return _mix(low), _mix(own)


@compiled
def _back(names: Any, at: int) -> int:
    """Return how many tokens before a name the same name stands, 0 where that is far."""
    for before in range(1, min(at, _FAR) + 1):
        if names[at - before] == names[at]:
            return before
    return 0


@compiled
def _text_end(data: Any, at: int, style: int, is_inside: Any) -> Any:
    """Return where what a quote begins ends, and whether it is a text literal."""
    quote = data[at]
    if _is_triple(data, at) and (style & 1 or quote == 96):
        # A docstring; or the fence around code in an answer, whose line is no code.
        return (_line_end(data, at) if quote == 96 else _triple_end(data, at)), False
    end = at if is_inside else _quote_end(data, at, style)
    return (at + 1, False) if end == at else (end, True)


@compiled
def _symbols(data: Any, style: int, keywords: Any, built_in: Any) -> Any:
    size = len(data)
    hashes = np.empty(size + 1, dtype=np.uint64)
    shapes = np.empty(size + 1, dtype=np.uint64)
    names = np.empty(size + 1, dtype=np.uint64)
    back = np.zeros(size + 1, dtype=np.uint8)
    starts = np.empty(size + 1, dtype=np.int32)
    ends = np.empty(size + 1, dtype=np.int32)
    count = at = 0
    while at < size:
        names[count] = 0
        byte = data[at]
        if byte <= 32 or (byte < 128 and _MOVED[byte]):
            at += 1
            continue
        start = at
        if _is_word(byte):
            at = _word_end(data, at)
            if _is_prefix(data, start, at):
                continue
            hashes[count], own = _word_hashes(data, start, at)
            shapes[count] = _shape(data, start, at, own, keywords, built_in)
            if shapes[count] == 0:
                names[count] = own
                back[count] = _back(names, count)
        elif byte in _QUOTES:
            # The apostrophe of "don't" begins no text.
            is_inside = count > 0 and ends[count - 1] == at and _is_word(data[at - 1])
            at, is_text = _text_end(data, at, style, is_inside)
            if not is_text:
                continue
            hashes[count] = _string_hash(data, start + 1, at - 1)
            shapes[count] = _mix(_STRING)
        else:
            at = _comment_end(data, at, style)
            if at > start:
                continue
            at += 1
            if byte == 46:  # what follows it tells
                continue
            hashes[count] = shapes[count] = _mix(np.uint64(byte))
        starts[count], ends[count] = start, at
        count += 1
    return (
        hashes[:count].copy(),
        shapes[:count].copy(),
        back[:count].copy(),
        starts[:count].copy(),
        ends[:count].copy(),
    )


@compiled
def _runs(hashes: Any, size: int) -> Any:
    count = max(0, len(hashes) - size + 1)
    found = np.empty(count, dtype=np.uint64)
    value, top = np.uint64(0), np.uint64(1)
    for _ in range(size):
        top *= _BASE
    for at in range(len(hashes)):
        value = value * _BASE + hashes[at]
        if at >= size:
            value -= hashes[at - size] * top
        if at >= size - 1:
            found[at - size + 1] = _mix(value)
    return found


@compiled
def _blind_runs(shapes: Any, back: Any, size: int) -> Any:
    count = max(0, len(shapes) - size + 1)
    found = np.empty(count, dtype=np.uint64)
    for start in range(count):
        value = np.uint64(0)
        for place in range(size):
            shape = shapes[start + place]
            if shape == 0:
                before = back[start + place]
                shape = _mix(np.uint64(before if before <= place else 0) + np.uint64(0x2000))
            value = value * _BASE + shape
        found[start] = _mix(value)
    return found
