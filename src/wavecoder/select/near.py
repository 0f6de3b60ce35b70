"""Why a function was picked and what it stands for, or which picks stand for it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavecoder.artifact import Artifact
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.records import RawCode
from wavecoder.select.sendable import Sendable

__all__ = ["Near", "Neighbour", "near"]

_BLOCK = 1 << 16


class Neighbour(NamedTuple):
    """A function and how far it is."""

    raw: RawCode
    distance: float


class Near(NamedTuple):
    """A function's place in a selection."""

    raw: RawCode
    pick: int | None
    """Its place among the picks, from 0; None where it was not picked."""
    added: float | None
    """Of a pick: its distance to the nearest pick before it, those of an earlier selection that was
    extended included; None for the first of all."""
    picks: tuple[Neighbour, ...]
    """The nearest picks, itself left out."""
    others: tuple[Neighbour, ...]
    """The nearest functions that were not picked, itself left out."""


def near(collect: Artifact, select: Artifact, wanted: str, count: int = 5) -> Near:
    """Return what is near a function.

    Args:
        collect: What the function is among.
        select: The picks, and the vectors of all functions.
        wanted: The function's id or name.
        count: How many neighbours of each kind.

    Raises:
        ConfigError: No function has that id or name, or several have that name, or it holds a
            secret and has no vector.
        ArtifactError: The vectors are missing or damaged, or collect was made again since.
    """
    if select.manifest.upstream != collect.manifest.fingerprint:
        raise ArtifactError(
            f"{select.folder} was picked from what {collect.folder} held before it was made again. "
            f"Run select again."
        )
    everything = collect.records(RawCode)
    ids, names = _columns(everything.tables(["id", "name"]))
    row = _row(wanted, ids, names)
    secret = _secret(select)
    if ids[row] in secret:
        raise ConfigError(
            f"{wanted!r} holds a key or password and was not embedded. Ask for another function."
        )
    found = Sendable(everything, [at for at, name in enumerate(ids) if name in secret])
    row -= sum(name in secret for name in ids[:row])
    ids = [name for name in ids if name not in secret]
    vectors = _vectors(select.files / "vectors.npy")
    place = {name: number for number, name in enumerate(ids)}
    picked_ids, _ = _columns(select.records(RawCode).tables(["id", "name"]))
    picks = np.array([place[name] for name in picked_ids], dtype=np.int64)
    # An earlier selection's come behind.
    distances, to_earlier = np.split(_distances(vectors, row), [len(ids)])
    distances[row] = np.inf
    is_picked = np.zeros(len(ids), dtype=bool)
    is_picked[picks] = True
    near_picks = _nearest(distances, is_picked, count)
    near_others = _nearest(distances, ~is_picked, count)
    records = found.take([row, *near_picks, *near_others])
    neighbours = [
        Neighbour(raw, float(distances[at]))
        for raw, at in zip(records[1:], [*near_picks, *near_others], strict=True)
    ]
    pick = int(np.flatnonzero(picks == row)[0]) if is_picked[row] else None
    before = np.concatenate([to_earlier, distances[picks[:pick]]])
    added = float(before.min()) if pick is not None and before.size else None
    return Near(
        records[0],
        pick,
        added,
        tuple(neighbours[: len(near_picks)]),
        tuple(neighbours[len(near_picks) :]),
    )


def _secret(select: Artifact) -> set[str]:
    """Return the ids of the functions that were kept from the embedder."""
    import pyarrow.compute as pc

    found: set[str] = set()
    for table in select.rejected().tables(["id", "reason"]):
        found.update(table.filter(pc.equal(table["reason"], "secret"))["id"].to_pylist())
    return found


def _columns(tables: Any) -> tuple[list[str], list[str]]:
    ids: list[str] = []
    names: list[str] = []
    for table in tables:
        ids += table["id"].to_pylist()
        names += table["name"].to_pylist()
    return ids, names


def _row(wanted: str, ids: list[str], names: list[str]) -> int:
    """Return the row of the function with that id or name."""
    if wanted in ids:
        return ids.index(wanted)
    rows = [row for row, name in enumerate(names) if name == wanted]
    if len(rows) == 1:
        return rows[0]
    if rows:
        some = ", ".join(ids[row] for row in rows[:5])
        raise ConfigError(
            f"{len(rows)} functions are called {wanted!r}. Give an id instead: {some}."
        )
    raise ConfigError(
        f"collect kept no function with the id or name {wanted!r}. "
        f"Ids and names are in its records.parquet."
    )


def _vectors(path: Path) -> NDArray[Any]:
    try:
        vectors: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"Cannot read {path}: {error}. Make the artifact again with --on-existing replace."
        ) from error
    return vectors


def _distances(vectors: NDArray[Any], row: int) -> NDArray[np.float64]:
    here = vectors[row].astype(np.float64)
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        difference = vectors[start : start + _BLOCK] - here
        found[start : start + _BLOCK] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found


def _nearest(distances: NDArray[np.float64], among: NDArray[np.bool_], count: int) -> list[int]:
    rows = np.flatnonzero(among & np.isfinite(distances))
    order = np.argsort(distances[rows], kind="stable")[:count]
    return [int(row) for row in rows[order]]
