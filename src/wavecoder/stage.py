"""The runner: `run_stage` is the only code that writes an artifact.

It skips what is complete, resumes what is half-written, refuses what is stale, counts every input
and writes the manifest last. A stage itself only turns inputs into outcomes.
"""

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Set, Sized
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import yaml

from wavecoder import __version__
from wavecoder.artifact import (
    Artifact,
    Manifest,
    ParquetFile,
    Rows,
    Tokens,
    read_json,
    write_text,
    writing,
)
from wavecoder.errors import ArtifactError, ConfigError, StaleArtifactError, StoppedError
from wavecoder.journal import Head, Journal
from wavecoder.protocols import Limits, Progress, Stage
from wavecoder.records import FAILED_REASONS, ChatReply, Record, Rejected, digest

R = TypeVar("R", bound=Record)

__all__ = ["Context", "OnExisting", "fingerprint", "retry_stage", "run_stage"]


class OnExisting(StrEnum):
    """What to do with an artifact that is already in the run folder."""

    RESUME = "resume"
    """Skip it if it is complete, go on if it is half-written, refuse it if it is stale."""
    REPLACE = "replace"
    """The same, but a stale one is deleted and made again."""
    FAIL = "fail"
    """Refuse any."""


@dataclass
class Context:
    """What a stage may use beside its inputs and its config."""

    folder: Path
    """The artifact's folder; a stage writes only under `files`."""
    seed: int
    """The run's random seed."""
    stage: str
    upstream: Mapping[str, Artifact]
    """The complete artifacts before this one, by stage name, in pipeline order."""
    replies: Path
    """The SQLite file of model replies, shared by the stages of a run."""
    progress: Progress
    stop: Event
    """Set once the user asks to stop: begin nothing new, finish what is in flight."""
    limits: Limits = field(default_factory=Limits)
    """How hard models may be driven, and what they may cost."""
    processes: int = 1
    """Processes that share the work of a stage without models; they do not decide the output."""
    retrying: bool = False
    """Of a stage that streams: it is given the inputs to which no model replied before, and no
    others. One that gets no outcome keeps the old one."""
    place: int = -1
    """Of a stage that streams: the place of the input it read last among all inputs, from 0."""
    begun: int = 0
    """Of a stage that streams: inputs before this place were begun in an earlier start."""
    accepted: int = 0
    """Of a stage that streams: outcomes kept in earlier starts."""
    _heads: list[Head] = field(default_factory=list)
    _usage: dict[str, Tokens] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """Folder for what is not a record; made when first asked for."""
        path = self.folder / "files"
        with writing(path):
            path.mkdir(exist_ok=True)
        return path

    @property
    def work(self) -> Path:
        """Folder for what a killed stage would not do again; gone once the stage is complete."""
        path = self.folder / "work"
        with writing(path):
            path.mkdir(exist_ok=True)
        return path

    def rng(self, record_id: str) -> random.Random:
        """Return a generator that depends on run seed, stage and record id, and on nothing else."""
        return random.Random(int(digest(str(self.seed), self.stage, record_id), 16))

    def finished(self, record: type[R]) -> Iterator[tuple[int, R | Rejected]]:
        """Yield the outcomes of earlier starts with their places, in input order.

        Args:
            record: What the stage writes.
        """
        for head, line in Journal(self.folder).lines(self._heads):
            yield head.place, (record if head.kept else Rejected).model_validate(line["record"])

    def used(self, model: str, reply: ChatReply) -> None:
        """Count the tokens of a reply that the next outcome rests on."""
        tokens = Tokens(
            prompt=reply.prompt_tokens or 0,
            completion=reply.completion_tokens or 0,
            uncounted=reply.prompt_tokens is None or reply.completion_tokens is None,
        )
        self._usage[model] = self._usage.get(model, Tokens()) + tokens

    def take_usage(self) -> dict[str, Tokens]:
        """Return what was counted since the last call, by model."""
        usage, self._usage = self._usage, {}
        return usage

    def check_stop(self) -> None:
        """Raise StoppedError if the user asked to stop."""
        if self.stop.is_set():
            raise StoppedError(f"Stopped in {self.stage}; what was finished is saved.")


def fingerprint(stage: Stage, seed: int, upstream: str | None) -> str:
    """Return the hash of everything that decides the records of `stage`."""
    return _fingerprint(stage, seed, upstream, dict(stage.identity()))


def _fingerprint(
    stage: Stage, seed: int, upstream: str | None, identity: Mapping[str, object]
) -> str:
    words = json.dumps(identity, sort_keys=True)
    return digest(stage.name, str(stage.data_version), str(seed), words, upstream or "")


def run_stage(stage: Stage, ctx: Context, on_existing: OnExisting = OnExisting.RESUME) -> Artifact:
    """Bring the artifact in `ctx.folder` to completion and return it.

    Raises:
        ConfigError: The stage cannot do what its config says.
        StaleArtifactError: The folder holds an artifact of another recipe.
        ArtifactError: The folder cannot be written, or the stage broke its contract.
        StoppedError: The user asked to stop; the next call goes on from here.
    """
    for path in getattr(stage, "reads", ()):
        if path.resolve() == ctx.folder.resolve():
            raise ConfigError(
                f"{stage.name} would read {path}, the artifact that it makes. "
                f"Name another run's folder with -o, or another artifact in the recipe."
            )
    started = _started(stage, ctx)
    if _settle_existing(ctx.folder, started, on_existing):
        artifact = Artifact.open(ctx.folder)
        ctx.progress.note(f"{stage.name}: already complete, {artifact.manifest.kept} records kept")
        return artifact
    inputs = stage.inputs(ctx)  # what a user got wrong shows here, before anything is written
    with writing(ctx.folder):
        ctx.folder.mkdir(parents=True, exist_ok=True)
        # A journal without its started.json is left from a recipe that was being replaced.
        begun = (ctx.folder / "started.json").exists()
        Journal(ctx.folder).mend(keep=stage.streaming and begun)
    config = yaml.safe_dump(stage.config.model_dump(mode="json"), sort_keys=False)
    write_text(ctx.folder / "config.yaml", config)
    write_text(ctx.folder / "started.json", json.dumps(started))
    summary = _Summary()
    if stage.streaming:
        _stream(stage, ctx, inputs)
        _write(stage, ctx.folder, _journaled(ctx.folder), summary)
    else:
        _write(stage, ctx.folder, _all_at_once(stage, ctx, inputs), summary)
    manifest = _finalize(ctx.folder, started, summary)
    ctx.progress.end(f"{manifest.kept} kept, {manifest.inputs - manifest.kept} rejected")
    return Artifact(ctx.folder, manifest)


def retry_stage(stage: Stage, ctx: Context) -> Artifact | None:
    """Try again the inputs of a stage that streams to which no model replied, and no others.

    All other outcomes stay as they are. A kill at any moment leaves an artifact that is complete,
    or one that this or `run_stage` goes on with.

    Returns:
        The artifact; None where inputs are left that were never begun, which `run_stage` does.

    Raises:
        StaleArtifactError: The folder holds an artifact of another recipe.
        ArtifactError: The folder holds none, or cannot be read or written.
        StoppedError: The user asked to stop; the next call goes on from here.
    """
    started = _started(stage, ctx)
    if _settle_existing(ctx.folder, started, OnExisting.RESUME):
        _reopen(stage, ctx, started)
    journal = Journal(ctx.folder)
    journal.mend(keep=(ctx.folder / "started.json").exists())
    inputs = stage.inputs(ctx)
    ctx.retrying = True
    _stream(stage, ctx, inputs)
    ctx.retrying = False
    whole = isinstance(inputs, Sized) and len(ctx._heads) == len(inputs)
    return run_stage(stage, ctx) if whole else None


def _reopen(stage: Stage, ctx: Context, started: Mapping[str, Any]) -> None:
    """Turn a complete artifact of a stage that streams into one that goes on, with all it has."""
    artifact = Artifact.open(ctx.folder)
    manifest = artifact.manifest
    journal = Journal(ctx.folder)
    journal.mend(keep=False)
    kept, rejected = iter(artifact.records(stage.writes)), iter(artifact.rejected())
    next_kept, next_rejected = next(kept, None), next(rejected, None)
    seconds, usage = manifest.seconds, dict(manifest.usage)
    with journal.open() as file:
        for place, record in enumerate(stage.inputs(ctx)):
            outcome: Any
            if next_kept is not None and next_kept.id == record.id:
                outcome, next_kept = next_kept, next(kept, None)
            elif next_rejected is not None and next_rejected.id == record.id:
                outcome, next_rejected = next_rejected, next(rejected, None)
            else:
                raise ArtifactError(
                    f"{ctx.folder} has no outcome for the input {record.id} where it should stand. "
                    f"Make the artifact again with --on-existing replace."
                )
            if isinstance(outcome, Rejected) and outcome.failed:
                # Its line may be superseded, and what it says of the past with it.
                journal.append(file, outcome, place=place, seconds=0.0, usage={})
                continue
            # How long each took is not known any more; the first that stays stands for all.
            journal.append(file, outcome, place=place, seconds=seconds, usage=usage)
            seconds, usage = 0.0, {}
        os.fsync(file.fileno())
    write_text(ctx.folder / "started.json", json.dumps(started))
    with writing(ctx.folder):
        (ctx.folder / "manifest.json").unlink()


def _started(stage: Stage, ctx: Context) -> dict[str, Any]:
    """Return what a stage is, as its `started.json` and its manifest say it."""
    upstream = list(ctx.upstream.values())[-1].manifest.fingerprint if ctx.upstream else None
    identity = json.loads(json.dumps(dict(stage.identity())))
    return {
        "stage": stage.name,
        "data_version": stage.data_version,
        "seed": ctx.seed,
        "identity": identity,
        "upstream": upstream,
        "fingerprint": _fingerprint(stage, ctx.seed, upstream, identity),
    }


@dataclass
class _Summary:
    """What the manifest says of the outcomes."""

    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    usage: dict[str, Tokens] = field(default_factory=dict)
    checksum: str = ""

    @property
    def outcomes(self) -> int:
        return self.kept + self.rejected.total()


@dataclass(frozen=True)
class _Outcome:
    """One outcome, or many in a table, and what it cost."""

    rows: dict[str, Any] | Rows
    kept: bool
    reasons: Mapping[str, int]
    """Of what was rejected."""
    seconds: float
    usage: Mapping[str, Tokens]


_Outcomes = Generator[_Outcome, None, None]


def _stream(stage: Stage, ctx: Context, inputs: Iterable[Any]) -> None:
    """Append the outcomes that are missing to the journal."""
    journal = Journal(ctx.folder)
    ctx._heads = journal.heads()
    ctx.begun = ctx._heads[-1].place + 1 if ctx._heads else 0
    ctx.accepted = sum(head.kept for head in ctx._heads)
    again = FAILED_REASONS if ctx.retrying else ()
    done = {head.id for head in ctx._heads if head.reason not in again}
    total = len(inputs) if isinstance(inputs, Sized) else None
    if ctx.retrying:
        inputs, total = islice(inputs, ctx.begun), ctx.begun
    ctx.progress.start(stage.name, total, len(done))
    counted = _Counted(inputs, done, ctx, keep_places=True)
    before = time.monotonic()
    # Closed here, and not when memory is freed: an error there would reach nobody.
    closing_outcomes = closing(_closing(stage.run(counted, ctx)))
    with journal.open() as file, closing_outcomes as outcomes:
        for outcome in outcomes:
            place = counted.taken.pop(outcome.id, None)
            if place is None:
                raise ArtifactError(
                    f"Stage {stage.name} gave a second outcome, or one for no input, under the id "
                    f"{outcome.id}; this is a defect of the stage, please report it."
                )
            now = time.monotonic()
            journal.append(file, outcome, place=place, seconds=now - before, usage=ctx.take_usage())
            before = now
            counted.outcomes += 1
            ctx.progress.outcome(outcome.reason if isinstance(outcome, Rejected) else None)
            if counted.outcomes != total:
                ctx.check_stop()
        os.fsync(file.fileno())
    if not ctx.retrying:
        counted.check(stage, counted.outcomes)


def _all_at_once(stage: Stage, ctx: Context, inputs: Iterable[Any]) -> _Outcomes:
    """Yield every outcome of a stage that begins anew, whatever was there before."""
    total = len(inputs) if isinstance(inputs, Sized) else None
    ctx.progress.start(stage.name, total, 0)
    counted = _Counted(inputs, frozenset(), ctx, keep_places=False)
    before, count = time.monotonic(), 0
    for outcome in _closing(stage.run(counted, ctx)):
        now = time.monotonic()
        if isinstance(outcome, Rows):
            rows, kept, size = outcome, outcome.kept, len(outcome)
            reasons = Counter() if kept else Counter(outcome.table["reason"].to_pylist())
        else:
            rows, kept, size = outcome.model_dump(mode="json"), True, 1
            reasons = Counter()
            if isinstance(outcome, Rejected):
                kept, reasons = False, Counter([outcome.reason])
        yield _Outcome(rows, kept, reasons, now - before, ctx.take_usage())
        count += size
        if kept and size:
            ctx.progress.outcome(None, size)
        for reason, number in reasons.items():
            ctx.progress.outcome(reason, number)
        before = now
        if count != total:
            ctx.check_stop()
    counted.check(stage, count)


def _closing(outcomes: Iterator[Any]) -> Generator[Any, None, None]:
    """Yield from a stage's outcomes; end the stage's own work where the reader stops early."""
    try:
        yield from outcomes
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


class _Counted:
    """The inputs, counted, without those that have their outcome already."""

    def __init__(
        self, inputs: Iterable[Any], done: Set[str], ctx: Context, *, keep_places: bool
    ) -> None:
        self._inputs = inputs
        self._keep_places = keep_places
        self._done = done
        self._ctx = ctx
        self._count = 0
        self._exhausted = False
        self.outcomes = len(done)
        self.taken: dict[str, int] = {}
        """Places of the inputs of a stage that streams which wait for their outcomes, by id."""

    def __iter__(self) -> Iterator[Any]:
        for record in self._inputs:
            if isinstance(record, Rows):
                self._count += len(record)
                yield record
                continue
            self._ctx.place = self._count
            self._count += 1
            if record.id not in self._done:
                if self._keep_places:
                    self.taken[record.id] = self._ctx.place
                yield record
        self._exhausted = True

    def check(self, stage: Stage, outcomes: int) -> None:
        """Raise ArtifactError unless each input has an outcome."""
        if self._count != outcomes or not self._exhausted:
            raise ArtifactError(
                f"Stage {stage.name} read {self._count} inputs and gave {outcomes} outcomes; "
                f"this is a defect of the stage, please report it."
            )


def _settle_existing(folder: Path, started: Mapping[str, Any], on_existing: OnExisting) -> bool:
    """Return True if `folder` is complete and current; clear it where that was asked for."""
    manifest, partial = folder / "manifest.json", folder / "started.json"
    found = manifest if manifest.exists() else partial if partial.exists() else None
    if found is None:
        return False
    if on_existing is OnExisting.FAIL:
        raise StaleArtifactError(
            f"{folder} already holds an artifact. Name another folder with -o, "
            f"or say --on-existing resume or replace."
        )
    old = read_json(found)
    if old.get("fingerprint") == started["fingerprint"]:
        if found is manifest:
            _tidy(folder)  # a kill may have come between the manifest and this
        return found is manifest
    if on_existing is OnExisting.REPLACE:
        with writing(folder):
            shutil.rmtree(folder)
        return False
    raise StaleArtifactError(
        f"{folder} was made by another recipe ({_changes(old, started)}). "
        f"Name another folder with -o, or make it again with --on-existing replace."
    )


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in words what differs between two identities, the three first differences at most."""
    before, after = _flat(old.get("identity", {})), _flat(new["identity"])
    for key in ("seed", "data_version"):
        before[key], after[key] = old.get(key), new[key]
    words = [
        f"{key}: {_short(before.get(key))} then, {_short(after.get(key))} now"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    if old.get("upstream") != new["upstream"]:
        words.append("the stage before it changed")
    more = f", and {len(words) - 3} more" if len(words) > 3 else ""
    return "; ".join(words[:3]) + more


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as one level of dotted keys: `sources.0.path`."""
    if isinstance(value, dict | list) and value:
        return {
            name: leaf
            for key, child in (enumerate(value) if isinstance(value, list) else value.items())
            for name, leaf in _flat(child, f"{prefix}.{key}" if prefix else str(key)).items()
        }
    return {prefix: value}


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "…"


def _journaled(folder: Path) -> _Outcomes:
    journal = Journal(folder)
    for head, line in journal.lines(journal.heads()):
        reasons = {} if head.reason is None else {head.reason: 1}
        yield _Outcome(line["record"], head.kept, reasons, line["seconds"], line["usage"])


def _write(stage: Stage, folder: Path, outcomes: _Outcomes, summary: _Summary) -> None:
    """Write both parquet files, and into `summary` what they hold.

    Raises:
        ArtifactError: They cannot be written, or two outcomes have one id.
    """
    records = ParquetFile(folder / "records.parquet", stage.writes)
    rejected = ParquetFile(folder / "rejected.parquet", Rejected)
    try:
        for outcome in outcomes:
            file = records if outcome.kept else rejected
            if isinstance(outcome.rows, Rows):
                file.add_table(outcome.rows.table)
                summary.kept += len(outcome.rows) if outcome.kept else 0
            else:
                file.add(outcome.rows)
                summary.kept += outcome.kept
            summary.rejected.update(outcome.reasons)
            summary.seconds += outcome.seconds
            for model, tokens in outcome.usage.items():
                summary.usage[model] = summary.usage.get(model, Tokens()) + tokens
        summary.checksum = records.close()
        rejected.close()
    except BaseException:
        records.abandon()
        rejected.abandon()
        raise
    finally:
        outcomes.close()
    _check_ids(stage, folder, summary.outcomes)


def _check_ids(stage: Stage, folder: Path, outcomes: int) -> None:
    """Raise ArtifactError if two outcomes have one id."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    ids = [
        pq.read_table(folder / name, columns=["id"])["id"]
        for name in ("records.parquet", "rejected.parquet")
    ]
    distinct = pc.count_distinct(pa.chunked_array([*ids[0].chunks, *ids[1].chunks], pa.string()))
    if distinct.as_py() != outcomes:
        raise ArtifactError(
            f"Stage {stage.name} gave {outcomes} outcomes for {distinct} ids; "
            f"this is a defect of the stage, please report it."
        )


def _finalize(folder: Path, started: Mapping[str, Any], summary: _Summary) -> Manifest:
    """Write the manifest and remove what only a running stage needs."""
    rejected = sorted(summary.rejected.items(), key=lambda item: (-item[1], item[0]))
    manifest = Manifest(
        **started,
        package_version=__version__,
        inputs=summary.outcomes,
        kept=summary.kept,
        rejected=dict(rejected),
        seconds=round(summary.seconds, 3),
        usage=dict(sorted(summary.usage.items())),
        records_sha256=summary.checksum,
    )
    write_text(folder / "manifest.json", manifest.model_dump_json(indent=2) + "\n")
    _tidy(folder)
    return manifest


def _tidy(folder: Path) -> None:
    """Remove what only a running stage needs."""
    with writing(folder):
        (folder / "journal.jsonl").unlink(missing_ok=True)
        (folder / "started.json").unlink(missing_ok=True)
        if (folder / "work").exists():
            shutil.rmtree(folder / "work")
