"""Code becomes arrays of hashes: its tokens, their shapes, the words inside them.

A compiled pattern finds the tokens, and each distinct token is looked at once: the work that
Python does per occurrence is one look-up in a dictionary.
"""

import re
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hashes", "Reading", "Vocabulary", "comment_style", "scramble"]

Hashes = NDArray[np.uint64]

# Tokens that are remembered, at about 300 bytes each; then all are forgotten.
_REMEMBERED = 1 << 18

# camelCase, ABCWord, snake_case and digits come apart.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+")

# Possessive, so that no text takes more than linear time; what is opened and never closed ends
# with the line or the text.
_NAME = r"\w++"
_BRACKET = r"[(){}\[\],;]"
_STRING = (
    r'"""(?:[^"]|"(?!""))*+(?:""")?'
    r'|"[^"\\\n]*+(?:\\[\s\S][^"\\\n]*+)*+"?'
    r"|`[^`\\]*+(?:\\[\s\S][^`\\]*+)*+`?"
)
_QUOTED = r"'''(?:[^']|'(?!''))*+(?:''')?|'[^'\\\n]*+(?:\\[\s\S][^'\\\n]*+)*+'?"
_CHARACTER = r"'(?:\\.[^'\n]*+|[^'\\\n])'"  # and 'a alone is a lifetime
_SLASHED = r"//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?"
_HASHED = r"#[^\n]*+"
_OPERATOR = r"[-+*%&|^!=<>.:?@~$#\\]++|/[/=]?|\S"

# How a language begins a comment, and what a single quote begins in it.
_STYLES = {
    "slash": (_SLASHED, _CHARACTER, ("//", "/*")),
    "hash": (_HASHED, _QUOTED, ("#",)),
    "script": (_SLASHED, _QUOTED, ("//", "/*")),
    "both": (rf"{_SLASHED}|#(?!\[)[^\n]*+", _QUOTED, ("//", "/*", "#")),
}
_STYLE_OF = {
    "javascript": "script",
    "php": "both",
    "python": "hash",
    "ruby": "hash",
    "typescript": "script",
}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that are part of what code does in one language or another; other names are alike.
_KEYWORDS = _set(
    """
    and as assert async await bool boolean break byte case catch chan char class const continue
    def default defer del do double elif else elsif end ensure enum except extends false final
    finally float fn for foreach from func function global go goto if impl implements import in
    instanceof int interface is lambda let long loop match mut new nil none not null or pass
    private protected public raise rescue return select self short static string struct super
    switch this throw throws true try type typeof unless unsigned until use using var void when
    where while with yield
    """
)


class Reading(NamedTuple):
    """What was found in some texts, in order; `rows` say in which text."""

    tokens: Hashes
    shapes: Hashes
    """Of the same length as `tokens`: equal for all names, all numbers, all strings."""
    token_rows: NDArray[np.int64]
    words: Hashes
    word_rows: NDArray[np.int64]


class Vocabulary(dict[str, int]):
    """Tokens and their numbers; number 0 is that of every comment."""

    def __init__(self, style: str) -> None:
        """Make the vocabulary of languages that write comments in that style."""
        comment, quoted, self._comments = _STYLES[style]
        tokens = "|".join((_NAME, _BRACKET, _STRING, quoted, comment, _OPERATOR))
        self._find = re.compile(rf"\s*+({tokens})").findall
        self._forget()

    def read(self, texts: Sequence[str]) -> Reading:
        """Return the hashes of what is in `texts`, comments left out."""
        if len(self) > _REMEMBERED:
            self._forget()
        look_up = self.__getitem__
        numbers = [list(map(look_up, self._find(text))) for text in texts]
        flat = np.fromiter(chain.from_iterable(numbers), dtype=np.int64)
        rows = np.repeat(np.arange(len(texts)), [len(found) for found in numbers])
        kept = flat != 0
        flat, rows = flat[kept], rows[kept]
        words, word_rows = self._words_of(flat, rows)
        # Views of these arrays may not outlive the call: the arrays grow.
        tokens = np.frombuffer(self._tokens, dtype=np.uint64)[flat]
        shapes = np.frombuffer(self._shapes, dtype=np.uint64)[flat]
        return Reading(tokens, shapes, rows, words, word_rows)

    def __missing__(self, token: str) -> int:
        """Look at a token for the first time."""
        if token.startswith(self._comments):
            self[token] = 0
            return 0
        number = self[token] = len(self._tokens)
        self._tokens.append(_hash(f"token {token}"))
        self._shapes.append(_hash(f"shape {_shape(token)}"))
        self._words.extend(_hash(f"word {word.lower()}") for word in _WORDS.findall(token))
        self._ends.append(len(self._words))
        return number

    def _forget(self) -> None:
        self.clear()
        # Number 0 has no words. `_ends[n]` is where the words of token n end in `_words`.
        self._tokens, self._shapes = array("Q", [0]), array("Q", [0])
        self._words, self._ends = array("Q"), array("q", [0])

    def _words_of(
        self, numbers: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[Hashes, NDArray[np.int64]]:
        """Return the words inside the tokens of those numbers, and the row of each."""
        if not len(self._words):
            return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
        ends = np.frombuffer(self._ends, dtype=np.int64)
        begin, counts = ends[numbers - 1], ends[numbers] - ends[numbers - 1]
        # Positions count up within a token and jump from one to the next.
        before = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) + np.repeat(begin - before, counts)
        return np.frombuffer(self._words, dtype=np.uint64)[places], np.repeat(rows, counts)


def comment_style(language: str) -> str:
    """Return how a language begins a comment: a name for `Vocabulary`."""
    return _STYLE_OF.get(language, "slash")


def scramble(value: Hashes) -> Hashes:
    """Return the output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _shape(token: str) -> str:
    first = token[0]
    if first.isdigit():
        return "0"
    if first in "\"'`":
        return "''"
    if first.isalpha() or first == "_":
        return token if token.lower() in _KEYWORDS else "name"
    return token


def _hash(text: str) -> int:
    """Return 64 bits that stand for `text` in every process, unlike `hash`."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
