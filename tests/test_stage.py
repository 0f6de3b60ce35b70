"""The runner's six rules, over small stages."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import BaseModel

from wavecoder.artifact import Artifact, Rows, schema_of
from wavecoder.errors import ArtifactError, ConfigError, StaleArtifactError, StoppedError
from wavecoder.records import ChatReply, Figure, FinishReason, Rejected
from wavecoder.stage import Context, OnExisting, _changes, retry_stage, run_stage

Make = Callable[..., Context]


class Numbers:
    """Keeps even numbers; `seen` says which inputs it was given."""

    name, data_version, writes = "numbers", 1, Figure

    class Config(BaseModel, extra="forbid", frozen=True):
        count: int = 10
        label: str = "n"

    def __init__(self, streaming: bool = True, **config: object) -> None:
        self.config = self.Config.model_validate(config)
        self.streaming = streaming
        self.seen: list[str] = []

    def identity(self) -> dict[str, object]:
        return self.config.model_dump()

    def inputs(self, ctx: Context) -> list[Figure]:
        return [figure(number) for number in range(self.config.count)]

    def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
        for one in inputs:
            self.seen.append(one.id)
            draw = ctx.rng(one.id).random()
            if one.value % 2:
                yield Rejected(id=one.id, reason="odd", detail=f"{one.value:.0f} is odd")
            else:
                yield one.model_copy(update={"value": one.value + draw})


def figure(number: int) -> Figure:
    return Figure(id=str(number), stage="s", name=f"number {number}", value=float(number))


def test_a_complete_artifact_has_all_its_parts(make_context: Make):
    artifact = run_stage(Numbers(), make_context("numbers"))
    names = {path.name for path in artifact.folder.iterdir()}
    assert names == {"config.yaml", "records.parquet", "rejected.parquet", "manifest.json"}
    manifest = Artifact.open(artifact.folder).manifest
    assert (manifest.inputs, manifest.kept, manifest.rejected) == (10, 5, {"odd": 5})
    assert [one.reason for one in artifact.rejected()] == ["odd"] * 5
    assert [one.id for one in artifact.records(Figure)] == ["0", "2", "4", "6", "8"]
    assert "count: 10" in (artifact.folder / "config.yaml").read_text()


def test_the_same_again_is_skipped(make_context: Make):
    run_stage(Numbers(), make_context("numbers"))
    again = Numbers()
    run_stage(again, make_context("numbers"))
    assert again.seen == []


def test_what_changed_in_a_list_is_said_by_its_place():
    long = {"hub": None, "split": "train", "revision": None, "weight": 1.0}
    same = {"seed": 0, "data_version": 1, "upstream": None}
    old, new = (
        {"identity": {"data": [long, {**long, "sha256": sha}]}, **same} for sha in ("ab", "cd")
    )
    assert _changes(old, new) == 'data.1.sha256: "ab" then, "cd" now'


def test_another_config_is_stale_and_says_what_changed(make_context: Make):
    first = run_stage(Numbers(), make_context("numbers"))
    before = (first.folder / "records.parquet").read_bytes()
    with pytest.raises(StaleArtifactError, match='label: "n" then, "m" now'):
        run_stage(Numbers(label="m"), make_context("numbers"))
    assert (first.folder / "records.parquet").read_bytes() == before
    with pytest.raises(StaleArtifactError, match="seed: 0 then, 1 now"):
        run_stage(Numbers(), make_context("numbers", seed=1))
    with pytest.raises(StaleArtifactError, match="already holds"):
        run_stage(Numbers(), make_context("numbers"), OnExisting.FAIL)
    replaced = run_stage(Numbers(label="m"), make_context("numbers"), OnExisting.REPLACE)
    assert replaced.manifest.identity["label"] == "m"


def test_a_changed_upstream_is_stale(make_context: Make):
    one = {"before": run_stage(Numbers(), make_context("before"))}
    two = {"before": run_stage(Numbers(count=8), make_context("before", folder="other"))}
    run_stage(Numbers(), make_context("numbers", one))
    with pytest.raises(StaleArtifactError, match="the stage before it changed"):
        run_stage(Numbers(), make_context("numbers", two))


@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_half_written_stage_goes_on_by_record_id(make_context: Make, torn: int):
    whole = run_stage(Numbers(), make_context("numbers", folder="whole"))
    ctx = make_context("numbers", folder="half")
    stopping = Numbers()
    real = ctx.progress.outcome

    def outcome(reason: str | None) -> None:
        real(reason)
        if len(stopping.seen) == 4:
            ctx.stop.set()

    ctx.progress.outcome = outcome  # type: ignore[method-assign]
    with pytest.raises(StoppedError):
        run_stage(stopping, ctx)
    journal = ctx.folder / "journal.jsonl"
    assert len(journal.read_bytes().splitlines()) == 4
    # A kill in the middle of a write leaves a torn last line.
    os.truncate(journal, journal.stat().st_size - torn)
    rest = Numbers()
    half = run_stage(rest, make_context("numbers", folder="half"))
    assert rest.seen == [str(number) for number in range(4 if torn == 0 else 3, 10)]
    for name in ("records.parquet", "rejected.parquet"):
        assert (half.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert half.manifest.fingerprint == whole.manifest.fingerprint


def test_a_stage_that_does_not_stream_starts_again(make_context: Make):
    ctx = make_context("numbers")
    ctx.stop.set()
    with pytest.raises(StoppedError):
        run_stage(Numbers(streaming=False), ctx)
    again = Numbers(streaming=False)
    run_stage(again, make_context("numbers"))
    assert len(again.seen) == 10


def test_killed_anywhere_the_same_command_gives_the_same_bytes(tmp_path: Path, make_context: Make):
    """`kill -9` itself at many points, in a process of its own."""
    script = Path(__file__).with_name("killed_stage.py")
    whole = run_stage(Numbers(count=60), make_context("numbers", folder="whole"))
    folder = tmp_path / "killed"
    for at in (1, 7, 30, 59, 60):
        done = subprocess.run([sys.executable, script, folder, str(at)], check=False)
        assert done.returncode == -9
        assert not (folder / "manifest.json").exists()
    subprocess.run([sys.executable, script, folder, "-1"], check=True)
    for name in ("records.parquet", "rejected.parquet"):
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_stage_that_loses_an_input_is_found_out(make_context: Make):
    class Losing(Numbers):
        def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
            yield from list(inputs)[1:]

    class Doubling(Numbers):
        def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
            yield from [*inputs, figure(0)]

    class Lazy(Numbers):
        def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
            yield next(iter(inputs))

    with pytest.raises(ArtifactError, match="read 10 inputs and gave 9 outcomes"):
        run_stage(Losing(), make_context("numbers", folder="a"))
    with pytest.raises(ArtifactError, match="second outcome"):
        run_stage(Doubling(), make_context("numbers", folder="b"))
    with pytest.raises(ArtifactError, match="defect of the stage"):
        run_stage(Lazy(), make_context("numbers", folder="c"))


def test_a_user_error_in_the_inputs_writes_nothing(make_context: Make):
    class Picky(Numbers):
        def inputs(self, ctx: Context) -> list[Figure]:
            if self.config.count > 5:
                raise ConfigError("numbers.count is 10; set it to at most 5")
            return super().inputs(ctx)

    ctx = make_context("numbers")
    with pytest.raises(ConfigError):
        run_stage(Picky(), ctx)
    assert not ctx.folder.exists()
    assert run_stage(Picky(count=4), ctx).manifest.kept == 2


def test_randomness_depends_on_seed_stage_and_record_alone(make_context: Make):
    first = make_context("numbers").rng("a").random()
    assert make_context("numbers").rng("a").random() == first
    assert make_context("numbers").rng("b").random() != first
    assert make_context("numbers", seed=1).rng("a").random() != first
    assert make_context("other").rng("a").random() != first


def test_damaged_files_are_one_sentence(make_context: Make):
    artifact = run_stage(Numbers(), make_context("numbers"))
    (artifact.folder / "records.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ArtifactError, match="Cannot read"):
        list(artifact.records(Figure))
    manifest = artifact.folder / "manifest.json"
    manifest.write_text(json.dumps({"stage": "numbers"}))
    with pytest.raises(ArtifactError, match="is damaged"):
        Artifact.open(artifact.folder)
    manifest.unlink()
    with pytest.raises(ArtifactError, match="not a complete artifact"):
        Artifact.open(artifact.folder)


@pytest.mark.parametrize("room", [0, 300, 700, 1_500, 2_500])
def test_a_file_that_cannot_grow_is_one_sentence_and_loses_nothing(make_context: Make, room: int):
    """A limit on the size of files stands for the full disk."""
    whole = run_stage(Numbers(), make_context("numbers", folder="whole"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(ArtifactError, match=r"Cannot write .*(File too large|No space left)"):
            run_stage(Numbers(), make_context("numbers"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = run_stage(Numbers(), make_context("numbers"))
    assert after.manifest.records_sha256 == whole.manifest.records_sha256


def test_an_error_while_a_stopped_stage_ends_its_work_is_the_one_told(make_context: Make):
    class Broken(Numbers):
        def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
            try:
                yield from super().run(inputs, ctx)
            finally:
                raise ArtifactError("A reply could not be kept.")

    ctx = make_context("numbers")
    ctx.stop.set()
    with pytest.raises(ArtifactError, match="could not be kept"):
        run_stage(Broken(), ctx)


def test_a_replacement_killed_in_the_middle_takes_nothing_of_the_old(make_context: Make):
    ctx = make_context("numbers")
    ctx.stop.set()
    with pytest.raises(StoppedError):
        run_stage(Numbers(label="old"), ctx)
    # The kill came when started.json was gone and the journal was not.
    (ctx.folder / "started.json").unlink()
    assert (ctx.folder / "journal.jsonl").exists()
    fresh = Numbers(label="new")
    run_stage(fresh, make_context("numbers"))
    assert len(fresh.seen) == 10


def test_leftovers_of_a_kill_behind_the_manifest_are_removed(make_context: Make):
    artifact = run_stage(Numbers(), make_context("numbers"))
    for name in ("started.json", "journal.jsonl"):
        (artifact.folder / name).write_text("{}\n")
    run_stage(Numbers(), make_context("numbers"))
    assert not (artifact.folder / "started.json").exists()
    assert not (artifact.folder / "journal.jsonl").exists()


class Bulk(Numbers):
    """The same, `size` inputs and outcomes at a time."""

    name = "bulk"

    def __init__(self, size: int, repeat: str | None = None, **config: object) -> None:
        super().__init__(streaming=False, **config)
        self.size = size
        self.repeat = repeat

    def inputs(self, ctx: Context) -> Iterator[Rows]:
        ids = [str(number) for number in range(self.config.count)]
        for start in range(0, len(ids), self.size):
            yield Rows(pa.table({"id": ids[start : start + self.size]}))

    def run(self, inputs: Iterable[Rows], ctx: Context) -> Iterator[Rows]:
        for rows in inputs:
            (ctx.work / "scratch").write_text("half done")
            ids = rows.table["id"].to_pylist()
            even = [figure(int(one)).model_dump() for one in ids if int(one) % 2 == 0]
            odd = [Rejected(id=one, reason="odd", detail="").model_dump() for one in ids]
            odd = [row for row in odd if int(row["id"]) % 2 and row["id"] != self.repeat]
            if self.repeat in ids:
                even.append(figure(0).model_dump())
            yield Rows(pa.Table.from_pylist(even, schema_of(Figure)))
            yield Rows(pa.Table.from_pylist(odd, schema_of(Rejected)), kept=False)


def test_outcomes_may_come_many_at_once(make_context: Make):
    ctx = make_context("bulk")
    artifact = run_stage(Bulk(3), ctx)
    manifest = artifact.manifest
    assert (manifest.inputs, manifest.kept, manifest.rejected) == (10, 5, {"odd": 5})
    assert [one.id for one in artifact.records(Figure)] == ["0", "2", "4", "6", "8"]
    assert not (artifact.folder / "work").exists()
    assert ctx.progress.reasons.count(None) == ctx.progress.reasons.count("odd") == 5


def test_portions_do_not_decide_the_bytes(make_context: Make):
    count = 25_000
    files = []
    for size in (1_000, 7_777):
        artifact = run_stage(Bulk(size, count=count), make_context("bulk", folder=f"b{size}"))
        names = ("records.parquet", "rejected.parquet")
        files.append([(artifact.folder / name).read_bytes() for name in names])
    single = run_stage(Singles(count=count), make_context("bulk", folder="singles"))
    assert files[0] == files[1]
    assert files[0][0] == (single.folder / "records.parquet").read_bytes()


class Singles(Bulk):
    """The same, one at a time."""

    def __init__(self, **config: object) -> None:
        super().__init__(1, **config)

    def inputs(self, ctx: Context) -> list[Figure]:
        return Numbers.inputs(self, ctx)

    def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
        for one in inputs:
            yield Rejected(id=one.id, reason="odd", detail="") if one.value % 2 else one


def test_two_outcomes_of_one_id_are_a_defect(make_context: Make):
    with pytest.raises(ArtifactError, match="for 9 ids"):
        run_stage(Bulk(3, repeat="7"), make_context("bulk"))


def test_records_by_row(make_context: Make):
    artifact = run_stage(Bulk(5_000, count=50_000), make_context("bulk"))
    taken = artifact.records(Figure).take([24_999, 0, 10_000, 0])
    assert [one.id for one in taken] == ["49998", "0", "20000", "0"]


class Asking(Numbers):
    """Asks a model for each; it does not reply for `silent`, and gives `most` outcomes a start."""

    def __init__(self, silent: Iterable[int] = (), most: int = 100, **config: object) -> None:
        super().__init__(**config)
        self.silent, self.most = set(silent), most

    def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
        for one, _ in zip(inputs, range(self.most), strict=False):
            self.seen.append(one.id)
            if int(one.id) in self.silent:
                yield Rejected(id=one.id, reason="model_failed", detail="no reply")
                continue
            ctx.used(
                "m",
                ChatReply(
                    text="",
                    finish_reason=FinishReason.STOP,
                    prompt_tokens=1,
                    completion_tokens=1,
                    seconds=0.0,
                ),
            )
            yield one


def test_what_failed_is_tried_again_and_nothing_else_changes(make_context: Make):
    whole = run_stage(Asking(), make_context("numbers", folder="whole"))
    ctx = make_context("numbers")
    before = run_stage(Asking(silent=[0, 3, 9]), ctx).manifest
    assert before.rejected == {"model_failed": 3}
    again = Asking(silent=[3])
    artifact = retry_stage(again, ctx)
    assert artifact is not None
    assert again.seen == ["0", "3", "9"]
    assert artifact.manifest.rejected == {"model_failed": 1}
    assert artifact.manifest.fingerprint == before.fingerprint
    # What the first one took stays counted, though its line was superseded.
    assert artifact.manifest.usage["m"].prompt == 9
    assert artifact.manifest.seconds >= before.seconds
    last = retry_stage(Asking(), ctx)
    assert last is not None
    assert last.manifest.usage == whole.manifest.usage
    for name in ("records.parquet", "rejected.parquet"):
        assert (last.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    nothing = Asking()
    assert retry_stage(nothing, ctx) is not None
    assert nothing.seen == []


def test_what_gets_no_new_outcome_keeps_the_old_one(make_context: Make):
    ctx = make_context("numbers")
    run_stage(Asking(silent=[1, 2, 3]), ctx)
    artifact = retry_stage(Asking(most=1), ctx)
    assert artifact is not None
    assert [one.id for one in artifact.rejected()] == ["2", "3"]
    assert artifact.manifest.inputs == 10


def test_what_was_never_begun_is_not_tried_again(make_context: Make):
    ctx = make_context("numbers")
    stopping = Asking(silent=[1])

    def outcome(reason: str | None, count: int = 1) -> None:
        if len(stopping.seen) == 4:
            ctx.stop.set()

    ctx.progress.outcome = outcome  # type: ignore[method-assign]
    with pytest.raises(StoppedError):
        run_stage(stopping, ctx)
    ctx.stop.clear()
    again = Asking()
    assert retry_stage(again, ctx) is None
    assert again.seen == ["1"]
    rest = Asking()
    artifact = run_stage(rest, make_context("numbers"))
    assert rest.seen == [str(number) for number in range(4, 10)]
    assert artifact.manifest.kept == 10


def test_an_artifact_of_another_recipe_is_not_tried_again(make_context: Make):
    ctx = make_context("numbers")
    run_stage(Asking(silent=[1]), ctx)
    other = Asking(label="m")
    with pytest.raises(StaleArtifactError, match='label: "n" then, "m" now'):
        retry_stage(other, ctx)
    assert other.seen == []
    assert Artifact.open(ctx.folder).manifest.rejected == {"model_failed": 1}
