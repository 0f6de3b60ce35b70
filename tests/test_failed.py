"""`wavecoder failed RUN [--retry]` over whole runs, with a fake endpoint that refuses some."""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wavecoder import pipeline
from wavecoder.artifact import Artifact
from wavecoder.cli.failed import failed as command
from wavecoder.errors import (
    ArtifactError,
    ConfigError,
    ModelError,
    StaleArtifactError,
    StoppedError,
)
from wavecoder.llm.fake.api import key_of
from wavecoder.llm.fake.server import FakeServer
from wavecoder.pipeline import RunOptions, failures, read_recipe, retry
from wavecoder.progress import Silent
from wavecoder.protocols import Limits
from wavecoder.records import ChatRequest, Instance, RawCode, Rejected
from wavecoder.status import status

Serve = Callable[..., FakeServer]

RECIPE = """\
seed: 1
collect:
  sources: [{{jsonl: {functions}}}]
  near_duplicates: false
  filters: {{length: false, trivial: false, self_contained: false}}
generate:
  generator: {model}
  target_languages: [javascript]
  round_size: 4
  lag: 2
report:
"""
COUNT = 40
FILES = ("records.parquet", "rejected.parquet")


class Noting(Silent):
    """Keeps the notes, and asks to stop once there are so many outcomes."""

    def __init__(self, stop: Event, after: int = -1) -> None:
        self.notes: list[str] = []
        self.stop, self.left = stop, after

    def note(self, text: str) -> None:
        self.notes.append(text)

    def outcome(self, reason: str | None, count: int = 1) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.set()


def options(after: int = -1, **limits: Any) -> RunOptions:
    stop = Event()
    return RunOptions(Noting(stop, after), stop, limits=Limits(**{"max_failed": 1.0, **limits}))


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    def make(model: str) -> Path:
        functions = tmp_path / "functions.jsonl"
        with functions.open("w") as file:
            for number in range(COUNT):
                code = (
                    f"def add_{number}(x):\n    if x > {number}:\n        return x + {number}\n"
                    f"    return {number}\n"
                )
                file.write(json.dumps({"code": code, "language": "python"}) + "\n")
        path = tmp_path / "recipe.yaml"
        path.write_text(RECIPE.format(functions=functions, model=model))
        return path

    return make


Recipe = Callable[..., Path]


def model(server: FakeServer) -> str:
    return f"{server.url}#fake"


def generated(out: Path) -> Artifact:
    return Artifact.open(out / "3-generate")


def outcomes(out: Path) -> dict[str, Instance | Rejected]:
    artifact = generated(out)
    return {one.id: one for one in [*artifact.records(Instance), *artifact.rejected()]}


def replies(out: Path) -> dict[str, str]:
    with sqlite3.connect(out / "replies.sqlite") as database:
        return dict(database.execute("select key, request from replies").fetchall())


def paid(server: FakeServer, out: Path) -> dict[str, int]:
    """Return how often the server answered each request whose reply is in the ledger.

    What it answered when the process was killed may have come too late for that.
    """
    try:
        requests = [ChatRequest.model_validate_json(one) for one in replies(out).values()]
    except sqlite3.OperationalError:  # killed before there was a ledger
        return {}
    keys = [
        key_of(
            {
                "model": "fake",
                "messages": [message.model_dump() for message in one.messages],
                **one.sampling.model_dump(exclude_none=True),
            }
        )
        for one in requests
    ]
    answered = server.stats()["answered"]
    return {key: answered[key] for key in keys}


def contents(out: Path) -> list[bytes]:
    return [(generated(out).folder / name).read_bytes() for name in FILES]


def shown(*words: str) -> str:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_only_the_failed_are_asked_again_and_the_report_is_made_anew(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(fault={"context_length": 0.2}, refuse=0.3)
    out = tmp_path / "run"
    pipeline.run(read_recipe(recipe(model(server))), out, options())
    before, asked = outcomes(out), replies(out)
    failed = {one.id: one for one in before.values() if isinstance(one, Rejected) and one.failed}
    assert len(before) == COUNT and 3 <= len(failed) < COUNT - 5
    assert f"{len(failed)} failed; --retry asks for them again" in shown(str(out))
    report = (out / "7-report/manifest.json").stat().st_mtime_ns
    first = server.stats()

    retry(out, options())

    after, now = outcomes(out), server.stats()
    assert after.keys() == before.keys()
    assert {key: after[key] for key in before if key not in failed} == {
        key: one for key, one in before.items() if key not in failed
    }
    # Each new request is about a function that had failed; one that has a reply is not made again.
    names = {raw.id: raw.name for raw in Artifact.open(out / "1-collect").records(RawCode)}
    wanted = {names[one] for one in failed}
    new = [text for key, text in replies(out).items() if key not in asked]
    assert {_function(text) for text in new} <= wanted
    refused = now["faults"]["context_length"] - first["faults"]["context_length"]
    unknown = sum(now["refused"].values()) - sum(first["refused"].values())  # response_format
    assert now["requests"] - first["requests"] == len(new) + refused + unknown
    assert max(now["answered"].values()) == 1
    assert (out / "7-report/manifest.json").stat().st_mtime_ns > report
    # They are marked, were made from the prompts of their round, and are in nobody's prompt.
    again = [after[one] for one in failed]
    made = [one for one in again if isinstance(one, Instance)]
    assert made and all(one.retried for one in made)
    order = {one: place for place, one in enumerate(names)}
    for one in after.values():
        instance = one if isinstance(one, Instance) else one.instance
        for example in instance.example_ids if instance else ():
            source = example.split("-", 1)[1]
            if source in order:
                assert source not in failed
                assert order[source] // 4 <= order[one.id] // 4 - 2
    assert [one.id for one in generated(out).records(Instance)] == sorted(
        (one.id for one in after.values() if isinstance(one, Instance)), key=order.__getitem__
    )


def _function(request: str) -> str:
    """Return the function that a request is about, whose examples name others."""
    asked = json.loads(request)["messages"][-1]["content"]
    return re.findall(r"add_\d+", asked)[0]


def test_a_retry_gives_what_no_failure_would_have_given_but_for_the_feedback(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    """Without feedback, nothing tells the two apart but the mark; tokens are counted once."""
    server = fake_server(fault={"context_length": 0.2})
    whole, out = tmp_path / "whole", tmp_path / "run"
    pipeline.run(
        read_recipe(recipe(model(fake_server())), ["generate.examples=static"]), whole, options()
    )
    table = read_recipe(recipe(model(server)), ["generate.examples=static"])
    pipeline.run(table, out, options())
    assert generated(out).manifest.tokens.completion < generated(whole).manifest.tokens.completion
    for _ in range(20):
        if not list(failures(out)):
            break
        retry(out, options())  # a second retry works, and so on
    assert generated(out).manifest.usage == generated(whole).manifest.usage
    plain = {
        one.id: one.model_copy(update={"retried": False})
        for one in outcomes(out).values()
        if isinstance(one, Instance)
    }
    assert plain == {one.id: one for one in outcomes(whole).values() if isinstance(one, Instance)}


def test_where_all_failed_the_command_that_lists_them_is_named(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    used, out = options(), tmp_path / "run"
    address = model(fake_server(fault={"context_length": 1.0}))
    pipeline.run(read_recipe(recipe(address)), out, used)
    assert isinstance(used.progress, Noting)
    (note,) = (note for note in used.progress.notes if "was accepted" in note)
    assert f"none of {COUNT} functions" in note
    assert f"the reason model_refused ({COUNT})" in note
    assert f"`wavecoder failed {out}`" in note


def test_nothing_that_failed_is_said_and_nothing_is_done(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server()
    out = tmp_path / "run"
    pipeline.run(read_recipe(recipe(model(server))), out, options())
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.is_file()}
    asked, given = server.stats()["requests"], options()
    retry(out, given)
    assert "nothing has failed" in given.progress.notes  # type: ignore[attr-defined]
    assert server.stats()["requests"] == asked
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert shown(str(out)) == "0 failed\n"


def test_a_stopped_run_asks_for_its_failed_and_stays_stopped(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(fault={"context_length": 0.3})
    out = tmp_path / "run"
    loaded = read_recipe(recipe(model(server)))
    with pytest.raises(StoppedError):
        pipeline.run(loaded, out, options(after=20, concurrency=1))
    failed = {one.id for one in failures(out)}
    assert failed
    done = sum(1 for _ in (out / "3-generate/journal.jsonl").open())
    asked, given = replies(out), options()
    retry(out, given)
    names = {raw.id: raw.name for raw in Artifact.open(out / "1-collect").records(RawCode)}
    new = [text for key, text in replies(out).items() if key not in asked]
    assert {_function(text) for text in new} <= {names[one] for one in failed}
    assert "for `wavecoder run` to go on with" in given.progress.notes[-1]  # type: ignore[attr-defined]
    (stage,) = (one for one in status(out).stages if one.name == "generate")
    assert (stage.state, stage.done) == ("stopped", done)
    assert {one.id for one in failures(out)} <= failed
    pipeline.run(loaded, out, options())
    assert len(outcomes(out)) == COUNT
    assert (out / "7-report/manifest.json").exists()
    assert max(server.stats()["answered"].values()) == 1


def test_a_retry_that_is_stopped_goes_on_and_asks_for_nothing_twice(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(fault={"context_length": 0.4})
    out = tmp_path / "run"
    loaded = read_recipe(recipe(model(server)))
    pipeline.run(loaded, out, options())
    before = {one.id for one in failures(out)}
    with pytest.raises(StoppedError):
        retry(out, options(after=2, concurrency=1))
    (stage,) = (one for one in status(out).stages if one.name == "generate")
    assert (stage.state, stage.done) == ("stopped", COUNT)
    assert {one.id for one in failures(out)} <= before
    with pytest.raises(ArtifactError, match="not a complete artifact"):
        generated(out)
    asked = server.stats()["requests"]
    pipeline.run(loaded, out, options())  # ends it without asking for those that are left
    assert server.stats()["requests"] == asked
    assert len(outcomes(out)) == COUNT
    retry(out, options())
    assert max(server.stats()["answered"].values()) == 1


def test_too_many_failures_end_a_retry_and_the_run_can_be_ended(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(fault={"context_length": 1.0})
    out = tmp_path / "run"
    loaded = read_recipe(recipe(model(server)))
    pipeline.run(loaded, out, options())
    assert len(list(failures(out))) == COUNT
    with pytest.raises(ModelError, match="`wavecoder run` leaves them failed") as caught:
        retry(out, options(max_failed=0.1))
    assert caught.value.exit_code == 1
    pipeline.run(loaded, out, options(max_failed=0.1))
    assert generated(out).manifest.rejected == {"model_refused": COUNT}


def test_a_target_that_is_reached_leaves_the_failed_as_they_are(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(fault={"context_length": 0.2}, refuse=0.0)
    out = tmp_path / "run"
    pipeline.run(read_recipe(recipe(model(server)), ["generate.target=10"]), out, options())
    assert generated(out).manifest.kept == 10
    failed = list(failures(out))
    assert failed
    before, asked, given = contents(out), server.stats()["requests"], options()
    retry(out, given)
    assert server.stats()["requests"] == asked
    assert contents(out) == before
    (note,) = (one for one in given.progress.notes if "target" in one)  # type: ignore[attr-defined]
    assert "there are 10 accepted instances" in note
    assert list(failures(out)) == failed


def test_a_target_that_was_not_reached_takes_of_the_failed_what_it_needs(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    broken = fake_server(fault={"context_length": 0.3}, refuse=0.0)
    out = tmp_path / "run"
    pipeline.run(read_recipe(recipe(model(broken))), tmp_path / "all", options())
    target = generated(tmp_path / "all").manifest.kept + 4
    pipeline.run(read_recipe(recipe(model(broken)), [f"generate.target={target}"]), out, options())
    missing = target - generated(out).manifest.kept
    failed = list(failures(out))
    assert 0 < missing < len(failed)
    # The same endpoint, mended: another address of the same model changes nothing.
    config = out / "3-generate/config.yaml"
    whole = fake_server(refuse=0.0)
    config.write_text(config.read_text().replace(broken.url, whole.url))
    retry(out, options())
    assert generated(out).manifest.kept == target
    assert len(list(failures(out))) == len(failed) - missing
    assert whole.stats()["ok"] <= 2 * missing


def test_another_recipe_in_the_folder_is_refused_before_anything_is_touched(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(fault={"context_length": 0.3})
    out = tmp_path / "run"
    pipeline.run(read_recipe(recipe(model(server))), out, options())
    config = out / "3-generate/config.yaml"
    config.write_text(config.read_text().replace("attempts: 1", "attempts: 2"))
    before, asked = contents(out), server.stats()["requests"]
    with pytest.raises(StaleArtifactError, match="attempts: 1 then, 2 now"):
        retry(out, options())
    assert (contents(out), server.stats()["requests"]) == (before, asked)


def test_a_stage_that_the_run_went_past_is_no_part_of_it(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(fault={"context_length": 0.3})
    out, path = tmp_path / "run", recipe(model(server))
    pipeline.run(read_recipe(path), out, options())
    pipeline.run(read_recipe(path, ["select.k=3"]), out, options(), last="select")
    failed = len(list(failures(out)))
    assert "generate" in retry(out, options())
    assert len(list(failures(out))) < failed
    assert len(outcomes(out)) == COUNT


def test_a_folder_without_a_run_stays_as_it_is(tmp_path: Path):
    for call in (lambda out: retry(out, options()), lambda out: list(failures(out))):
        with pytest.raises(ConfigError, match="There is no folder"):
            call(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_retry_that_its_prices_or_ledger_forbid_leaves_the_run_as_it_is(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    out = tmp_path / "run"
    pipeline.run(
        read_recipe(recipe(model(fake_server(fault={"context_length": 0.2})))), out, options()
    )
    assert list(failures(out))
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    with pytest.raises(ConfigError, match="needs the price of fake, which is unknown"):
        retry(out, options(max_cost=1.0))
    with pytest.raises(ConfigError, match=r"Cannot read the prices .*none\.yaml"):
        retry(out, options(prices=tmp_path / "none.yaml"))
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as database:
        database.execute("create table songs (title)")
    with pytest.raises(ArtifactError, match="a database of another program"):
        retry(out, RunOptions(replies=foreign))
    assert all(path.read_bytes() == content for path, content in before.items())
    assert (out / "7-report/manifest.json").exists()


def test_replies_that_stand_elsewhere_are_found_again(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(fault={"context_length": 0.2})
    out, shared = tmp_path / "run", tmp_path / "shared.sqlite"
    given = options()
    given.replies = shared
    pipeline.run(read_recipe(recipe(model(server))), out, given)
    shown(str(out), "--retry", "--replies", str(shared), "--max-failed", "1")
    assert not (out / "replies.sqlite").exists()
    assert max(server.stats()["answered"].values()) == 1


KILLED = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    from wavecoder import artifact, journal, stage
    from wavecoder.cli import main

    left = int(sys.argv.pop(1))

    def killing(function):
        def call(*given, **named):
            global left
            for moment in ("before", "after"):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), 9)
                if moment == "before":
                    result = function(*given, **named)
            return result
        return call

    journal.Journal.append = killing(journal.Journal.append)
    journal.Journal.mend = killing(journal.Journal.mend)
    artifact.ParquetFile.close = killing(artifact.ParquetFile.close)
    stage.write_text = killing(stage.write_text)
    Path.unlink = killing(Path.unlink)
    main()
""")


def test_a_kill_at_any_moment_of_a_retry_loses_nothing(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    """At the writes and deletions of a retry, before and after each."""
    server = fake_server(fault={"context_length": 0.2}, seed=3)
    out = tmp_path / "run"
    path = recipe(model(server))
    pipeline.run(read_recipe(path), out, options())
    rows = {key: one for key, one in outcomes(out).items() if not _failed(one)}
    before = paid(server, out)
    rng = random.Random(0)
    killed = 0
    # A retry writes about 2 x 40 lines when it opens the artifact again, then a line for each.
    for at in (1, 3, 7, 60, 84, 86, 88, 90, 92, 94, 97, *rng.sample(range(2, 110), 5)):
        if not list(failures(out)):
            break
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(at), "failed", out, "--retry", "--max-failed", "1"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        killed += done.returncode != 0
        found = status(out)
        (stage,) = (one for one in found.stages if one.name == "generate")
        assert (stage.done, found.working) == (COUNT, False)
        assert before.items() <= paid(server, out).items()
        before = paid(server, out)
        if at % 2:
            pipeline.run(read_recipe(path), out, options())
            now = outcomes(out)
            assert now.keys() >= rows.keys() and len(now) == COUNT
            assert {key: now[key] for key in rows} == rows
            rows = {key: one for key, one in now.items() if not _failed(one)}
    assert killed >= 5
    for _ in range(20):
        retry(out, options())
        if not list(failures(out)):
            break
    now = outcomes(out)
    assert len(now) == COUNT and {key: now[key] for key in rows} == rows
    assert (out / "7-report/manifest.json").exists()
    assert before.items() <= paid(server, out).items()


def test_a_run_killed_anywhere_ends_with_the_same_bytes_and_pays_for_nothing_twice(
    recipe: Recipe, fake_server: Serve, tmp_path: Path
):
    server = fake_server(latency=0.005, jitter=0.9, slow=0.1, slow_factor=10, refuse=0.3)
    path = recipe(model(server))
    out, whole = tmp_path / "run", tmp_path / "whole"
    pipeline.run(read_recipe(path), out, options(), last="collect")
    before: dict[str, int] = {}
    for at in (4, 9, 31, 48, 5, 24):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(at), "run", path, "-o", out, "--concurrency", "7"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        assert status(out).working is False
        now = paid(server, out)
        assert before.items() <= now.items()  # what is in the ledger is never asked for again
        before = now
    pipeline.run(read_recipe(path), out, options())
    assert len(before) > 10
    assert before.items() <= paid(server, out).items()
    pipeline.run(read_recipe(path), whole, options())
    assert contents(out) == contents(whole)
    assert generated(out).manifest.usage == generated(whole).manifest.usage


def test_ctrl_c_ends_soon_and_cleanly(recipe: Recipe, fake_server: Serve, tmp_path: Path):
    """Most requests are told to come again in an hour, and some are in flight."""
    server = fake_server(latency=0.3, max_in_flight=3, retry_after=3_600.0)
    path, out = recipe(model(server)), tmp_path / "run"
    pipeline.run(read_recipe(path), out, options(), last="collect")
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-m", "wavecoder.cli", "run", path, "-o", out],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not server.stats()["refused"].get("max_in_flight") or not server.stats()["in_flight"]:
        assert process.poll() is None
        Event().wait(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "every finished reply is saved" in said and "To go on: " in said
    for trouble in ("destroyed", "never retrieved", "never awaited", "Unclosed", "Traceback"):
        assert trouble not in said
    assert len(replies(out)) == server.stats()["ok"] >= 1
    assert server.stats()["gone"] == 0


def _failed(one: Instance | Rejected) -> bool:
    return isinstance(one, Rejected) and one.failed


def test_two_processes_on_one_run(recipe: Recipe, fake_server: Serve, tmp_path: Path):
    server = fake_server(fault={"context_length": 0.2})
    out = tmp_path / "run"
    pipeline.run(read_recipe(recipe(model(server))), out, options())
    before = contents(out)
    with (out / ".lock").open("a") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, "-m", "wavecoder.cli", "failed", out, "--retry"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )
    assert done.returncode == 1
    assert "Another process is working on" in done.stderr
    assert contents(out) == before
