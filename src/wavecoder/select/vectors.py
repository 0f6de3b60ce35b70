"""Vectors on disk: the file that grows shard by shard, and the cache beside the artifacts.

Both survive a `kill -9` at any moment: what is named as finished was on disk before it was named.
"""

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from wavecoder.artifact import read_json, write_text, writing
from wavecoder.errors import ArtifactError

__all__ = ["DType", "VectorCache", "VectorFile", "Vectors"]

DType = Literal["float32", "float16"]
Vectors = NDArray[np.floating[Any]]


class VectorFile:
    """`vectors.npy` in a folder, with `vectors.json` beside it: what it holds and how far it is.

    While it grows it is called `vectors.npy.partial`. Rows are written, not mapped: on a full disk
    a mapped page would end the process without a word.
    """

    def __init__(self, folder: Path, key: str, rows: int, dtype: DType) -> None:
        """Find out how far it is; what was made under another `key` does not count.

        Args:
            folder: Where it stands.
            key: What stands for the content.
            rows: How many vectors there will be.
            dtype: `float32` or `float16`, as numpy calls them.
        """
        self.path = folder / "vectors.npy"
        self._partial = folder / "vectors.npy.partial"
        self._state = folder / "vectors.json"
        self.dtype = dtype
        self._rows = rows
        self._content = {"key": key, "rows": rows, "dtype": dtype}
        self.done = 0
        """How many rows are on disk for good."""
        self.width: int | None = None
        """Numbers in a vector; None until `begin`."""
        if self._state.is_file():
            state = read_json(self._state)
            if all(state.get(name) == value for name, value in self._content.items()):
                self.done, self.width = int(state["done"]), int(state["width"])
        if not self._whole():  # somebody deleted or cut the file
            self.done, self.width = 0, None

    @property
    def complete(self) -> bool:
        """All rows are on disk."""
        return self.done == self._rows

    def begin(self, width: int) -> None:
        """Begin the file anew, or cut off what was written behind the last finished shard.

        Raises:
            ArtifactError: The folder cannot be written.
        """
        if self.width is None:
            with writing(self._partial), self._partial.open("wb") as file:
                self._write_header(file, width)
                os.fsync(file.fileno())
            with writing(self.path):
                self.path.unlink(missing_ok=True)  # of something else; its room is wanted
            self.width = width
            self._save()
        with writing(self._partial):
            os.truncate(self._partial, self._size(self.done))

    def append(self, vectors: Vectors) -> None:
        """Write the next rows; once this returns they stay, whatever happens.

        Raises:
            ArtifactError: The disk is full, or the like.
        """
        with writing(self._partial), self._partial.open("ab") as file:
            file.write(np.ascontiguousarray(vectors).data)
            file.flush()
            os.fsync(file.fileno())
        self.done += len(vectors)
        self._save()

    def finish(self) -> np.memmap[Any, Any]:
        """Give the file its name and return it as a read-only map of shape (rows, width).

        Raises:
            ArtifactError: It cannot be renamed or read.
        """
        assert self.complete
        with writing(self.path):
            if self._partial.exists():
                self._partial.replace(self.path)
            return np.lib.format.open_memmap(self.path, mode="r")

    def _whole(self) -> bool:
        """The file has at least the rows that are said to be finished."""
        if self.width is None:
            return False
        path = self.path if self.complete and not self._partial.exists() else self._partial
        return path.is_file() and path.stat().st_size >= self._size(self.done)

    def _size(self, rows: int) -> int:
        assert self.width is not None
        return self._header + rows * self.width * np.dtype(self.dtype).itemsize

    def _save(self) -> None:
        state = {**self._content, "width": self.width, "done": self.done}
        write_text(self._state, json.dumps(state) + "\n")

    @property
    def _header(self) -> int:
        """Bytes of a .npy header of this shape; it is padded to a multiple of 64."""
        assert self.width is not None
        buffer = BytesIO()
        self._write_header(buffer, self.width)
        return buffer.tell()

    def _write_header(self, file: BinaryIO, width: int) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(self.dtype)),
            "fortran_order": False,
            "shape": (self._rows, width),
        }
        np.lib.format.write_array_header_1_0(file, header)


class VectorCache:
    """Vectors by the function's key, kept for the next run over a corpus that changed a little.

    ```text
    vectors/3f0c…/
    ├── 000000.vectors.npy   of shape (rows, width)
    └── 000000.keys.npy      their keys; written last: it exists = the segment is whole
    ```

    One process writes at a time, which the lock of the run folder sees to. The index takes 24
    bytes a vector.
    """

    def __init__(self, folder: Path) -> None:
        """Read the keys of all segments.

        Raises:
            ArtifactError: A segment cannot be read.
        """
        self._folder = folder
        self._keys = np.empty(0, dtype=np.uint64)
        self._segments = np.empty(0, dtype=np.int64)
        self._rows = np.empty(0, dtype=np.int64)
        self._next = 0
        self.width: int | None = None
        """Numbers in a vector; None while there is none."""
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob("*.partial"):
                leftover.unlink()
        for path in sorted(folder.glob("*.keys.npy")):
            self._next = int(path.name.partition(".")[0])
            self._index(self._load(path), self._next)
            self._next += 1
        if self._next:
            self.width = self._load(self._path(self._next - 1, "vectors"), "r").shape[1]

    def __len__(self) -> int:
        """Return how many vectors there are."""
        return len(self._keys)

    def find(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], Vectors | None]:
        """Return which of `keys` are here, and their vectors in order (None for none).

        Raises:
            ArtifactError: A segment cannot be read.
        """
        if not len(self._keys):
            return np.zeros(len(keys), dtype=np.bool_), None
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found = self._keys[places] == keys
        places = places[found]
        if not len(places):
            return found, None
        segments, rows = self._segments[places], self._rows[places]
        parts = {
            int(segment): self._load(self._path(int(segment), "vectors"), "r")
            for segment in np.unique(segments)
        }
        first = next(iter(parts.values()))
        vectors = np.empty((len(places), first.shape[1]), dtype=first.dtype)
        for segment, part in parts.items():
            here = segments == segment
            vectors[here] = part[rows[here]]
        return found, vectors

    def add(self, keys: NDArray[np.uint64], vectors: Vectors) -> None:
        """Keep vectors; a key that is here already keeps the vector it has.

        Raises:
            ArtifactError: The disk is full, or the like.
        """
        if not len(keys):
            return
        for name, array in (("vectors", vectors), ("keys", keys)):
            path = self._path(self._next, name)
            partial = path.with_name(path.name + ".partial")
            with writing(path):
                # numpy writes past Python into a plain "wb" file, and a full disk is then an error
                # without a reason.
                with partial.open("w+b") as file:
                    np.save(file, array)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
        self.width = vectors.shape[1]
        self._index(keys, self._next)
        self._next += 1

    def _index(self, keys: NDArray[np.uint64], segment: int) -> None:
        keys, rows = np.unique(keys, return_index=True)
        at = np.searchsorted(self._keys, keys)
        if len(self._keys):
            new = self._keys[np.minimum(at, len(self._keys) - 1)] != keys
            keys, rows, at = keys[new], rows[new], at[new]
        self._keys = np.insert(self._keys, at, keys)
        self._segments = np.insert(self._segments, at, segment)
        self._rows = np.insert(self._rows, at, rows)

    def _path(self, segment: int, name: str) -> Path:
        return self._folder / f"{segment:06}.{name}.npy"

    def _load(self, path: Path, mode: Any = None) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ArtifactError(
                f"Cannot read {path}: {error}. Delete the folder {self._folder}: "
                f"its vectors are then made again."
            ) from error
        return array
