r"""An index in one file: hashes, numbers and the names of problems, no text of any benchmark.

```text
wavecoder index 1 <SHA-256 of what follows>\n
arrays in NumPy's npz format, `names` among them as JSON in UTF-8
```

The same problems give the same bytes.
"""

import hashlib
import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from wavecoder.artifact import writing
from wavecoder.contamination.index import Index, Name
from wavecoder.contamination.table import Table
from wavecoder.errors import ConfigError

__all__ = ["VERSION", "index_checksum", "load_index", "save_index"]

VERSION = 1
"""Raised when a text gives other hashes than before, or the file has another form."""

_HEAD = re.compile(rb"wavecoder index (\d{1,6}) ([0-9a-f]{64})\n")
_ONES = ("run", "blind")


def save_index(index: Index, path: Path) -> str:
    """Write an index, whole or not at all, and return the SHA-256 of its content.

    Raises:
        ArtifactError: The file cannot be written.
    """
    arrays: dict[str, Any] = {"names": _plain(json.dumps([list(name) for name in index.names]))}
    for table, row in index.tables.items():
        arrays |= {f"{table}.{field}": value for field, value in row._asdict().items()}
    content = io.BytesIO()
    np.savez(content, **arrays)
    checksum = hashlib.sha256(content.getbuffer()).hexdigest()
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        with partial.open("wb") as file:
            file.write(f"wavecoder index {VERSION} {checksum}\n".encode())
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    return checksum


def index_checksum(path: Path) -> str:
    """Return the SHA-256 of an index's content, as its file says it.

    Raises:
        ConfigError: The file is not there, is no index, or is of another version.
    """
    try:
        with path.open("rb") as file:
            return _head(path, file.readline(200))[2].decode()
    except OSError as error:
        raise _unread(path, error) from error


def load_index(path: Path) -> Index:
    """Return an index from its file.

    Raises:
        ConfigError: The file is not there, is no index, is of another version, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unread(path, error) from error
    head = _head(path, data)
    content = data[head.end() :]
    if hashlib.sha256(content).hexdigest() != head[2].decode():
        raise ConfigError(
            f"The index {path} is damaged: its content does not have the checksum in its first "
            f"line. Get it again, or make it again with --write-index."
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = tuple(Name(*row) for row in json.loads(arrays["names"].tobytes()))
            tables: dict[str, dict[str, Any]] = {}
            for key in arrays.files:
                table, _, field = key.rpartition(".")
                if table:
                    value = arrays[key].item() if field in _ONES else arrays[key]
                    tables.setdefault(table, {})[field] = value
        return Index(names, {name: Table(**fields) for name, fields in tables.items()})
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"The index {path} does not have the form of an index: {error}. "
            f"Make it again with --write-index."
        ) from error


def _head(path: Path, data: bytes) -> re.Match[bytes]:
    head = _HEAD.match(data)
    if head is None:
        raise ConfigError(f"{path} is no index of hashes. Make one with --write-index.")
    if int(head[1]) != VERSION:
        raise ConfigError(
            f"The index {path} is of version {int(head[1])}, this program reads version {VERSION}. "
            f"Make it again with --write-index."
        )
    return head


def _unread(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"The index {path} cannot be read: {error.strerror}. Make one with --write-index."
    )


def _plain(text: str) -> Any:
    return np.frombuffer(text.encode(), dtype=np.uint8)
