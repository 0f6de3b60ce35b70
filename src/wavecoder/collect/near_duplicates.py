"""Near-duplicates among functions, by MinHash: which function is almost an earlier one?

Two halves. `signatures` turns each function into a row of numbers, alone and in any process;
`find_duplicates` goes over all rows in order and names, for each function that is refused, the
earlier one it repeats.

What is measured: the Jaccard similarity of the functions' sets of shingles, a shingle being
`shingle` tokens in a row. Names, strings, numbers and comments count as they stand, white space
does not; so this finds copies with other layout (clones of type 1) and with changed, added or lost
lines (type 3), and a copy with all its names changed (type 2) only as far as few names changed.

Sources: MinHash, Broder 1997 ("On the resemblance and containment of documents"); bands, Indyk and
Motwani 1998, as in Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3; the
signatures themselves are rensa's, after Dahlgaard, Knudsen and Thorup 2017 ("Fast Similarity
Sketching", arXiv 1704.04370).
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ConfigError

__all__ = [
    "Duplicates",
    "NearDuplicates",
    "band_shape",
    "find_duplicates",
    "shingles",
    "signatures",
]

# A name, keyword or number; or one mark. Halves of surrogate pairs, which have no UTF-8, are none.
_TOKEN = re.compile(r"\w+|[^\w\s\ud800-\udfff]")

# Decides every signature: another value, or another major version of rensa's algorithm, makes
# signatures that cannot be compared with these.
_SEED = 1

# A pair that shares a bucket and is not similar costs one comparison, a similar pair that shares
# none is never found; so a missed pair weighs more.
_WEIGHT_FALSE, _WEIGHT_MISSED = 0.02, 0.98

# Most kept functions in a bucket. A longer list means that the bucket is made of boilerplate, and
# would make the work quadratic.
_BUCKET = 64

# Rows read at once, so that a block stays in a core's cache; bands whose keys are held at once.
_BLOCK, _BANDS = 2048, 5

# Steps (rows looked at and functions compared) between two calls of `check`.
_STEPS = 200_000


class NearDuplicates(BaseModel):
    """When two functions count as one, and what is compared with what."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Least similarity, from 0 to 1, of a near-duplicate. 0.7 is what StarCoder2 (arXiv 2402.19173)
    took for whole files. Pairs of real functions just above it look like one function written
    twice: getters of two fields, a test copied for the next method."""
    shingle: Annotated[int, Field(ge=1)] = 3
    """Tokens in a row that are compared as one. StarCoder2 took 5. Functions are shorter than
    files: with 5, one renamed name takes a quarter of the functions of 150 to 350 characters below
    0.7, with 3 a tenth."""
    permutations: Annotated[int, Field(ge=1, le=1024)] = 128
    """Numbers in a signature, four bytes each. The similarity estimated from 128 is off by 0.03
    (root mean square) around 0.7; from four times as many, by half of that."""
    against: tuple[Path, ...] = ()
    """Earlier datasets; what repeats one of their functions is refused too."""


class Duplicates(NamedTuple):
    """What was decided, a value a row."""

    original: NDArray[np.int64]
    """Shape (n,): -1 for a row that is kept, else the kept row before it that it repeats."""
    similarity: NDArray[np.float32]
    """Shape (n,): the estimated similarity to `original`, 1 for the same content; 0 where kept."""


def shingles(code: str, size: int) -> list[str]:
    """Return each run of `size` tokens of `code`, in order; code with fewer tokens is one run."""
    tokens = _TOKEN.findall(code)
    if len(tokens) <= size:
        return [" ".join(tokens)]
    # No token holds a space, so joined runs are equal only where the tokens are.
    return list(map(" ".join, zip(*(tokens[start:] for start in range(size)), strict=False)))


def signatures(codes: Sequence[str], *, shingle: int, permutations: int) -> NDArray[np.uint32]:
    """Return the MinHash signatures of functions, shape (len(codes), permutations).

    The share of equal numbers in two signatures estimates the Jaccard similarity of the two sets
    of shingles. Equal on every machine and in every process: the hash is rensa's own. One function
    at a time, because rensa's bulk calls are no faster here (nine tenths of the time is the
    shingles) and start threads, which a forked worker does not survive.

    Args:
        codes: Functions.
        shingle: Tokens in a row that are compared as one, at least 1.
        permutations: Numbers in a signature, at least 1.
    """
    import rensa

    found = np.empty((len(codes), permutations), dtype=np.uint32)
    for place, code in enumerate(codes):
        sketch = rensa.RMinHash(permutations, _SEED)
        sketch.update(shingles(code, shingle))
        found[place] = sketch.digest()
    return found


def band_shape(threshold: float, permutations: int) -> tuple[int, int]:
    """Return how a signature is cut into bands: how many, and of how many numbers each.

    Two functions are compared where one band is equal in both. With b bands of r numbers, that
    happens to a pair of similarity s with probability 1 - (1 - s^r)^b; b and r are those for which
    the area of this curve below the threshold and the area above the curve behind it, weighted,
    are smallest together.
    """
    steps = 2000
    middles = (np.arange(steps) + 0.5) / steps
    below, above = middles * threshold, threshold + middles * (1 - threshold)
    best = (np.inf, 1, 1)
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            false = np.mean(1 - (1 - below**rows) ** bands) * threshold
            missed = np.mean((1 - above**rows) ** bands) * (1 - threshold)
            error = float(_WEIGHT_FALSE * false + _WEIGHT_MISSED * missed)
            best = min(best, (error, bands, rows))
    return best[1:]


def find_duplicates(
    content_hashes: NDArray[np.uint64],
    signatures: NDArray[np.uint32],
    threshold: float,
    *,
    initial: int = 0,
    check: Callable[[], object] = lambda: None,
) -> Duplicates:
    """Decide, in row order, which functions repeat one that was kept before them.

    A row is refused where a kept row before it has the same content hash; or else where kept rows
    before it share a band with it and one of them is at least `threshold` similar by their
    signatures: then it is the most similar of these that is named, the earliest of equals. A
    refused row is nobody's original, so a chain of small changes does not run away from its start.

    By `benchmarks/near_duplicates.py`, with the options that `NearDuplicates` has unless told
    otherwise: of real functions and their edited copies of a true similarity of 0.7 or more, 97 %
    are found (78 % from 0.70 to 0.75, 99 % from 0.75 to 0.80, all above); of what is refused, 95 %
    are truly that similar to the row named, and 99.5 % at least 0.65. Nearly all of the error is
    that of the estimate; bands lose 0.4 % from 0.70 to 0.75 and less above.

    A bucket (the rows that share one band) takes the first 64 kept rows and no more. That bounds
    the work; a pair is lost only if all the buckets it shares were full.

    Memory beside the arrays given: 4 bytes a band and row, and about a hundred bytes a row.

    Args:
        content_hashes: Shape (n,); equal for equal content.
        signatures: Shape (n, permutations), in rows (C order); may be a file, mapped.
        threshold: Least similarity of a near-duplicate, above 0 and at most 1.
        initial: How many leading rows are an earlier dataset: all of them are kept.
        check: Called several times a second; what it raises ends the search.

    Raises:
        ConfigError: The arrays do not fit each other, or a number is out of its range.
    """
    _check_arguments(content_hashes, signatures, threshold, initial)
    n, permutations = signatures.shape
    same, groups = _buckets(content_hashes)
    links, buckets = _links(signatures, *band_shape(threshold, permutations), check)
    tables = _Tables(
        signatures=_read_only(signatures),
        same=same,
        first=np.full(groups, -1, dtype=np.int32),
        links=links,
        heads=np.full(buckets, -1, dtype=np.int32),
        sizes=np.zeros(buckets, dtype=np.int32),
        seen=np.full(n, -1, dtype=np.int32),
        original=np.full(n, -1, dtype=np.int64),
        similarity=np.zeros(n, dtype=np.float32),
        initial=initial,
        need=next(equal for equal in range(permutations + 1) if equal / permutations >= threshold),
    )
    judge, row = _compiled(), 0
    while row < n:
        check()
        row = judge(tables, row, _STEPS)
    return Duplicates(tables.original, tables.similarity)


class _Tables(NamedTuple):
    """What the pass in row order reads and writes. A bucket's kept rows are a chain."""

    signatures: NDArray[np.uint32]
    same: NDArray[np.int32]
    """For each row, the group of rows of its content; -1 for a row alone."""
    first: NDArray[np.int32]
    """For each group, its first kept row; -1 while there is none."""
    links: NDArray[np.int32]
    """For each row and band, its bucket, -1 for a row alone; once the row is kept, the kept row
    before it in that bucket, -1 for none."""
    heads: NDArray[np.int32]
    """For each bucket, the last row of its chain; -1 while it is empty."""
    sizes: NDArray[np.int32]
    """For each bucket, the length of its chain."""
    seen: NDArray[np.int32]
    """For each row, the last row it was compared with."""
    original: NDArray[np.int64]
    similarity: NDArray[np.float32]
    initial: int
    need: int
    """Least number of equal entries of a near-duplicate."""


def _nearest(tables: _Tables, row: int) -> tuple[int, int, int]:
    """Return the kept row that `row` repeats (-1: none), their equal entries, the steps spent."""
    signatures, links = tables.signatures, tables.links
    width = signatures.shape[1]
    match, most, steps = -1, tables.need - 1, 0
    for band in range(links.shape[1]):
        bucket = links[row, band]
        other = tables.heads[bucket] if bucket >= 0 else -1
        while other >= 0:
            steps += 1
            if tables.seen[other] != row:
                tables.seen[other] = row
                equal = 0
                for column in range(width):
                    equal += signatures[row, column] == signatures[other, column]
                if equal > most or (equal == most and other < match):
                    match, most = other, equal
            other = links[other, band]
    return match, most, steps


def _keep(tables: _Tables, row: int) -> None:
    """Put `row` where later rows will be compared with it."""
    group = tables.same[row]
    if group >= 0 and tables.first[group] < 0:
        tables.first[group] = row
    for band in range(tables.links.shape[1]):
        bucket = tables.links[row, band]
        if bucket >= 0 and tables.sizes[bucket] < _BUCKET:
            tables.links[row, band] = tables.heads[bucket]
            tables.heads[bucket] = row
            tables.sizes[bucket] += 1


@cache
def _compiled() -> Callable[[_Tables, int, int], int]:
    """Return the pass in row order, as machine code."""
    import numba

    compiled: Any = numba.njit
    nearest, keep = compiled(_nearest), compiled(_keep)

    def judge(tables: _Tables, row: int, steps: int) -> int:
        """Decide rows from `row` on until `steps` are spent; return the first one not decided."""
        n, width = tables.signatures.shape
        while row < n and steps > 0:
            match, equal, spent = -1, 0, 0
            if row >= tables.initial:
                group = tables.same[row]
                if group >= 0 and tables.first[group] >= 0:
                    match, equal = tables.first[group], width
                else:
                    match, equal, spent = nearest(tables, row)
            if match >= 0:
                tables.original[row] = match
                tables.similarity[row] = equal / width
            else:
                keep(tables, row)
            row, steps = row + 1, steps - spent - 1
        return row

    return compiled(judge)  # type: ignore[no-any-return]


def _links(
    signatures: NDArray[np.uint32], bands: int, rows: int, check: Callable[[], object]
) -> tuple[NDArray[np.int32], int]:
    """Return the bucket of each row in each band, shape (n, bands), and how many there are."""
    n = len(signatures)
    links = np.empty((n, bands), dtype=np.int32)
    buckets = 0
    for start in range(0, bands, _BANDS):
        stop = min(start + _BANDS, bands)
        keys = _band_keys(signatures, start * rows, (stop - start, rows), check)
        for band in range(start, stop):
            check()
            found, count = _buckets(keys[band - start])
            found[found >= 0] += buckets
            links[:, band] = found
            buckets += count
    return links, buckets


def _band_keys(
    signatures: NDArray[np.uint32],
    column: int,
    shape: tuple[int, int],
    check: Callable[[], object],
) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each band, shape (bands, n), of the bands from `column` on."""
    bands, rows = shape
    keys = np.empty((bands, len(signatures)), dtype=np.uint64)
    for start in range(0, len(signatures), _BLOCK):
        if start % (64 * _BLOCK) == 0:
            check()
        part = signatures[start : start + _BLOCK, column : column + bands * rows]
        numbers = part.reshape(len(part), bands, rows).astype(np.uint64)
        key = np.zeros(numbers.shape[:2], dtype=np.uint64)
        for place in range(rows):
            # One round of splitmix64 (Steele, Lea and Flood 2014) a number.
            key = (key ^ numbers[:, :, place]) + np.uint64(0x9E3779B97F4A7C15)
            key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            key ^= key >> np.uint64(31)
        keys[:, start : start + _BLOCK] = key.T
    return keys


def _buckets(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int32], int]:
    """Number the keys that occur more than once from 0; return it for each row, and how many.

    A row whose key occurs once gets -1.
    """
    order = np.argsort(keys)
    ordered = keys[order]
    begins = np.ones(len(keys), dtype=bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    shared = ~begins
    shared[:-1] |= ~begins[1:]
    numbers = np.cumsum(begins & shared, dtype=np.int32) - np.int32(1)
    found = np.full(len(keys), -1, dtype=np.int32)
    found[order[shared]] = numbers[shared]
    return found, int(numbers[-1]) + 1 if len(keys) else 0


def _read_only(signatures: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return a plain view that numba compiles for once, whether or not the file may be written."""
    view = np.ascontiguousarray(signatures).view(np.ndarray)
    view.flags.writeable = False
    return view


def _check_arguments(
    content_hashes: NDArray[np.uint64],
    signatures: NDArray[np.uint32],
    threshold: float,
    initial: int,
) -> None:
    """Refuse arrays that do not fit each other and numbers out of their range."""
    if signatures.ndim != 2 or signatures.dtype != np.uint32 or signatures.shape[1] == 0:
        raise ConfigError(
            f"Signatures must be uint32 of shape (n, permutations), got {signatures.dtype} of "
            f"shape {signatures.shape}. Make all of them with the same number of permutations."
        )
    if content_hashes.shape != signatures.shape[:1] or content_hashes.dtype != np.uint64:
        raise ConfigError(
            f"{len(signatures)} signatures need as many content hashes (uint64), got "
            f"{content_hashes.dtype} of shape {content_hashes.shape}. Give one for each row."
        )
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold}; set it above 0 and at most 1.")
    if not 0 <= initial <= len(signatures):
        raise ConfigError(f"initial is {initial}; set it between 0 and {len(signatures)}.")
