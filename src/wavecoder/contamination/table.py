"""Hashes of runs of tokens, and which texts have them: what an index is made of."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavecoder.contamination.tokens import Hashes, Tokens, compiled, runs, span

__all__ = ["Found", "Table", "Unit", "make_table"]

# A bit for each hash in 32, so that nearly all runs that are not there are known by one look.
_BITS_PER_KEY = 32


class Unit(NamedTuple):
    """A text that is looked for."""

    problem: int
    """Whose it is: a place in the index's list of problems."""
    part: int
    """A place in `index.PARTS`."""
    family: str
    """Equal for the same problem in several benchmarks and languages."""
    tokens: Tokens


class Found(NamedTuple):
    """A text that was found, in part or whole."""

    unit: int
    score: float
    """The share of its runs that are there; 1 for the whole text."""
    first: int
    """The first and the last token of the document that belong to it."""
    last: int


class Table(NamedTuple):
    """Runs of some units. Nothing in it is text: 64-bit hashes and numbers."""

    run: int
    """Tokens in a run."""
    blind: bool
    """Names do not count."""
    keys: Hashes
    """The runs' hashes, sorted."""
    bits: NDArray[np.uint64]
    """A Bloom filter of one hash function over the keys."""
    offsets: NDArray[np.int64]
    """The units of key i are `owners[offsets[i]:offsets[i + 1]]`."""
    owners: NDArray[np.int32]
    problems: NDArray[np.int32]
    """Shape (units,), and so are those below."""
    parts: NDArray[np.uint8]
    sizes: NDArray[np.int32]
    """How many distinct runs of a unit are in the table."""
    lengths: NDArray[np.int32]
    """Tokens of a unit."""
    anchors: NDArray[np.int32]
    """Of a table for whole texts: where in the unit its only run begins; else empty."""
    spans: Hashes
    """Of a table for whole texts: the hash of all tokens of a unit; else empty."""

    def containing(self, tokens: Tokens, share: float, *, near: bool = False) -> list[Found]:
        """Return the units of which a document has at least that share of runs.

        Args:
            tokens: The document's.
            share: From 0 to 1.
            near: The runs must lie close together, in a stretch twice as long as the unit.
        """
        places, keys = self._look_up(tokens)
        if not len(keys):
            return []
        distinct = np.unique(keys)
        owners = self._owners(distinct)
        units, counts = np.unique(owners, return_counts=True)
        enough = counts >= share * self.sizes[units]
        found = []
        for unit in units[enough]:
            mine = self._mine(int(unit), places, keys)
            first, last, count = _closest(
                *mine, 2 * int(self.lengths[unit]) if near else len(tokens.starts) + 1
            )
            score = count / int(self.sizes[unit])
            if score >= share:
                found.append(Found(int(unit), score, first, last + self.run - 1))
        return found

    def whole(self, tokens: Tokens) -> list[Found]:
        """Return the units that a document has from their first token to their last."""
        places, keys = self._look_up(tokens)
        found: dict[int, Found] = {}
        for place, key in zip(places.tolist(), keys.tolist(), strict=True):
            for unit in self.owners[self.offsets[key] : self.offsets[key + 1]].tolist():
                start = place - int(self.anchors[unit])
                end = start + int(self.lengths[unit])
                if start < 0 or end > len(tokens.hashes) or unit in found:
                    continue
                if span(tokens.hashes[start:end]) == int(self.spans[unit]):
                    found[unit] = Found(unit, 1.0, start, end - 1)
        return list(found.values())

    def _look_up(self, tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the document has runs of the table, and which."""
        places, keys = _look_up(runs(tokens, self.run, blind=self.blind), self.keys, self.bits)
        return places, keys

    def _owners(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        parts = [self.owners[self.offsets[key] : self.offsets[key + 1]] for key in keys]
        return np.concatenate(parts)

    def _mine(
        self, unit: int, places: NDArray[np.int64], keys: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return those of the runs that belong to a unit."""
        distinct = np.unique(keys)
        own = [
            key
            for key in distinct
            if unit in self.owners[self.offsets[key] : self.offsets[key + 1]]
        ]
        mine = np.isin(keys, own)
        return places[mine], keys[mine]


def make_table(
    units: Iterable[Unit],
    run: int,
    *,
    fewest: int,
    most_families: int = 0,
    blind: bool = False,
    whole: bool = False,
) -> Table:
    """Return the table of some units.

    Args:
        units: Texts; what is too short is left out.
        run: Tokens in a run.
        fewest: Fewest tokens of a unit.
        most_families: A run that more problems share says nothing of any, and is left out.
        blind: Names do not count.
        whole: The table is for whole texts: one run of each unit, the rarest.
    """
    kept = [unit for unit in units if len(unit.tokens.starts) >= max(fewest, run)]
    all_runs = [runs(unit.tokens, run, blind=blind) for unit in kept]
    common = _too_common(kept, all_runs, most_families) if not whole else frozenset[int]()
    counts = Counter(key for own in all_runs for key in set(own.tolist()))
    pairs: list[tuple[int, int]] = []
    sizes: list[int] = []
    anchors: list[int] = []
    rows: list[Unit] = []
    for unit, own in zip(kept, all_runs, strict=True):
        distinct = set(own.tolist()) - common
        if whole:
            rarest = int(np.argmin([counts[key] for key in own.tolist()]))
            anchors.append(rarest)
            distinct = {int(own[rarest])}
        if not distinct:
            continue
        pairs += ((key, len(rows)) for key in distinct)
        rows.append(unit)
        sizes.append(len(distinct))
    return _packed(pairs, rows, sizes, anchors, run=run, blind=blind)


def _too_common(units: Sequence[Unit], found: Sequence[Hashes], most: int) -> frozenset[int]:
    families: dict[int, set[str]] = {}
    for unit, own in zip(units, found, strict=True):
        for key in set(own.tolist()):
            families.setdefault(key, set()).add(unit.family)
    return frozenset(key for key, names in families.items() if len(names) > most)


def _packed(
    pairs: list[tuple[int, int]],
    rows: Sequence[Unit],
    sizes: Sequence[int],
    anchors: Sequence[int],
    *,
    run: int,
    blind: bool,
) -> Table:
    pairs.sort()
    all_keys = np.array([key for key, _ in pairs], dtype=np.uint64)
    keys, first = np.unique(all_keys, return_index=True)
    size = 1 << max(6, (max(1, len(keys)) * _BITS_PER_KEY - 1).bit_length())
    bits = np.zeros(size // 64, dtype=np.uint64)
    places = keys & np.uint64(size - 1)
    np.bitwise_or.at(
        bits, (places >> np.uint64(6)).astype(np.int64), np.uint64(1) << (places & np.uint64(63))
    )
    spans = [span(unit.tokens.hashes) for unit in rows] if anchors else []
    return Table(
        run=run,
        blind=blind,
        keys=keys,
        bits=bits,
        offsets=np.append(first, len(all_keys)).astype(np.int64),
        owners=np.array([owner for _, owner in pairs], dtype=np.int32),
        problems=np.array([unit.problem for unit in rows], dtype=np.int32),
        parts=np.array([unit.part for unit in rows], dtype=np.uint8),
        sizes=np.array(sizes, dtype=np.int32),
        lengths=np.array([len(unit.tokens.starts) for unit in rows], dtype=np.int32),
        anchors=np.array(anchors, dtype=np.int32),
        spans=np.array(spans, dtype=np.uint64),
    )


@compiled
def _look_up(found: Any, keys: Any, bits: Any) -> Any:
    mask = np.uint64(len(bits) * 64 - 1)
    places = np.empty(len(found), dtype=np.int64)
    which = np.empty(len(found), dtype=np.int64)
    count = 0
    for at in range(len(found)):
        bit = found[at] & mask
        if not (bits[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1):
            continue
        key = np.searchsorted(keys, found[at])
        if key < len(keys) and keys[key] == found[at]:
            places[count], which[count] = at, key
            count += 1
    return places[:count].copy(), which[:count].copy()


def _closest(
    places: NDArray[np.int64], keys: NDArray[np.int64], width: int
) -> tuple[int, int, int]:
    """Return the stretch of at most `width` tokens with the most distinct keys, and how many."""
    best = (0, 0, 0)
    inside: Counter[int] = Counter()
    left = 0
    for right, key in enumerate(keys.tolist()):
        inside[key] += 1
        while places[right] - places[left] > width:
            gone = int(keys[left])
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            left += 1
        if len(inside) > best[2]:
            best = (int(places[left]), int(places[right]), len(inside))
    return best
