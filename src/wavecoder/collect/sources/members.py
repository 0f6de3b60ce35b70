"""The members of zip and tar files, one after another, without a byte of them on disk.

No more is unpacked than asked for, so that a bomb does no harm; names are made safe. What a member
says wrongly of itself is that member's problem; what makes the rest unreadable ends the archive.
"""

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from wavecoder.collect.sources.files import Problem, fit_for_utf8, too_large

__all__ = [
    "ARCHIVE_SUFFIXES",
    "DamagedArchiveError",
    "Member",
    "Reader",
    "members_of_tar",
    "members_of_zip",
    "open_zip",
    "safe_path",
]

_ZIP_SUFFIXES = (".zip", ".whl", ".egg", ".jar")
ARCHIVE_SUFFIXES = (
    *_ZIP_SUFFIXES,
    *(".tar", ".tar.gz", ".tgz", ".crate", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),
    *(".tar.zst", ".tzst"),
)
"""How the names of archives end, where a folder or a pattern is searched for them."""

_LONGEST_HEADER = 1_000_000
"""Bytes of a tar header's extension (a long name, a comment), which is held in memory whole."""

_COMPRESSIONS = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd"}
_HEADER_ERRORS = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
_READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
_TAR_ERRORS = (tarfile.TarError, *_READ_ERRORS)
_ZIP_ERRORS = (
    *_READ_ERRORS,
    *(zipfile.BadZipFile, RuntimeError, NotImplementedError, IndexError, OverflowError),
)


class DamagedArchiveError(Exception):
    """The archive cannot be read, or not from here on; its text says why."""


class Reader(Protocol):
    """Reads one member."""

    def __call__(self, most: int) -> bytes | Problem:
        """Return its content, or why it cannot be had; `most` bytes of it and no more."""


class Member(NamedTuple):
    """A file in an archive."""

    place: int
    """Among all members, from 0."""
    path: str
    """Relative, with forward slashes, without `..`."""
    size: int
    """As the archive says."""
    problem: Problem | None
    """Why it is not to be read."""
    read: "Reader"


def open_zip(path: str) -> zipfile.ZipFile | None:
    """Return an open zip file, or None where it is no zip file by its beginning and its name.

    Raises:
        DamagedArchiveError: It cannot be read.
    """
    begin = _beginning(path)
    # A program may stand before the archive, as in jars that start by themselves.
    if not begin.startswith((b"PK\3\4", b"PK\5\6")) and not path.lower().endswith(_ZIP_SUFFIXES):
        return None
    try:
        # Its own list of members is all that is read, and held, here.
        return zipfile.ZipFile(path)
    except _ZIP_ERRORS as error:
        raise DamagedArchiveError(f"it cannot be read as a zip file, {error}") from error


def members_of_zip(zipped: zipfile.ZipFile, first: int, end: int | None) -> Iterator[Member]:
    """Yield the members of a range, in the order of the archive's own list."""
    for place, info in enumerate(zipped.infolist()[first:end], first):
        if not info.filename.endswith("/"):  # `is_dir` fails where there is no name at all
            read = _ZipReader(zipped, info)
            yield Member(place, safe_path(info.filename), info.file_size, read.problem(), read)


class _ZipReader(NamedTuple):
    zipped: zipfile.ZipFile
    info: zipfile.ZipInfo

    def problem(self) -> Problem | None:
        """Return why the member is not to be read, by what the archive's list says."""
        if stat.S_ISLNK(self.info.external_attr >> 16):
            return Problem("symlink", "it is a symbolic link, which is not followed")
        if self.info.flag_bits & 1:
            return Problem("encrypted", "it is encrypted, and no password is asked for")
        # Python unpacks the others without a bound: a few bytes may become gigabytes.
        if self.info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            kind = _COMPRESSIONS.get(self.info.compress_type, "an unknown one")
            return Problem("unreadable", f"its compression, {kind}, is not read here")
        return None

    def __call__(self, most: int) -> bytes | Problem:
        """Return the content; no more than `most` bytes and one are unpacked."""
        try:
            with self.zipped.open(self.info) as file:
                data = file.read(most + 1)
        except _ZIP_ERRORS as error:
            return Problem("damaged_member", f"it is damaged, {error}")
        return too_large(len(data), most) if len(data) > most else data


def members_of_tar(path: str) -> Iterator[Member | str]:
    """Yield the members of a tar file, compressed or not; each is read before the next is asked.

    A string among them is the commit that a git archive was made of.

    Raises:
        DamagedArchiveError: It cannot be read from here on.
    """
    try:
        with (
            _unpacked(path) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header, errorlevel=2) as tar,
        ):
            if commit := tar.pax_headers.get("comment"):
                yield commit
            place = 0
            while (header := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would remember all of them
                if not header.isdir():
                    yield Member(
                        place,
                        safe_path(header.name),
                        header.size,
                        _tar_problem(header),
                        _TarReader(tar, header),
                    )
                place += 1
    except _TAR_ERRORS as error:
        raise DamagedArchiveError(f"it cannot be read further, {error}") from error


class _Header(tarfile.TarInfo):
    """A header whose faults are said: the library takes a broken one for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(tarfile_)
        except _HEADER_ERRORS as error:
            raise tarfile.ReadError(str(error)) from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        found = super().frombuf(buf, encoding, errors)
        extensions = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        names = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if found.size < 0:
            raise tarfile.ReadError("a member has a negative size")
        if found.type in (*extensions, *names) and found.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header has {found.size:,} bytes")
        return found


class _TarReader(NamedTuple):
    tar: tarfile.TarFile
    header: tarfile.TarInfo

    def __call__(self, most: int) -> bytes | Problem:
        """Return the content, whose size the header says truly: the next header lies behind it.

        Raises:
            DamagedArchiveError: It ends before its time, and the archive with it.
        """
        if self.header.size > most:
            return too_large(self.header.size, most)
        try:
            file = self.tar.extractfile(self.header)
            return file.read() if file else b""
        except _TAR_ERRORS as error:
            raise DamagedArchiveError(f"it cannot be read further, {error}") from error


def _tar_problem(header: tarfile.TarInfo) -> Problem | None:
    if header.issym():
        return Problem("symlink", "it is a symbolic link, which is not followed")
    if header.islnk():
        return Problem("symlink", f"it is a link to {header.linkname!r}, which is a member, too")
    return None if header.isreg() else Problem("unreadable", "it is no regular file")


def _unpacked(path: str) -> IO[bytes]:
    """Return the bytes of a tar file, by the compression that its beginning tells."""
    begin = _beginning(path)
    if begin.startswith(b"\x1f\x8b"):
        return gzip.open(path)  # type: ignore[return-value]
    if begin.startswith(b"BZh"):
        return bz2.open(path)
    if begin.startswith(b"\xfd7zXZ\0"):
        return lzma.open(path)
    if begin.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa  # 0.1 s, and few archives are packed so

        stream: Any = pa.CompressedInputStream(pa.OSFile(path), "zstd")
        return stream  # type: ignore[no-any-return]
    return Path(path).open("rb")


def _beginning(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise DamagedArchiveError(f"it cannot be read, {error.strerror}") from error


def safe_path(name: str) -> str:
    """Return a member's name as a relative path that stays below its start."""
    parts = fit_for_utf8(name).replace("\\", "/").split("/")
    if parts[0].endswith(":"):  # C:
        parts = parts[1:]
    return "/".join(part for part in parts if part not in ("", ".", ".."))
