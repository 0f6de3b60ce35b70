"""Where the data of a benchmark is found, and that it is the data it should be.

In this order: a path given by the caller; the folder named by `WAVECODER_BENCHMARKS`; an installed
package that carries the file; the Hugging Face hub. Files are known by their sha256, rows from the
hub by a digest over the fields that are used. What differs is refused: a score over other problems
compares with nothing.
"""

import gzip
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wavecoder.errors import ConfigError, MissingExtraError

__all__ = ["FOLDER_VARIABLE", "DataFile", "Hub", "Row", "load_rows", "rows_digest"]

FOLDER_VARIABLE = "WAVECODER_BENCHMARKS"
"""The environment variable that names the folder of benchmark files."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Hub:
    """A copy of the data on the Hugging Face hub."""

    path: str
    """First argument of `datasets.load_dataset`."""
    options: Mapping[str, str]
    """Its other arguments: `name`, `split`, `data_files`."""
    digest: str
    """`rows_digest` of the rows that are used."""
    fields: tuple[str, ...]
    """The fields that are used, in the digest's order."""


@dataclass(frozen=True)
class DataFile:
    """One file of a benchmark: its names, what it must be, and where else it may come from."""

    names: tuple[str, ...]
    """Where it may stand in a folder, relative to it; the first is what messages call it."""
    sha256: str
    """Of the file as its authors publish it."""
    home: str
    """Where a person gets it."""
    unpacked_sha256: str | None = None
    """Of its content, where it is published as a gz file; it may be unpacked."""
    package: str | None = None
    """An installed package in whose folder it may stand; it is never imported."""
    hub: Hub | None = None
    ids: range | None = None
    """Keep only rows with these values of `task_id`."""


def load_rows(data: DataFile, path: Path | None = None) -> list[Row]:
    """Return the rows of a benchmark's file, in file order.

    Args:
        data: Which file.
        path: The file, or a folder that has it; without one it is looked for.

    Raises:
        ConfigError: There is no such file, or it is not the one it should be.
        MissingExtraError: It is only on the hub, and the library `datasets` is not installed.
    """
    try:
        found = _find(data, path)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise ConfigError(
            f"{data.names[0]} cannot be looked for in {error.filename}: {error.strerror}. "
            f"Check the path and its permissions."
        ) from error
    rows: list[Row]
    if found is None:
        rows = _from_hub(data)
    else:
        rows = [json.loads(line) for line in _content(found, data).splitlines() if line.strip()]
    rows = [row for row in rows if data.ids is None or row.get("task_id") in data.ids]
    if found is None and data.hub and rows_digest(rows, data.hub.fields) != data.hub.digest:
        raise ConfigError(
            f"The hub's copy of {data.names[0]} is not what it should be: expected rows of digest "
            f"{data.hub.digest[:12]}, got {rows_digest(rows, data.hub.fields)[:12]}. "
            f"Get the file from {data.home} and give its path."
        )
    return rows


def rows_digest(rows: Sequence[Row], fields: Sequence[str]) -> str:
    """Return the sha256 of the rows' `fields` as JSON, a row a line; a missing field is empty."""
    lines = (json.dumps([row.get(name) or "" for name in fields], default=repr) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _find(data: DataFile, path: Path | None) -> Path | None:
    """Return the file, or None where only the hub is left."""
    if path is not None:
        path = path.expanduser()
        if path.is_dir():
            return _in_folder(data, path) or _refuse_missing(data, f"the folder {path}")
        return path if path.is_file() else _refuse_missing(data, str(path))
    folder = os.environ.get(FOLDER_VARIABLE, "")
    if folder:
        if not Path(folder).expanduser().is_dir():
            raise ConfigError(
                f"{FOLDER_VARIABLE} is {folder!r}, which is not a folder. "
                f"Set it to a folder of benchmark files, or unset it."
            )
        if found := _in_folder(data, Path(folder).expanduser()):
            return found
    spec = find_spec(data.package) if data.package else None
    if spec and spec.origin:
        found = _in_folder(data, Path(spec.origin).parent)
        if found:
            return found
    if data.hub is None:
        return _refuse_missing(data, f"the folder of {FOLDER_VARIABLE} ({folder or 'not set'})")
    return None


def _in_folder(data: DataFile, folder: Path) -> Path | None:
    places = (folder / name for name in data.names)
    return next((place for place in places if place.is_file()), None)


def _refuse_missing(data: DataFile, where: str) -> Path | None:
    raise ConfigError(
        f"{data.names[0]} is not in {where}. Get it from {data.home} and give its path, "
        f"or name the folder that has it in {FOLDER_VARIABLE}."
    )


def _content(path: Path, data: DataFile) -> bytes:
    """Return the file's bytes, unpacked, once they are known to be the right ones."""
    try:
        with path.open("rb") as handle:
            packed = handle.read(2) == b"\x1f\x8b"
            handle.seek(0)
            got = hashlib.file_digest(handle, "sha256").hexdigest()
            expected = data.sha256
            if data.unpacked_sha256 and not packed:
                expected = data.unpacked_sha256
            if got != expected:
                raise ConfigError(
                    f"{path} is not the {data.names[0]} of the benchmark: expected "
                    f"sha256 {expected[:12]}, got {got[:12]}. Get it again from {data.home}."
                )
            handle.seek(0)
            content = handle.read()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}. Check the path and its permissions."
        ) from error
    return gzip.decompress(content) if packed else content


def _from_hub(data: DataFile) -> list[Row]:
    hub = data.hub
    assert hub is not None  # `_find` refuses where there is none
    if find_spec("datasets") is None:
        raise MissingExtraError(
            f"{data.names[0]} is not on this machine, and the library datasets, which would get "
            f"it from the hub, is not installed. Name a folder that has it in {FOLDER_VARIABLE}, "
            f"or install the library: pip install 'wavecoder[hub]'."
        )
    datasets: Any = import_module("datasets")  # a second to import, and of an extra
    http: Any = import_module("huggingface_hub.errors")
    # Its base classes are the HTTP library's error, which changed its module between releases.
    errors = (*http.HfHubHTTPError.__bases__, datasets.exceptions.DatasetsError)
    try:
        return list(datasets.load_dataset(hub.path, **hub.options))
    except (OSError, ValueError, RuntimeError, *errors) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".")
        raise ConfigError(
            f"{data.names[0]} is not on this machine and does not come from the hub: {reason}. "
            f"Get it from {data.home} and name its folder in {FOLDER_VARIABLE}."
        ) from error
