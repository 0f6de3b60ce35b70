"""One file of source code becomes its functions, or the reason why it gives none.

Where the bytes come from, a folder or an archive, is not known here.
"""

import tokenize
from collections.abc import Collection, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from wavecoder.collect.authorship import HEADER, INSTALLED_FOLDERS, generated_header, mean_line
from wavecoder.collect.filters.secrets import shown
from wavecoder.collect.licenses.texts import license_of_header
from wavecoder.collect.sources.origins import Origin
from wavecoder.languages import (
    LANGUAGES,
    Language,
    SlowParseError,
    functions,
    language_of,
    languages_of,
    parse,
)
from wavecoder.languages.syntax import first_issue
from wavecoder.records import LicenseSource, RawCode, Rejected, digest

__all__ = [
    "LARGEST_FILE",
    "SKIPPED_FOLDERS",
    "Problem",
    "SourceFile",
    "fit_for_utf8",
    "is_wanted",
    "suffix_of",
    "too_large",
]

LARGEST_FILE = 1_000_000
"""Bytes. The largest file written by hand in Python 3.11's standard library, _pydecimal.py, has
229 kB; a file four times as large is data, or what a tool wrote."""

SKIPPED_FOLDERS = (
    # the books of version control
    *(".git", ".hg", ".svn", ".bzr"),
    # what was installed
    *(*INSTALLED_FOLDERS, ".venv", "venv", ".tox", ".nox", ".eggs"),
    # what tools keep
    *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"),
)
"""Names of folders that are passed by below a root; a root itself may lie in one."""

_LONG_LINES = 200
"""Mean characters a line from which code is taken for minified; people stay below 60. Files of a
single header's length are never taken so."""


class Problem(NamedTuple):
    """Why a file, or a function, gives nothing."""

    reason: str
    """A slug."""
    detail: str
    """The end of a sentence that begins with its place."""


class SourceFile(NamedTuple):
    """A file by its place; it has not been read."""

    label: str
    """What the records name as their source."""
    path: str
    """Relative, with forward slashes, fit for UTF-8; `""` for a folder or archive as a whole."""
    space: tuple[str, ...]
    """What its ids are made of beside the path, so that no other file of the source has them."""

    @property
    def key(self) -> str:
        """The id of what is said of the file as a whole."""
        return digest(*self.space, self.path)

    def rejected(self, problem: Problem) -> Rejected:
        """Return why the file gives nothing."""
        where = f"{self.label}/{self.path}" if self.path else self.label
        detail = f"{where}: {problem.detail}"
        return Rejected(id=self.key, reason=problem.reason, detail=detail)

    def outcomes(
        self, data: bytes, languages: Collection[str], origin: Origin
    ) -> Iterator[RawCode | Rejected]:
        """Yield the functions in order of line, or why there is none.

        Args:
            data: The file's content.
            languages: Names of the languages wanted.
            origin: Where it is from and under which licence, as far as its folder says.
        """
        read = _text(data, self.path, languages)
        if isinstance(read, Problem):
            yield self.rejected(read)
            return
        text, row = read
        try:
            found = False
            for outcome in self._functions(text, row, origin):
                found = True
                yield outcome
            if not found:
                yield self.rejected(_why_none(text, row))
        except SlowParseError as error:
            yield self.rejected(Problem("slow_parse", str(error)))

    def _functions(self, text: str, row: Language, origin: Origin) -> Iterator[RawCode | Rejected]:
        """Yield each function as a record, or rejected where it does not parse."""
        # A record is made for each of millions of functions: what can be known once is.
        key, label, path = self.key, self.label, self.path
        repository, commit, license, license_source = origin
        said = license_of_header(text)
        if said is not None:
            (license,) = said
            license_source = LicenseSource.FILE_HEADER if license else LicenseSource.UNKNOWN
        seen: dict[str, int] = {}
        for span in functions(text, row.name):
            content_hash = digest(span.code)
            identity = digest(f"{key}\0{span.start_line}\0{span.name}\0{content_hash}")
            again = seen.get(identity, 0)
            seen[identity] = again + 1
            if again:  # two functions alike on one line
                identity = digest(identity, str(again))
            if span.issue is not None:
                where = f"{label}/{path}:{span.start_line} {span.name}"
                detail = f"{where}: line {span.issue.line}, {shown(span.issue.what, span.code)}"
                yield Rejected(id=identity, reason="syntax_error", detail=detail)
                continue
            yield RawCode(
                id=identity,
                language=row.name,
                name=span.name,
                code=span.code,
                docstring=span.docstring,
                source=label,
                path=path,
                start_line=span.start_line,
                end_line=span.end_line,
                content_hash=content_hash,
                repository=repository,
                commit=commit,
                license=license,
                license_source=license_source,
            )


@lru_cache(maxsize=1024)
def _by_suffix(suffix: str) -> tuple[str, ...]:
    return tuple(row.name for row in languages_of(Path(f"x{suffix}")))


def is_wanted(name: str, languages: Collection[str]) -> bool:
    """Say whether a file of that name may hold code in one of the languages."""
    return any(found in languages for found in _by_suffix(suffix_of(name)))


def suffix_of(name: str) -> str:
    """Return how a name or path ends, in small letters: `.py`, or `""`."""
    dot = name.rfind(".")
    is_suffix = name.rfind("/") + 1 < dot and len(name) - dot < 10
    return name[dot:].lower() if is_suffix else ""


def too_large(size: int, most: int) -> Problem:
    """Return why a file of that many bytes is not read."""
    return Problem("file_too_large", f"it has {size:,} bytes, the most is {most:,}")


def fit_for_utf8(name: str) -> str:
    """Return a name of any bytes, as the file system gives it, as text that UTF-8 can hold."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _text(data: bytes, path: str, languages: Collection[str]) -> tuple[str, Language] | Problem:
    """Return a file's text and its language, or why it is not to be read for functions."""
    zero = data.find(b"\0")
    if zero >= 0:
        return Problem("binary", f"byte {zero} is zero")
    names = _by_suffix(suffix_of(path))
    try:
        text = _decode(data, "python" in names)
    except (UnicodeError, LookupError) as error:
        return Problem("not_utf8", str(error))
    row = LANGUAGES[names[0]] if len(names) == 1 else language_of(Path(path), text)
    assert row is not None  # files of other kinds are not read
    if row.name not in languages:
        return Problem("other_language", f"it is {row.title} by its content")
    if header := generated_header(text):
        return Problem("generated", f"its header says {header!r}")
    if len(text) > HEADER and (mean := mean_line(text)) > _LONG_LINES:
        lines = f"its lines have {mean:,.0f} characters on average"
        return Problem("minified", f"{lines}, as minified code has")
    return text, row


def _decode(data: bytes, is_python: bool) -> str:
    """Return a file's text, without byte order mark and with line feeds only.

    Raises:
        UnicodeError: It is not in its encoding: UTF-8, or what a Python file declares (PEP 263).
        LookupError: A Python file declares an encoding that is not one of text.
    """
    encoding = "utf-8"
    # Python looks at the first two lines; most files end the matter here.
    if is_python and b"coding" in data[: data.find(b"\n", data.find(b"\n") + 1) % (len(data) + 1)]:
        try:
            encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
        except SyntaxError:  # unknown, or not true: the text may be UTF-8 all the same
            encoding = "utf-8"
    if encoding.startswith("utf-8"):
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    else:
        text = data.decode(encoding)
        text.encode()  # some encodings decode to half characters, which no record can hold
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _why_none(text: str, row: Language) -> Problem:
    """Return why a file has no functions.

    Raises:
        SlowParseError: The parser takes too long to say.
    """
    issue = first_issue(parse(text, row.name).root_node, text.encode())
    if issue is not None:
        return Problem("syntax_error", f"line {issue.line}, {shown(issue.what, text)}")
    return Problem("no_functions", "it has no function with a body")
