"""Files below some roots: which are candidates, how each is read, and the functions it gives.

Symbolic links below a root are not followed: one that stays inside would give the same functions
twice or lead round in a loop, one that leads out goes to code nobody named. The root may be a link.
"""

import os
import re
import stat
import tokenize
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from io import BytesIO
from pathlib import Path

from wavecoder.errors import ConfigError
from wavecoder.languages import (
    LANGUAGES,
    FunctionSpan,
    Language,
    functions,
    language_of,
    languages_of,
    parse,
    syntax_errors,
)
from wavecoder.records import RawCode, Rejected, digest

__all__ = ["LARGEST_FILE", "SKIPPED_FOLDERS", "Files"]

LARGEST_FILE = 1_000_000
"""Bytes. The largest file written by hand in Python 3.11's standard library, _pydecimal.py, has
229 kB; a file four times as large is data, or what a tool wrote."""

SKIPPED_FOLDERS = (
    # the books of version control
    *(".git", ".hg", ".svn", ".bzr"),
    # other people's code
    *("node_modules", "site-packages", "dist-packages", ".venv", "venv", ".tox", ".nox", ".eggs"),
    # what tools keep
    *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"),
)
"""Names of folders that are passed by below a root; a root itself may lie in one."""

# At the start of a comment: prose about generated things is no sign.
_GENERATED = re.compile(
    r"^\s*(?://+|#+|/?\*+|<!--)[ \t]*(?:@generated\b|"
    r"(?:this (?:file|code|module|class|is|was)\b[^.\n]{0,40})?"
    r"(?:\b(?:auto|automatically|machine)[- ]?generated\b|\bgenerated (?:by|from)\b)|"
    r"(?:code|file) generated (?:by|from)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER = 2_000
"""Characters of a file in which such a comment counts."""
_LONG_LINES = 200
"""Mean characters a line from which code is taken for minified; people stay below 60. Files of a
single header's length are never taken so."""


@dataclass(frozen=True)
class _Candidate:
    path: Path
    relative: str
    """With forward slashes, and fit for UTF-8 whatever bytes the file system holds."""
    size: int
    problem: tuple[str, str] | None
    """(reason, detail) where the file is not to be opened."""


class Files:
    """The source code below some roots; nothing is read before it is asked for."""

    def __init__(
        self,
        label: str,
        roots: tuple[Path, ...],
        *,
        languages: Collection[str] | None = None,
        largest_file: int = LARGEST_FILE,
        skip: tuple[str, ...] = (),
    ) -> None:
        """Say what is to be read.

        Args:
            label: What the records name as their source.
            roots: Folders or files.
            languages: Names of the languages wanted; None for all.
            largest_file: Most bytes of a file that is opened.
            skip: Glob patterns of names to pass by, beside `SKIPPED_FOLDERS`.
        """
        self._label = label
        self._roots = roots
        self._languages = frozenset(LANGUAGES if languages is None else languages)
        self._largest_file = largest_file
        self._skip = skip

    def identity(self) -> dict[str, object]:
        """Return what stands for the files: a digest of their names and sizes, not of their text.

        Raises:
            ConfigError: There is no file to read.
        """
        parts = (part for file in self._listing for part in (file.relative, str(file.size)))
        return {
            "source": self._label,
            "languages": sorted(self._languages),
            "files": len(self._listing),
            "listing": digest(*parts),
            "largest_file": self._largest_file,
        }

    def read(self) -> Iterator[RawCode | Rejected]:
        """Yield the functions in order of path and line, and why a file gave none.

        Raises:
            ConfigError: There is no file to read.
        """
        for file in self._listing:
            if file.problem is not None:
                yield self._rejected(file, *file.problem)
            else:
                yield from self._functions(file)

    def _functions(self, file: _Candidate) -> Iterator[RawCode | Rejected]:
        try:
            data = file.path.read_bytes()
        except OSError as error:
            yield self._rejected(file, "unreadable", f"it cannot be read, {error.strerror}")
            return
        zero = data.find(b"\0")
        if zero >= 0:
            yield self._rejected(file, "binary", f"byte {zero} is zero")
            return
        try:
            text = _decode(data, file.path)
        except (UnicodeError, LookupError) as error:
            yield self._rejected(file, "not_utf8", str(error))
            return
        row = language_of(file.path, text)
        assert row is not None  # the listing holds no other files
        if row.name not in self._languages:
            yield self._rejected(file, "other_language", f"it is {row.title} by its content")
        elif sign := _sign_of_tool(text):
            yield self._rejected(file, "generated", sign)
        else:
            found = False
            for span in functions(text, row.name):
                found = True
                yield self._outcome(file, row, span)
            if not found:
                yield self._rejected(file, *_why_none(text, row))

    def _outcome(self, file: _Candidate, row: Language, span: FunctionSpan) -> RawCode | Rejected:
        """Return the function as a record, or rejected where it does not parse by itself."""
        start = str(span.start_line)
        identity = digest(self._label, file.relative, start, span.name, span.code)
        if span.issue is not None:
            detail = f"line {span.issue.line}, {span.issue.what}"
        elif alone := syntax_errors(span.code, row.name):
            detail = f"by itself it is no {row.title}, {alone[0].what}"
        else:
            return RawCode(
                id=identity,
                language=row.name,
                name=span.name,
                code=span.code,
                docstring=span.docstring,
                source=self._label,
                path=file.relative,
                start_line=span.start_line,
                end_line=span.end_line,
                content_hash=digest(span.code),
            )
        where = f"{self._label}/{file.relative}:{start} {span.name}"
        return Rejected(id=identity, reason="syntax_error", detail=f"{where}: {detail}")

    def _rejected(self, file: _Candidate, reason: str, detail: str) -> Rejected:
        identity = digest(self._label, file.relative)
        where = f"{self._label}/{file.relative}"
        return Rejected(id=identity, reason=reason, detail=f"{where}: {detail}")

    @cached_property
    def _listing(self) -> tuple[_Candidate, ...]:
        """The candidates, sorted by path.

        Raises:
            ConfigError: There is none.
        """
        found: list[_Candidate] = []
        others = 0
        for root in self._roots:
            for path, problem in _walk(root, (*SKIPPED_FOLDERS, *self._skip)):
                if problem or self._wanted(path):
                    found.append(self._candidate(path, root, problem))
                else:
                    others += 1
        if not found:
            titles = ", ".join(LANGUAGES[name].title for name in sorted(self._languages))
            raise ConfigError(
                f"{self._label} ({self._roots[0]}) has no file with a suffix of {titles}; "
                f"files of other kinds: {others}. Name another source, or other languages."
            )
        return tuple(sorted(found, key=lambda file: file.relative))

    def _wanted(self, path: Path) -> bool:
        return any(row.name in self._languages for row in languages_of(path))

    def _candidate(self, path: Path, root: Path, problem: tuple[str, str] | None) -> _Candidate:
        relative = path.name if path == root else path.relative_to(root).as_posix()
        relative = os.fsencode(relative).decode("utf-8", "backslashreplace")
        size = 0
        try:
            status = path.stat() if path == root else path.lstat()
        except OSError as error:
            problem = ("unreadable", f"it cannot be looked at, {error.strerror}")
        else:
            size = 0 if problem else status.st_size
            problem = problem or self._problem(status)
        return _Candidate(path, relative, size, problem)

    def _problem(self, status: os.stat_result) -> tuple[str, str] | None:
        """Return why a file is not to be opened, by its status alone, or None."""
        if stat.S_ISLNK(status.st_mode):
            return "symlink", "it is a symbolic link, which is not followed"
        if not stat.S_ISREG(status.st_mode):
            return "unreadable", "it is no regular file"
        if status.st_size > self._largest_file:
            sizes = f"{status.st_size:,} bytes, the most is {self._largest_file:,}"
            return "file_too_large", f"it has {sizes}"
        return None


def _walk(root: Path, skip: tuple[str, ...]) -> Iterator[tuple[Path, tuple[str, str] | None]]:
    """Yield every file below `root`, and each folder that cannot be listed with the problem.

    Raises:
        ConfigError: The root itself cannot be listed.
    """
    if not root.is_dir():
        yield root, None
        return
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if any(fnmatchcase(entry.name, pattern) for pattern in skip):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(folder / entry.name)
                    else:
                        yield folder / entry.name, None
        except OSError as error:
            if folder is root:
                raise ConfigError(
                    f"Cannot list the folder {root}: {error.strerror}. Check its permissions."
                ) from error
            yield folder, ("unreadable", f"the folder cannot be listed, {error.strerror}")


def _decode(data: bytes, path: Path) -> str:
    """Return a file's text, without byte order mark and with line feeds only.

    Raises:
        UnicodeError: It is not in its encoding: UTF-8, or what a Python file declares (PEP 263).
        LookupError: A Python file declares an encoding that is not one of text.
    """
    encoding = "utf-8-sig"
    if any(row.name == "python" for row in languages_of(path)):
        try:
            encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
        except SyntaxError:  # unknown, or not true: the text may be UTF-8 all the same
            encoding = "utf-8-sig"
    text = data.decode(encoding)
    text.encode()  # some declared encodings decode to half characters, which no record can hold
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _sign_of_tool(text: str) -> str | None:
    """Return why a file is taken for a tool's output, or None."""
    if header := _GENERATED.search(text[:_HEADER]):
        return f"its header says {header[0].strip()!r}"
    mean = len(text) // (text.count("\n") + 1)
    if len(text) > _HEADER and mean > _LONG_LINES:
        return f"its lines have {mean:,} characters on average, as minified code has"
    return None


def _why_none(text: str, row: Language) -> tuple[str, str]:
    """Return the reason and detail of a file without functions."""
    if parse(text, row.name).root_node.has_error:
        issue = syntax_errors(text, row.name)[0]
        return "syntax_error", f"line {issue.line}, {issue.what}"
    return "no_functions", "it has no function with a body"
