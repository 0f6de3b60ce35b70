"""Rows out of the files that datasets come in: JSON lines, CSV and parquet, one row at a time.

What is wrong with a row or a file is a `Fault` in its place, and the rows around it are read all
the same. At most `LONGEST_LINE` bytes of a line are held, whatever a file has.
"""

import csv
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

__all__ = [
    "LONGEST_LINE",
    "SUFFIXES",
    "Fault",
    "Row",
    "arrow_cells",
    "column_names",
    "csv_rows",
    "group_sizes",
    "jsonl_rows",
    "lines",
    "parquet_rows",
]

LONGEST_LINE = 16 * 2**20
"""Bytes. Sixteen times the largest file of code that is opened; what is longer is no row of code,
or a file whose line ends are lost."""

_COMPRESSED = ("", ".gz", ".bz2", ".zst")
SUFFIXES = {
    "jsonl": tuple(f"{kind}{end}" for kind in (".jsonl", ".ndjson") for end in _COMPRESSED),
    "csv": tuple(f"{kind}{end}" for kind in (".csv", ".tsv") for end in _COMPRESSED),
    "parquet": (".parquet", ".parq", ".pq"),
}
"""How the names of files end, by kind of file."""

_CHUNK = 2**18
_COMPRESSED_CHUNK = 2**16
_BATCH = 512
_BOM = b"\xef\xbb\xbf"


class Fault(NamedTuple):
    """Why a row, or the rest of a file, is not there."""

    reason: str
    """A slug."""
    detail: str
    """One sentence that begins with `it`."""


class Row(NamedTuple):
    """A row and its place."""

    place: int
    """The line of a text file, or the row of a table, counted from 1; 0 is the file as a whole."""
    cells: dict[str, Any] | Fault


def jsonl_rows(path: Path) -> Iterator[Row]:
    """Yield an object a line; blank lines are passed by."""
    found = False
    for number, line in lines(path):
        if isinstance(line, Fault):
            yield Row(number, line)
        elif line and not line.isspace():
            yield Row(number, _object(line))
        else:
            continue
        found = True
    if not found:
        yield Row(0, Fault("no_rows", "it has no row"))


def csv_rows(path: Path) -> Iterator[Row]:
    """Yield a row of cells by the names in the first line.

    Cells may hold line ends, in quotes. A file whose name has `.tsv` has tabs between cells.
    """
    # The limit is the whole process's; it is only ever raised to this.
    csv.field_size_limit(LONGEST_LINE)
    faults: list[Row] = []
    start = 0

    def texts() -> Iterator[str]:
        nonlocal start
        for number, line in lines(path):
            if isinstance(line, Fault):
                faults.append(Row(number, line))
            else:
                start = start or number
                # What is not UTF-8 shows in its own row, as half a character.
                yield line.decode("utf-8", "surrogateescape") + "\n"

    reader = csv.reader(texts(), delimiter="\t" if ".tsv" in path.suffixes else ",", strict=True)
    names: list[str] | None = None
    found = False
    while True:
        start = 0
        cells: list[str] | Fault | None
        try:
            cells = next(reader, None)
        except csv.Error as error:
            cells = Fault("invalid_csv", f"it is no row of CSV: {error}")
        found = found or bool(faults)
        yield from faults
        faults.clear()
        if cells is None:
            break
        if names is None and not isinstance(cells, Fault):
            names = cells
        elif cells:
            found = True
            yield Row(start, _named(names or [], cells))
    if not found:
        yield Row(0, Fault("no_rows", "it has no row below its header" if names else "it is empty"))


def parquet_rows(
    path: Path, *, groups: tuple[int, int] | None, columns: Sequence[str]
) -> Iterator[Row]:
    """Yield the rows of some row groups, a few hundred in memory at a time.

    Args:
        path: The file.
        groups: The first row group, and the one after the last; None for all.
        columns: The columns wanted; those that are not there are left out.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        yield Row(0, Fault("corrupt", f"it cannot be read as parquet: {_first_line(error)}"))
        return
    with file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        there = file.schema_arrow.names
        names = [name for name in dict.fromkeys(columns) if name in there]
        if not sum(sizes):
            yield Row(0, Fault("no_rows", "it has no row"))
        for group in range(*(groups or (0, len(sizes)))):
            place = sum(sizes[:group])
            try:
                for batch in file.iter_batches(
                    _BATCH, row_groups=[group], columns=names, use_threads=False
                ):
                    for cells in arrow_cells(batch):
                        place += 1
                        yield Row(place, cells)
            except (OSError, pa.ArrowException) as error:
                what = f"row group {group} cannot be read on: {_first_line(error)}"
                yield Row(place + 1, Fault("corrupt", f"its {what}"))


def group_sizes(path: Path) -> list[int] | None:
    """Return the rows in each row group of a parquet file, or None where it cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = parquet.read_metadata(path)
    except (OSError, pa.ArrowException):
        return None
    return [found.row_group(i).num_rows for i in range(found.num_row_groups)]


def column_names(kind: str, path: Path) -> list[str] | None:
    """Return the columns a file has, or None where it does not say.

    JSON lines say it row by row: the first hundred are looked at.
    """
    if kind == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return list(parquet.read_schema(path).names)
        except (OSError, pa.ArrowException):
            return None
    rows = csv_rows(path) if kind == "csv" else jsonl_rows(path)
    names: dict[str, None] = {}
    for _, row in zip(range(100), rows, strict=False):
        if not isinstance(row.cells, Fault):
            names.update(dict.fromkeys(row.cells))
            if kind == "csv":
                break
    return list(names) or None


def lines(path: Path) -> Iterator[tuple[int, bytes | Fault]]:
    """Yield the lines of a file that may be compressed, numbered from 1, without line feeds.

    A line that is too long is one fault. So is the place from which a file cannot be read on; what
    was begun there is dropped.
    """
    number, held = 1, 0
    parts: list[bytes] = []
    for chunk in _chunks(path):
        if isinstance(chunk, Fault):
            yield number, chunk
            return
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            held += len(line)
            if held > LONGEST_LINE:
                yield number, _too_long(held)
            else:
                yield number, b"".join((*parts, line)) if parts else line
            parts, held = [], 0
            number += 1
        held += len(rest)
        parts = [*parts, rest] if held <= LONGEST_LINE else []
    if held:
        yield number, b"".join(parts) if held <= LONGEST_LINE else _too_long(held)


def _too_long(size: int) -> Fault:
    return Fault("line_too_long", f"it has {size:,} bytes, the most is {LONGEST_LINE:,}")


def _chunks(path: Path) -> Iterator[bytes | Fault]:
    """Yield a file's bytes, decompressed, without byte order mark."""
    first = True
    for chunk in _raw_chunks(path):
        if isinstance(chunk, Fault):
            yield chunk
        elif chunk:
            yield chunk.removeprefix(_BOM) if first else chunk
            first = False


def _raw_chunks(path: Path) -> Iterator[bytes | Fault]:
    suffix = path.suffix.lower()
    try:
        if suffix in (".bz2", ".zst"):
            yield from _by_arrow(path, {".bz2": "bz2", ".zst": "zstd"}[suffix])
            return
        with path.open("rb") as stream:
            if suffix == ".gz":
                yield from _gunzip(stream)
            else:
                while chunk := stream.read(_CHUNK):
                    yield chunk
    except OSError as error:
        yield Fault("unreadable", f"it cannot be read, {error.strerror or _first_line(error)}")


def _by_arrow(path: Path, codec: str) -> Iterator[bytes | Fault]:
    import pyarrow as pa

    with path.open("rb") as file:
        if not file.read(1):
            return
    try:
        with pa.input_stream(str(path), compression=codec) as stream:
            while chunk := stream.read(_COMPRESSED_CHUNK):
                yield chunk
    except (OSError, pa.ArrowException) as error:
        yield Fault("corrupt", f"it cannot be decompressed on: {_first_line(error)}")


def _gunzip(stream: BinaryIO) -> Iterator[bytes | Fault]:
    """Yield what every byte before the first damaged one decompresses to, and the fault."""
    inflater = zlib.decompressobj(wbits=31)
    begun = False
    read = 0
    while data := stream.read(_COMPRESSED_CHUNK):
        read += len(data)
        while data:
            if inflater.eof:
                # Members may follow each other, with zeros to fill a block behind the last.
                data = data.lstrip(b"\0")
                if not data:
                    break
                inflater = zlib.decompressobj(wbits=31)
            begun = True
            before = inflater.copy()
            try:
                yield inflater.decompress(data, _CHUNK)
            except zlib.error as error:
                yield from _until_error(before, data)
                at = f"near byte {read - len(data):,}"
                yield Fault("corrupt", f"it cannot be decompressed on, {at} of the file: {error}")
                return
            data = inflater.unconsumed_tail or inflater.unused_data
    if begun and not inflater.eof:
        while rest := inflater.decompress(b"", _CHUNK):
            yield rest
        if not inflater.eof:
            yield Fault("corrupt", f"it ends too early, after byte {read:,} of the file")


def _until_error(inflater: Any, data: bytes) -> Iterator[bytes]:
    """Decompress byte by byte, so that all before the damage is had."""
    try:
        for i in range(len(data)):
            yield inflater.decompress(data[i : i + 1])
    except zlib.error:
        return


def _object(line: bytes) -> dict[str, Any] | Fault:
    try:
        found = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Fault("not_utf8", f"it is not UTF-8: {error}")
    except RecursionError:
        return Fault("invalid_json", "it is nested too deep")
    except ValueError as error:
        return Fault("invalid_json", f"it is no JSON: {_first_line(error)}")
    if not isinstance(found, dict):
        return Fault("no_object", f"it is a JSON {type(found).__name__}, an object is wanted")
    return found


def _named(names: list[str], cells: list[str] | Fault) -> dict[str, Any] | Fault:
    if isinstance(cells, Fault):
        return cells
    if len(cells) != len(names):
        return Fault("invalid_csv", f"it has {len(cells)} cells, the header has {len(names)}")
    return dict(zip(names, cells, strict=True))


def arrow_cells(batch: Any) -> Iterator[dict[str, Any] | Fault]:
    """Yield the rows of an Arrow batch or table; only where text is not UTF-8, one by one."""
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass
    for i in range(batch.num_rows):
        try:
            (cells,) = batch.slice(i, 1).to_pylist()
        except UnicodeDecodeError as error:
            yield Fault("not_utf8", f"it is not UTF-8: {error}")
        else:
            yield cells


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
