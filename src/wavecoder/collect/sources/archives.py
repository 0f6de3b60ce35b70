"""Source code in archives: zip and tar files, read as they stand and never unpacked to disk.

```yaml
sources:
  - archive: ~/Downloads/django-5.0.tar.gz
  - archive: [~/crates, ~/sdists/*.zip]   # a folder with archives below it, a pattern
```

A member is a file like any other. What is wrong with one, or with the archive behind some point,
is a `Rejected`; the rest is read all the same.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.collect.authorship import VENDORED_FOLDERS
from wavecoder.collect.sources.files import (
    LARGEST_FILE,
    SKIPPED_FOLDERS,
    Problem,
    SourceFile,
    fit_for_utf8,
    is_wanted,
    too_large,
)
from wavecoder.collect.sources.folders import VENDORED, no_source
from wavecoder.collect.sources.members import (
    ARCHIVE_SUFFIXES,
    DamagedArchiveError,
    Member,
    open_zip,
)
from wavecoder.collect.sources.places import Names, matches, spaces
from wavecoder.collect.sources.surveys import Survey
from wavecoder.errors import ConfigError
from wavecoder.languages import LANGUAGES
from wavecoder.records import RawCode, Rejected

__all__ = ["Archive", "ArchivePiece"]

PIECE_FILES, PIECE_BYTES = 2_048, 16_000_000
"""Members of a zip file in a piece, at most; a minute's work. A tar file is one piece: what lies in
it can only be reached through what lies before."""

_TAIL = 65_536
"""Bytes at an archive's end that stand for its content: a zip file's table with a checksum of each
member, or the checksum of a gzip file's whole content."""


class _Root(NamedTuple):
    path: str
    label: str
    space: tuple[str, ...]


class ArchivePiece(NamedTuple):
    """An archive, or a range of a zip file's members."""

    root: _Root
    first: int
    end: int | None
    """The member behind the last; None for all."""


class Archive:
    """The code in zip and tar files, each of which is a repository or package of its own."""

    class Config(BaseModel):
        """Which archives."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        archive: Names
        """A zip or tar file, a folder with such files below it, a pattern, or a list of these."""
        languages: tuple[str, ...] | None = None
        """The languages wanted; `collect.languages` unless given."""
        largest_file: Annotated[int, Field(gt=0)] = LARGEST_FILE
        """Most bytes of a member that is read."""
        vendored: bool = False
        """Read folders of other people's code, too: `vendor`, `third_party`."""

    def __init__(self, config: Config) -> None:
        """Find the archives.

        Raises:
            ConfigError: One is not there, or a folder or pattern holds none.
        """
        self.config = config
        given = matches(config.archive, only=_is_archive)
        paths = [path for place in given for path in _archives(place)]
        labels = [f"archive:{fit_for_utf8(path.name)}" for path in paths]
        self.label = labels[0] if len(labels) == 1 else "archive:*"
        named = zip(paths, labels, spaces(self.label, labels), strict=True)
        self._roots = tuple(_Root(str(path), label, space) for path, label, space in named)
        self._languages = frozenset(LANGUAGES if config.languages is None else config.languages)

    def identity(self) -> Mapping[str, object]:
        """Return a digest of the archives' names, sizes and ends; not where they are.

        Raises:
            ConfigError: An archive cannot be read.
        """
        hashed = blake2b(digest_size=8)
        for root in self._roots:
            try:
                with Path(root.path).open("rb") as file:
                    size = file.seek(0, 2)
                    file.seek(max(0, size - _TAIL))
                    tail = file.read(_TAIL)
            except OSError as error:
                raise ConfigError(
                    f"Cannot read the archive {root.path}: {error.strerror}. Check its permissions."
                ) from error
            hashed.update(f"{root.space}\0{size}\0".encode() + blake2b(tail).digest())
        return {
            "source": self.label,
            "languages": sorted(self._languages),
            "archives": len(self._roots),
            "listing": hashed.hexdigest(),
            "largest_file": self.config.largest_file,
            "vendored": self.config.vendored,
        }

    def pieces(self) -> Iterator[ArchivePiece]:
        """Yield the archives in order of path, a zip file of many members in ranges."""
        for root in self._roots:
            try:
                zipped = open_zip(root.path)
            except DamagedArchiveError:
                zipped = None  # `read` meets it again, and says so
            if zipped is None:
                yield ArchivePiece(root, 0, None)
                continue
            with zipped:
                first = count = size = 0
                for place, info in enumerate(zipped.infolist()):
                    if not is_wanted(info.filename, self._languages):
                        continue
                    own = min(info.file_size, self.config.largest_file)
                    if count and (count >= PIECE_FILES or size + own > PIECE_BYTES):
                        yield ArchivePiece(root, first, place)
                        first, count, size = place, 0, 0
                    count, size = count + 1, size + own
            yield ArchivePiece(root, first, None)

    def read(self, piece: ArchivePiece) -> Iterator[RawCode | Rejected]:
        """Yield the functions member by member, and why a member gave none."""
        root = piece.root
        whole = SourceFile(root.label, "", root.space)
        try:
            survey = _survey(root.path)
            for member in survey.members(piece.first, piece.end):
                yield from self._outcomes(root, survey, member)
            if not survey.has_source(self._languages):
                yield whole.rejected(no_source(self._languages))
        except DamagedArchiveError as error:
            yield whole.rejected(Problem("damaged_archive", str(error)))

    def _outcomes(
        self, root: _Root, survey: Survey, member: Member
    ) -> Iterator[RawCode | Rejected]:
        *folders, name = member.path.split("/")
        if any(folder in SKIPPED_FOLDERS for folder in folders):
            return
        # Its place in the archive is part of the id: nothing forbids two members of one name.
        space = (*root.space, str(member.place))
        if not self.config.vendored:
            for depth, folder in enumerate(folders):
                if folder in VENDORED_FOLDERS:
                    vendored = "/".join(folders[: depth + 1])
                    if survey.is_first(vendored, member.place):
                        yield SourceFile(root.label, vendored, space).rejected(VENDORED)
                    return
        if not is_wanted(name, self._languages):
            return
        file = SourceFile(root.label, member.path, space)
        most = self.config.largest_file
        data: bytes | Problem | None = member.problem
        if data is None:
            data = too_large(member.size, most) if member.size > most else member.read(most)
        if isinstance(data, Problem):
            yield file.rejected(data)
        else:
            yield from file.outcomes(data, self._languages, survey.origins.of(member.path))


@lru_cache(maxsize=1)
def _surveyed(path: str, _size: int, _changed: int) -> Survey:
    return Survey(path)


def _survey(path: str) -> Survey:
    """Return what is known of an archive; the last one's is kept for its next range."""
    try:
        status = Path(path).stat()
    except OSError as error:
        raise DamagedArchiveError(f"it cannot be read, {error.strerror}") from error
    return _surveyed(path, status.st_size, status.st_mtime_ns)


def _is_archive(path: Path) -> bool:
    return path.is_dir() or path.name.lower().endswith(ARCHIVE_SUFFIXES)


def _archives(place: Path) -> Iterator[Path]:
    """Yield the archive that `place` is, or those below it, in order.

    Raises:
        ConfigError: There is none.
    """
    if not place.is_dir():
        yield place
        return
    found = [path for path in place.rglob("*") if _is_archive(path) and path.is_file()]
    if not found:
        raise ConfigError(
            f"There is no archive below {place}. Name a folder with files that end in "
            f"{', '.join(ARCHIVE_SUFFIXES)}, or `directory: {place}` for source code."
        )
    yield from sorted(found)
