"""The `lexical` embedder: what a function says and how it is built, without a model.

Features are the words inside identifiers and literals, token 1- to 3-grams, and runs of tokens in
which every name is the same token, so that what code does counts beside what it calls things.
tf-idf weighs them and a sparse random projection brings them to few dimensions.

Sources: feature hashing, Weinberger et al. 2009; tf-idf, Salton and Buckley 1988; projection,
Kane and Nelson 2014. Distances between the vectors are off by about 1 / sqrt(dimensions) from
those between the weighted features.

Vectors are the same bytes on every machine and in every batch: hashes are BLAKE2b and SplitMix64,
weights are integers, and float64 adds integers exactly in whatever order a CPU takes them.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavecoder.records import RawCode, digest
from wavecoder.select.embedders.vocabulary import Hashes, Vocabulary, comment_style, scramble

__all__ = ["Lexical"]

# Features share 2^20 document frequencies, so that one that was never seen may pass for a rare one.
_BUCKET_BITS = 20
# Functions whose features are weighed at a time: about 300,000 features, 2 MiB an array.
_GROUP_BITS = 9
# The kinds of features, and by how many powers of two one occurrence weighs less than a word's.
# Long features are rare, so that idf alone would let them drown the others. Chosen among two dozen
# settings: how many of the five nearest functions are of the same file.
_KIND_BITS = 3
_WORD, _TOKEN, _PAIR, _TRIPLE, _SHAPE, _LANGUAGE = range(6)
_HALVINGS = np.array([0, 2, 3, 4, 4, 1], dtype=np.int64)
# Numbers of a vector that a feature is added to or taken from; 16 bits of a hash choose each.
_SPREAD = 4
# idf is in sixteenths of a bit and fits a byte; weights are in 64ths of that.
_FLOOR = 23  # that of a feature in every function: 1, where idf is 1 + ln
_UNIT = 64

# Hash, kind and row of a feature, packed.
_ROW_SHIFT = np.uint64(64 - _GROUP_BITS)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Lexical:
    """Embeds raw code by its tokens; needs no download. The vectors have length 1."""

    class Config(BaseModel):
        """How long a vector is."""

        model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

        dimensions: Annotated[int, Field(ge=1, le=1 << 15)] = 256
        """Length of a vector."""

    free: ClassVar[bool] = True
    cached: ClassVar[bool] = False
    parallel: ClassVar[bool] = True
    at_once: ClassVar[int] = 4096

    def __init__(self, config: Config) -> None:
        """Take the options; until `fit`, every feature weighs as if it were rare."""
        self.config = config
        self.dimensions = config.dimensions
        self._idf = np.full(1 << _BUCKET_BITS, 255, dtype=np.uint8)
        self._key = _key(0)
        self._vocabularies: dict[str, Vocabulary] = {}

    def identity(self) -> dict[str, object]:
        """Return nothing: the options and the sample decide the vectors."""
        return {}

    def fit(self, sample: Sequence[RawCode], seed: int) -> None:
        """Count in how many functions of `sample` a feature occurs; `seed` draws the projection.

        The order of the sample does not count.
        """
        frequency = np.zeros(1 << _BUCKET_BITS, dtype=np.int64)
        for group in _groups(sample):
            features, _ = self._features(group)
            frequency += np.bincount(_buckets(features), minlength=1 << _BUCKET_BITS)
        self._idf = _idf(frequency, len(sample))
        self._key = _key(seed)

    def embed(self, raw_codes: Sequence[RawCode]) -> NDArray[np.float32]:
        """Return vectors of shape (len(raw_codes), dimensions) and length 1."""
        vectors = np.empty((len(raw_codes), self.dimensions), dtype=np.float32)
        start = 0
        for group in _groups(raw_codes):
            features, counts = self._features(group)
            halvings = _HALVINGS[(features & np.uint64((1 << _KIND_BITS) - 1)).astype(np.int64)]
            scale = np.ldexp(float(_UNIT), -halvings)
            weights = np.rint(self._idf[_buckets(features)] * np.sqrt(counts) * scale)
            sums = self._project(features, weights, len(group))
            vectors[start : start + len(group)] = _unit(sums)
            start += len(group)
        return vectors

    def __getstate__(self) -> dict[str, object]:
        """Leave out the remembered tokens, which another process finds for itself."""
        return {**self.__dict__, "_vocabularies": {}}

    def _features(self, group: Sequence[RawCode]) -> tuple[Hashes, NDArray[np.float64]]:
        """Return the distinct features of each function, and how often each occurs in it.

        A feature is 64 bits: the row, 52 bits of hash, the kind.
        """
        parts: list[Hashes] = []
        styles: dict[str, list[int]] = {}
        for row, raw in enumerate(group):
            styles.setdefault(comment_style(raw.language), []).append(row)
        for style, rows in sorted(styles.items()):
            vocabulary = self._vocabularies.setdefault(style, Vocabulary(style))
            read = vocabulary.read([group[row].code for row in rows])
            row_of = np.array(rows, dtype=np.uint64)
            parts.append(_pack(read.words, row_of[read.word_rows], _WORD))
            at = row_of[read.token_rows]
            parts.append(_pack(read.tokens, at, _TOKEN))
            pairs = _pairs(read.tokens)
            parts.append(_runs(pairs, at, 2, _PAIR))
            parts.append(_runs(_mix(pairs[:-1], read.tokens[2:]), at, 3, _TRIPLE))
            shapes = _mix(_pairs(read.shapes)[:-1], read.shapes[2:])
            parts.append(_runs(shapes, at, 3, _SHAPE))
            parts.append(_runs(_mix(shapes[:-2], _pairs(read.shapes[3:])), at, 5, _SHAPE))
        # The language is a feature, so that even empty code has one.
        names = {raw.language for raw in group}
        languages = {name: int(digest("language", name), 16) for name in names}
        hashes = np.array([languages[raw.language] for raw in group], dtype=np.uint64)
        parts.append(_pack(hashes, np.arange(len(group), dtype=np.uint64), _LANGUAGE))
        features = np.concatenate(parts)
        features.sort()
        begins = np.flatnonzero(np.append(True, features[1:] != features[:-1]))
        counts = np.diff(np.append(begins, len(features))).astype(np.float64)
        return features[begins], counts

    def _project(
        self, features: Hashes, weights: NDArray[np.float64], rows: int
    ) -> NDArray[np.float64]:
        """Return each row's sum over its features of weight times a sparse row of signs."""
        row = (features >> _ROW_SHIFT).astype(np.int64) * self.dimensions
        features = (features << np.uint64(_GROUP_BITS)) ^ self._key
        draws = scramble(features).astype("<u8", copy=False).view("<u2").reshape(-1, _SPREAD)
        places = (draws >> 1).astype(np.int64)
        places *= self.dimensions
        places >>= 15
        places += row[:, None]
        signed = ((draws & 1) * 2.0 - 1.0) * weights[:, None]
        size = rows * self.dimensions
        sums = np.bincount(places.ravel(), weights=signed.ravel(), minlength=size)
        return sums.reshape(rows, self.dimensions).astype(np.float64, copy=False)


def _groups(raw_codes: Sequence[RawCode]) -> Iterator[Sequence[RawCode]]:
    size = 1 << _GROUP_BITS
    for start in range(0, len(raw_codes), size):
        yield raw_codes[start : start + size]


def _key(seed: int) -> np.uint64:
    return np.uint64(int(digest("lexical", str(seed)), 16))


def _mix(left: Hashes, right: Hashes) -> Hashes:
    """Return one hash for each pair, in which order counts."""
    return scramble(left * _GOLDEN + right)


def _pairs(hashes: Hashes) -> Hashes:
    return _mix(hashes[:-1], hashes[1:])


def _runs(hashes: Hashes, rows: Hashes, length: int, kind: int) -> Hashes:
    """Pack the hashes of runs of `length` tokens; those across two functions are none."""
    if len(rows) < length:
        return np.empty(0, dtype=np.uint64)
    within = rows[: 1 - length] == rows[length - 1 :]
    return _pack(hashes[within], rows[: 1 - length][within], kind)


def _pack(hashes: Hashes, rows: Hashes, kind: int) -> Hashes:
    hashes = hashes >> np.uint64(_GROUP_BITS + _KIND_BITS) << np.uint64(_KIND_BITS)
    return (rows << _ROW_SHIFT) | hashes | np.uint64(kind)


def _buckets(features: Hashes) -> NDArray[np.int64]:
    """Return which counter of document frequency each feature has, whatever its row."""
    spread = (features << np.uint64(_GROUP_BITS)) * _GOLDEN  # the kind reaches the top bits
    return (spread >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)


def _idf(frequency: NDArray[np.int64], sampled: int) -> NDArray[np.uint8]:
    """Return inverse document frequency in sixteenths of a bit, at most 255.

    16 log2(x) is the length in bits of x^16, which whole numbers give without rounding.
    """
    found, inverse = np.unique(np.minimum(frequency, sampled), return_inverse=True)
    most = (1 + sampled) ** 16
    bits = [(most // (1 + seen) ** 16).bit_length() - 1 for seen in found.tolist()]
    return np.array([min(255, _FLOOR + one) for one in bits], dtype=np.uint8)[inverse]


def _unit(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows at length 1, or as the first axis where all a row's sums cancel out."""
    # Squares add up without rounding below 2^53. Only code of millions of tokens is scaled down.
    bits = (52 - sums.shape[1].bit_length()) // 2
    _, exponent = np.frexp(np.abs(sums).max(axis=1))
    down = np.maximum(exponent - bits, 0)
    scaled = np.rint(np.ldexp(sums, -down[:, None]))
    scaled[~scaled.any(axis=1), 0] = 1
    length: NDArray[np.float64] = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = scaled / length
    return unit
