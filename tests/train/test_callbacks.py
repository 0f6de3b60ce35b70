import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from wavecoder.errors import ArtifactError
from wavecoder.train.callbacks import Divergence, checkpoints, cut, last_whole, read_rows
from wavecoder.train.job import Job, Outcome
from wavecoder.train.worker import main

JobFolder = Callable[..., Path]


def _first_alarm(losses: list[float], gradient: float = 1.0) -> int | None:
    watch = Divergence()
    steps = enumerate(losses, 1)
    return next((step for step, loss in steps if watch.take(step, loss, gradient)), None)


def test_noise_of_single_dialogues_is_no_divergence() -> None:
    """Log-normal losses: one in forty is above three times the median."""
    random = Random(5)
    for _ in range(50):
        falling = (0.5 + 0.5 / (1 + step / 50) for step in range(1000))
        losses = [mean * math.exp(random.gauss(0, 0.55)) for mean in falling]
        assert max(losses) > 3 * sorted(losses)[500]
        assert _first_alarm(losses) is None


def test_one_hard_batch_is_no_divergence_and_five_are() -> None:
    calm = [0.8] * 30
    assert _first_alarm([*calm, 9.0, *calm, 9.0, 9.0, 9.0, 9.0, *calm]) is None
    assert _first_alarm([*calm, 9.0, 9.0, 9.0, 9.0, 9.0]) == 35


def test_what_is_below_the_base_is_no_divergence() -> None:
    """A loss that fell to a tenth and comes half the way back has lost nothing yet."""
    assert _first_alarm([2.0] + [0.2] * 30 + [1.0] * 30) is None


def test_divergence_from_the_first_steps_is_seen() -> None:
    assert _first_alarm([0.9, 1.0, 4.0, 7.0, 9.0, 8.0, 9.0]) == 7


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_divergence_at_once(bad: float) -> None:
    assert _first_alarm([1.0, bad]) == 2
    assert _first_alarm([1.0], gradient=bad) == 1


def test_a_state_after_a_spike_is_not_calm() -> None:
    watch = Divergence()
    for step, loss in enumerate([1.0, 1.0, 9.0], 1):
        assert watch.take(step, loss, None) is None
    assert not watch.calm
    watch.take(4, 1.0, None)
    assert watch.calm


def _ended(losses: list[float], before: float | None, after: float | None) -> str | None:
    watch = Divergence()
    for step, loss in enumerate(losses, 1):
        assert watch.take(step, loss, None) is None
    return watch.at_the_end(before, after)


def test_a_run_that_ends_too_high_has_diverged_unless_the_held_out_loss_fell() -> None:
    high = [0.8] * 30 + [9.0]
    assert _ended([0.8] * 30, None, None) is None
    assert _ended([*high, 0.8], None, None) is None
    assert _ended(high, None, None) == (
        "the loss of the last step is 9, above 3 times its median of 0.8"
    )
    assert _ended(high, 0.9, 5.0) is not None
    assert _ended(high, 0.9, 0.7) is None
    assert _ended([0.8], 0.9, math.nan) == "the held-out loss at the end is nan"


def _trained(folder: Path) -> tuple[Job, Outcome]:
    assert main(folder) == 0
    job = Job.load(folder)
    text = (job.output / "outcome.json").read_text("utf-8")
    return job, Outcome.model_validate_json(text)


@pytest.mark.parametrize("rate", [3.0, 1e6])
def test_an_absurd_learning_rate_diverges(job_folder: JobFolder, rate: float) -> None:
    folder = job_folder(learning_rate=rate, schedule="constant", epochs=8, steps=48, save_steps=1)
    job, outcome = _trained(folder)
    assert outcome.status == "diverged"
    assert outcome.steps < 48
    assert f"train.learning_rate (now {rate:g}) lower" in outcome.detail
    assert not (job.output / "checkpoint").exists()
    kept = last_whole(job.work)
    assert kept is not None
    assert f"the checkpoint of step {kept.name[11:]} is kept" in outcome.detail
    rows = {row["step"]: row for row in read_rows(job.output / "metrics.jsonl") if "loss" in row}
    assert rows[int(kept.name[11:])]["loss"] < 3 * rows[1]["loss"]


@pytest.mark.parametrize("held_out", [0, 5])
def test_the_last_steps_of_a_short_run_may_diverge(job_folder: JobFolder, held_out: int) -> None:
    folder = job_folder(
        train=20, learning_rate=3.0, schedule="constant", epochs=1, steps=5, held_out=held_out
    )
    job, outcome = _trained(folder)
    assert (outcome.status, outcome.steps) == ("diverged", 5)
    assert "the loss of the last step is " in outcome.detail
    assert not (job.output / "checkpoint").exists()


@pytest.mark.parametrize("batch", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_high_rate_that_learns_does_not(job_folder: JobFolder, batch: int) -> None:
    folder = job_folder(
        learning_rate=1e-2, batch=batch, per_device_batch=1, epochs=2 + batch, held_out=0
    )
    assert _trained(folder)[1].status == "complete"


def test_weights_that_are_no_numbers_stop_at_once(job_folder: JobFolder, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    whole = Job.load(job_folder("whole"))
    base = tmp_path / "base"
    shutil.copytree(whole.base, base)
    weights = load_file(base / "model.safetensors")
    weights["lm_head.weight"].fill_(math.nan)
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    outcome = _trained(job_folder("broken", base=base))[1]
    assert (outcome.status, outcome.steps) == ("diverged", 1)
    assert "the loss of step 1 is nan" in outcome.detail
    assert "none was saved" in outcome.detail


def test_only_whole_checkpoints_are_gone_on_from(tmp_path: Path) -> None:
    assert last_whole(tmp_path) is None
    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-odd").mkdir()
    assert [one.name[11:] for one in checkpoints(tmp_path)] == ["9", "10", "100"]
    assert last_whole(tmp_path) is None
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / "whole").touch()
    assert last_whole(tmp_path) == tmp_path / "checkpoint-10"


def test_the_curve_is_cut_back_to_a_checkpoint(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"step": step, "loss": 1.0} for step in range(1, 7)]
    path = tmp_path / "metrics.jsonl"
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text + '{"step": 7, "lo', "utf-8")
    assert read_rows(path) == rows
    cut(path, tmp_path / "checkpoint-4")
    assert [row["step"] for row in read_rows(path)] == [1, 2, 3, 4]
    with path.open() as reader:  # who follows it goes on reading where nothing is dropped
        cut(path, tmp_path / "checkpoint-4")
        assert os.path.samestat(os.fstat(reader.fileno()), path.stat())
    cut(path, None)
    assert read_rows(path) == []
    assert read_rows(tmp_path / "absent.jsonl") == []
    path.write_bytes(b"\0\0\0\n")
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl is damaged: .*\. Remove it"):
        read_rows(path)
