"""The outcomes of a stage that streams, one line each, until its artifact is complete.

A line is one JSON object: a head (`kept`, `place`, `id`, `reason`, `seconds`, `usage`), then
`record`. Lines stand in the order they were written; the last one of a place counts, so that an
input that failed can be tried again.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from wavecoder.artifact import Tokens, writing
from wavecoder.errors import ArtifactError
from wavecoder.records import Record, Rejected

__all__ = ["Head", "Journal"]

_NAME = "journal.jsonl"
_BETWEEN = b', "record": '


@dataclass(frozen=True, slots=True)
class Head:
    """What a line says first of its outcome; small, as those of all inputs are held at a time."""

    kept: bool
    place: int
    """The input's place among all inputs, from 0."""
    id: str
    reason: str | None
    """Of what was rejected."""
    offset: int
    """Where the line begins in the file, in bytes."""


class Journal:
    """The journal in a stage's folder."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is read."""
        self.path = folder / _NAME

    def heads(self) -> list[Head]:
        """Return the head of each place's last line, in the order of the places.

        Raises:
            ArtifactError: A line is damaged, or was written by an older wavecoder.
        """
        found: dict[int, Head] = {}
        offset = 0
        for line in self._lines():
            try:
                head = json.loads(line[: line.index(_BETWEEN)] + b"}")
                one = Head(head["kept"], head["place"], head["id"], head["reason"], offset)
                found[one.place] = one
            except (ValueError, LookupError, TypeError) as error:
                raise self._damaged() from error
            offset += len(line)
        return [found[place] for place in sorted(found)]

    def lines(self, heads: Iterable[Head]) -> Iterator[tuple[Head, dict[str, Any]]]:
        """Yield the lines of `heads`: the fields of a head, and `record`, the outcome's own.

        Raises:
            ArtifactError: A line is damaged.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for head in heads:
                file.seek(head.offset)
                try:
                    line = json.loads(file.readline())
                except ValueError as error:
                    raise self._damaged() from error
                line["usage"] = {name: Tokens(**tokens) for name, tokens in line["usage"].items()}
                yield head, line

    def mend(self, *, keep: bool) -> None:
        """Cut off a line torn by a kill or a full disk; delete the journal unless `keep`."""
        if not self.path.exists():
            return
        if not keep:
            self.path.unlink()
            return
        whole = sum(len(line) for line in self._lines())
        with self.path.open("r+b") as file:
            file.truncate(whole)

    def open(self) -> FileIO:
        """Return the file, to append to; each line is the operating system's once written."""
        with writing(self.path):
            return self.path.open("ab", buffering=0)

    def append(
        self,
        file: FileIO,
        outcome: Record,
        *,
        place: int,
        seconds: float,
        usage: Mapping[str, Tokens],
    ) -> None:
        """Write one line.

        Raises:
            ArtifactError: It cannot be written.
        """
        head = {
            "kept": not isinstance(outcome, Rejected),
            "place": place,
            "id": outcome.id,
            "reason": outcome.reason if isinstance(outcome, Rejected) else None,
            "seconds": round(seconds, 6),
            "usage": {name: tokens.model_dump() for name, tokens in usage.items()},
        }
        # JSON escapes quotes in names, so the first _BETWEEN is the one behind the head.
        record = outcome.model_dump_json().encode()
        line = json.dumps(head)[:-1].encode() + _BETWEEN + record + b"}\n"
        with writing(self.path):
            if file.write(line) != len(line):  # only a full disk writes a line in part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _damaged(self) -> ArtifactError:
        return ArtifactError(
            f"{self.path} holds a line that is damaged, or that an older wavecoder wrote. "
            f"Make the artifact again with --on-existing replace; replies are not lost with it."
        )

    def _lines(self) -> Iterator[bytes]:
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):  # one without its end is being written, or torn
                        yield line
