"""Which candidates repeat another one, exactly or nearly: decided over all of them, in order.

`near_duplicates.py` holds the method; this file brings the rows to it and the decisions back.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavecoder.artifact import Artifact, writing
from wavecoder.collect.near_duplicates import NearDuplicates, find_duplicates, signatures
from wavecoder.errors import ConfigError
from wavecoder.records import RawCode, digest, place

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Candidates", "Earlier"]


class _Known(NamedTuple):
    """A function of an earlier dataset."""

    code: str
    where: str


class Earlier:
    """Functions of earlier datasets: stage folders, or files with a column `code`."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        """Name them: a folder with a manifest.json, or a .jsonl or .parquet file."""
        self._paths = paths

    def identity(self) -> list[str]:
        """Return what stands for the content of each.

        Raises:
            ConfigError: One cannot be read.
        """
        return [self._identity(path) for path in self._paths]

    @cached_property
    def functions(self) -> tuple[_Known, ...]:
        """The functions, in order.

        Raises:
            ConfigError: A file cannot be read or has no column `code`.
        """
        return tuple(known for path in self._paths for known in self._read(path))

    def _identity(self, path: Path) -> str:
        if path.is_dir():
            if not (path / "manifest.json").exists():
                raise ConfigError(
                    f"{path} is no stage folder: it has no manifest.json. "
                    f"Name one, such as runs/demo/2-select, or a .jsonl or .parquet file."
                )
            return Artifact.open(path).manifest.records_sha256
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(
                f"Cannot read the earlier dataset {path}: {error.strerror}. Check the path."
            ) from error

    def _read(self, path: Path) -> Iterator[_Known]:
        if path.is_dir():
            for raw in Artifact.open(path).records(RawCode):
                yield _Known(raw.code, f"{path.name}: {raw.source}/{raw.path} {raw.name}")
            return
        number = 0
        try:
            for number, row in enumerate(_rows(path), 1):
                yield _Known(row["code"].rstrip(), f"{path.name}: row {number}")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"The earlier dataset {path} cannot be used: row {number} has no text `code` "
                f"({error}). Give a .jsonl or .parquet file with a column `code`."
            ) from error


class Candidates:
    """What passed the filters, gathered part by part; then the duplicates among it.

    The signatures are kept in a file, so that memory grows by some hundred bytes a function only.
    """

    def __init__(self, folder: Path, near: NearDuplicates | None, earlier: Earlier) -> None:
        """Begin with the earlier functions, which are kept whatever they are."""
        self._near = near
        self._known = earlier.functions
        self._hashes: list[NDArray[np.uint64]] = []
        self._path = folder / "signatures"
        self._length = 0
        self._judged = 0
        self._content = np.empty(0, np.uint64)
        self._original = np.empty(0, np.int64)
        self._similarity = np.empty(0, np.float32)
        self._named = np.empty(0, bool)
        self._where: dict[int, str] = {}
        """Of the rows that others repeat, once they were judged."""
        with writing(self._path):
            self._file = self._path.open("wb")
        codes = [known.code for known in self._known]
        data = b""
        if near is not None:
            rows = signatures(codes, shingle=near.shingle, permutations=near.permutations)
            data = rows.tobytes()
        self._append([digest(code) for code in codes], data)

    def __enter__(self) -> "Candidates":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        with writing(self._path):  # what a full disk did not take before, it does not take now
            self._file.close()

    def __len__(self) -> int:
        """Return how many functions there are, earlier ones included."""
        return self._length

    def add(self, table: "pa.Table") -> None:
        """Take the candidates of a part: columns content_hash, reason, and signature if needed."""
        import pyarrow.compute as pc

        table = table.filter(pc.is_null(table["reason"]))
        data = b"" if self._near is None else b"".join(table["signature"].to_pylist())
        self._append(table["content_hash"].to_pylist(), data)

    def decide(self, check: Callable[[], None]) -> None:
        """Find the duplicates.

        Args:
            check: Called several times a second; may raise.
        """
        with writing(self._path):
            self._file.flush()
        self._content = np.concatenate([np.empty(0, np.uint64), *self._hashes])
        self._hashes.clear()
        initial = len(self._known)
        if self._near is None or not self._length:
            self._original = _exact(self._content, initial)
            self._similarity = np.ones(self._length, dtype=np.float32)
        else:
            shape = (self._length, self._near.permutations)
            rows = np.memmap(self._path, np.uint32, "r", shape=shape)
            self._original, self._similarity = find_duplicates(
                self._content, rows, self._near.threshold, initial=initial, check=check
            )
        self._named = np.zeros(self._length, dtype=bool)
        self._named[self._original[self._original >= 0]] = True
        self._where = {
            row: known.where for row, known in enumerate(self._known) if self._named[row]
        }
        self._judged = initial

    def judge(self, table: "pa.Table") -> "pa.Table":
        """Return the next part with reason and detail for its duplicates; parts in order."""
        import pyarrow as pa

        reasons, details = table["reason"].to_pylist(), table["detail"].to_pylist()
        rows = [row for row, reason in enumerate(reasons) if reason is None]
        for number, row in enumerate(rows, self._judged):
            if self._named[number]:
                self._where[number] = _where(table, row)
            original = int(self._original[number])
            if original >= 0:
                reasons[row], detail = self._reason(number, original)
                details[row] = f"{_where(table, row)}: {detail}"
        self._judged += len(rows)
        for name, values in (("reason", reasons), ("detail", details)):
            column = table.column_names.index(name)
            table = table.set_column(column, name, pa.array(values, pa.string()))
        return table

    def _reason(self, row: int, original: int) -> tuple[str, str]:
        where = self._where[original]
        if self._content[row] == self._content[original]:
            return "duplicate", f"the same text as {where}"
        return "near_duplicate", f"{self._similarity[row]:.2f} similar to {where}"

    def _append(self, hashes: list[str], data: bytes) -> None:
        self._hashes.append(np.array([int(text, 16) for text in hashes], dtype=np.uint64))
        self._length += len(hashes)
        with writing(self._path):
            self._file.write(data)


def _exact(content: NDArray[np.uint64], initial: int) -> NDArray[np.int64]:
    """Return, for each row, the first row of the same content, or -1 where that is itself."""
    _, first, group = np.unique(content, return_index=True, return_inverse=True)
    original = first[group].astype(np.int64)
    original[original == np.arange(len(content))] = -1
    original[:initial] = -1
    return original


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a .parquet or .jsonl file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["code"]):
                yield from batch.to_pylist()
    else:
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _where(table: "pa.Table", row: int) -> str:
    columns = ("source", "path", "start_line", "name")
    return place(*(table[name][row].as_py() for name in columns))
