"""Where a file is from and under which licence: answered per folder, from the nearest upwards.

The same for folders on disk and in archives: `Origins` asks for what the papers in a folder say
(its licence files, the metadata of packages), and remembers the answer.
"""

import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from wavecoder.collect.licenses.metadata import (
    DebianCopyright,
    is_metadata,
    license_of_metadata,
)
from wavecoder.collect.licenses.names import all_of
from wavecoder.collect.licenses.texts import license_of_text
from wavecoder.languages import languages_of
from wavecoder.records import LicenseSource

__all__ = [
    "LARGEST_PAPER",
    "Origin",
    "Origins",
    "Papers",
    "is_paper",
    "look_at",
    "readable",
    "weigh",
    "what_it_says",
]

LARGEST_PAPER = 262_144
"""Bytes read of a LICENSE file or a package's metadata; the text of GPL-3.0 has 35,149."""

_REMEMBERED = 20_000
"""Folders whose answers are kept, some 5 MB; further ones are looked up again."""

_LICENSE_FILE = re.compile(
    r"(?:[\w.+]+-)?(?:un)?licen[cs]es?(?:[-._ ].*)?|copying(?:[-._ ].*)?|copyright(?:\.\w+)?",
    re.IGNORECASE,
)
# Lists of what others wrote say nothing of the code beside them.
_OTHER_KINDS = (".json", ".yml", ".yaml", ".toml", ".xml", ".html", ".css", ".sh", ".png")
_OF_OTHERS = re.compile(r"third|3rd|part(?:y|ies)|notice|header|template", re.IGNORECASE)


class Origin(NamedTuple):
    """What the records of a folder's files say of their origin."""

    repository: str | None = None
    commit: str | None = None
    license: str | None = None
    license_source: LicenseSource = LicenseSource.UNKNOWN


class _Folder(NamedTuple):
    origin: Origin
    debian: DebianCopyright | None
    """The debian/copyright that counts here, if no nearer paper does."""
    base: str
    """The folder that its paths start at, with a slash behind it."""


class Papers(NamedTuple):
    """What was found in one folder."""

    license: tuple[str | None, LicenseSource] | None = None
    """What its papers say; None where there are none."""
    debian: DebianCopyright | None = None
    checkout: tuple[str, str | None] | None = None
    """Repository and commit, where a checkout of its own begins here."""


class Origins:
    """The origins of the files in one repository, package or archive."""

    def __init__(self, base: Origin, look: Callable[[str], Papers]) -> None:
        """Say how to look.

        Args:
            base: What holds where no folder says otherwise.
            look: Returns what is in a folder by its path below the top; `""` is the top.
        """
        self._base = base
        self._look = look
        self._folders: dict[str, _Folder] = {}

    def of(self, path: str) -> Origin:
        """Return the origin of a file by its path below the top, with forward slashes."""
        folder = path.rpartition("/")[0]
        found = self._folders.get(folder) or self._look_up(folder)
        if found.debian:
            special = found.debian.of(path[len(found.base) :])
            if special:
                source = LicenseSource.PACKAGE_METADATA if special[0] else LicenseSource.UNKNOWN
                return found.origin._replace(license=special[0], license_source=source)
        return found.origin

    def _look_up(self, folder: str) -> _Folder:
        """Return the answer for a folder, after those above it."""
        above = [folder]
        while above[-1] and above[-1] not in self._folders:
            above.append(above[-1].rpartition("/")[0])
        found = self._folders.get(above[-1])
        if found is None:
            found = _Folder(self._base, None, "")
        else:
            above.pop()
        for place in reversed(above):
            found = self._look_at(place, found)
            if len(self._folders) >= _REMEMBERED:
                self._folders.clear()
            self._folders[place] = found
        return found

    def _look_at(self, folder: str, above: _Folder) -> _Folder:
        """Return the answer for a folder by what is in it and what holds above."""
        papers = self._look(folder)
        base = f"{folder}/" if folder else ""
        if papers.checkout and folder:
            # A checkout inside another, as submodules are: nothing above holds for it.
            above = _Folder(Origin(*papers.checkout), None, base)
        license = papers.license
        if license is None and papers.debian and papers.debian.general:
            license = papers.debian.general, LicenseSource.PACKAGE_METADATA
        if license is None and papers.debian is None:
            return above
        origin = above.origin
        if license is not None:
            origin = origin._replace(license=license[0], license_source=license[1])
        return _Folder(origin, papers.debian, base)


def look_at(
    names: Iterable[str],
    read: Callable[[str], str | None],
    checkout: Callable[[], tuple[str, str | None] | None] = lambda: None,
) -> Papers:
    """Return what a folder's papers say.

    Args:
        names: The names in the folder.
        read: Returns the text of a file in it by its name, or None.
        checkout: Returns repository and commit; asked where there is a `.git`.
    """
    names = sorted(names)
    papers = [
        (name, what_it_says(name, text))
        for name in names
        if is_paper(name) and (text := read(name)) is not None
    ]
    debian = read("debian/copyright") if "debian" in names else None
    return Papers(
        weigh(papers),
        DebianCopyright.read(debian) if debian else None,
        checkout() if ".git" in names else None,
    )


def what_it_says(name: str, text: str) -> str | None:
    """Return the licence that a paper names, None, or `""` as `license_of_metadata` does."""
    return license_of_metadata(name, text) if is_metadata(name) else license_of_text(text)


def weigh(papers: Collection[tuple[str, str | None]]) -> tuple[str | None, LicenseSource] | None:
    """Return what the papers of one folder say together; None where they say nothing.

    Args:
        papers: The name of each, and the licence it names.
    """
    texts = [(name, one) for name, one in papers if not is_metadata(name)]
    stated = all_of([one for name, one in papers if one and is_metadata(name)])
    known = all_of([one for _, one in texts if one])
    # A COPYRIGHT that only says whose the code is leaves the question open.
    vague = any(one is None and not name.lower().startswith("copyr") for name, one in texts)
    if stated and (not known or _ids(stated) == _ids(known)):
        # Two texts side by side do not say whether both hold or either; the metadata does.
        return stated, LicenseSource.PACKAGE_METADATA
    if known and not vague:
        return known, LicenseSource.LICENSE_FILE
    # A package that says `UNLICENSED` is not under the licence of the folder above it.
    vague = vague or any(one == "" for _, one in papers)
    return (None, LicenseSource.UNKNOWN) if vague else None


def is_paper(name: str) -> bool:
    """Say whether a file may tell of a licence, by its name; debian/copyright is one of these."""
    if is_metadata(name):
        return True
    if not _LICENSE_FILE.fullmatch(name) or _OF_OTHERS.search(name):
        return False
    # license.py and Copyright.java are code.
    return not languages_of(Path(name)) and not name.lower().endswith(
        (".json", ".html", ".css", ".sh")
    )


def _ids(expression: str) -> frozenset[str]:
    """Return the licences in an expression, whether later versions will do or not."""
    # The text that SPDX calls Python-2.0 begins with PSF-2.0, and packages call it so.
    plain = re.sub(r"-(?:only|or-later)\b", "", expression).replace("Python-2.0", "PSF-2.0")
    return frozenset(re.split(r"[()\s]+|\bAND\b|\bOR\b", plain)) - {""}


def readable(path: str) -> str | None:
    """Return the text of a paper on disk; None where there is none to read."""
    try:
        # A link may lead out of the tree, and a pipe would wait for ever.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        number = os.open(path, flags)
        with open(number, "rb") as file:  # noqa: PTH123
            return file.read(LARGEST_PAPER).decode("utf-8", "replace")
    except OSError:
        return None
