"""The `lexical` embedder: what a function says and how it is built, without a model.

Features are token 1- to 3-grams, the words inside identifiers and literals, and paths of syntax
node types; tf-idf weighs them and a signed random projection brings them to few dimensions.

Sources: feature hashing, Weinberger et al. 2009; tf-idf, Salton and Buckley 1988;
projection by random signs, Achlioptas 2003. Distances between the vectors are off by about
1 / sqrt(dimensions) from those between the weighted features.

Vectors are the same bytes on every machine: hashes are BLAKE2b and SplitMix64, weights are
integers, and float64 adds integers exactly in whatever order a CPU or BLAS takes them.
"""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from tree_sitter import Tree

from wavecoder.languages import tokens
from wavecoder.languages.syntax import read
from wavecoder.records import RawCode, digest

__all__ = ["Lexical"]

# Features share 2^22 counters of document frequency (16 MiB); 10,000 functions of the Python
# standard library have 350,000 distinct features.
_BUCKET_BITS = 22
# What one occurrence adds to a feature's squared term frequency, by kind. Long features are rare,
# so that idf alone would let them drown the others. Powers of two, so that sums are exact. Chosen
# among a dozen settings: how many of the five nearest functions are of the same file.
_WORD, _TOKEN, _PAIR, _TRIPLE, _PATH = 1.0, 1 / 4, 1 / 16, 1 / 64, 1 / 4
# Weights are rounded to this fraction of one.
_UNIT = 1024
# Features projected at a time: 4096 rows of 256 float64 signs are 8 MiB.
_SLICE = 4096

# camelCase, ABCWord, snake_case and digits come apart.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+")

Hashes = NDArray[np.uint64]


class Lexical:
    """Embeds raw code by its tokens and its syntax; needs no download."""

    class Config(BaseModel):
        """How long a vector is."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

        dimensions: Annotated[int, Field(ge=1, le=65_536)] = 256
        """Length of a vector."""

    def __init__(self, config: Config) -> None:
        """Take the options."""
        self.config = config

    def embed(self, raw_codes: Sequence[RawCode], seed: int) -> NDArray[np.float32]:
        """Return one unit vector a function; `seed` draws the projection.

        A vector depends on the function and on how often its features occur in `raw_codes`, not
        on their order. The code is read twice, so that memory does not grow with the number of
        functions (beside the result).
        """
        frequency = np.zeros(1 << _BUCKET_BITS, dtype=np.uint32)
        for raw in raw_codes:
            frequency[_features(raw)[0]] += 1
        vectors = np.empty((len(raw_codes), self.config.dimensions), dtype=np.float32)
        key = np.uint64(int(digest("lexical", str(seed)), 16))
        for row, raw in enumerate(raw_codes):
            buckets, masses = _features(raw)
            idf = 1 + np.log((1 + len(raw_codes)) / (1.0 + frequency[buckets]))
            weights = np.rint(_UNIT * idf * np.sqrt(masses))
            vectors[row] = _unit(_project(buckets, weights, self.config.dimensions, key))
        return vectors


def _features(raw: RawCode) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Return the distinct buckets of a function's features and the mass in each, sorted."""
    found = tokens(raw.code, raw.language)
    ones = _hashes([f"token {token}" for token in found])
    words = _hashes([f"word {word.lower()}" for token in found for word in _WORDS.findall(token)])
    kinds = (
        # The language is a feature, so that even empty code has one.
        (_hashes([f"language {raw.language}"]), _WORD),
        (words, _WORD),
        (ones, _TOKEN),
        (_mix(ones[:-1], ones[1:]), _PAIR),
        (_mix(_mix(ones[:-2], ones[1:-1]), ones[2:]), _TRIPLE),
        (_paths(read(raw.code, raw.language).tree), _PATH),
    )
    hashes = np.concatenate([kind for kind, _ in kinds])
    mass = np.concatenate([np.full(len(kind), weight) for kind, weight in kinds])
    buckets, inverse = np.unique(hashes >> np.uint64(64 - _BUCKET_BITS), return_inverse=True)
    masses = np.bincount(inverse, weights=mass).astype(np.float64, copy=False)
    return buckets.astype(np.uint32), masses


def _paths(tree: Tree) -> Hashes:
    """Return a hash for each parent > child and grandparent > parent > child of named nodes."""
    paths: list[str] = []
    pending = [(tree.root_node, "", "")]
    while pending:  # no recursion: code may nest deeper than Python's stack
        node, parent, grandparent = pending.pop()
        kind = node.type
        paths.append(f"path {parent} {kind}")
        paths.append(f"path {grandparent} {parent} {kind}")
        pending.extend((child, kind, parent) for child in node.named_children)
    return _hashes(paths)


def _hashes(texts: list[str]) -> Hashes:
    return np.fromiter(map(_hash, texts), dtype=np.uint64, count=len(texts))


@lru_cache(maxsize=1 << 18)
def _hash(text: str) -> int:
    """Return 64 bits that stand for `text` in every process, unlike `hash`."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _mix(left: Hashes, right: Hashes) -> Hashes:
    """Return one hash for each pair, in which order counts."""
    return _scramble(left * np.uint64(0x9E3779B97F4A7C15) + right)


def _scramble(value: Hashes) -> Hashes:
    """Return the output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _project(
    buckets: NDArray[np.uint32], weights: NDArray[np.float64], dimensions: int, key: np.uint64
) -> NDArray[np.float64]:
    """Return the sum over the features of weight times a row of random signs; all integers."""
    columns = np.arange(-(-dimensions // 64), dtype=np.uint64)
    total = np.zeros(dimensions)
    for start in range(0, len(buckets), _SLICE):
        rows = buckets[start : start + _SLICE].astype(np.uint64)
        # 64 sign bits a hash; each (row, column) has a counter of its own (dimensions < 2^17).
        words = _scramble(_scramble((rows[:, None] << np.uint64(11)) + columns) ^ key)
        bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, count=dimensions)
        part = weights[start : start + _SLICE]
        total += 2 * (part @ bits.astype(np.float64)) - part.sum()
    return total


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `vector` at length 1, or the first axis where all its sums cancel out."""
    # The squares are integers and their sum is exact up to 2^53: about 300,000 words a function.
    length = math.sqrt(float(np.square(vector).sum()))
    if length == 0:
        vector[0] = length = 1.0
    return vector / length
