"""The runner: `run_stage` is the only code that writes an artifact.

It skips what is complete, resumes what is half-written, refuses what is stale, counts every input
and writes the manifest last. A stage itself only turns inputs into outcomes.
"""

import errno
import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from enum import StrEnum
from io import FileIO
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
from wavecoder.protocols import Progress, Stage
from wavecoder.records import ChatReply, Record, Rejected, digest

R = TypeVar("R", bound=Record)

__all__ = ["Context", "OnExisting", "fingerprint", "run_stage"]


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
    concurrency: int = 16
    """Most requests in flight to an endpoint; it does not decide the output."""
    processes: int = 1
    """Processes that share the work of a stage without models; they do not decide the output."""
    _tokens: Tokens = field(default_factory=Tokens)

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

    def finished(self, record: type[R]) -> Iterator[R | Rejected]:
        """Yield the outcomes already on disk, in order; `record` is what the stage writes."""
        for line in _journal_lines(self.folder):
            yield (record if line["kept"] else Rejected).model_validate(line["record"])

    def used(self, reply: ChatReply) -> None:
        """Count the tokens of a reply that the next outcome rests on."""
        self._tokens += Tokens(prompt=reply.prompt_tokens, completion=reply.completion_tokens)

    def take_tokens(self) -> Tokens:
        """Return what was counted since the last call."""
        tokens, self._tokens = self._tokens, Tokens()
        return tokens

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
    upstream = list(ctx.upstream.values())[-1].manifest.fingerprint if ctx.upstream else None
    identity = json.loads(json.dumps(dict(stage.identity())))
    started: dict[str, Any] = {
        "stage": stage.name,
        "data_version": stage.data_version,
        "seed": ctx.seed,
        "identity": identity,
        "upstream": upstream,
        "fingerprint": _fingerprint(stage, ctx.seed, upstream, identity),
    }
    if _settle_existing(ctx.folder, started, on_existing):
        artifact = Artifact.open(ctx.folder)
        ctx.progress.note(f"{stage.name}: already complete, {artifact.manifest.kept} records kept")
        return artifact
    inputs = stage.inputs(ctx)  # what a user got wrong shows here, before anything is written
    with writing(ctx.folder):
        ctx.folder.mkdir(parents=True, exist_ok=True)
        # A journal without its started.json is left from a recipe that was being replaced.
        begun = (ctx.folder / "started.json").exists()
        _mend_journal(ctx.folder, keep=stage.streaming and begun)
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


@dataclass
class _Summary:
    """What the manifest says of the outcomes."""

    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    tokens: Tokens = field(default_factory=Tokens)
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
    tokens: Tokens


_Outcomes = Generator[_Outcome, None, None]


def _stream(stage: Stage, ctx: Context, inputs: Iterable[Any]) -> None:
    """Append the outcomes that are missing to the journal."""
    done = {line["record"]["id"] for line in _journal_lines(ctx.folder)}
    total = len(inputs) if isinstance(inputs, Sized) else None
    ctx.progress.start(stage.name, total, len(done))
    counted = _Counted(inputs, frozenset(done))
    journal = ctx.folder / "journal.jsonl"
    before = time.monotonic()
    with writing(journal):
        file = journal.open("ab", buffering=0)
    with file:
        for outcome in _closing(stage.run(counted, ctx)):
            if outcome.id in done:
                raise ArtifactError(
                    f"Stage {stage.name} gave two outcomes for the input {outcome.id}; "
                    f"this is a defect of the stage, please report it."
                )
            now = time.monotonic()
            with writing(journal):
                _append(file, outcome, now - before, ctx.take_tokens())
            before = now
            done.add(outcome.id)
            ctx.progress.outcome(outcome.reason if isinstance(outcome, Rejected) else None)
            if len(done) != total:
                ctx.check_stop()
        os.fsync(file.fileno())
    counted.check(stage, len(done))


def _all_at_once(stage: Stage, ctx: Context, inputs: Iterable[Any]) -> _Outcomes:
    """Yield every outcome of a stage that begins anew, whatever was there before."""
    total = len(inputs) if isinstance(inputs, Sized) else None
    ctx.progress.start(stage.name, total, 0)
    counted = _Counted(inputs, frozenset())
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
        yield _Outcome(rows, kept, reasons, now - before, ctx.take_tokens())
        count += size
        if kept and size:
            ctx.progress.outcome(None, size)
        for reason, number in reasons.items():
            ctx.progress.outcome(reason, number)
        before = now
        if count != total:
            ctx.check_stop()
    counted.check(stage, count)


def _closing(outcomes: Iterator[Any]) -> Iterator[Any]:
    """Yield from a stage's outcomes; end the stage's own work where the reader stops early."""
    try:
        yield from outcomes
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


class _Counted:
    """The inputs, counted, without those that have their outcome already."""

    def __init__(self, inputs: Iterable[Any], skip: frozenset[str]) -> None:
        self._inputs = inputs
        self._skip = skip
        self._count = 0
        self._exhausted = False

    def __iter__(self) -> Iterator[Any]:
        for record in self._inputs:
            if isinstance(record, Rows):
                self._count += len(record)
                yield record
                continue
            self._count += 1
            if record.id not in self._skip:
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
    """Return a nested mapping as one level of dotted keys."""
    if isinstance(value, dict) and value:
        return {
            name: leaf
            for key, child in value.items()
            for name, leaf in _flat(child, f"{prefix}.{key}" if prefix else str(key)).items()
        }
    return {prefix: value}


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "…"


def _append(file: FileIO, outcome: Record, seconds: float, tokens: Tokens) -> None:
    """Write one journal line; it is the operating system's when this returns."""
    head = {
        "kept": not isinstance(outcome, Rejected),
        "seconds": round(seconds, 6),
        "tokens": tokens.model_dump(),
    }
    line = f'{json.dumps(head)[:-1]}, "record": {outcome.model_dump_json()}}}\n'.encode()
    if file.write(line) != len(line):  # only a full disk writes a line in part
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _journal_lines(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "journal.jsonl"
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # a last line without its end is being written, or torn
                    yield json.loads(line)


def _mend_journal(folder: Path, *, keep: bool) -> None:
    """Cut off a line torn by a kill or a full disk; empty the journal unless `keep`."""
    path = folder / "journal.jsonl"
    if not path.exists():
        return
    if not keep:
        path.unlink()
        return
    with path.open("r+b") as file:
        whole = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
        file.truncate(whole)


def _journaled(folder: Path) -> _Outcomes:
    for line in _journal_lines(folder):
        record, kept = line["record"], line["kept"]
        reasons = {} if kept else {record["reason"]: 1}
        yield _Outcome(record, kept, reasons, line["seconds"], Tokens(**line["tokens"]))


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
            summary.tokens += outcome.tokens
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
        tokens=summary.tokens,
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
