"""How far a run is, over runs of small stages that were finished, stopped, killed or go on."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from wavecoder import pipeline
from wavecoder.artifact import Artifact
from wavecoder.cli.failed import failed
from wavecoder.cli.show import near, show
from wavecoder.cli.status import status as command
from wavecoder.errors import ArtifactError, ConfigError, StoppedError
from wavecoder.journal import Journal
from wavecoder.llm import Ledger
from wavecoder.llm.ledger import plain_text
from wavecoder.progress import Recorded, Silent
from wavecoder.records import (
    FAILED_REASONS,
    ChatReply,
    ChatRequest,
    Figure,
    FinishReason,
    Message,
    Rejected,
)
from wavecoder.stage import Context, run_stage
from wavecoder.status import StageStatus, Status, status


class Select:
    """Keeps as many numbers as it is told to."""

    name, data_version, streaming, writes = "select", 1, False, Figure

    class Config(BaseModel, extra="forbid", frozen=True):
        count: int = 20

    def __init__(self, **config: object) -> None:
        self.config = self.Config.model_validate(config)

    def identity(self) -> dict[str, object]:
        return {"count": self.config.count}

    def inputs(self, ctx: Context) -> list[Figure]:
        return [
            Figure(id=str(number), stage=self.name, name="n", value=number)
            for number in range(self.config.count)
        ]

    def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
        yield from inputs


class Generate(Select):
    """Of four numbers, refuses one for a rule, and one as no model replied."""

    name, streaming = "generate", True

    class Config(BaseModel, extra="forbid", frozen=True):
        count: int = 20
        target: int | None = None

    def inputs(self, ctx: Context) -> Iterable[Figure]:
        return ctx.upstream["select"].records(Figure) if ctx.upstream else super().inputs(ctx)

    def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure | Rejected]:
        for one in inputs:
            if one.value % 4 == 1:
                yield Rejected(id=one.id, reason="rule_clear", detail='", "record": {"id": "x"}')
            elif one.value % 4 == 3:
                yield Rejected(id=one.id, reason="model_failed", detail="no reply")
            else:
                yield one


class Stopping(Silent):
    """Asks to stop once there are so many outcomes."""

    def __init__(self, ctx: Context, after: int) -> None:
        self.ctx, self.left = ctx, after

    def outcome(self, reason: str | None, count: int = 1) -> None:
        self.left -= 1
        if not self.left:
            self.ctx.stop.set()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def selected(run: Path, make_context: Callable[..., Context]) -> Artifact:
    return run_stage(Select(), make_context("select", folder="run/2-select"))


@pytest.fixture
def stopped(
    run: Path, selected: Artifact, make_context: Callable[..., Context]
) -> Callable[..., Path]:
    """A run whose generate was stopped after so many outcomes."""

    def make(after: int, **config: object) -> Path:
        ctx = make_context("generate", {"select": selected}, folder="run/3-generate")
        ctx.progress = Stopping(ctx, after)
        with pytest.raises(StoppedError):
            run_stage(Generate(**config), ctx)
        return run

    return make


def only(found: Status, name: str) -> StageStatus:
    (stage,) = (stage for stage in found.stages if stage.name == name)
    return stage


def shown(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_a_complete_stage_tells_its_counts(run, selected, make_context):
    run_stage(Generate(), make_context("generate", {"select": selected}, folder="run/3-generate"))
    found = status(run)
    assert [(stage.name, stage.state) for stage in found.stages] == [
        ("select", "complete"),
        ("generate", "complete"),
    ]
    stage = only(found, "generate")
    assert (stage.accepted, stage.refused, stage.failed) == (
        10,
        {"rule_clear": 5},
        {"model_failed": 5},
    )
    assert (stage.done, stage.pending, stage.total) == (20, 0, 20)
    assert found.working is False
    words = "generate: complete, 20 of 20 done: 10 accepted, 5 refused, 5 failed, 0 pending\n"
    assert words in shown(str(run))


@pytest.mark.parametrize("after", [1, 4, 13, 19])
def test_every_input_of_a_stopped_stage_is_in_one_state(stopped, after):
    stage = only(status(stopped(after)), "generate")
    assert stage.state == "stopped"
    assert stage.done == after
    assert stage.accepted + stage.refused.get("rule_clear", 0) + sum(stage.failed.values()) == after
    assert set(stage.failed) <= set(FAILED_REASONS)
    assert stage.pending == 20 - after


def test_it_is_shown_to_a_person_and_as_json(stopped):
    run = stopped(13)
    assert shown(str(run)).splitlines() == [
        f"{run}: no process is working on it",
        "select: complete, 20 of 20 done: 20 accepted, 0 refused, 0 failed, 0 pending",
        "generate: stopped half-way, 13 of 20 done: 7 accepted, 3 refused, 3 failed, 7 pending",
        "         3  refused  rule_clear",
        "         3  failed   model_failed",
    ]
    table = json.loads(shown(str(run), "--json"))
    assert table["working"] is False
    assert table["stages"][1] == {
        "name": "generate",
        "state": "stopped",
        "accepted": 7,
        "refused": {"rule_clear": 3},
        "failed": {"model_failed": 3},
        "total": 20,
        "target": None,
        "variants": {},
        "done": 13,
        "pending": 7,
    }


def test_a_stage_that_ends_at_a_target_has_no_total(stopped):
    run = stopped(13, target=9)
    stage = only(status(run), "generate")
    assert (stage.total, stage.pending, stage.target) == (None, None, 9)
    assert "13 done: 7 accepted, 3 refused, 3 failed, total unknown, it ends at 9 accepted" in (
        shown(str(run))
    )


def test_a_total_that_nobody_knows_is_said_to_be_unknown(run, make_context):
    ctx = make_context("generate", folder="run/3-generate")
    ctx.progress = Stopping(ctx, 3)
    with pytest.raises(StoppedError):
        run_stage(Generate(), ctx)
    assert only(status(run), "generate").pending is None
    assert "3 done: 2 accepted, 1 refused, 0 failed, total unknown" in shown(str(run))


def test_a_stage_without_a_journal_says_so(run, make_context):
    ctx = make_context("select", folder="run/2-select")
    ctx.progress = Stopping(ctx, 3)
    with pytest.raises(StoppedError):
        run_stage(Select(), ctx)
    assert "select: stopped half-way, its outcomes are on disk once it is complete" in (
        shown(str(run))
    )
    (stage,) = json.loads(shown(str(run), "--json"))["stages"]
    assert (stage["state"], stage["accepted"], stage["done"]) == ("stopped", None, None)


def test_a_torn_last_line_is_no_outcome_and_stays(stopped):
    run = stopped(6)
    journal = run / "3-generate" / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"kept": true, "seconds": 0.1, "tok')
    before = journal.read_bytes()
    assert only(status(run), "generate").done == 6
    assert journal.read_bytes() == before


def test_a_damaged_line_is_one_sentence(stopped):
    run = stopped(6)
    journal = run / "3-generate" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"\0\0\0\n", *lines[2:]]))
    with pytest.raises(ArtifactError, match=r"journal\.jsonl holds a line that is damaged"):
        status(run)


def test_an_input_with_two_outcomes_is_refused(stopped):
    run = stopped(6)
    journal = run / "3-generate" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines, lines[0].replace(b'"place": 0', b'"place": 6')]))
    with pytest.raises(ArtifactError, match="two outcomes for the input 0"):
        status(run)


def test_more_outcomes_than_inputs_are_refused():
    with pytest.raises(ArtifactError, match="3 outcomes for 2 inputs"):
        StageStatus("generate", "stopped", accepted=3, total=2).check()
    StageStatus("generate", "stopped", accepted=3, total=3).check()
    StageStatus("generate", "stopped", accepted=3).check()


def test_an_input_that_failed_and_is_tried_again_is_in_its_last_state(stopped):
    run = stopped(8)
    journal = Journal(run / "3-generate")
    (failed, _) = (head for head in journal.heads() if head.reason == "model_failed")
    with journal.open() as file:
        outcome = Figure(id=failed.id, stage="s", name="n", value=3.0)
        journal.append(file, outcome, place=failed.place, seconds=0.1, usage={})
    stage = only(status(run), "generate")
    assert (stage.accepted, stage.failed, stage.done) == (5, {"model_failed": 1}, 8)


def test_a_folder_that_is_no_run_is_one_sentence_and_the_same_in_every_command(tmp_path):
    (tmp_path / "file").touch()
    do = "Give the folder named with -o in `wavecoder run`."
    for folder, words in (
        (tmp_path, f"{tmp_path} holds no run. {do}"),
        (tmp_path / "absent", f"There is no folder {tmp_path / 'absent'}. {do}"),
        (tmp_path / "file", f"{tmp_path / 'file'} is no folder. {do}"),
    ):
        for look in (
            status,
            show,
            failed,
            lambda run: failed(run, retry=True),
            lambda run: near(run, "f"),
        ):
            with pytest.raises(ConfigError) as caught:
                look(folder)
            assert str(caught.value) == words
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_that_is_not_far_enough_is_one_and_its_status_says_how_far(run):
    (run / ".lock").touch()
    do = f"`wavecoder status {run}` says how far it is."
    with pytest.raises(ConfigError, match="has no complete stage yet") as caught:
        show(run)
    assert str(caught.value).endswith(do)
    with pytest.raises(ConfigError, match="has asked no models yet") as caught:
        failed(run)
    assert str(caught.value).endswith(do)


def test_a_run_in_which_nothing_is_begun_is_one(run):
    (run / ".lock").touch()
    assert shown(str(run)) == f"{run}: no process is working on it\n"
    (run / "1-collect").mkdir()
    assert shown(str(run)).endswith("\ncollect: not begun\n")


HOLDER = """
import sys
from pathlib import Path
from wavecoder import pipeline

with pipeline.holding(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_is_seen_and_left_alone(stopped):
    run = stopped(4)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        assert status(run).working is True
        assert only(status(run), "generate").state == "running"
        with pytest.raises(ArtifactError, match="Another process"), pipeline.holding(run):
            pass
    assert status(run).working is False
    assert only(status(run), "generate").state == "stopped"
    with pipeline.holding(run):  # looking holds it no longer
        assert status(run).working is True


LIVE = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from threading import Event
    from pydantic import BaseModel
    from wavecoder import pipeline, progress
    from wavecoder.progress import Recorded, Silent
    from wavecoder.records import Figure
    from wavecoder.stage import Context, run_stage

    class Generate:
        name, data_version, streaming, writes = "generate", 1, True, Figure

        class Config(BaseModel, extra="forbid", frozen=True):
            pass

        config = Config()

        def identity(self):
            return {}

        def inputs(self, ctx):
            return [Figure(id=str(n), stage="s", name="n", value=n) for n in range(9)]

        def run(self, inputs, ctx):
            for one in inputs:
                if one.value == 5:
                    ctx.progress.figures({"in flight": "3 of 4", "spent": "$0.50"})
                    ctx.progress._write()  # as after a second
                    print("half", flush=True)
                    sys.stdin.read()
                yield one

    progress._SECONDS_FOR_A_RATE = 0.0  # as if it had taken longer
    run = Path(sys.argv[1])
    with pipeline.holding(run):
        run_stage(Generate(), Context(
            folder=run / "3-generate", seed=0, stage="generate", upstream={},
            replies=run / "replies.sqlite", stop=Event(),
            progress=Recorded(Silent(), run / "progress.json"),
        ))
    """
)


def test_a_run_that_goes_on_is_seen_from_another_process_and_its_end_too(run):
    with subprocess.Popen(
        [sys.executable, "-c", LIVE, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "half\n"
        found = status(run)
        text = shown(str(run))
        process.kill()
    stage = only(found, "generate")
    assert (found.working, stage.state, stage.accepted) == (True, "running", 5)
    assert found.progress["pid"] == process.pid
    assert (found.progress["done"], found.progress["total"]) == (5, 9)
    assert found.progress["seconds_left"] > 0
    assert found.age is not None
    assert "in flight 3 of 4, spent $0.50 (" in text
    assert " a second, " in text
    found = status(run)
    assert (found.working, only(found, "generate").state, found.progress) == (False, "stopped", {})


def test_the_words_of_a_stage_without_a_journal_are_those_of_its_process(run, make_context):
    ctx = make_context("select", folder="run/2-select")
    ctx.progress = Recorded(Stopping(ctx, 1), run / "progress.json")
    with pytest.raises(StoppedError):
        run_stage(Select(), ctx)
    ctx.progress.start("select", 20, 0)
    ctx.progress.step("embedded", 3, 10)
    ctx.progress._write()
    with pipeline.holding(run):
        assert "\n  3 of 10 embedded (" in shown(str(run))


def reply(text: str, prompt: int | None, completion: int | None, at: str | None) -> ChatReply:
    return ChatReply(
        text=text,
        finish_reason=FinishReason.STOP,
        prompt_tokens=prompt,
        completion_tokens=completion,
        seconds=0.1,
        endpoint=at,
    )


def request(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),))


def test_replies_are_counted_by_model_and_endpoint_while_they_are_written(stopped):
    run = stopped(3)
    with Ledger(run / "replies.sqlite") as ledger:
        for number, (model, at, tokens) in enumerate(
            [("m", "http://a", 10), ("m", "http://a", 30), ("m", "http://b", None), ("n", None, 7)]
        ):
            asked = request(str(number))
            one = reply("words", tokens, tokens, at)
            key = Ledger.key(model, asked)
            asyncio.run(ledger.store(key, model, 0, plain_text(asked), one))
        live = status(run).replies
    assert [(one.model, one.endpoint, one.count) for one in live] == [
        ("m", "http://a", 2),
        ("m", "http://b", 1),
        ("n", None, 1),
    ]
    assert [(one.prompt_tokens, one.uncounted) for one in live] == [(40, 0), (0, 1), (7, 0)]
    before = sorted(path.name for path in run.iterdir())
    assert status(run).replies == live
    assert sorted(path.name for path in run.iterdir()) == before  # no -wal, no -shm
    text = shown(str(run))
    assert "replies: 2 of m at http://a, 40 tokens read, 40 written\n" in text
    assert "replies: 1 of m at http://b, 0 tokens read, 0 written, 1 without a count\n" in text


def test_a_ledger_from_before_endpoints_is_read(run):
    (run / ".lock").touch()
    with sqlite3.connect(run / "replies.sqlite") as db:
        db.execute("CREATE TABLE replies (model, prompt_tokens, completion_tokens)")
        db.execute("INSERT INTO replies VALUES ('m', 1, 2)")
    db.close()
    (one,) = status(run).replies
    assert (one.model, one.endpoint, one.count, one.completion_tokens) == ("m", None, 1, 2)


def test_a_ledger_without_a_byte_has_no_replies(stopped):
    run = stopped(3)
    (run / "replies.sqlite").touch()  # as a kill leaves it
    found = status(run)
    assert (found.replies, found.trouble) == ((), None)
    assert "replies" not in shown(str(run))


def test_a_damaged_ledger_hides_nothing_else(stopped):
    run = stopped(3)
    (run / "replies.sqlite").write_bytes(b"no database at all, and longer than its header" * 9)
    found = status(run)
    assert found.replies == ()
    assert "Check that it is a ledger." in (found.trouble or "")
    assert "generate: stopped half-way, 3 of 20 done" in shown(str(run))


def test_where_nobody_tells_of_the_lock_the_stage_is_begun(stopped):
    run = stopped(4)
    (run / ".lock").symlink_to(".lock")  # a link to itself, which cannot be opened
    found = status(run)
    assert (found.working, only(found, "generate").state) == (None, "begun")
    assert "the file system does not tell whether a process is working on it" in shown(str(run))
