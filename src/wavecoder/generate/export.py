"""Write the accepted instances as a file that trainers read: `wavecoder export`.

| format     | what a file holds                                                          |
|------------|----------------------------------------------------------------------------|
| `alpaca`   | a JSON list of `instruction`, `input` (the information, or empty), `output` |
| `messages` | a JSON line an instance: `messages`, a user turn and an assistant turn      |
| `jsonl`    | a JSON line an instance, with every field of the record                     |
"""

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wavecoder.artifact import Artifact, writing
from wavecoder.errors import ConfigError
from wavecoder.plugins import nearest
from wavecoder.records import Instance

__all__ = ["FORMATS", "export"]


def _alpaca(instances: Iterable[Instance]) -> Iterator[str]:
    """Yield a JSON list, item by item: a large dataset is never whole in memory."""
    before = "[\n"
    for instance in instances:
        row = {
            "instruction": instance.instruction,
            "input": instance.information or "",
            "output": instance.solution,
        }
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _messages(instances: Iterable[Instance]) -> Iterator[str]:
    """Yield lines of chat turns, the information after the instruction and an empty line."""
    for instance in instances:
        asked = [part for part in (instance.instruction, instance.information) if part]
        turns = [
            {"role": "user", "content": "\n\n".join(asked)},
            {"role": "assistant", "content": instance.solution},
        ]
        yield json.dumps({"messages": turns}, ensure_ascii=False) + "\n"


def _jsonl(instances: Iterable[Instance]) -> Iterator[str]:
    """Yield lines of whole records."""
    for instance in instances:
        yield instance.model_dump_json() + "\n"


FORMATS: dict[str, Callable[[Iterable[Instance]], Iterator[str]]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "jsonl": _jsonl,
}
"""By name, what turns instances into the pieces of a file's text."""


def export(folder: Path, format: str, path: Path) -> int:
    """Write the accepted instances of a run to `path`, whole or not at all; return how many.

    Args:
        folder: A run, or the artifact of its stage `generate`.
        format: A name in `FORMATS`.
        path: The file to write; one that is there is replaced, one that a symbolic link leads
            to is replaced where it is.

    Raises:
        ConfigError: The format is unknown, or a path does not fit.
        ArtifactError: The artifact is not complete, or the file cannot be written.
    """
    if format not in FORMATS:
        known = [*sorted(FORMATS), "checkpoint"]
        raise ConfigError(
            f"There is no format {format!r}.{nearest(format, known)} Formats: {', '.join(known)}."
        )
    target = _target(path)
    instances = _generated(folder).records(Instance)
    _write(target, FORMATS[format](instances))
    return len(instances)


def _target(path: Path) -> Path:
    """Return the regular file, there or not yet, that is to be written for `path`.

    Raises:
        ConfigError: There is something else, or no folder for it.
    """
    try:
        try:
            # Before links are resolved: what /dev/stdout leads to may have no path of its own.
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            mode = stat.S_IFREG
        target = path.resolve() if path.is_symlink() else path
        has_parent = target.parent.is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        reason = error.strerror if isinstance(error, OSError) else "it is a link to itself"
        raise ConfigError(f"Cannot write {path}: {reason}. Name another file to write.") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise ConfigError(f"{path} is {what}. Name a file to write.")
    if not has_parent:
        raise ConfigError(f"The folder {target.parent} does not exist. Make it, or name another.")
    return target


def _generated(folder: Path) -> Artifact:
    """Return the artifact that `folder` is or holds: of `regenerate` where the run has it."""
    try:
        # A run's folders are numbered by their place in the pipeline: 3-generate.
        inner = sorted(folder.glob("*-regenerate")) or sorted(folder.glob("*-generate"))
        is_artifact = any((folder / name).exists() for name in ("manifest.json", "started.json"))
    except OSError as error:
        raise ConfigError(
            f"Cannot read {folder}: {error.strerror}. Give the folder of a run that went through "
            f"generate."
        ) from error
    if inner:
        return Artifact.open(inner[0])
    if is_artifact:
        artifact = Artifact.open(folder)
        if artifact.manifest.stage in ("generate", "regenerate"):
            return artifact
    raise ConfigError(
        f"{folder} holds no instances. Give the folder of a run that went through generate."
    )


def _write(path: Path, pieces: Iterable[str]) -> None:
    """Write `pieces` beside `path`, then put the file in its place."""
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
