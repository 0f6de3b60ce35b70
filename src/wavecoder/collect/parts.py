"""Parts: what was read of a source's piece, on disk until the stage is complete.

A part is an Arrow file with a row for every function and for every file that gave none, in order.
A row is a candidate, with a signature where near-duplicates are looked for, or it has a reason. A
part has its name once it is whole, so that a killed run reads no piece twice.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavecoder.artifact import schema_of, writing
from wavecoder.records import RawCode, Rejected

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["Outcome", "Part", "Signer", "part_path", "write_part"]

Outcome = tuple[RawCode | Rejected, tuple[str, str] | None]
"""A function, with reason and detail where a filter refused it, or a file that gave none."""
Signer = Callable[[Sequence[str]], "np.ndarray"]
"""Makes signatures, a uint32 row a function."""

_ROWS = 2_000
"""Rows that are in memory at a time."""
_FIELDS = tuple(RawCode.model_fields)


def part_path(folder: Path, number: int) -> Path:
    """Return where the part of the piece with that number is, whole or not yet there."""
    return folder / f"{number:08d}.arrow"


def write_part(path: Path, outcomes: Iterable[Outcome], sign: Signer | None, label: str) -> None:
    """Write a part, whole or not at all.

    Args:
        path: Where it will be.
        outcomes: What was read, in order.
        sign: Makes the candidates' signatures; None for no signatures.
        label: The source of files that gave none.

    Raises:
        ArtifactError: It cannot be written.
    """
    import pyarrow as pa

    schema = _schema(0 if sign is None else sign([]).shape[1] * 4)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    # A process of a killed run may still write the same part; both write the same bytes.
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with writing(path):
        try:
            with (
                partial.open("wb") as file,
                pa.ipc.new_file(file, schema, options=options) as writer,
            ):
                for portion in _portions(outcomes):
                    writer.write_batch(_batch(portion, schema, sign, label))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


class Part:
    """A part on disk."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        self._path = path

    def read(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """Return its rows; None gives every column but the signatures."""
        import pyarrow as pa

        wanted = columns or [name for name in self._names if name != "signature"]
        places = [self._names.index(name) for name in wanted]
        options = pa.ipc.IpcReadOptions(included_fields=places)
        with pa.memory_map(str(self._path)) as file:
            return pa.ipc.open_file(file, options=options).read_all().select(wanted)

    @cached_property
    def _names(self) -> list[str]:
        import pyarrow as pa

        with pa.memory_map(str(self._path)) as file:
            return list(pa.ipc.open_file(file).schema.names)


def _schema(signature_bytes: int) -> "pa.Schema":
    import pyarrow as pa

    fields = [*schema_of(RawCode), pa.field("reason", pa.string()), pa.field("detail", pa.string())]
    if signature_bytes:
        fields.append(pa.field("signature", pa.binary(signature_bytes)))
    return pa.schema(fields)


def _portions(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    portion: list[Outcome] = []
    for outcome in outcomes:
        portion.append(outcome)
        if len(portion) == _ROWS:
            yield portion
            portion = []
    yield portion


def _batch(
    portion: list[Outcome], schema: "pa.Schema", sign: Signer | None, label: str
) -> "pa.RecordBatch":
    """Return rows as columns; what is rejected keeps its id, language and source."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    codes: list[str] = []
    for record, refusal in portion:
        values = record.__dict__
        if isinstance(record, Rejected):
            refusal = (record.reason, record.detail)
        if refusal is None:
            for name in _FIELDS:
                columns[name].append(values[name])
            codes.append(record.code)  # type: ignore[union-attr]
        else:
            for name in _FIELDS:
                columns[name].append(values.get(name) if name in _KEPT_OF_REJECTED else None)
            columns["source"][-1] = values.get("source", label)
        reason, detail = refusal or (None, None)
        columns["reason"].append(reason)
        columns["detail"].append(detail)
    if sign is not None:
        rows = iter(sign(codes))
        columns["signature"] = [
            None if reason else next(rows).tobytes() for reason in columns["reason"]
        ]
    return pa.record_batch([pa.array(columns[f.name], type=f.type) for f in schema], schema=schema)


_KEPT_OF_REJECTED = frozenset({"id", "language", "source"})
