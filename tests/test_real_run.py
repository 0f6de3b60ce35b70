"""The quickstart's recipe with a real model: killed in the middle, the same bytes in the end."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wavecoder.artifact import Artifact
from wavecoder.records import Instance

ROOT = Path(__file__).parents[1]
STAGES = ("1-collect", "2-select", "3-generate")


def command(out: Path, model: str, k: int) -> list[str]:
    return [
        sys.executable, "-m", "wavecoder.cli", "run", str(ROOT / "recipes/quickstart.yaml"),
        "-o", str(out), "--model", model, "-s", f"select.k={k}", "-s", "generate.round_size=2",
        "-s", "generate.generator_sampling={temperature: 0.7, max_tokens: 160}",
    ]  # fmt: skip


def replies(out: Path) -> dict[str, str]:
    try:
        with sqlite3.connect(f"file:{out / 'replies.sqlite'}?mode=ro", uri=True) as database:
            return dict(database.execute("select key, created || seconds from replies").fetchall())
    except sqlite3.OperationalError:
        return {}


@pytest.mark.parametrize(
    ("model", "k"),
    [
        ("local:smollm2-135m-instruct", 3),
        pytest.param("local:qwen2.5-coder-0.5b-instruct", 6, marks=pytest.mark.slow),
    ],
)
def test_killed_in_the_middle_of_generate(tmp_path: Path, model: str, k: int):
    subprocess.run(command(tmp_path / "whole", model, k), check=True)
    out = tmp_path / "killed"
    process = subprocess.Popen(command(out, model, k))
    deadline = time.monotonic() + 300
    while len(replies(out)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = replies(out)
    assert len(before) >= 2
    assert not (out / "3-generate/manifest.json").exists()
    subprocess.run(command(out, model, k), check=True)
    after = replies(out)
    assert before.items() <= after.items()  # no finished reply was asked for again
    assert after.keys() == replies(tmp_path / "whole").keys()
    for stage in STAGES:
        for name in ("records.parquet", "rejected.parquet"):
            whole, killed = (run / stage / name for run in (tmp_path / "whole", out))
            assert whole.read_bytes() == killed.read_bytes()
    artifact = Artifact.open(out / "3-generate")
    assert artifact.manifest.inputs == k
    assert artifact.manifest.tokens == Artifact.open(tmp_path / "whole/3-generate").manifest.tokens
    for one in artifact.records(Instance):
        assert one.verdict is not None
        assert one.verdict.passed
    page = (out / "4-report/files/report.html").read_text()
    assert model.removeprefix("local:") in page
