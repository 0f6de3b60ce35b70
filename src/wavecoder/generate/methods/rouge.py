"""ROUGE-L F over words: how alike two instructions are.

Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries", section 3. Words are runs of
ASCII letters and digits in lower case, unstemmed: what Self-Instruct and Code Alpaca compare by.
"""

import re
from functools import lru_cache

__all__ = ["rouge_l"]


@lru_cache(maxsize=16_384)
def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z0-9]+", text.lower()))


def rouge_l(one: str, other: str, *, least: float = 0.0) -> float:
    """Return ROUGE-L F of two texts, from 0 to 1; 0 where either has no word.

    Args:
        one: A text.
        other: Another; the order of the two changes nothing.
        least: What cannot reach this, by the texts' lengths alone, is 0 without a comparison.
    """
    a, b = _words(one), _words(other)
    total = len(a) + len(b)
    # The common subsequence is no longer than the shorter text.
    if not a or not b or 2 * min(len(a), len(b)) < least * total:
        return 0.0
    # F = 2PR / (P + R) with P = l / len(a) and R = l / len(b).
    return 2 * _longest_common(a, b) / total


def _longest_common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Return the length of the longest common subsequence.

    A row of the usual table in the bits of one integer: a bit is 0 where the length grows (Hyyrö,
    "Bit-parallel LCS-length computation revisited", 2004).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(a)) - 1
    row = every
    for word in b:
        common = row & places.get(word, 0)
        row = ((row + common) | (row - common)) & every
    return len(a) - row.bit_count()
