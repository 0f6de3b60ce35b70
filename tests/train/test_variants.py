import json
from collections.abc import Callable
from pathlib import Path

import pytest

from wavecoder.train.job import Job, Outcome
from wavecoder.train.variants import variants

NAMES = ("done", "stopped", "diverged", "going on", "by hand", "prepared", "later")


@pytest.fixture
def folder(job_folder: Callable[..., Path], tmp_path: Path) -> Path:
    """A stage's folder with a variant in every state; each is to take 12 steps."""
    stage = tmp_path / "5-train"
    job = Job.load(job_folder())
    for name in NAMES[:-1]:
        (stage / "work" / name / "job").mkdir(parents=True)
        (stage / "work" / name / "checkpoints" / "checkpoint-4").mkdir(parents=True)
        job.save(stage / "work" / name / "job")
        (stage / "files" / name).mkdir(parents=True)
    for name in NAMES[:4]:
        (stage / "work" / name / "checkpoints" / "log.txt").touch()
    (stage / "work" / "stopped" / "checkpoints" / "checkpoint-4" / "whole").touch()
    for name in ("diverged", "going on", "by hand"):
        rows = [{"step": step, "loss": 1.0} for step in range(1, 9)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (stage / "files" / name / "metrics.jsonl").write_text(text)
    for name, status in (("done", "complete"), ("stopped", "stopped"), ("diverged", "diverged")):
        outcome = Outcome(status=status).model_dump_json()
        (stage / "files" / name / "outcome.json").write_text(outcome)
    return stage


def test_every_variant_is_told_of_while_a_process_works_and_after(folder: Path) -> None:
    assert variants(folder, NAMES, stopped=False) == {
        "done": "complete",
        "stopped": "stopped at step 4 of 12; the same command goes on",
        "diverged": "ended at step 8 of 12: diverged",
        "going on": "step 8 of 12",
        "by hand": "step 8 of 12",
        "prepared": "prepared",
        "later": "not started",
    }
    # Killed before its first checkpoint.
    assert variants(folder, NAMES, stopped=True)["going on"] == (
        "stopped at step 0 of 12; the same command goes on"
    )
    assert variants(folder, NAMES, stopped=True)["by hand"] == "step 8 of 12"
