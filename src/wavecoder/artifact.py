"""The folder a stage leaves behind, and everything the next stage needs.

```text
2-select/
├── config.yaml       resolved; no secrets
├── records.parquet   what was kept, in outcome order
├── rejected.parquet  id, reason, detail (and the refused instance, where there is one)
├── files/            vectors.npy, radii.npy, report.html, …
└── manifest.json     written last, atomically: it exists = the stage is complete
```

While a stage runs, its folder holds `started.json` (what it is) and `journal.jsonl` (its outcomes
so far, one line each); both are gone once the manifest exists.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
    "Records",
    "Tokens",
    "read_json",
    "write_parquet",
    "write_text",
    "writing",
]

R = TypeVar("R", bound=Record)

_ROWS_PER_GROUP = 10_000


class Tokens(BaseModel):
    """What models read and wrote for the outcomes of a stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        """Add both counts."""
        return Tokens(
            prompt=self.prompt + other.prompt, completion=self.completion + other.completion
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
    """Wall seconds spent on the outcomes, over all the processes that worked on them."""
    tokens: Tokens
    records_sha256: str
    """SHA-256 of records.parquet."""


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
        with self._open() as file:
            for batch in file.iter_batches(batch_size=1_000):
                for row in batch.to_pylist():
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


def write_parquet(path: Path, record: type[Record], rows: Iterable[dict[str, Any]]) -> str:
    """Write rows with the schema of `record`, whole or not at all; return the file's SHA-256.

    The same rows give the same bytes under one pyarrow version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(_fields(record))
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            group: list[dict[str, Any]] = []
            for row in rows:
                group.append(row)
                if len(group) == _ROWS_PER_GROUP:
                    writer.write_table(pa.Table.from_pylist(group, schema=schema))
                    group = []
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
        with partial.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        partial.replace(path)
    return checksum


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
