"""DeepSpeed's ZeRO in two processes on one CPU, with gloo between them, against one process."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.errors import ArtifactError
from wavecoder.train.callbacks import last_whole, read_rows
from wavecoder.train.config import Sharding
from wavecoder.train.job import Job, Outcome
from wavecoder.train.launch import command
from wavecoder.train.trl import _check_sharding

pytest.importorskip("deepspeed")
pytestmark = pytest.mark.slow

JobFolder = Callable[..., Path]
LORA = {"adapter": "lora", "lora": {"rank": 4, "alpha": 8}}
GATHERED = {"per_device_batch": 1, "batch": 8, "gradient_checkpointing": True}


def _launch(folder: Path, processes: int, *, status: int = 0) -> Job:
    """Start the worker by the line of `launch.command`, on a CPU."""
    job = Job.load(folder)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command(job, folder, processes=processes), capture_output=True, text=True, env=environment
    )
    assert done.returncode == status, done.stderr[-5000:]
    return job


def _curve(job: Job) -> list[float]:
    rows = read_rows(job.output / "metrics.jsonl")
    return [row["loss"] if "loss" in row else row["held_out_loss"] for row in rows]


def _norms(job: Job) -> list[float]:
    return [row["grad_norm"] for row in read_rows(job.output / "metrics.jsonl") if "loss" in row]


def _outcome(job: Job) -> Outcome:
    return Outcome.model_validate_json((job.output / "outcome.json").read_text("utf-8"))


def _weights(job: Job) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(job.output / "checkpoint" / "model.safetensors")


def _other_base(folder: Path, change: Callable[[Path, dict[str, Any]], None]) -> None:
    job = Job.load(folder)
    base = folder / "base"
    shutil.copytree(job.base, base)
    config = json.loads((base / "config.json").read_text("utf-8"))
    change(base, config)
    (base / "config.json").write_text(json.dumps(config), "utf-8")
    job.model_copy(update={"base": base}).save(folder)


def _without_dropout(base: Path, config: dict[str, Any]) -> None:
    config |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


@pytest.mark.parametrize(
    ("sharding", "shape"),
    [
        ("zero2", {}),
        ("zero2", LORA | {"gradient_checkpointing": True}),
        ("zero3", GATHERED),
        ("zero3", LORA | {"gradient_checkpointing": True}),
        ("zero3", {"architecture": "gpt_bigcode", "packing": True, "train": 20}),
    ],
    ids=str,
)
def test_two_processes_train_as_one(
    job_folder: JobFolder, sharding: str, shape: dict[str, Any]
) -> None:
    """gpt_bigcode's head is its embedding, which ZeRO 3 holds in shares."""
    folders = job_folder("one", **shape), job_folder("two", sharding=sharding, **shape)
    if shape.get("architecture") == "gpt_bigcode":  # its dropout draws in each process
        for folder in folders:
            _other_base(folder, _without_dropout)
    one, two = _launch(folders[0], 1), _launch(folders[1], 2)
    assert _curve(two) == pytest.approx(_curve(one), abs=1e-5)
    assert _norms(two) == pytest.approx(_norms(one), rel=1e-3)
    ours, theirs = _weights(two), _weights(one)
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5
    assert (two.output / "adapter").is_dir() == ("adapter" in shape)


@pytest.mark.parametrize("sharding", ["zero2", "zero3"])
def test_in_bf16_it_learns_and_goes_on_where_it_was(job_folder: JobFolder, sharding: str) -> None:
    """All of the model is bf16 there, where one process only multiplies in it: 5e-4 apart."""
    import torch
    from transformers import AutoModelForCausalLM

    shape = {"precision": "bf16", "save_steps": 3, "per_device_batch": 1}
    one = _launch(job_folder("one", **shape), 1)
    folder = job_folder("two", sharding=sharding, **shape)
    two = _launch(folder, 2)
    whole, weights = _curve(two), _weights(two)
    assert whole == pytest.approx(_curve(one), abs=2e-3)
    model = AutoModelForCausalLM.from_pretrained(two.output / "checkpoint")
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    last = last_whole(two.work)
    assert last is not None and last.name == "checkpoint-9"
    # What there is when it is killed in its last steps.
    (two.output / "outcome.json").unlink()
    shutil.rmtree(two.output / "checkpoint")
    _launch(folder, 4, status=1)
    assert "is in 2 shares, DeepSpeed cannot deal them out anew" in _outcome(two).detail
    _check_sharding(two)
    other = Sharding.ZERO2 if two.sharding is Sharding.ZERO3 else Sharding.ZERO3
    with pytest.raises(ArtifactError, match=f"written with sharding: {sharding} and cannot be"):
        _check_sharding(two.model_copy(update={"sharding": other}))
    _launch(folder, 2)
    assert _curve(two) == pytest.approx(whole, abs=1e-6)
    assert all(bool((weight == weights[name]).all()) for name, weight in _weights(two).items())


@pytest.mark.parametrize("sharding", ["zero2", "zero3"])
def test_they_stop_together(job_folder: JobFolder, sharding: str) -> None:
    folder = job_folder(sharding=sharding, save_steps=100)
    work = Job.load(folder).work
    work.mkdir()
    (work / "stop").touch()
    outcome = _outcome(_launch(folder, 2))
    assert (outcome.status, outcome.steps) == ("stopped", 1)
    assert last_whole(work) == work / "checkpoint-1"


def _steep(base: Path, config: dict[str, Any]) -> None:
    """Make a model whose loss is a number and whose gradient is none."""
    from safetensors.torch import load_file, save_file

    config["rms_norm_eps"] = 1e-38  # each norm multiplies the gradient of nothing by 1e19
    weights = load_file(base / "model.safetensors")
    weights["model.embed_tokens.weight"] *= 0
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("sharding", ["zero2", "zero3"])
def test_a_step_that_deepspeed_leaves_out_is_a_divergence(
    job_folder: JobFolder, sharding: str
) -> None:
    folder = job_folder(sharding=sharding, held_out=0)
    _other_base(folder, _steep)
    outcome = _outcome(_launch(folder, 2))
    assert (outcome.status, outcome.steps) == ("diverged", 1)
    assert "the gradient of step 1 has the norm inf" in outcome.detail
