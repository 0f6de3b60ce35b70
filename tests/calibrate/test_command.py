"""`wavecoder calibrate`."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from wavecoder import pipeline
from wavecoder.cli.calibrate import calibrate
from wavecoder.errors import ConfigError, ModelError, PluginError
from wavecoder.llm.fake.server import FakeServer
from wavecoder.pipeline import Recipe, RunOptions
from wavecoder.progress import Silent

Serve = Callable[..., FakeServer]
SMALL = ("--languages", "python", "-n", 3, "--planted", 3)


def call(*words: object) -> Result:
    app = typer.Typer()
    app.command()(calibrate)
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def run(tmp_path: Path, fake_server: Serve) -> Path:
    """A run whose stage generate accepted some instances."""
    (tmp_path / "src").mkdir()
    for number in range(12):
        (tmp_path / "src" / f"m{number}.py").write_text(
            f'def add_{number}(x):\n    """Add {number}."""\n    y = x + {number}\n'
            f"    return y * {number}\n"
        )
    tables = {
        "collect": {
            "sources": [{"directory": str(tmp_path / "src")}],
            "filters": {"length": False, "trivial": False},
        },
        "select": {"k": 12},
        "generate": {"generator": f"{fake_server(refuse=0.0).url}#fake"},
    }
    out = tmp_path / "run"
    pipeline.run(Recipe(**tables), out, RunOptions(progress=Silent(), stop=Event()))
    return out


def test_the_command_prints_tables_and_writes_a_folder(fake_server: Serve, tmp_path: Path):
    server = fake_server(refuse=0.0)
    given = ("--graders", "checks,judge", "--judge", f"{server.url}#fake", "-o", tmp_path / "out")
    shown = call(*SMALL, *given)
    assert shown.exit_code == 0, shown.exception
    assert "rubber stamp" in shown.stdout and "broken_syntax" in shown.stdout
    assert {one.name for one in (tmp_path / "out").iterdir()} >= {
        "calibration.json",
        "calibration.md",
        "cases.jsonl",
        "replies.sqlite",
    }


def test_the_command_prints_json(tmp_path: Path):
    shown = call(*SMALL, "--graders", "checks", "--json")
    assert json.loads(shown.stdout)["graders"]["checks"]["falsely_refused"]["count"] == 0


def test_the_judge_of_a_recipe_is_asked(fake_server: Serve, tmp_path: Path):
    server = fake_server(refuse=1.0)
    recipe = tmp_path / "recipe.yaml"
    table = {"generator": "scripted:none.yaml", "discriminator": f"{server.url}#fake"}
    (tmp_path / "none.yaml").write_text("- match: ''\n  reply: x\n")
    table["generator"] = f"scripted:{tmp_path / 'none.yaml'}"
    recipe.write_text(yaml.safe_dump({"generate": table}))
    given = (*SMALL, "--graders", "judge", "--defects", "secret", "--json")
    found = json.loads(call(*given, "-r", recipe).stdout)
    assert found["judge"]["model"] == "fake"
    other = fake_server(refuse=0.0)
    found = json.loads(call(*given, "-r", recipe, "--judge", f"{other.url}#other").stdout)
    assert found["judge"]["model"] == "other"


def test_the_accepted_instances_of_a_run_are_known_good(run: Path):
    shown = call(run, "--graders", "checks", "--json")
    found = json.loads(shown.stdout)
    assert found["source"] == str(run)
    assert found["known_good"] > 0 and found["planted"] > 0
    assert found["graders"]["checks"]["falsely_refused"]["count"] == 0


def test_a_run_that_accepted_nothing_is_refused(run: Path):
    shown = call(run, "--graders", "checks", "--tasks", "repair")
    found = call(run / "3-generate", "--graders", "checks", "--languages", "rust")
    assert isinstance(found.exception, ConfigError)
    assert "holds no instance in rust" in str(found.exception)
    assert shown.exit_code == 0 or "holds no accepted instance" in str(shown.exception)


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (("--judge", "nope"), ConfigError, "does not say what kind of model"),
        (("--judge", "nope:x"), PluginError, "nope"),
        (("--judge", "local:nope"), ModelError, "There is no model 'nope'"),
        (("-s", "seed=1"), ConfigError, "Name one with --judge"),
        (("--judge", "scripted:x", "-s", "seed=1"), ConfigError, "Name it with --recipe"),
        (("nowhere",), ConfigError, "There is no nowhere"),
        (("--graders", "judge"), ConfigError, "No judge is named"),
        (("--graders", "oracle"), ConfigError, "There is no grader 'oracle'"),
        (("-r", "nowhere.yaml"), ConfigError, "Cannot read the recipe"),
    ],
)
def test_bad_input_is_one_sentence(words: tuple[str, ...], error: type[Exception], says: str):
    found = call(*words).exception
    assert isinstance(found, error)
    assert says in str(found) and "\n" not in str(found)


def test_a_recipe_without_a_judge_is_refused(tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("seed: 1\n")
    assert "has no table generate" in str(call("-r", recipe).exception)


def test_a_benchmark_that_is_missing_or_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(tmp_path / "none"))
    assert "which is not a folder" in str(call("--graders", "checks").exception)
    (tmp_path / "humanevalpack").mkdir()
    (tmp_path / "humanevalpack" / "python.jsonl").write_text("{}\n")
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(tmp_path))
    assert "is not the humanevalpack/python.jsonl" in str(call("--graders", "checks").exception)


def test_a_rubber_stamp_is_red_on_a_terminal(fake_server: Serve, tmp_path: Path):
    server = fake_server(refuse=0.0)
    program = (
        "import sys, typer\nfrom wavecoder.cli.calibrate import calibrate\n"
        "app = typer.Typer()\napp.command()(calibrate)\napp()\n"
    )
    words = ["--graders", "judge", "--judge", f"{server.url}#fake", *map(str, SMALL)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=theirs, stderr=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so at the end of a terminal
                break
            if not part:
                break
            text += part
        assert process.wait() == 0
    os.close(ours)
    assert b"\x1b[31m\x1b[1mThis judge is a rubber stamp" in text
