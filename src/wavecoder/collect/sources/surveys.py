"""What must be known of an archive before its first member is read: licences stand anywhere in it.

For this the list of a zip file is enough; a tar file is read twice. To unpack it once more costs a
few hundredths of the time that parsing its code takes, and nothing has to be kept in memory.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from wavecoder.collect.authorship import VENDORED_FOLDERS
from wavecoder.collect.licenses.metadata import DebianCopyright
from wavecoder.collect.sources.files import (
    SKIPPED_FOLDERS,
    Problem,
    fit_for_utf8,
    is_wanted,
    suffix_of,
)
from wavecoder.collect.sources.members import (
    ARCHIVE_SUFFIXES,
    DamagedArchiveError,
    Member,
    members_of_tar,
    members_of_zip,
    open_zip,
)
from wavecoder.collect.sources.origins import (
    LARGEST_PAPER,
    Origin,
    Origins,
    Papers,
    is_paper,
    weigh,
    what_it_says,
)

__all__ = ["Survey"]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_INFO = re.compile(r"(?:^|/)[^/]+\.(?:dist|egg)-info(?:/licenses)?$")


class Survey:
    """An archive: its members, its top folder, its commit and the licences in it."""

    def __init__(self, path: str) -> None:
        """Read what tells of these.

        Raises:
            DamagedArchiveError: The archive cannot be opened.
        """
        self._path = path
        self._zip = open_zip(path)
        self._commit: str | None = None
        self._tops: set[str] = set()
        self._suffixes: set[str] = set()
        self._vendored: dict[str, int] = {}
        self._papers: dict[str, list[tuple[str, str | None]]] = {}
        self._debian: dict[str, DebianCopyright] = {}
        try:
            for member in self._all(0, None):
                self._see(member)
        except DamagedArchiveError:
            pass  # what lies before the damage can be read; whoever reads it meets the damage
        top = next(iter(self._tops)) if len(self._tops) == 1 else ""
        self._top = f"{top}/" if top else ""
        # What npm packs is always in a folder `package`, which tells nothing.
        named = top if top != "package" else ""
        repository = named or _stem(fit_for_utf8(Path(path).name))
        self.origins = Origins(Origin(repository, self._commit), self._look)

    def members(self, first: int, end: int | None) -> Iterator[Member]:
        """Yield the members of a range, their paths without the common top folder.

        Raises:
            DamagedArchiveError: The archive cannot be read from here on.
        """
        for member in self._all(first, end):
            yield member._replace(path=member.path.removeprefix(self._top))

    def has_source(self, languages: Collection[str]) -> bool:
        """Say whether any member is a candidate."""
        return any(is_wanted(f"x{suffix}", languages) for suffix in self._suffixes)

    def is_first(self, vendored: str, place: int) -> bool:
        """Say whether the member at `place` is the first in a folder of other people's code."""
        return self._vendored.get(self._top + vendored) == place

    def _all(self, first: int, end: int | None) -> Iterator[Member]:
        if self._zip is not None:
            self._take_commit(self._zip.comment.decode("ascii", "replace").strip())
            found: Iterator[Member | str] = members_of_zip(self._zip, first, end)
        else:
            found = members_of_tar(self._path)
        for member in found:
            if isinstance(member, str):
                self._take_commit(member)
            elif not member.path.startswith("__MACOSX/"):  # what a Mac adds to each file
                yield member

    def _take_commit(self, comment: str) -> None:
        if _COMMIT.fullmatch(comment):
            self._commit = comment

    def _see(self, member: Member) -> None:
        """Take in a member; only what tells of a licence is read."""
        *folders, name = member.path.split("/")
        if len(self._tops) < 2:
            self._tops.add(folders[0] if folders else "")
        if any(folder in SKIPPED_FOLDERS for folder in folders):
            return
        self._suffixes.add(suffix_of(name))
        depth = next((n for n, folder in enumerate(folders) if folder in VENDORED_FOLDERS), None)
        if depth is not None:
            self._vendored.setdefault("/".join(folders[: depth + 1]), member.place)
        if is_paper(name) and member.problem is None and member.size <= LARGEST_PAPER:
            data = member.read(LARGEST_PAPER)
            if not isinstance(data, Problem):
                self._file_paper("/".join(folders), name, data.decode("utf-8", "replace"))

    def _file_paper(self, folder: str, name: str, text: str) -> None:
        above, _, last = folder.rpartition("/")
        debian = DebianCopyright.read(text) if name == "copyright" and last == "debian" else None
        if debian:
            self._debian[above] = debian
        # What is in x.dist-info is about the folder that it stands in.
        about = _INFO.sub("", folder)
        self._papers.setdefault(about, []).append((name, what_it_says(name, text)))

    def _look(self, folder: str) -> Papers:
        inside = f"{self._top}{folder}".rstrip("/")
        return Papers(weigh(self._papers.get(inside, ())), self._debian.get(inside))


def _stem(name: str) -> str:
    """Return an archive's name without its suffix; of a wheel, name and version alone."""
    ends = [end for end in ARCHIVE_SUFFIXES if name.lower().endswith(end)]
    suffix = max(ends, key=len, default="")
    stem = name[: len(name) - len(suffix)]
    return "-".join(stem.split("-")[:2]) if suffix == ".whl" else stem
