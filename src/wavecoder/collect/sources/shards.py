"""The files a dataset is made of: found by a path or a pattern, and listed by name and size."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path

from wavecoder.collect.sources.rows import group_sizes
from wavecoder.errors import ConfigError
from wavecoder.records import digest

__all__ = ["ROWS_A_PIECE", "Shard", "find_shards", "listing", "parts_of"]

ROWS_A_PIECE = 32_768
"""Rows of a parquet file that are read in one piece, as far as its row groups allow: about what a
shard of CodeSearchNet has, some seconds' work."""


@dataclass(frozen=True)
class Shard:
    """A file, or some row groups of one; small, so that it can be handed to another process."""

    path: Path
    relative: str
    """Below the folder that was named, with forward slashes, fit for UTF-8."""
    size: int
    groups: tuple[int, int] | None = None
    """Parquet: the first row group, and the one after the last; None for all."""


def find_shards(given: str, suffixes: tuple[str, ...]) -> tuple[str, list[Shard]]:
    """Return the name of the folder that holds the files, and the files in order of name.

    Args:
        given: A file, a folder, or a pattern such as `data/*.jsonl.gz` or `data/**/*.csv`.
        suffixes: How the names of files in a folder must end; a file or a pattern decides alone.

    Raises:
        ConfigError: There is no such file.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        root, found = path, list(_walk(path, suffixes))
    elif path.exists():
        root, found = path.parent, [path]
    else:
        root = _fixed_part(path)
        matches = root.glob(str(path.relative_to(root)))
        found = [one for one in matches if not one.is_dir() and not _is_hidden(one, root)]
    if not found:
        wanted = ", ".join(suffix for suffix in suffixes if suffix.count(".") == 1)
        what = f"the folder holds no file {wanted}" if path.is_dir() else "there is no such file"
        raise ConfigError(
            f"Cannot collect from {given}: {what}. Check the path; a relative one starts at the "
            f"folder you are in, {Path.cwd()}."
        )
    shards = [Shard(one, _text(one.relative_to(root).as_posix()), _size(one)) for one in found]
    name = _text(root.resolve().name or "/")
    return name, sorted(shards, key=lambda shard: shard.relative)


def listing(shards: Iterable[Shard]) -> str:
    """Return a digest of the names and sizes of files, not of what is in them."""
    return digest(*(part for shard in shards for part in (shard.relative, str(shard.size))))


def parts_of(shard: Shard) -> Iterator[Shard]:
    """Yield a parquet file in runs of row groups, and any other file as it is."""
    sizes = group_sizes(shard.path) if shard.path.suffix in (".parquet", ".parq", ".pq") else None
    if not sizes:
        yield shard
        return
    first = rows = 0
    for group, size in enumerate(sizes):
        if rows and rows + size > ROWS_A_PIECE:
            yield Shard(shard.path, shard.relative, shard.size, (first, group))
            first, rows = group, 0
        rows += size
    yield Shard(shard.path, shard.relative, shard.size, (first, len(sizes)))


def _walk(root: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield Path(folder, name)


def _is_hidden(path: Path, root: Path) -> bool:
    """Say whether a path lies in what is a tool's own: `.cache`, `.git`."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _fixed_part(pattern: Path) -> Path:
    """Return the folder before the first part with a wildcard."""
    fixed: list[str] = []
    for part in pattern.parts[:-1]:
        if has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # reading it will say why
        return 0


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
