"""What a git checkout says of itself: where it was cloned from, and the commit it stands at.

Its files are read as text. Git itself is not run: a repository's config may name programs.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["Checkout", "checkout_at", "checkout_top"]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")  # SHA-1, or SHA-256
_SECTION = re.compile(r'^\s*\[\s*([\w.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]\s*(.*)$')
_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]*)://(?:[^/@]*@)*([^?#]*)", re.IGNORECASE)
_SCP = re.compile(r"^(?:[^/@:]*@)?([\w.-]{2,}):(?!\\)([^?#]*)$")
_LARGEST = 10_000_000
"""Bytes read of a file of git's; packed-refs has some 60 a branch or tag."""


class Checkout(NamedTuple):
    """A work tree of git's."""

    repository: str
    """Address of the remote `origin`, without user and password; else the folder's name."""
    commit: str | None
    """What HEAD points at; None before the first commit."""


def checkout_top(folder: Path, stop: frozenset[str] = frozenset()) -> Path | None:
    """Return the top folder of the work tree that `folder` lies in, or None.

    Args:
        folder: An absolute path.
        stop: Names of folders that do not belong to the tree they lie in: `node_modules`.
    """
    for place in (folder, *folder.parents):
        if os.path.lexists(place / ".git"):
            return place if _git_folder(place) else None
        if place.name in stop:
            return None
    return None


def checkout_at(folder: str | Path) -> Checkout | None:
    """Return what the work tree at `folder` says of itself; None where it is none."""
    top = Path(folder)
    git = _git_folder(top)
    if git is None:
        return None
    # A linked work tree has its own HEAD, and shares config and branches.
    shared = _text(git / "commondir")
    common = git / shared.strip() if shared else git
    name = os.fsencode(top.name or "/").decode("utf-8", "backslashreplace")
    return Checkout(_origin(_text(common / "config") or "") or name, _head(git, common))


def _git_folder(top: Path) -> Path | None:
    """Return the folder of git's files: `.git`, or what the file of that name points at."""
    git = top / ".git"
    if git.is_file():  # submodules and linked work trees
        text = _text(git) or ""
        if not text.startswith("gitdir:"):
            return None
        git = top / text.removeprefix("gitdir:").strip()
    return git if (git / "HEAD").is_file() else None


def _head(git: Path, common: Path) -> str | None:
    """Return the commit that HEAD points at, through at most a few names."""
    name = "HEAD"
    for _ in range(5):
        text = _text(git / name) or (_text(common / name) if name != "HEAD" else None)
        if text is None:
            packed = _text(common / "packed-refs") or ""
            found = re.search(rf"^(\w+) {re.escape(name)}$", packed, re.MULTILINE)
            text = found[1] if found else ""
        text = text.strip()
        if not text.startswith("ref:"):
            return text if _COMMIT.fullmatch(text) else None
        name = text.removeprefix("ref:").strip()
        if not name.startswith("refs/") or ".." in name:
            return None
    return None


def _origin(config: str) -> str | None:
    """Return the address of the remote `origin` in a git config."""
    section = ""
    for line in config.splitlines():
        if found := _SECTION.match(line):
            section = f"{found[1].lower()} {found[2] or ''}"
            line = found[3]
        key, _, value = line.partition("=")
        if section == "remote origin" and key.strip().lower() == "url":
            value = re.split(r"\s[#;]", value.strip(), maxsplit=1)[0].strip().strip('"')
            return _address(value) if value else None
    return None


def _address(url: str) -> str:
    """Return a clone's address without user, password, query and fragment.

    A path on this machine becomes its last part: where it lay is nobody's business.
    """
    if found := _ADDRESS.match(url):
        scheme, rest = found[1].lower(), found[2].rstrip("/")
        return f"{scheme}://{rest}" if scheme != "file" else _last_part(rest)
    if found := _SCP.match(url):
        return f"{found[1]}:{found[2]}"
    return _last_part(url)


def _last_part(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name.removesuffix(".git") or "?"


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return None
