"""Datasets in the forms they come in: read in batches, written again without some of their rows.

| what                              | rows                         | written as              |
|-----------------------------------|------------------------------|-------------------------|
| `.jsonl`, `.ndjson` (`.gz` …)     | a line, counted from 1       | the same lines          |
| `.json` (`.json.gz`)              | an item of the list          | a list, an item a line  |
| `.parquet`, `.parq`, `.pq`        | a row                        | the same columns        |
| a run, or the folder of its stage | a record of the last stage   | parquet                 |

At most a batch is in memory, and never more than 16 MiB of one row.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Set
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from wavecoder.artifact import Artifact, writing
from wavecoder.collect.sources.rows import LONGEST_LINE, SUFFIXES, Fault, arrow_cells, lines
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.pipeline import STAGES

__all__ = ["Batch", "Dataset", "cells_of", "open_dataset"]

_ROWS, _BYTES = 256, 2**20
_CHUNK = 2**20
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_COLUMNS = 512


class Batch(NamedTuple):
    """Some rows; can be pickled."""

    numbers: tuple[int, ...]
    texts: tuple[bytes | Fault, ...]
    """JSON; empty where there is a table."""
    table: Any = None
    """An Arrow batch."""


class Dataset(NamedTuple):
    """A dataset on disk."""

    path: Path
    """The file that holds the rows."""
    kind: str
    """`jsonl`, `json` or `parquet`."""

    @property
    def clean_name(self) -> str:
        """Return what a file of the same form is called: `clean.jsonl.gz`."""
        suffixes = [one.lower() for one in self.path.suffixes]
        if self.kind == "parquet":
            return "clean.parquet"
        packed = suffixes[-1] if suffixes[-1] in _CODECS else ""
        return f"clean.{self.kind}{packed}"

    def batches(self) -> Iterator[Batch]:
        """Yield all rows, a few hundred at a time; what cannot be read is a fault in its place."""
        if self.kind == "parquet":
            yield from self._tables()
            return
        numbers: list[int] = []
        texts: list[bytes | Fault] = []
        size = 0
        for number, text in self._texts():
            numbers.append(number)
            texts.append(text)
            size += len(text)
            if len(texts) == _ROWS or size >= _BYTES:
                yield Batch(tuple(numbers), tuple(texts))
                numbers, texts, size = [], [], 0
        if texts:
            yield Batch(tuple(numbers), tuple(texts))

    def write_without(self, removed: Set[int], path: Path) -> int:
        """Write the other rows in the same form, whole or not at all, and return how many.

        Raises:
            ArtifactError: The file cannot be written.
        """
        partial = path.with_name(path.name + ".partial")
        with writing(path):
            if self.kind == "parquet":
                count = self._write_table(removed, partial)
            else:
                count = self._write_texts(removed, partial)
            partial.replace(path)
        return count

    def _texts(self) -> Iterator[tuple[int, bytes | Fault]]:
        if self.kind == "json":
            yield from _items(self.path)
            return
        for number, line in lines(self.path):
            if isinstance(line, Fault) or line.strip():
                yield number, line

    def _tables(self) -> Iterator[Batch]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path, pre_buffer=False) as file:
                first = 1
                for batch in file.iter_batches(_ROWS, use_threads=False):
                    yield Batch(tuple(range(first, first + batch.num_rows)), (), batch)
                    first += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(
                f"{self.path} cannot be read as parquet: {str(error).splitlines()[0]}. "
                f"Get it again."
            ) from error

    def _write_texts(self, removed: Set[int], path: Path) -> int:
        import pyarrow as pa

        codec = _CODECS.get(path.with_suffix("").suffix)  # `.partial` stands behind it
        before, after = ("[\n", "\n]\n") if self.kind == "json" else ("", "")
        between = ",\n" if self.kind == "json" else "\n"
        count = 0
        with closing(pa.output_stream(str(path), compression=codec)) as file:
            for number, text in self._texts():
                if number in removed or isinstance(text, Fault):
                    continue
                file.write((between if count else before).encode() + text)
                count += 1
            end = after if count or self.kind == "jsonl" else "[]\n"
            file.write((end or ("\n" if count else "")).encode())
        return count

    def _write_table(self, removed: Set[int], path: Path) -> int:
        import pyarrow as pa
        from pyarrow import parquet

        count = 0
        with parquet.ParquetWriter(
            path, parquet.read_schema(self.path), compression="zstd"
        ) as file:
            waiting: list[Any] = []
            for batch in self._tables():
                kept = pa.array([number not in removed for number in batch.numbers])
                waiting.append(batch.table.filter(kept))
                count += waiting[-1].num_rows
                if len(waiting) * _ROWS >= _COLUMNS * 20:
                    file.write_table(pa.Table.from_batches(waiting))
                    waiting = []
            if waiting:
                file.write_table(pa.Table.from_batches(waiting))
        return count


def open_dataset(path: Path) -> Dataset:
    """Return what is at a path as a dataset.

    Raises:
        ConfigError: There is nothing, or nothing of a known form.
        ArtifactError: A run's stage is not complete.
    """
    if path.is_dir():
        return _records(path)
    if not path.is_file():
        raise ConfigError(f"There is no dataset {path}. Give a file, or the folder of a run.")
    name = path.name.lower()
    kinds = {
        "jsonl": SUFFIXES["jsonl"],
        "json": (".json", ".json.gz"),
        "parquet": SUFFIXES["parquet"],
    }
    for kind, ends in kinds.items():
        if name.endswith(ends):
            return Dataset(path, kind)
    raise ConfigError(
        f"{path} is in no form that is known by its name. Known: .jsonl, .ndjson, .json (.gz), "
        f".parquet, and the folder of a run."
    )


def cells_of(batch: Batch) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """Yield the rows of a batch with their numbers."""
    if batch.table is not None:
        yield from zip(batch.numbers, arrow_cells(batch.table), strict=True)
        return
    for number, text in zip(batch.numbers, batch.texts, strict=True):
        yield number, text if isinstance(text, Fault) else _object(text)


def _object(text: bytes) -> dict[str, Any] | Fault:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Fault("invalid_json", f"it is no JSON: {str(error).splitlines()[0]}")
    if not isinstance(found, dict):
        return Fault("no_object", f"it is a JSON {type(found).__name__}, an object is wanted")
    return found


def _records(folder: Path) -> Dataset:
    """Return the records of a stage's folder, or of the last stage of a run that has some."""
    if (folder / "manifest.json").exists() or (folder / "started.json").exists():
        return Dataset(Artifact.open(folder).folder / "records.parquet", "parquet")
    for stage in ("regenerate", "generate", "select", "collect"):
        number = [one.name for one in STAGES].index(stage) + 1
        inner = folder / f"{number}-{stage}"
        if inner.is_dir():
            return Dataset(Artifact.open(inner).folder / "records.parquet", "parquet")
    raise ConfigError(
        f"{folder} is no run and no stage of one. Give a file, or the folder of a run that went "
        f"through collect."
    )


def _items(path: Path) -> Iterator[tuple[int, bytes | Fault]]:
    """Yield the items of a JSON list one by one, as they are written."""
    number, text, at = 1, "", 0
    decoder = json.JSONDecoder()
    chunks = _json_chunks(path)
    ended = False
    need = 0
    while True:
        text, at, ended = _more(chunks, text[at:], need)
        rest = text.lstrip(" \t\r\n")
        at = len(text) - len(rest)
        if number == 1 and need == 0 and not rest.startswith("["):
            yield 0, Fault("no_list", "it is no JSON list")
            return
        if number == 1 and need == 0:
            at += 1
        while True:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            if at < len(text) and text[at] == "]":
                return
            try:
                _, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                if ended or len(text) - at > LONGEST_LINE:
                    yield number, Fault("invalid_json", f"it is no JSON: {error}")
                    return
                need = max(2 * (len(text) - at), _CHUNK)
                break
            yield number, text[at:end].encode("utf-8", "surrogatepass")
            number, at = number + 1, end


def _more(chunks: Iterator[str], text: str, need: int) -> tuple[str, int, bool]:
    """Return the text with more behind it, until it is `need` long, and whether that is all."""
    parts, size = [text], len(text)
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > need:
            return "".join(parts), 0, False
    return "".join(parts), 0, True


def _json_chunks(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield decoder.decode(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise ArtifactError(f"{path} cannot be read on: {error}. Get it again.") from error
