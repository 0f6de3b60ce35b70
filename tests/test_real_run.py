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


def command(out: Path, model: str, k: int, calls: Path) -> list[str]:
    return [
        sys.executable, str(ROOT / "tests/counting_run.py"), str(calls),
        "run", str(ROOT / "recipes/quickstart.yaml"),
        "-o", str(out), "--model", model, "-s", f"select.k={k}", "-s", "generate.round_size=2",
        "-s", "generate.generator_sampling={temperature: 0.7, max_tokens: 160}",
    ]  # fmt: skip


def replies(out: Path) -> set[str]:
    """Return the keys of the replies stored."""
    try:
        with sqlite3.connect(f"file:{out / 'replies.sqlite'}?mode=ro", uri=True) as database:
            return {key for (key,) in database.execute("select key from replies")}
    except sqlite3.OperationalError:
        return set()


@pytest.mark.parametrize(
    ("model", "k"),
    [
        ("local:smollm2-135m-instruct", 3),
        pytest.param("local:qwen2.5-coder-0.5b-instruct", 6, marks=pytest.mark.slow),
    ],
)
def test_killed_in_the_middle_of_generate(tmp_path: Path, model: str, k: int):
    subprocess.run(command(tmp_path / "whole", model, k, tmp_path / "calls"), check=True)
    out = tmp_path / "killed"
    process = subprocess.Popen(command(out, model, k, tmp_path / "killed calls"))
    deadline = time.monotonic() + 300
    while len(replies(out)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = replies(out)
    assert len(before) >= 2
    assert not (out / "3-generate/manifest.json").exists()
    subprocess.run(command(out, model, k, tmp_path / "later calls"), check=True)
    after = replies(out)
    assert after == replies(tmp_path / "whole")
    # No finished reply was asked for again, by what the model was asked: the ledger would keep the
    # first of two.
    assert sorted((tmp_path / "later calls").read_text().split()) == sorted(after - before)
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
    page = (out / "7-report/files/report.html").read_text()
    assert model.removeprefix("local:") in page
