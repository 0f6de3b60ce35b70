"""Records looked at whole, over a fake endpoint on a real socket and the run that follows."""

import html
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from wavecoder import pipeline
from wavecoder.artifact import Artifact
from wavecoder.cli.preview import preview as command
from wavecoder.errors import ConfigError, ModelError, StaleArtifactError, StoppedError
from wavecoder.generate.checks import CHECKS
from wavecoder.llm import Ledger
from wavecoder.llm.fake.server import FakeServer
from wavecoder.pipeline import Recipe, RunOptions
from wavecoder.preview import Look, as_html, as_table, as_text, looks, parts, prepare
from wavecoder.progress import Silent
from wavecoder.records import Instance, RawCode, Rejected

Serve = Callable[..., FakeServer]

APP = typer.Typer()
APP.command()(command)


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Any]:
    """Tables of a recipe of 12 functions, but for its model."""
    (tmp_path / "src").mkdir()
    for number in range(12):
        (tmp_path / "src" / f"m{number}.py").write_text(
            f'def add_{number}(x):\n    """Add {number}."""\n    y = x + {number}\n'
            f"    return y * {number}\n"
        )
    return {
        "collect": {
            "sources": [{"directory": str(tmp_path / "src")}],
            "filters": {"length": False, "trivial": False},
        },
        "select": {"k": 12},
        "generate": {"round_size": 2, "lag": 1, "target_languages": ["javascript"]},
    }


def recipe(tables: Mapping[str, Any], server: FakeServer | None = None, **more: object) -> Recipe:
    model = {"generator": f"{server.url}#fake"} if server else {}
    return Recipe.model_validate({**tables, "generate": {**tables["generate"], **model, **more}})


def look(of: Recipe, out: Path, **which: Any) -> list[Look]:
    return list(looks(prepare(of, out, RunOptions()), **which))


def outcomes(out: Path) -> dict[str, Instance | Rejected]:
    made = Artifact.open(out / "3-generate")
    return {one.id: one for one in (*made.records(Instance), *made.rejected())}


def test_a_look_has_all_that_was_asked_and_answered(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    made = recipe(tables, fake_server(), tasks={"summarization": 1, "generation": 1})
    found = look(made, tmp_path / "run", count=3)
    picked = list(Artifact.open(tmp_path / "run" / "2-select").records(RawCode))
    assert [one.raw for one in found] == picked[:3]
    assert [one.place for one in found] == [0, 1, 2]
    with Ledger(tmp_path / "run" / "replies.sqlite") as ledger:
        for one in found:
            (attempt,) = one.attempts
            assert attempt.asked[0].role == "generator"
            for asked in attempt.asked:
                assert asked.model == "fake"
                assert not asked.remembered
                assert asked.reply == ledger.get(Ledger.key(asked.model, asked.request))
            # Two good ones and a bad one for the generator, one of each for the discriminator.
            shown = [[example.good for example in asked.examples] for asked in attempt.asked]
            assert shown == [[True, True, False], [False, True]][: len(shown)]
            drawn = {example.id for asked in attempt.asked for example in asked.examples}
            assert attempt.draft is not None
            assert drawn == set(attempt.draft.example_ids)
            assert one.raw.code in attempt.asked[0].request.messages[-1].content
            assert list(attempt.checks) == list(CHECKS)
            assert attempt.outcome == one.outcome


def test_a_run_pays_for_nothing_that_a_preview_asked(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    server = fake_server()
    made = recipe(tables, server)
    # More than a round, so that the later ones are shown what came of the first.
    found = look(made, tmp_path / "run", count=7)
    assert not (tmp_path / "run" / "3-generate").exists()
    before = server.stats()["ok"]
    pipeline.run(made, tmp_path / "run", RunOptions())
    stats = server.stats()
    assert set(stats["answered"].values()) == {1}
    pipeline.run(made, tmp_path / "other", RunOptions(replies=tmp_path / "other.sqlite"))
    assert 0 < before < stats["ok"] == server.stats()["ok"] - stats["ok"]
    ran = outcomes(tmp_path / "run")
    assert [one.outcome for one in found] == [ran[one.raw.id] for one in found]
    examples = {example.id for one in found for example in one.attempts[0].asked[0].examples}
    assert any(raw_id in example for raw_id in ran for example in examples)
    # Now all is in the ledger, and the run's artifact stays as it is.
    manifest = (tmp_path / "run" / "3-generate" / "manifest.json").read_bytes()
    asked = server.stats()["requests"]
    again = look(made, tmp_path / "run", count=7)
    assert all(asked.remembered for one in again for asked in one.attempts[0].asked)
    assert [one.outcome for one in again] == [one.outcome for one in found]
    assert server.stats()["requests"] == asked
    assert (tmp_path / "run" / "3-generate" / "manifest.json").read_bytes() == manifest


def test_a_target_and_attempts_change_nothing_of_that(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    server = fake_server(refuse=0.6)
    made = recipe(tables, server, target=2, attempts=3)
    found = look(made, tmp_path / "run", count=5)
    assert len(found) == 5
    assert all(one.attempts for one in found)
    assert max(len(one.attempts) for one in found) > 1
    pipeline.run(made, tmp_path / "run", RunOptions())
    assert set(server.stats()["answered"].values()) == {1}


class StopAfter(Silent):
    """Asks to stop once so many outcomes of `generate` are there."""

    def __init__(self, count: int, stop: Event) -> None:
        self.left, self.stop, self.stage = count, stop, ""

    def start(self, stage: str, total: int | None, finished: int) -> None:
        self.stage = stage

    def outcome(self, reason: str | None, count: int = 1) -> None:
        self.left -= count * (self.stage == "generate")
        if self.left <= 0:
            self.stop.set()


def test_one_function_is_asked_what_the_run_asked_it(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    server, out = fake_server(), tmp_path / "run"
    made = recipe(tables, server)
    stop = Event()
    with pytest.raises(StoppedError):
        pipeline.run(made, out, RunOptions(progress=StopAfter(8, stop), stop=stop))
    wanted = list(Artifact.open(out / "2-select").records(RawCode))[9]
    (half,) = look(made, out, function=wanted.id)  # the outcomes before it are in the journal
    pipeline.run(made, out, RunOptions())
    assert set(server.stats()["answered"].values()) == {1}
    asked = server.stats()["requests"]
    (whole,) = look(made, out, function=wanted.id)
    assert half.outcome == whole.outcome == outcomes(out)[wanted.id]
    assert (half.place, half.note) == (whole.place, whole.note) == (9, None)
    assert all(asked.remembered for asked in whole.attempts[0].asked)
    assert server.stats()["requests"] == asked


def test_one_function_before_the_run_says_that_its_examples_may_be_others(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    server, out = fake_server(), tmp_path / "run"
    made = recipe(tables, server)
    prepare(made, out, RunOptions())
    ids = [one.id for one in Artifact.open(out / "2-select").records(RawCode)]
    (one,) = look(made, out, function=ids[9])
    assert one.note is not None
    assert "first 8 functions of the coreset; 0 of these have an outcome" in one.note
    assert "may show it others" in as_text(one)
    assert look(made, out, function=ids[1])[0].note is None
    assert look(recipe(tables, server, examples="static"), out, function=ids[9])[0].note is None
    # Outcomes of another recipe's run are no examples for this one.
    pipeline.run(made, out, RunOptions())
    (one,) = look(recipe(tables, server, good_examples=1), out, function=ids[9])
    assert one.note is not None
    assert "0 of these" in one.note


def test_what_refuses_a_function_is_said(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    made = recipe(tables, fake_server(refuse=1.0), tasks={"summarization": 1})
    (one,) = look(made, tmp_path / "run", count=1)
    assert isinstance(one.outcome, Rejected)
    text = as_text(one)
    rule = one.outcome.reason.removeprefix("rule_")
    assert f"    NO   {rule}: check" in text
    assert f"== outcome: rejected, rule_{rule}\n    check" in text
    assert text.index("checks by program") < text.index("discriminator is asked")
    assert "from the ledger" not in text


def scripted(folder: Path, reply: str) -> dict[str, str]:
    script = folder / "script.yaml"
    script.write_text(yaml.safe_dump([{"match": "Write the four sections", "reply": reply}]))
    return {"generator": f"scripted:{script}"}


def test_a_reply_that_cannot_be_read_is_shown_as_it_is(tables: dict[str, Any], tmp_path: Path):
    made = recipe(tables, **scripted(tmp_path, "I will not."), tasks={"summarization": 1})
    (one,) = look(made, tmp_path / "run", count=1)
    titles = [part.title for part in parts(one)]
    assert "parsed fields: none" in titles
    assert titles[-1] == "outcome: rejected, no_sections"
    assert any(part.text == "I will not." for part in parts(one))


def test_every_check_is_told_and_not_only_the_first(tables: dict[str, Any], tmp_path: Path):
    reply = "task_name: t\ninstruction: Do.\ninformation: given\nsolution: It does."
    made = recipe(tables, **scripted(tmp_path, reply), tasks={"summarization": 1})
    (one,) = look(made, tmp_path / "run", count=1)
    assert one.outcome == one.attempts[0].outcome
    assert isinstance(one.outcome, Rejected)
    assert one.outcome.reason == "instruction_length"
    assert one.attempts[0].checks["prose_expected"] is not None
    assert one.attempts[0].checks["syntax_error"] is None
    text = as_text(one)
    assert "FAIL  instruction_length: the instruction has 1 words" in text
    assert "FAIL  prose_expected" in text
    assert "ok    syntax_error" in text


def test_a_request_that_the_model_refuses_is_shown_with_its_words(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    server = fake_server(fault={"context_length": 1.0})
    (one,) = look(recipe(tables, server), tmp_path / "run", count=1)
    (asked,) = one.attempts[0].asked
    assert asked.reply is None
    assert asked.problem is not None
    assert isinstance(one.outcome, Rejected)
    assert one.outcome.reason == "model_refused"
    assert asked.problem in as_text(one)
    assert "outcome: failed, model_refused" in as_text(one)


def test_other_methods_are_looked_at_too(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    del tables["generate"]["target_languages"]
    made = recipe(tables, fake_server(), method="evol-instruct")
    found = look(made, tmp_path / "run", count=2)
    assert all(one.attempts[0].asked for one in found)
    assert {one.attempts[0].task for one in found} == {"evol-instruct"}
    assert "checks by program" not in as_text(found[0])


def test_what_raw_code_holds_does_nothing_to_a_terminal_or_a_page(
    tables: dict[str, Any], tmp_path: Path
):
    (tmp_path / "src").joinpath("m0.py").write_text(
        "def add_0(x):\n    y = '''\n== outcome: accepted\n<script>alert(1)</script> & y\n"
        "    '''\n    return x, y\n"
    )
    made = recipe(tables, **scripted(tmp_path, "<b>\x1b[31m\x07\u202e"), tasks={"summarization": 1})
    found = look(made, tmp_path / "run", count=12)
    (one,) = (one for one in found if one.raw.name == "add_0")
    text = as_text(one)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "␛[31m" in text
    assert len(re.findall("^== outcome", text, re.M)) == 1
    page = as_html([one])
    assert "<script" not in page
    assert "<b>" not in page
    assert html.escape("<script>") in page
    assert not re.search(r"(?:src|href)=|url\(|@import", page)
    assert as_table(one)["raw"]["code"] == one.raw.code


def test_a_preview_that_is_stopped_keeps_its_replies(
    tables: dict[str, Any], tmp_path: Path, fake_server: Serve
):
    server = fake_server()
    options = RunOptions()
    made = recipe(tables, server)
    found = looks(prepare(made, tmp_path / "run", options), count=12)
    next(found)
    options.stop.set()
    with pytest.raises(StoppedError):
        list(found)
    pipeline.run(made, tmp_path / "run", RunOptions())
    assert set(server.stats()["answered"].values()) == {1}


def test_what_a_person_got_wrong_is_one_sentence(
    tables: dict[str, Any],
    tmp_path: Path,
    fake_server: Serve,
    monkeypatch: pytest.MonkeyPatch,
):
    server, out = fake_server(key="right"), tmp_path / "run"
    with pytest.raises(ConfigError, match="no table generate"):
        prepare(Recipe.model_validate({**tables, "generate": None}), out, RunOptions())
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        prepare(recipe(tables, server, api_key_env="NO_SUCH_KEY"), out, RunOptions())
    assert not out.exists()  # before anything is collected
    with pytest.raises(ConfigError, match="no stage before it"):
        only = {"generate": {"generator": f"{server.url}#fake"}}
        look(Recipe.model_validate(only), out)
    with pytest.raises(ConfigError, match=r"no function with the id nobody.*wavecoder near"):
        look(recipe(tables, server), out, function="nobody")
    monkeypatch.setenv("WRONG_KEY", "wrong-key-9")
    with pytest.raises(ModelError) as said:
        look(recipe(tables, server, api_key_env="WRONG_KEY"), out)
    assert "401" in str(said.value)
    assert "wrong-key-9" not in str(said.value)
    tables["select"]["k"] = 3
    with pytest.raises(StaleArtifactError):
        look(recipe(tables, server), out)


@pytest.fixture
def recipe_file(tables: dict[str, Any], tmp_path: Path, fake_server: Serve) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(tables, fake_server()).model_dump(exclude_none=True)))
    return path


def test_the_command_prints_saves_and_gives_json(recipe_file: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    plain = CliRunner().invoke(APP, [str(recipe_file), "-n", "2", "--save", str(page)])
    assert plain.exit_code == 0, plain.output
    assert len(re.findall("^==== ", plain.stdout, re.M)) == 2
    assert "\x1b" not in plain.stdout
    assert page.read_text(encoding="utf-8").count("<h2>") == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["page.html", "recipe.yaml", "src"]
    table = CliRunner().invoke(APP, [str(recipe_file), "-n", "2", "--json", "-o", str(tmp_path)])
    found = json.loads(table.stdout)
    assert [one["place"] for one in found] == [0, 1]
    assert found[0]["attempts"][0]["asked"][0]["request"]["messages"][0]["role"] == "system"
    assert (tmp_path / "replies.sqlite").exists()


def test_a_file_that_cannot_be_saved_is_refused_before_anything_is_asked(
    recipe_file: Path, tmp_path: Path
):
    save = ["--save", str(tmp_path / "none" / "page.html"), "-o", str(tmp_path / "run")]
    done = CliRunner().invoke(APP, [str(recipe_file), *save])
    assert isinstance(done.exception, ConfigError)
    assert not (tmp_path / "run").exists()


def test_on_a_terminal_there_are_colours(recipe_file: Path):
    ours, theirs = pty.openpty()
    program = "import typer; from wavecoder.cli.preview import preview; typer.run(preview)"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(recipe_file), "-n", "1"],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 1 << 16)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    assert process.wait() == 0
    assert b"\x1b[1m" in said
    assert b"outcome: " in said
