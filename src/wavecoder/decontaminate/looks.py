"""What the layers of hashes found in each batch, kept until the end so that a stop loses none.

The first line says what was looked at with what; every other one is a batch, in order.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from wavecoder.artifact import writing
from wavecoder.collect.sources.rows import Fault
from wavecoder.contamination import Hit
from wavecoder.decontaminate.behaviour import Suspect
from wavecoder.decontaminate.references import Known

__all__ = ["Look", "Looks", "identity"]


class Look(NamedTuple):
    """What became of a batch."""

    rows: int
    faults: list[tuple[int, Fault]]
    hits: list[tuple[int, str | None, Hit]]
    suspects: list[Suspect]


def identity(dataset: Path, index_checksum: str, layers: Sequence[str], known: Known) -> str:
    """Return what two runs must share for one to go on with the other's batches."""
    status = dataset.stat()
    parts = (
        str(dataset.resolve()),
        status.st_size,
        status.st_mtime_ns,
        index_checksum,
        layers,
        [(one.benchmark, one.problem, one.programs) for one in known.references],
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Looks:
    """The batches that were looked at, in a file."""

    def __init__(self, path: Path, identity: str) -> None:
        """Name the file; what it holds of another dataset or with other settings is dropped.

        Raises:
            ArtifactError: It cannot be written.
        """
        self.path = path
        head = json.dumps(identity).encode() + b"\n"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self._file.seek(0)
            size = len(head) if self._file.readline() == head else 0
            if size:
                for line in self._file:
                    if line.endswith(b"\n"):  # one without its end was torn by a kill
                        size += len(line)
            self._file.truncate(size)
            if not size:
                self._file.write(head)
            self._start = len(head)

    def kept(self) -> Iterator[Look]:
        """Yield the batches of the runs before this one."""
        self._file.seek(self._start)
        for line in self._file.readlines():
            rows, faults, hits, suspects = json.loads(line)
            yield Look(
                rows,
                [(row, Fault(*fault)) for row, fault in faults],
                [(row, name, Hit(*hit)) for row, name, hit in hits],
                [Suspect(*suspect) for suspect in suspects],
            )

    def add(self, look: Look) -> None:
        """Write a batch behind the others.

        Raises:
            ArtifactError: It cannot be written.
        """
        with writing(self.path):
            self._file.write(json.dumps(look).encode() + b"\n")
            self._file.flush()

    def close(self, *, done: bool) -> None:
        """Close the file, and delete it where it is `done` with."""
        with writing(self.path):
            self._file.close()
            if done:
                self.path.unlink()
