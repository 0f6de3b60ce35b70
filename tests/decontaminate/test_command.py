import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner, Result

from wavecoder.cli.decontaminate import decontaminate
from wavecoder.errors import ConfigError

Rows = list[dict[str, Any]]


def call(*words: object) -> Result:
    app = typer.Typer()
    app.command()(decontaminate)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_prints_a_report_and_writes_a_folder(
    rows: Rows, write: Callable[..., Path], tmp_path: Path
):
    out = tmp_path / "out"
    shown = call(write(rows), "-b", "humaneval", "-o", out, "--processes", 1)
    assert shown.exit_code == 0
    assert "7 rows, 1 removed (14.286 %), 6 clean." in shown.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "clean.jsonl",
        "removed.jsonl",
        "report.json",
        "report.md",
    ]


def test_the_command_prints_json(rows: Rows, write: Callable[..., Path]):
    shown = call(write(rows), "-b", "humaneval", "-l", "ast", "--json", "--processes", 1)
    assert json.loads(shown.stdout)["hits"] == {"ast": {"humaneval": 1}}


def test_an_option_that_is_wrong_is_one_sentence(rows: Rows, write: Callable[..., Path]):
    shown = call(write(rows), "-l", "exact,nothing")
    assert isinstance(shown.exception, ConfigError)
    assert "There is no layer 'nothing'." in str(shown.exception)
