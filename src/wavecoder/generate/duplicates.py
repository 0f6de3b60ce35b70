"""Which accepted instance does another one nearly repeat?

Two instances are near-duplicates where the sets of their shingles, runs of three tokens of the
instruction and the solution, have a Jaccard similarity of at least `_THRESHOLD`, estimated by
MinHash (Broder 1997); instances of another task or other languages are none. Candidates are found
by bands of the signature (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3).
Instances are compared with those accepted before them, so that the answer hangs on the order of
the functions and on nothing else.
"""

import re
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavecoder.records import Instance

__all__ = ["AcceptedInstances"]

_THRESHOLD = 0.8
"""What an editor would call the same exercise: at 0.8 a few words differ. Exercises of one kind
that share a frame ("Write a Python function … that returns …") stay well below."""
_PERMUTATIONS, _BANDS = 60, 10
"""Ten bands of six numbers: a pair of similarity 0.8 shares one with probability 0.95, one of 0.9
with 0.9995, one of 0.5 with 0.15 (and is then compared)."""
_BUCKET = 64
"""Most instances of a bucket that one is compared with; more share a band of boilerplate."""
# Decides every signature, with rensa's version.
_SEED = 1
_TOKEN = re.compile(r"\w+|[^\w\s\ud800-\udfff]")


class AcceptedInstances:
    """The accepted instances so far, by their signatures: about a kilobyte each."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._signatures: NDArray[np.uint32] = np.empty((64, _PERMUTATIONS), dtype=np.uint32)
        # By a hash of task, languages, band and its numbers: those that have them. One number
        # where it is one, as it nearly always is.
        self._buckets: dict[int, int | tuple[int, ...]] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._ids)

    def add(self, instance: Instance) -> None:
        """Take an instance, whatever it repeats."""
        signature = _signature(instance)
        self._take(instance.id, signature, _keys(instance, signature))

    def add_new(self, instance: Instance) -> tuple[str, float] | None:
        """Take an instance, or return the id of the one that it nearly repeats and the similarity.

        The most similar one is named, the earliest of equals. A near-duplicate is not taken, so
        that a chain of small changes does not run away from where it began.
        """
        signature = _signature(instance)
        keys = _keys(instance, signature)
        best: tuple[str, float] | None = None
        for number in sorted({other for key in keys for other in self._others(key)}):
            similarity = float(np.mean(self._signatures[number] == signature))
            if similarity >= _THRESHOLD and (best is None or similarity > best[1]):
                best = self._ids[number], similarity
        if best is None:
            self._take(instance.id, signature, keys)
        return best

    def _others(self, key: int) -> tuple[int, ...]:
        found = self._buckets.get(key, ())
        return (found,) if isinstance(found, int) else found

    def _take(self, name: str, signature: NDArray[np.uint32], keys: list[int]) -> None:
        number = len(self._ids)
        if number == len(self._signatures):
            more = np.empty_like(self._signatures)
            self._signatures = np.concatenate((self._signatures, more))
        self._signatures[number] = signature
        self._ids.append(name)
        for key in keys:
            others = self._others(key)
            if len(others) < _BUCKET:
                self._buckets[key] = (*others, number) if others else number


def _signature(instance: Instance) -> NDArray[np.uint32]:
    import rensa

    tokens = _TOKEN.findall(f"{instance.instruction}\n{instance.solution}")
    sketch: Any = rensa.RMinHash(_PERMUTATIONS, _SEED)
    sketch.update(list(map(" ".join, zip(tokens, tokens[1:], tokens[2:], strict=False))) or tokens)
    return np.asarray(sketch.digest(), dtype=np.uint32)


def _keys(instance: Instance, signature: NDArray[np.uint32]) -> list[int]:
    """Return a hash of each band; those of other tasks or languages are never equal to it."""
    kind = f"{instance.task} {instance.language} {instance.target_language}".encode()
    return [
        int.from_bytes(blake2b(bytes([number]) + kind + band.tobytes(), digest_size=7).digest())
        for number, band in enumerate(signature.reshape(_BANDS, -1))
    ]
