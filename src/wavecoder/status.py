"""How far a run is, read from its folder alone: `wavecoder status RUN`.

Nothing is written and nobody is kept waiting, so it may be asked while the run goes on. Every
input of a stage that streams is in exactly one state: accepted, refused by a rule, failed as no
model replied, or pending; `StageStatus.check` holds that to be so.
"""

import fcntl
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from wavecoder.artifact import Artifact
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.journal import Journal
from wavecoder.pipeline import STAGES, check_run, stage_folder
from wavecoder.records import FAILED_REASONS

__all__ = ["Replies", "StageStatus", "Status", "status"]


@dataclass(frozen=True)
class StageStatus:
    """How far one stage is; counts are of inputs."""

    name: str
    state: str
    """`complete`, `running`, `stopped` (half-way), `begun` (one of these two, where the system does
    not tell whether a process works on the run) or `waiting` (not begun)."""
    accepted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    """By reason, the most frequent first."""
    failed: Mapping[str, int] = field(default_factory=dict)
    """The same, of inputs to which no model replied."""
    total: int | None = None
    """None where it is unknown."""
    target: int | None = None
    """The stage ends once so many are accepted."""
    journaled: bool = True
    """False: the outcomes of this stage are on disk only once it is complete."""
    variants: Mapping[str, str] = field(default_factory=dict)
    """Of a `train` that is begun: how far each is, in words."""

    @property
    def done(self) -> int:
        """Inputs that have their outcome."""
        return self.accepted + sum(self.refused.values()) + sum(self.failed.values())

    @property
    def pending(self) -> int | None:
        """Inputs that have none yet; None where it is unknown."""
        return None if self.total is None else self.total - self.done

    def check(self) -> None:
        """Raise ArtifactError unless accepted + refused + failed + pending = total."""
        if self.pending is not None and self.pending < 0:
            raise ArtifactError(
                f"Stage {self.name} has {self.done} outcomes for {self.total} inputs; "
                f"this is a defect of the stage, please report it."
            )


@dataclass(frozen=True)
class Replies:
    """What the ledger holds of one model at one endpoint."""

    model: str
    endpoint: str | None
    """None where it is not known, or the model ran in the process itself."""
    count: int
    prompt_tokens: int
    completion_tokens: int
    uncounted: int
    """Replies whose endpoint did not say how many tokens they had."""


@dataclass(frozen=True)
class Status:
    """How far a run is."""

    folder: Path
    working: bool | None
    """Whether a process is working on it; None where the system does not tell."""
    stages: tuple[StageStatus, ...]
    replies: tuple[Replies, ...]
    trouble: str | None
    """Why the replies cannot be read, in one sentence."""
    progress: Mapping[str, Any]
    """What the process that works on it wrote last; empty where none does."""
    age: float | None
    """Seconds since it wrote that."""


def status(folder: Path) -> Status:
    """Return how far the run in `folder` is.

    Raises:
        ConfigError: There is no run in the folder, or it cannot be read.
        ArtifactError: What is there is damaged, or an input has two outcomes.
    """
    try:
        return _look(folder)
    except OSError as error:
        raise ConfigError(
            f"Cannot look into {folder}: {error.strerror}. "
            f"Give the folder named with -o in `wavecoder run`, and check its access."
        ) from error


def _look(folder: Path) -> Status:
    check_run(folder)
    working = _held(folder / ".lock")
    progress = _progress(folder / "progress.json") if working is not False else {}
    stages = tuple(_stages(folder, working))
    for stage in stages:
        stage.check()
    going_on = [stage.name for stage in stages if stage.state in ("running", "begun")]
    running = bool(going_on) and progress["stage"] in going_on
    replies, trouble = _replies(folder / "replies.sqlite")
    return Status(
        folder=folder,
        working=working,
        stages=stages,
        replies=replies,
        trouble=trouble,
        progress=progress if running else {},
        age=_age(progress["updated"]) if running else None,
    )


def _held(lock: Path) -> bool | None:
    """Say whether a process holds the lock of a run; None where the system does not tell."""
    try:
        with lock.open("rb") as file:
            # Shared, so that two who look do not see each other, and given back at once.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None


def _progress(path: Path) -> dict[str, Any]:
    """Return what `progress.Recorded` wrote, {"stage": None} where there is nothing of use."""
    found = _table(path, json.loads)
    return found if {"stage", "updated"} <= found.keys() else {"stage": None}


def _age(updated: str) -> float | None:
    try:
        written = datetime.fromisoformat(updated)
        return max(0.0, (datetime.now(UTC) - written).total_seconds())
    except (ValueError, TypeError):
        return None


def _stages(folder: Path, working: bool | None) -> Iterator[StageStatus]:
    """Yield the stages of the run that are there, in pipeline order."""
    kept: dict[str, int] = {}
    """By fingerprint, what each complete artifact holds."""
    states = {True: "running", False: "stopped", None: "begun"}
    for name in (stage.name for stage in STAGES):
        here = stage_folder(folder, name)
        found = _complete(name, here, kept)
        if found is None and (here / "started.json").exists():
            # A run goes through its stages in order: the first that is half done is the one.
            found = _half_way(name, here, kept, states[working])
            # It may have been completed while its journal was read.
            found = _complete(name, here, kept) or found
            if found.state != "complete":
                working = False
        if found is not None:
            yield found
        elif here.is_dir():
            yield StageStatus(name, "waiting", journaled=False)


def _complete(name: str, folder: Path, kept: dict[str, int]) -> StageStatus | None:
    """Return a stage that has its manifest; note in `kept` what it holds."""
    if not (folder / "manifest.json").exists():
        return None
    manifest = Artifact.open(folder).manifest
    kept[manifest.fingerprint] = manifest.kept
    refused, failed = _split(manifest.rejected)
    return StageStatus(name, "complete", manifest.kept, refused, failed, total=manifest.inputs)


def _half_way(name: str, folder: Path, kept: Mapping[str, int], state: str) -> StageStatus:
    """Return a stage that is begun and not complete, from its journal."""
    if name == "train":
        from wavecoder.train.variants import variants

        names = _table(folder / "config.yaml", yaml.safe_load).get("variants") or {}
        far = variants(folder, names, stopped=state == "stopped")
        return StageStatus(name, state, journaled=False, variants=far)
    if not Journal(folder).path.exists():
        return StageStatus(name, state, journaled=False)
    accepted, rejected = _count(folder)
    refused, failed = _split(rejected)
    target = _table(folder / "config.yaml", yaml.safe_load).get("target")
    target = target if isinstance(target, int) else None
    # What a stage that streams reads is what the artifact before it holds, unless it may end early.
    total = kept.get(str(_table(folder / "started.json", json.loads).get("upstream")))
    return StageStatus(
        name, state, accepted, refused, failed, total=None if target else total, target=target
    )


def _table(path: Path, load: Callable[[bytes], Any]) -> dict[str, Any]:
    """Return a table that was written into the run; {} where it is not there or not whole."""
    try:
        found = load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _split(rejected: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return what was refused and what failed, each by reason, the most frequent first."""
    ordered = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    refused = {reason: count for reason, count in ordered if reason not in FAILED_REASONS}
    return refused, {reason: count for reason, count in ordered if reason in FAILED_REASONS}


def _count(folder: Path) -> tuple[int, Counter[str]]:
    """Return how many outcomes of a journal were accepted, and how many rejected by reason.

    Raises:
        ArtifactError: The journal is damaged, or names an input twice.
    """
    journal = Journal(folder)
    try:
        heads = journal.heads()
    except FileNotFoundError:
        return 0, Counter()  # the stage was completed just now, or is being replaced
    except (ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            f"{journal.path} holds a line that is damaged. "
            f"Make the artifact again with --on-existing replace."
        ) from error
    ids = Counter(head.id for head in heads)
    if len(ids) != len(heads):
        raise ArtifactError(
            f"{journal.path} holds two outcomes for the input {ids.most_common(1)[0][0]}; "
            f"this is a defect of the stage, please report it."
        )
    return sum(head.kept for head in heads), Counter(
        str(head.reason) for head in heads if not head.kept
    )


def _replies(path: Path) -> tuple[tuple[Replies, ...], str | None]:
    """Return what the ledger holds by model and endpoint; or nothing, and why."""
    # Killed between making the file and its table, a process leaves it without a byte.
    if not path.exists() or not path.stat().st_size:
        return (), None
    # Where nobody has the ledger open, an ordinary reader would leave files of its own beside it.
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    try:
        db = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)
        try:
            columns = {row[1] for row in db.execute("PRAGMA table_info(replies)")}
            endpoint = "endpoint" if "endpoint" in columns else "NULL"
            rows = db.execute(
                f"SELECT model, {endpoint}, count(*), total(prompt_tokens), "
                f"total(completion_tokens), sum(prompt_tokens IS NULL OR completion_tokens IS NULL)"
                f" FROM replies GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
            ).fetchall()
        finally:
            db.close()
    except sqlite3.Error as error:
        return (), f"Cannot read the replies in {path}: {error}. Check that it is a ledger."
    return tuple(
        Replies(model, address, count, int(read), int(written), uncounted)
        for model, address, count, read, written, uncounted in rows
    ), None
