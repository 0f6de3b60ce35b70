"""A recipe with the table `regenerate`, as a person uses it: run, watched, exported, looked at."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from wavecoder.artifact import Artifact
from wavecoder.records import Instance

COMMAND = [sys.executable, "-m", "wavecoder.cli"]
FUNCTION = "def add_{0}(x):\n    if x > {0}:\n        return x + {0}\n    return {0}\n"
OLD = "def more(x):\n    return x + 1"
NEW = "def more(x):\n    y = 1\n    return y + x"
TOLD = "Write a Python function `more(x)` that returns the whole number behind x."


def wavecoder(*args: object) -> str:
    done = subprocess.run(
        [*COMMAND, *map(str, args)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(path: Path, value: Any) -> Path:
    path.write_text(yaml.safe_dump(value))
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    functions = tmp_path / "functions.jsonl"
    rows = [{"code": FUNCTION.format(number), "language": "python"} for number in range(4)]
    functions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sections = (
        f"task_name: code generation\ninstruction: {TOLD}\ninformation: none\n"
        f"solution:\n```python\n{OLD}\n```"
    )
    verdict = "\n".join(
        [*(f"rule {number}: yes, so it is" for number in range(1, 5)), "overall: yes"]
    )
    script = write(
        tmp_path / "first.yaml",
        [{"match": "rule by rule", "reply": verdict}, {"match": ".", "reply": sections}],
    )
    teacher = write(
        tmp_path / "teacher.yaml",
        [{"match": r"^Write a Python function `more", "reply": f"Here:\n```python\n{NEW}\n```"}],
    )
    off = dict.fromkeys(("length", "trivial", "self_contained"), False)
    table = {
        "seed": 1,
        "collect": {
            "sources": [{"jsonl": str(functions)}],
            "near_duplicates": False,
            "filters": off,
        },
        "generate": {
            "generator": f"scripted:{script}",
            "tasks": {"generation": 1},
            "near_duplicates": False,
            "examples": "none",
        },
        "regenerate": {"teacher": f"scripted:{teacher}"},
    }
    return write(tmp_path / "recipe.yaml", table)


def test_a_run_rewrites_its_solutions_and_the_commands_know_of_it(recipe: Path, tmp_path: Path):
    out = tmp_path / "run"
    wavecoder("run", recipe, "-o", out)
    instances = list(Artifact.open(out / "4-regenerate").records(Instance))
    assert [one.solution for one in instances] == [NEW] * 4
    assert {one.regenerated for one in instances} == {"rewritten"}
    assert {one.regenerated for one in Artifact.open(out / "3-generate").records(Instance)} == {
        None
    }

    said = wavecoder("status", out)
    assert "regenerate: complete, 4 of 4 done: 4 accepted, 0 refused, 0 failed, 0 pending" in said
    assert "regenerate: 4 in, 4 kept" in wavecoder("show", out)

    for folder, solution in ((out, NEW), (out / "3-generate", OLD), (out / "4-regenerate", NEW)):
        wavecoder("export", folder, "--format", "alpaca", "-o", tmp_path / "alpaca.json")
        rows = json.loads((tmp_path / "alpaca.json").read_text())
        assert [row["output"] for row in rows] == [solution] * 4

    # It is whole: nothing is asked again.
    before = (out / "4-regenerate/manifest.json").stat().st_mtime_ns
    wavecoder("run", recipe, "-o", out)
    assert (out / "4-regenerate/manifest.json").stat().st_mtime_ns == before


def test_commands_that_look_ahead_take_such_a_recipe(recipe: Path, tmp_path: Path):
    assert "regenerate: its table fits" in wavecoder("doctor", recipe, "--no-ask")
    assert "calls" in wavecoder("estimate", recipe, "-n", 0)
    assert TOLD in wavecoder("preview", recipe, "-n", 1)
    assert "teacher: scripted:" in wavecoder("check", recipe)
