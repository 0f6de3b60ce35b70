"""The folders, files and patterns that a recipe names, and what the ids below each begin with."""

import os
from collections.abc import Callable
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from wavecoder.errors import ConfigError
from wavecoder.languages import languages_of

__all__ = ["Names", "is_source", "matches", "spaces"]


def _listed(given: Any) -> Any:
    if isinstance(given, str | Path):
        given = [given]
    if isinstance(given, list | tuple):
        given = tuple(str(one) if isinstance(one, Path) else one for one in given)
    return given


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
"""One name or a list of them, in a recipe."""


def is_source(path: Path) -> bool:
    """Say whether a path is a folder, or a file of a language known here."""
    return path.is_dir() or bool(languages_of(path))


def matches(
    given: tuple[str, ...], *, only: Callable[[Path], object] = is_source
) -> tuple[Path, ...]:
    """Return the folders and files that paths and patterns stand for, sorted, each once.

    Args:
        given: Paths and patterns.
        only: Says which of a pattern's matches are meant; the others are passed by.

    Raises:
        ConfigError: A path is not there, a pattern matches nothing, or one lies in another.
    """
    found: dict[Path, str] = {}
    for text in given:
        if not text.strip():
            raise ConfigError(f"One of the paths is {text!r}. Write `.` for the folder you are in.")
        expanded = Path(text).expanduser()
        if has_magic(text) and not os.path.lexists(expanded):
            places = [Path(place) for place in glob(str(expanded))]  # noqa: PTH207 (any root)
            # A pattern takes what is there; notes beside the repositories are no mistake.
            places = [place for place in places if only(place)]
            if not places:
                raise ConfigError(
                    f"Nothing matches {text!r}. Check the pattern; a relative one starts at the "
                    f"folder you are in, {Path.cwd()}."
                )
        else:
            places = [expanded]
        for place in places:
            found.setdefault(_resolved(place), text)
    for path, text in found.items():
        around = next((other for other in path.parents if other in found), None)
        if around is not None:
            raise ConfigError(
                f"{path} ({text!r}) lies in {around} ({found[around]!r}), and would be collected "
                f"twice. Name one of the two."
            )
    return tuple(sorted(found, key=os.fsencode))


def _resolved(given: Path) -> Path:
    try:
        return given.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        reason = error.strerror if isinstance(error, OSError) else "it is a link to itself"
        raise ConfigError(
            f"Cannot collect from {given}: {reason}. Check the path; a relative one starts "
            f"at the folder you are in, {Path.cwd()}."
        ) from error


def spaces(source: str, labels: list[str]) -> list[tuple[str, ...]]:
    """Return what the ids below each root begin with: its label, and its place among namesakes.

    A root keeps its ids where others come or go, unless they have its name.

    Args:
        source: The label of the source as a whole.
        labels: The labels of its roots.
    """
    seen: dict[str, int] = {}
    found: list[tuple[str, ...]] = []
    for label in labels:
        place = seen.get(label, 0)
        seen[label] = place + 1
        own = (label,) if label == source else (source, label)
        found.append((*own, str(place)) if place else own)
    return found
