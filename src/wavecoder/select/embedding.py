"""Millions of functions become a file of vectors, a shard at a time.

```python
vectors = embed_records(ctx.upstream["collect"].records(RawCode), embedder, ctx.work,
                        identity={"lexical": {"dimensions": 256}}, seed=ctx.seed)
```

At most a few shards of functions are in memory. A killed call goes on behind the last shard that
was finished, and ends with the same bytes.

An embedder may say, as attributes, how it likes to be called; each has a default:

- `at_once: int = 512`: how many functions it is given at a time.
- `parallel: bool = False`: copies of it may work in several processes; it can be pickled.
- `cached: bool = False`: its vectors are worth keeping on disk for the next run, because they take
  long and do not depend on `fit`; a vector is found by the function's language, name, code and
  doc comment.
- `free: bool = False`: what it is given stays on this machine. Functions that hold a key or
  password are kept from any other.
- `dimensions: int`: how long its vectors are, where it knows that before it has made one.
"""

import heapq
import json
import pickle
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavecoder.artifact import writing
from wavecoder.errors import ArtifactError, ConfigError, ModelError
from wavecoder.executor import check_halt, map_ordered
from wavecoder.protocols import Embedder
from wavecoder.records import RawCode, digest
from wavecoder.select.vectors import DType, VectorCache, VectorFile, Vectors

__all__ = ["bytes_needed", "cache_name", "embed_records", "embed_shard"]

_SAMPLE = 20_000
"""Most functions that an embedder learns from."""
_SHARD = 4096
_CACHED_SHARD = 256
"""Functions in a shard, which is what a kill loses at most: fewer where each takes long."""
_AT_ONCE = 512


def embed_records(
    raw_codes: Iterable[RawCode],
    embedder: Embedder,
    folder: Path,
    *,
    identity: Mapping[str, object],
    seed: int,
    dtype: DType = "float32",
    cache: Path | None = None,
    processes: int = 1,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    on_width: Callable[[int], None] = lambda width: None,
    note: Callable[[str], None] = lambda text: None,
) -> "np.memmap[Any, Any]":
    """Write `vectors.npy` and return it, mapped read-only, of shape (functions, dimensions).

    Args:
        raw_codes: Read twice, or once where the file is complete already; never held.
        embedder: Learns from the functions of smallest content hash, then embeds all.
        folder: Where `vectors.npy` and `vectors.json` go.
        identity: What decides the vectors: the embedder's name, options, `identity()`.
        seed: The run's random seed, for `fit`.
        dtype: float16 halves disk and memory, and rounds to 3 digits.
        cache: Folder for an embedder that is `cached`; name it by `cache_name`.
        processes: How many may share the work of an embedder that is `parallel`.
        check: Called between batches; may raise StoppedError.
        progress: Told (functions finished, functions in all): at the start, then after batches.
        on_width: Told how long the vectors are before the functions are embedded; may raise.
        note: Told, once, how much room the vectors take.

    Raises:
        ConfigError: There is nothing to embed, or the embedder broke its contract.
        ModelError: The embedder gave what is no number, or does not work.
        ArtifactError: There is too little room on the disk, or it cannot be written.
        StoppedError: `check` said so; what was finished is on disk.
    """
    total, content, sample = _survey(raw_codes, check)
    if not total:
        raise ConfigError("There is no function to embed. Collect some first.")
    words = json.dumps(identity, sort_keys=True)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    file = VectorFile(folder, digest("vectors", words, dtype, str(seed), content), total, dtype)
    if file.complete:
        progress(total, total)
        vectors = file.finish()
        on_width(vectors.shape[1])
        return vectors
    embedder.fit(sample, seed)
    kept = VectorCache(cache) if cache is not None and getattr(embedder, "cached", False) else None
    width = file.width or (kept and kept.width) or _width(embedder, sample[0])
    del sample
    on_width(width)
    _announce(folder, total, file.done, width, dtype, cached=kept is not None, note=note)
    file.begin(width)
    progress(file.done, total)
    work = _Work(embedder, file, kept, width, total, check, progress)
    work.run(raw_codes, processes if getattr(embedder, "parallel", False) else 1)
    if not file.complete:
        raise ArtifactError(
            f"There were {total} functions at first and {file.done} later on. "
            f"Let nothing write into the run's folder meanwhile, and give the same command again."
        )
    return file.finish()


def bytes_needed(rows: int, width: int, dtype: DType = "float32") -> int:
    """Return the bytes of that many vectors: on disk, and in memory for who holds them all."""
    return rows * width * np.dtype(dtype).itemsize


def cache_name(identity: Mapping[str, object], dtype: DType = "float32") -> str:
    """Return the name of the cache's folder for an embedder: `runs/x/vectors/<name>`."""
    return digest("vector cache", json.dumps(identity, sort_keys=True), dtype)


def embed_shard(
    embedder: Embedder,
    raw_codes: Sequence[RawCode],
    *,
    width: int,
    dtype: DType,
    on_batch: Callable[[int], None] | None = None,
) -> Vectors:
    """Return the vectors of some functions, in order, of shape (len(raw_codes), width).

    The functions are embedded by falling length: those in a batch are about equally long, and what
    is too much for the memory is so at once.

    Args:
        embedder: Learnt already.
        raw_codes: The functions.
        width: How long a vector must be.
        dtype: What to return.
        on_batch: Told before each batch how many functions are finished; may raise. None asks
            whether the process shall halt.

    Raises:
        ConfigError: The embedder gave other than one vector of that width for each function.
        ModelError: It gave what is no number.
    """
    vectors = np.empty((len(raw_codes), width), dtype=dtype)
    order = sorted(range(len(raw_codes)), key=lambda row: (-len(raw_codes[row].code), row))
    at_once = getattr(embedder, "at_once", _AT_ONCE)
    for start in range(0, len(order), at_once):
        if on_batch is None:
            check_halt()
        else:
            on_batch(start)
        rows = order[start : start + at_once]
        batch = [raw_codes[row] for row in rows]
        vectors[rows] = _checked(embedder.embed(batch), batch, width, dtype)
    return vectors


def _embed_by_copy(
    pickled: bytes, raw_codes: Sequence[RawCode], *, width: int, dtype: DType
) -> Vectors:
    """Embed in another process, by its own copy of the embedder."""
    return embed_shard(_copy(pickled), raw_codes, width=width, dtype=dtype)


@lru_cache(maxsize=1)
def _copy(pickled: bytes) -> Embedder:
    """Return a process's copy, kept from shard to shard: it may have loaded a model."""
    embedder: Embedder = pickle.loads(pickled)
    return embedder


@dataclass
class _Shard:
    """Some functions on their way: those in the cache and those to embed."""

    keys: NDArray[np.uint64]
    found: NDArray[np.bool_]
    known: Vectors | None
    """The vectors of those that were found."""


@dataclass
class _Work:
    """What the shards of one call share."""

    embedder: Embedder
    file: VectorFile
    cache: VectorCache | None
    width: int
    total: int
    check: Callable[[], None]
    progress: Callable[[int, int], None]

    def run(self, raw_codes: Iterable[RawCode], processes: int) -> None:
        """Embed what is not yet in the file, and append it shard by shard."""
        how: dict[str, Any] = {"width": self.width, "dtype": self.file.dtype}
        embed: Callable[[list[RawCode]], Vectors]
        if processes == 1:
            embed = partial(embed_shard, self.embedder, **how, on_batch=self._on_batch)
        else:
            embed = partial(_embed_by_copy, pickle.dumps(self.embedder), **how)
        # Shards whose missing functions were handed out, in order; their vectors come back so.
        pending: deque[_Shard] = deque()
        missing = self._missing(raw_codes, pending)
        for vectors in map_ordered(embed, missing, processes=processes, check=self.check):
            shard = pending.popleft()
            if self.cache is not None:
                keys = shard.keys[~shard.found]
                # What comes twice gets the vector that is kept: had the call been killed behind the
                # next line, both would be read from there.
                _, first, place = np.unique(keys, return_index=True, return_inverse=True)
                vectors = vectors[first[place]]
                self.cache.add(keys, vectors)
            if shard.known is not None:
                both = np.empty((len(shard.keys), self.width), dtype=self.file.dtype)
                both[shard.found], both[~shard.found] = shard.known, vectors
                vectors = both
            self.file.append(vectors)
            self.progress(self.file.done, self.total)

    def _missing(
        self, raw_codes: Iterable[RawCode], pending: deque[_Shard]
    ) -> Iterator[list[RawCode]]:
        """Yield, shard by shard, the functions that are not in the cache."""
        left = islice(raw_codes, self.file.done, None)
        while batch := list(islice(left, _SHARD if self.cache is None else _CACHED_SHARD)):
            keys = np.array([_key(raw) for raw in batch], dtype=np.uint64)
            shard = _Shard(keys, np.zeros(len(batch), dtype=np.bool_), None)
            if self.cache is not None:
                shard.found, shard.known = self.cache.find(keys)
            pending.append(shard)
            yield [raw for raw, found in zip(batch, shard.found, strict=True) if not found]

    def _on_batch(self, finished: int) -> None:
        self.progress(self.file.done + finished, self.total)
        self.check()


def _survey(
    raw_codes: Iterable[RawCode], check: Callable[[], None]
) -> tuple[int, str, list[RawCode]]:
    """Return how many functions there are, a digest of them in order, and a sample.

    The sample is of those with the smallest content hash: it depends on no order, and a corpus that
    changes a little has nearly the same one.
    """
    hashed = blake2b(digest_size=8)
    count = 0

    def seen() -> Iterator[RawCode]:
        nonlocal count
        for raw in raw_codes:
            if count % _SHARD == 0:
                check()
            hashed.update(_key(raw).to_bytes(8, "little"))
            count += 1
            yield raw

    sample = heapq.nsmallest(
        _SAMPLE, seen(), key=lambda raw: (raw.content_hash, raw.language, raw.id)
    )
    return count, hashed.hexdigest(), sample


def _key(raw: RawCode) -> int:
    """Return 64 bits that stand for what an embedder may read of a function."""
    return int(digest(raw.language, raw.name, raw.code, raw.docstring or ""), 16)


def _width(embedder: Embedder, raw: RawCode) -> int:
    """Return how long the embedder's vectors are."""
    known = getattr(embedder, "dimensions", None)
    if isinstance(known, int):
        return known
    vectors = np.asarray(embedder.embed([raw]))
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ConfigError(
            f"The embedder gave an array of shape {vectors.shape} for one function, "
            f"{_where(raw)}. Mend it or use another."
        )
    return int(vectors.shape[1])


def _checked(vectors: object, batch: Sequence[RawCode], width: int, dtype: DType) -> Vectors:
    """Return what the embedder gave for `batch`, if it is what it must be."""
    do = "Mend it or use another."
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind != "f":
        got = vectors.dtype if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise ConfigError(
            f"The embedder gave {got} instead of float32 for {_where(batch[0])}. {do}"
        )
    if vectors.ndim != 2 or len(vectors) != len(batch):
        count = len(vectors) if vectors.ndim == 2 else f"an array of shape {vectors.shape}, not"
        raise ConfigError(
            f"The embedder gave {count} vectors for {len(batch)} functions, "
            f"the first of them {_where(batch[0])}. {do}"
        )
    if vectors.shape[1] != width:
        raise ConfigError(
            f"The embedder gave vectors of {width} numbers at first and of {vectors.shape[1]} "
            f"for {_where(batch[0])}. {do}"
        )
    with np.errstate(over="ignore"):
        rounded = vectors.astype(dtype, copy=False)
    bad = np.flatnonzero(~np.isfinite(rounded).all(axis=1))
    if len(bad):
        row = int(bad[0])
        if np.isfinite(vectors[row]).all():
            mend = "Set the vectors' dtype to float32." if dtype == "float16" else do
            raise ConfigError(
                f"The vector of {_where(batch[row])} is too large for {dtype}. {mend}"
            )
        raise ModelError(
            f"The embedder gave a vector that is not all numbers (NaN or infinity) for "
            f"{_where(batch[row])}. Look at that function, or use another embedder or dtype."
        )
    return rounded


def _where(raw: RawCode) -> str:
    """Return a function's name, id and place, for a message."""
    line = "" if raw.start_line is None else f":{raw.start_line}"
    return f"{raw.name} ({raw.id}, {raw.source} {raw.path}{line})"


def _announce(
    folder: Path,
    total: int,
    done: int,
    width: int,
    dtype: DType,
    *,
    cached: bool,
    note: Callable[[str], None],
) -> None:
    """Say how much room the vectors take, and refuse to begin where there is too little."""
    copies = 2 if cached else 1
    size = bytes_needed(total, width, dtype)
    note(
        f"{total:,} vectors of {width} numbers take {_size(size * copies)} on disk"
        + (", half of it kept for later runs" if cached else "")
    )
    needed = bytes_needed(total - done, width, dtype) * copies
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ArtifactError(
            f"The vectors of {total - done:,} functions need {_size(needed)} and {folder} has "
            f"{_size(free)} free. Make room, or take fewer dimensions or functions."
        )


def _size(count: int) -> str:
    """Return a number of bytes for a person."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
