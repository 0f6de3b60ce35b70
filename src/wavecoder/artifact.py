"""The folder a stage leaves behind, and everything the next stage needs.

```text
2-select/
├── config.yaml       resolved; no secrets
├── records.parquet   what was kept, in outcome order
├── rejected.parquet  id, reason, detail (and the refused instance, where there is one)
├── files/            vectors.npy, radii.npy, report.html, …
└── manifest.json     written last, atomically: it exists = the stage is complete
```

While a stage runs, its folder holds `started.json` (what it is) and, where the stage streams,
`journal.jsonl` (its outcomes so far, one line each); both are gone once the manifest exists.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from wavecoder.errors import ArtifactError, RecordError
from wavecoder.records import Record, Rejected

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = [
    "Artifact",
    "Manifest",
    "ParquetFile",
    "Records",
    "Rows",
    "Tokens",
    "read_json",
    "schema_of",
    "write_text",
    "writing",
]

R = TypeVar("R", bound=Record)

_ROWS_PER_GROUP = 10_000
_ROWS_AT_ONCE = 500  # rows that wait to become a table: as dicts they take ten times the room


class Tokens(BaseModel):
    """What a model read and wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    prompt: int = 0
    completion: int = 0
    uncounted: int = 0
    """Replies whose endpoint did not say how many tokens they had."""

    def __add__(self, other: "Tokens") -> "Tokens":
        """Add all counts."""
        return Tokens(
            prompt=self.prompt + other.prompt,
            completion=self.completion + other.completion,
            uncounted=self.uncounted + other.uncounted,
        )


class Manifest(BaseModel):
    """What a complete artifact says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    stage: str
    data_version: int
    fingerprint: str
    """Hash of stage, data version, seed, identity and upstream fingerprint."""
    identity: dict[str, JsonValue]
    """What decided the output: config, prompts, model revisions, source listing."""
    seed: int
    upstream: str | None
    """Fingerprint of the artifact before this one."""
    package_version: str
    inputs: int
    kept: int
    rejected: dict[str, int]
    """Counts by reason slug; kept + their sum = inputs."""
    seconds: float
    """Wall seconds spent on the outcomes: of a stage that streams in all its starts, of another in
    the last one."""
    usage: dict[str, Tokens]
    """Tokens that the outcomes rest on, by model."""
    records_sha256: str
    """SHA-256 of records.parquet."""

    @property
    def tokens(self) -> Tokens:
        """Tokens of all models together."""
        return sum(self.usage.values(), Tokens())


@dataclass(frozen=True)
class Rows:
    """Many inputs or outcomes at once, as an Arrow table: for stages that have millions."""

    table: "pa.Table"
    """Its column `id` names them; outcomes have the columns of what the stage writes, or of
    `Rejected`."""
    kept: bool = True
    """Of outcomes: False where they are `Rejected`."""

    def __len__(self) -> int:
        """Return their number."""
        return int(self.table.num_rows)


class Records(Iterable[R], Generic[R]):
    """The records of an artifact: sized, and read anew from disk at each iteration."""

    def __init__(self, path: Path, record: type[R]) -> None:
        """Name the parquet file and the class of its rows."""
        self._path = path
        self._record = record

    def __len__(self) -> int:
        """Return the number of rows, without reading them.

        Raises:
            ArtifactError: The file is missing or damaged.
        """
        with self._open() as file:
            return int(file.metadata.num_rows)

    def __iter__(self) -> Iterator[R]:
        """Yield the rows in order.

        Raises:
            ArtifactError: The file is missing or damaged.
            RecordError: A row does not have the shape of the class.
        """
        for table in self.tables(rows=1_000):
            yield from self._records(table)

    def tables(self, columns: Sequence[str] | None = None, rows: int = 10_000) -> "Iterator[Any]":
        """Yield the rows in order as Arrow tables of at most `rows` rows.

        Args:
            columns: Names of the columns wanted; None for all.
            rows: Most rows of a table.

        Raises:
            ArtifactError: The file is missing or damaged.
        """
        import pyarrow as pa

        with self._open() as file:
            for batch in file.iter_batches(batch_size=rows, columns=columns):
                yield pa.Table.from_batches([batch])

    def take(self, rows: Sequence[int]) -> list[R]:
        """Return the rows at those places, in that order; only their row groups are read.

        Raises:
            ArtifactError: The file is missing or damaged.
            RecordError: A row does not have the shape of the class.
        """
        found: dict[int, R] = {}
        with self._open() as file:
            first = 0
            wanted = sorted(set(rows))
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                here = [row - first for row in wanted if first <= row < first + count]
                if here:
                    table = file.read_row_group(group).take(here)
                    places = (first + row for row in here)
                    found.update(zip(places, self._records(table), strict=True))
                first += count
        return [found[row] for row in rows]

    def _records(self, table: "pa.Table") -> Iterator[R]:
        for row in table.to_pylist():
            try:
                yield self._record.model_validate(row)
            except ValidationError as error:
                raise RecordError(
                    f"{self._path} holds a row that is no {self._record.__name__}: "
                    f"{error.errors()[0]['msg']}. Make the artifact again with "
                    f"--on-existing replace."
                ) from error

    @contextmanager
    def _open(self) -> "Iterator[pq.ParquetFile]":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self._path) as file:
                yield file
        except (OSError, pa.ArrowInvalid) as error:
            raise ArtifactError(
                f"Cannot read {self._path}: {error}. "
                f"Make the artifact again with --on-existing replace."
            ) from error


class Artifact:
    """A complete stage folder."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Name the folder and its manifest; use `Artifact.open` to read one from disk."""
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> "Artifact":
        """Read the manifest in `folder`.

        Raises:
            ArtifactError: There is no manifest (the stage is not complete), or it is damaged.
        """
        path = folder / "manifest.json"
        try:
            return cls(folder, Manifest.model_validate_json(path.read_bytes()))
        except FileNotFoundError as error:
            raise ArtifactError(
                f"{folder} is not a complete artifact: it has no manifest.json. "
                f"Finish it with the `wavecoder run` command that began it."
            ) from error
        except ValidationError as error:
            raise ArtifactError(
                f"{path} is damaged: {error.errors()[0]['msg']}. "
                f"Make the artifact again with --on-existing replace."
            ) from error

    @property
    def files(self) -> Path:
        """Folder of what is not a record: vectors, weights, pages."""
        return self.folder / "files"

    def records(self, record: type[R]) -> Records[R]:
        """Return what the stage kept."""
        return Records(self.folder / "records.parquet", record)

    def rejected(self) -> Records[Rejected]:
        """Return what it rejected, each with its reason."""
        return Records(self.folder / "rejected.parquet", Rejected)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError while writing `path` into an ArtifactError that says what to do."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"Cannot write {path}: {error.strerror or error}. Nothing finished is lost: "
            f"make room or access, then give the same command again."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: temporary file, fsync, rename."""
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


class ParquetFile:
    """A parquet file being written with the schema of a record class, whole or not at all.

    The same rows give the same bytes under one pyarrow version, however they are portioned.
    """

    def __init__(self, path: Path, record: type[Record]) -> None:
        """Open a temporary file beside `path`."""
        import pyarrow.parquet as pq

        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._schema = schema_of(record)
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._waiting = 0
        with writing(path):
            self._writer = pq.ParquetWriter(self._partial, self._schema, compression="zstd")

    def add(self, row: dict[str, Any]) -> None:
        """Write a row."""
        self._rows.append(row)
        if len(self._rows) == _ROWS_AT_ONCE:
            self._settle()

    def add_table(self, table: "pa.Table") -> None:
        """Write rows that are a table already; its columns may stand in any order."""
        self._settle()
        self._tables.append(table.select(self._schema.names).cast(self._schema))
        self._waiting += table.num_rows
        self._write(whole=True)

    def close(self) -> str:
        """Write the rest, give the file its name and return its SHA-256."""
        self._settle()
        self._write(whole=False)
        with writing(self._path):
            self._writer.close()
            with self._partial.open("rb") as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            self._partial.replace(self._path)
        return checksum

    def abandon(self) -> None:
        """Leave no file behind; nothing to do after `close`."""
        with writing(self._path):
            self._writer.close()
            self._partial.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Turn single rows into a table."""
        import pyarrow as pa

        if self._rows:
            self._tables.append(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._waiting += len(self._rows)
            self._rows = []
            self._write(whole=True)

    def _write(self, *, whole: bool) -> None:
        """Write the row groups that are whole, or else all there is."""
        import pyarrow as pa

        if whole and self._waiting < _ROWS_PER_GROUP:
            return
        table = pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()
        end = len(table) - len(table) % _ROWS_PER_GROUP if whole else len(table)
        with writing(self._path):
            for start in range(0, end, _ROWS_PER_GROUP):
                self._writer.write_table(table.slice(start, _ROWS_PER_GROUP).combine_chunks())
        self._tables = [table.slice(end)]
        self._waiting = len(table) - end


def schema_of(record: type[Record]) -> "pa.Schema":
    """Return the Arrow schema of a record class."""
    import pyarrow as pa

    return pa.schema(_fields(record))


def _fields(model: type[BaseModel]) -> "list[pa.Field]":
    """Return the arrow fields of a record class, nested ones included."""
    import pyarrow as pa

    return [
        pa.field(name, _arrow_type(field.annotation)) for name, field in model.model_fields.items()
    ]


def _arrow_type(annotation: Any) -> "pa.DataType":
    """Return the arrow type of a record field's annotation."""
    import pyarrow as pa

    origin = get_origin(annotation)
    if origin in (Union, UnionType):  # only `X | None` occurs in records
        (inner,) = (arm for arm in get_args(annotation) if arm is not NoneType)
        return _arrow_type(inner)
    if origin is tuple:  # only `tuple[X, ...]`
        return pa.list_(_arrow_type(get_args(annotation)[0]))
    if issubclass(annotation, BaseModel):
        return pa.struct(_fields(annotation))
    for python, arrow in (
        (bool, pa.bool_()),
        (int, pa.int64()),
        (float, pa.float64()),
        (str, pa.string()),
    ):
        if issubclass(annotation, python):
            return arrow
    raise TypeError(f"A record field of type {annotation!r} has no parquet column.")


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object the runner wrote.

    Raises:
        ArtifactError: The file is not a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(
            f"{path} is damaged: {error}. Make the artifact again with --on-existing replace."
        ) from error
    if not isinstance(value, dict):
        raise ArtifactError(
            f"{path} is damaged: it holds no JSON object. "
            f"Make the artifact again with --on-existing replace."
        )
    return value
