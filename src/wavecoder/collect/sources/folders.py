"""Files below some folders: walked in order, in batches that any process can read.

Symbolic links below a root are not followed: one that stays inside would give the same functions
twice or lead round in a loop, one that leads out goes to code nobody named. The root may be a link.

A walk holds the names in the folders between the root and where it is, and nothing else, however
many files there are.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from fnmatch import translate
from functools import lru_cache, partial
from hashlib import blake2b
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from re import compile as pattern
from typing import NamedTuple

from wavecoder.collect.authorship import VENDORED_FOLDERS
from wavecoder.collect.sources.checkouts import checkout_at
from wavecoder.collect.sources.files import (
    LARGEST_FILE,
    SKIPPED_FOLDERS,
    Problem,
    SourceFile,
    fit_for_utf8,
    is_wanted,
    too_large,
)
from wavecoder.collect.sources.origins import Origin, Origins, Papers, is_paper, look_at, readable
from wavecoder.errors import ConfigError
from wavecoder.languages import LANGUAGES
from wavecoder.records import RawCode, Rejected

__all__ = ["VENDORED", "Batch", "Files", "Root", "no_source"]

BATCH_FILES, BATCH_BYTES = 256, 2_000_000
"""What a piece holds at most, but for a single larger file: a few seconds' work."""

_NAMES_HELD = 200_000
"""Names of one folder in memory, some 20 MB."""

VENDORED = Problem(
    "vendored",
    "the folder holds other people's code; it is not read, unless its source says `vendored: true` "
    "(and the filter of that name is off)",
)


class Root(NamedTuple):
    """A folder or file to collect from."""

    path: str
    label: str
    """What the records name as their source."""
    space: tuple[str, ...]
    """What the ids of its files begin with."""
    origin: Origin
    """What holds for its files where no folder says otherwise."""
    top: str
    """The folder at or above `path` from which papers count, the top of a checkout; `""` if none
    do."""


class Batch(NamedTuple):
    """A piece of the source: some files of one or more roots."""

    files: tuple[tuple[Root, str, Problem | None], ...]
    """Root, path below it (`""`: the root is a file; `.`: all of it), and why not to open it."""


class _Found(NamedTuple):
    path: str
    """Below the root, as the file system writes it."""
    size: int
    problem: Problem | None
    is_candidate: bool
    """False for what only tells of a licence."""


class Files:
    """The source code below some roots; nothing is looked at before it is asked for."""

    def __init__(
        self,
        label: str,
        roots: Callable[[], tuple[Root, ...]],
        *,
        languages: Collection[str] | None = None,
        largest_file: int = LARGEST_FILE,
        skip: tuple[str, ...] = (),
        vendored: bool = False,
    ) -> None:
        """Say what is to be read.

        Args:
            label: What the source as a whole is called.
            roots: Returns the folders or files, in order.
            languages: Names of the languages wanted; None for all.
            largest_file: Most bytes of a file that is opened.
            skip: Glob patterns of names to pass by, beside `SKIPPED_FOLDERS`.
            vendored: Walk the folders that hold other people's code, too.
        """
        self._label = label
        self._roots = roots
        self._languages = frozenset(LANGUAGES if languages is None else languages)
        self._largest_file = largest_file
        self._skip = pattern("|".join(translate(name) for name in (*SKIPPED_FOLDERS, *skip)))
        self._vendored = vendored
        # The files of one root stand together, so the last one's answers are worth keeping.
        self._origins = lru_cache(maxsize=2)(_disk_origins)

    def identity(self) -> dict[str, object]:
        """Return what stands for the files: a digest of their names and sizes, not of their text.

        Raises:
            ConfigError: There is no file to read.
        """
        hashed = blake2b(digest_size=8)
        files = 0
        for root in self._roots():
            origins, before = _disk_origins(root)
            # The licence at a checkout's top may lie above the root.
            about = (*root.space, *origins.of(before + "x"))
            hashed.update("\0".join(map(str, about)).encode())
            for found in self._walk(root):
                files += found.is_candidate
                hashed.update(os.fsencode(f"{found.path}\0{found.size}\0"))
        if not files:
            raise self._nothing()
        return {
            "source": self._label,
            "languages": sorted(self._languages),
            "files": files,
            "listing": hashed.hexdigest(),
            "largest_file": self._largest_file,
            "vendored": self._vendored,
        }

    def pieces(self) -> Iterator[Batch]:
        """Yield the files in order of root and path, some at a time.

        Raises:
            ConfigError: There is no file to read.
        """
        files: list[tuple[Root, str, Problem | None]] = []
        size, empty = 0, True
        roots = self._roots()
        for root in roots:
            alone = True
            for found in self._walk(root):
                if not found.is_candidate:
                    continue
                empty = alone = False
                if files and (len(files) >= BATCH_FILES or size + found.size > BATCH_BYTES):
                    yield Batch(tuple(files))
                    files, size = [], 0
                files.append((root, found.path, found.problem))
                size += found.size
            if alone and len(roots) > 1:
                files.append((root, ".", no_source(self._languages)))
        if empty:
            raise self._nothing()
        yield Batch(tuple(files))

    def read(self, piece: Batch) -> Iterator[RawCode | Rejected]:
        """Yield the functions in order of file and line, and why a file gave none."""
        for root, path, problem in piece.files:
            name = "" if path == "." else path or root.path.rpartition("/")[2]
            file = SourceFile(root.label, fit_for_utf8(name), root.space)
            data = problem or self._data(f"{root.path}/{path}" if path else root.path)
            if isinstance(data, Problem):
                yield file.rejected(data)
            else:
                origins, before = self._origins(root)
                yield from file.outcomes(data, self._languages, origins.of(before + name))

    def _data(self, path: str) -> bytes | Problem:
        """Return a file's content, or why it cannot be had."""
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (one of millions)
                data = file.read()
        except OSError as error:
            return Problem("unreadable", f"it cannot be read, {error.strerror}")
        if len(data) > self._largest_file:  # it has grown since it was listed
            return too_large(len(data), self._largest_file)
        return data

    def _nothing(self) -> ConfigError:
        """Return the error of a source without a file to read, which is said once."""
        others = 0
        for root in self._roots():
            for _, folders, names in os.walk(root.path):
                folders[:] = [name for name in folders if not self._skip.match(name)]
                others += len(names)
        where = next((root.path for root in self._roots()), "")
        return ConfigError(
            f"{self._label} ({where}) has {_no_file(self._languages)}; files of other kinds: "
            f"{others}. Name another source, or other languages."
        )

    def _walk(self, root: Root) -> Iterator[_Found]:
        """Yield the files that are candidates or papers, in order of the bytes of their paths.

        Raises:
            ConfigError: The only root cannot be listed.
        """
        try:
            status = Path(root.path).stat()
        except OSError as error:
            yield _Found("", 0, Problem("unreadable", f"{error.strerror}"), True)
            return
        if not stat.S_ISDIR(status.st_mode):
            found = self._found("", status)
            yield found._replace(is_candidate=is_wanted(root.path, self._languages))
            return
        # What is left of the folders on the way, the innermost last.
        pending = [self._entries(root, "")]
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
            elif isinstance(entry, _Found):
                yield entry
            else:
                pending.append(self._entries(root, entry))

    def _entries(self, root: Root, folder: str) -> Iterator[_Found | str]:
        """Yield what is in a folder, in order: files as found, folders by their path.

        Raises:
            ConfigError: It is the only root, and cannot be listed.
        """
        before = f"{folder}/" if folder else ""
        try:
            for key in _in_order(lambda: self._keys(f"{root.path}/{folder}")):
                path = before + os.fsdecode(key)
                if not key.endswith(b"/"):
                    yield self._looked_at(root, path)
                elif os.fsdecode(key[:-1]) in VENDORED_FOLDERS and not self._vendored:
                    yield _Found(path[:-1], 0, VENDORED, True)
                else:
                    yield path[:-1]
        except OSError as error:
            if not folder and root.label == self._label:  # all there is
                raise ConfigError(
                    f"Cannot list the folder {root.path}: {error.strerror}. Check its permissions."
                ) from error
            problem = Problem("unreadable", f"the folder cannot be listed, {error.strerror}")
            yield _Found(folder or ".", 0, problem, True)

    def _keys(self, folder: str) -> Iterator[bytes]:
        """Yield the names in a folder that matter, those of folders with a slash behind."""
        with os.scandir(folder) as listing:
            for entry in listing:
                name = entry.name
                if self._skip.match(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield os.fsencode(name) + b"/"
                elif is_wanted(name, self._languages) or is_paper(name):
                    yield os.fsencode(name)

    def _looked_at(self, root: Root, path: str) -> _Found:
        try:
            return self._found(path, os.lstat(f"{root.path}/{path}"))
        except OSError as error:
            problem = Problem("unreadable", f"it cannot be looked at, {error.strerror}")
            return _Found(path, 0, problem, is_wanted(path, self._languages))

    def _found(self, path: str, status: os.stat_result) -> _Found:
        problem = None
        if stat.S_ISLNK(status.st_mode):
            problem = Problem("symlink", "it is a symbolic link, which is not followed")
        elif not stat.S_ISREG(status.st_mode):
            problem = Problem("unreadable", "it is no regular file")
        elif status.st_size > self._largest_file:
            problem = too_large(status.st_size, self._largest_file)
        is_candidate = is_wanted(path, self._languages)
        # What is not opened adds no bytes to a batch; its size stays out of the listing, too.
        return _Found(path, 0 if problem else status.st_size, problem, is_candidate)


def no_source(languages: Collection[str]) -> Problem:
    """Return why a folder or archive, one of several, gives nothing."""
    return Problem("no_source_files", f"it has {_no_file(languages)}")


def _no_file(languages: Collection[str]) -> str:
    titles = ", ".join(LANGUAGES[name].title for name in sorted(languages))
    return f"no file with a suffix of {titles}"


def _in_order(keys: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    """Yield the keys sorted, of which at most `_NAMES_HELD` are in memory.

    With the slash behind folders' names, this is the order of whole paths. A folder that holds more
    is listed again for every `_NAMES_HELD` of its names.
    """
    held = list(islice(keys(), _NAMES_HELD + 1))
    if len(held) <= _NAMES_HELD:
        yield from sorted(held)
        return
    del held
    last = b""
    while True:
        after = last
        least = nsmallest(_NAMES_HELD, (key for key in keys() if key > after))
        yield from least
        if len(least) < _NAMES_HELD:
            return
        last = least[-1]


def _disk_origins(root: Root) -> tuple[Origins, str]:
    """Return what tells origins by paths below `root.top`, and the root's place in there."""
    if not root.top:
        return Origins(root.origin, lambda _: Papers()), ""
    path = Path(root.path)
    inner = (path if path.is_dir() else path.parent).relative_to(root.top).as_posix()

    def look(inside: str) -> Papers:
        place = f"{root.top}/{inside}"
        try:
            names = os.listdir(place)  # noqa: PTH208
        except OSError:
            return Papers()
        return look_at(names, lambda name: readable(f"{place}/{name}"), partial(checkout_at, place))

    return Origins(root.origin, look), "" if inner == "." else f"{inner}/"
