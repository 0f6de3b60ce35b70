"""Two processes on one CPU, with gloo between them, against one."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.train.callbacks import last_whole, read_rows
from wavecoder.train.job import Job, Outcome
from wavecoder.train.launch import command

JobFolder = Callable[..., Path]
LORA = {"adapter": "lora", "lora": {"rank": 4, "alpha": 8}}


def _launch(folder: Path, processes: int) -> None:
    """Start the worker by the line of `launch.command`, on a CPU."""
    done = subprocess.run(
        command(Job.load(folder), folder, processes=processes),
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )
    assert done.returncode == 0, done.stderr[-5000:]


def _curve(folder: Path) -> list[float]:
    rows = read_rows(Job.load(folder).output / "metrics.jsonl")
    return [row.get("loss", row.get("held_out_loss")) for row in rows]


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(Job.load(folder).output / "checkpoint" / "model.safetensors")


SHAPES: list[dict[str, Any]] = [
    {},
    {"packing": True, "train": 20},
    {"architecture": "gpt_bigcode"},
    LORA,
    {"per_device_batch": 1, "batch": 8, "gradient_checkpointing": True},  # gathers gradients
]


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_two_processes_train_as_one(
    job_folder: JobFolder, sharding: str, shape: dict[str, Any]
) -> None:
    """Rows are a multiple of four, as accelerate repeats some to fill the last step of an epoch.

    Of the five held out the last is alone, and is counted once.
    """
    one, two = job_folder("one", **shape), job_folder("two", sharding=sharding, **shape)
    if shape.get("architecture") == "gpt_bigcode":  # its dropout draws in each process
        for folder in (one, two):
            _without_dropout(folder)
    _launch(one, 1)
    _launch(two, 2)
    assert _curve(two) == pytest.approx(_curve(one), abs=1e-4)
    ours, theirs = _weights(two), _weights(one)
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_two_processes_lose_no_more_to_bf16_than_one(job_folder: JobFolder, sharding: str) -> None:
    shape = {"precision": "bf16", "gradient_checkpointing": True, "per_device_batch": 1, "batch": 8}
    one, two = job_folder("one", **shape), job_folder("two", sharding=sharding, **shape)
    _launch(one, 1)
    _launch(two, 2)
    # Where losses or the sums of gradients are rounded to bf16 they differ by 4e-3.
    assert _curve(two) == pytest.approx(_curve(one), abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("architecture", ["llama", "gpt_bigcode"])
def test_adafactor_under_fsdp_learns_and_goes_on_where_it_was(
    job_folder: JobFolder, precision: str, architecture: str
) -> None:
    """Its shards are flat, so that it goes another way than one process, from the same losses."""
    shape = {"optimizer": "adafactor", "precision": precision, "architecture": architecture}
    shape |= {"learning_rate": 1e-2, "gradient_checkpointing": True, "save_steps": 3}
    one, two = job_folder("one", **shape), job_folder("two", sharding="fsdp", **shape)
    for folder in (one, two) if architecture == "gpt_bigcode" else ():
        _without_dropout(folder)
    _launch(one, 1)
    _launch(two, 2)
    before, first, *_, after = whole = _curve(two)
    assert [before, first] == pytest.approx(_curve(one)[:2], abs=5e-4)
    assert after < before - 0.05
    job = Job.load(two)
    last = last_whole(job.work)
    assert last is not None and last.name == "checkpoint-9"
    (job.output / "outcome.json").unlink()
    _launch(two, 2)
    assert _curve(two) == pytest.approx(whole, abs=1e-6)
    assert _weights(two).keys() == _weights(one).keys()


def _without_dropout(folder: Path) -> None:
    import shutil

    job = Job.load(folder)
    base = folder / "base"
    shutil.copytree(job.base, base)
    config = json.loads((base / "config.json").read_text("utf-8"))
    config |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    (base / "config.json").write_text(json.dumps(config), "utf-8")
    job.model_copy(update={"base": base}).save(folder)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_two_processes_stop_together_and_go_on(job_folder: JobFolder, sharding: str) -> None:
    whole = job_folder("whole", sharding=sharding)
    folder = job_folder("stopped", sharding=sharding, save_steps=100)
    job = Job.load(folder)
    job.work.mkdir()
    (job.work / "stop").touch()
    _launch(folder, 2)
    outcome = Outcome.model_validate_json((job.output / "outcome.json").read_text("utf-8"))
    assert (outcome.status, outcome.steps) == ("stopped", 1)
    assert last_whole(job.work) == job.work / "checkpoint-1"
    (job.work / "stop").unlink()
    _launch(folder, 2)
    _launch(whole, 2)
    assert _curve(folder) == pytest.approx(_curve(whole), abs=1e-6)
