"""Reads the rows of other datasets: JSON lines, JSON lists, parquet, and what the hub has.

A file is read row by row; at most some hundred rows are in memory.
"""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast

from wavecoder.errors import ConfigError, MissingExtraError
from wavecoder.train.config import Mix

__all__ = ["BLANK", "WANTED", "Fault", "hub_rows", "keys_of_one", "rows_of"]

WANTED = "Give one with instruction and output (or response), with messages, or with conversations."
"""What to do where no row of a dataset can be trained on."""
BLANK = object()
"""A line that is no row, and is counted."""

_COLUMNS = ("instruction", "input", "output", "response", "messages", "conversations")
_CHUNK = 2**20  # characters of a JSON list read at a time
_BATCH = 256  # rows of a table turned into Python at a time


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be read."""

    detail: str


_ENCODING = "it is not in UTF-8; save the file in that"


def rows_of(path: Path) -> Iterator[Any]:
    """Yield the rows of a file.

    Raises:
        ConfigError: It cannot be read, or is of no known form.
    """
    try:
        if path.name.lower().endswith(".parquet"):
            yield from _table(path)
        elif _is_json(path):
            with _opened(path) as file:
                yield from _json(path, file)
        else:
            raise ConfigError(
                f"{path} is in no form that is known by its name. Give a .json, .jsonl (.gz) or "
                f".parquet file."
            )
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise ConfigError(
            f"{path} cannot be read: {reason}. Mend its path, or get it again."
        ) from error


def _is_json(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".json", ".jsonl"))


def _opened(path: Path) -> IO[bytes]:
    packed = path.name.lower().endswith(".gz")
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def keys_of_one(path: Path) -> list[str] | None:
    """Return the keys of a file that is one JSON object, rows and all; None where it is not."""
    if not _is_json(path):
        return None
    try:
        with _opened(path) as file:
            found = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    return [str(key) for key in found] if isinstance(found, dict) else None


def _json(path: Path, file: IO[bytes]) -> Iterator[Any]:
    """Yield the items of a JSON list, or the values of JSON lines, `BLANK` for a blank one."""
    begin = file.read(_CHUNK)
    file.seek(0)
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(f"{path} is in UTF-16, and JSON is wanted in UTF-8. Save it in that.")
    if begin.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"[":
        yield from _items(path, file)
        return
    for line in file:
        text = line.removeprefix(codecs.BOM_UTF8).strip()
        yield _value(text) if text else BLANK


def _value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except UnicodeDecodeError:
        return Fault(_ENCODING)
    except (ValueError, RecursionError) as error:
        return Fault(f"it is no JSON ({_first_line(error)})")


def _items(path: Path, file: IO[bytes]) -> Iterator[Any]:
    """Yield the items of a JSON list one by one, as they are read."""
    reader = io.TextIOWrapper(file, encoding="utf-8-sig")
    decoder = json.JSONDecoder()
    row, ended = 1, False
    try:
        text = reader.read(_CHUNK)
        at = text.index("[") + 1
        while True:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            if text[at : at + 1] == "]":
                return
            try:
                value, end = decoder.raw_decode(text, at)
            except ValueError:
                if ended:
                    raise
                end = len(text)
            if end == len(text) and not ended:
                # A number may go on where the text that was read ends. Twice as much each time: a
                # long item is not parsed from its start again and again.
                more = reader.read(max(_CHUNK, len(text) - at))
                text, at, ended = text[at:] + more, 0, not more
                continue
            yield value
            at, row = end, row + 1
    except (ValueError, RecursionError) as error:
        why = _ENCODING if isinstance(error, UnicodeDecodeError) else _first_line(error)
        raise ConfigError(
            f"{path} is a JSON list that cannot be read at row {row}: {why}. Mend it, or get it "
            f"again."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _table(path: Path) -> Iterator[Any]:
    """Yield the rows of a parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = _known(str(path), file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH, columns=names):
                yield from batch.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read as parquet: {_first_line(error)}. Get it again."
        ) from error


def hub_rows(mix: Mix) -> Iterator[Any]:
    """Yield the rows of a dataset on the hub."""
    if find_spec("datasets") is None:
        raise MissingExtraError(
            f"The dataset {mix.hub} is read with the library datasets, which is not installed. "
            f"Install it: pip install 'wavecoder[hub]'."
        )
    datasets: Any = import_module("datasets")
    try:
        found = datasets.load_dataset(mix.hub, split=mix.split, revision=mix.revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise ConfigError(
            f"The dataset {mix.hub} does not load: {_first_line(error)}. "
            f"Check its name, its split and that the hub can be reached."
        ) from error
    names = _known(str(mix.hub), found.column_names)
    for batch in found.select_columns(names).with_format("arrow").iter(_BATCH):
        yield from batch.to_pylist()


def _known(source: str, names: list[str]) -> list[str]:
    """Return the columns that are read.

    Raises:
        ConfigError: No row can be of a known form.
    """
    has = set(names)
    answers = has & {"output", "response"}
    if not has & {"messages", "conversations"} and not ("instruction" in has and answers):
        raise ConfigError(
            f"No row of {source} can be trained on: it has the columns "
            f"{', '.join(names[:20]) or 'none'}. {WANTED}"
        )
    return [name for name in _COLUMNS if name in has]
