"""What only a real GPU can show: bf16, attention, packing and the memory that is really held."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.train import launch
from wavecoder.train.callbacks import read_rows
from wavecoder.train.job import Job, Outcome
from wavecoder.train.memory import estimate, shape_of

JobFolder = Callable[..., Path]
LENGTH = 1024

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not launch.devices(), reason="there is no NVIDIA GPU here"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[[str], Path]) -> Path:
    """Return a model of 110 million parameters, so that CUDA's own memory is a small share."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("gpu") / "base"
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    config = AutoConfig.for_model(
        "llama",
        vocab_size=32_000,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=12,
        intermediate_size=2048,
        max_position_embeddings=2 * LENGTH,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _trained(folder: Path) -> tuple[Job, Outcome, list[float]]:
    """Train in a process of its own, whose peak memory is that of this training alone."""
    job = Job.load(folder)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES") or "0"
    done = subprocess.run(
        [sys.executable, "-m", "wavecoder.train.worker", str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": seen.split(",")[0]},
    )
    assert done.returncode == 0, done.stderr[-5000:]
    outcome = Outcome.model_validate_json((job.output / "outcome.json").read_text("utf-8"))
    losses = [row["loss"] for row in read_rows(job.output / "metrics.jsonl") if "loss" in row]
    return job, outcome, losses


def _attention(name: str) -> str:
    if name.startswith("flash") and importlib.util.find_spec("flash_attn") is None:
        pytest.skip("flash-attn is not installed")
    return name


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("attention", ["sdpa", "flash_attention_2"])
def test_bf16_learns_and_takes_the_memory_that_was_estimated(
    job_folder: JobFolder, base: Path, attention: str, packing: bool
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.torch import load_file

    keys: dict[str, Any] = {
        "base": base,
        "gpus": 1,
        "precision": "bf16",
        "attention": _attention(attention),
        "packing": packing,
        "max_length": LENGTH,
        "per_device_batch": 4,
        "learning_rate": 3e-4,
        "save_steps": 100,
    }
    folder = job_folder(**keys)
    # Two dialogues to a packed row, all of one length: the estimate counts full rows.
    length = LENGTH // 2 if packing else LENGTH
    ids = [[(7 * row + at) % 300 for at in range(length - 1)] + [0] for row in range(32)]
    pq.write_table(pa.table({"input_ids": ids, "labels": ids}), folder / "train.parquet")
    job, outcome, losses = _trained(folder)
    assert outcome.status == "complete"
    assert losses[-1] < losses[0]
    assert outcome.held_out_before is not None
    weights = load_file(job.output / "checkpoint" / "model.safetensors")
    assert {str(one.dtype) for one in weights.values()} == {"torch.bfloat16"}
    found = estimate(job, shape_of(job.base)).total
    assert outcome.peak_bytes is not None
    print(
        f"{attention}, {packing=}: {found / 1e6:.0f} MB estimated, {outcome.peak_bytes / 1e6:.0f}"
    )
    assert 0.75 < found / outcome.peak_bytes < 1.5


def test_packed_and_padded_learn_the_same(job_folder: JobFolder, base: Path) -> None:
    """Batches differ, so that the curves do: both must end far below where they began."""
    shared: dict[str, Any] = {"base": base, "gpus": 1, "precision": "bf16", "learning_rate": 3e-4}
    padded = _trained(job_folder("padded", epochs=4, **shared))[1]
    packed = _trained(job_folder("packed", epochs=12, packing=True, **shared))[1]
    assert padded.held_out_before == pytest.approx(packed.held_out_before, abs=0.01)
    for one in (padded, packed):
        assert one.held_out_before is not None and one.held_out_after is not None
        assert one.held_out_after < one.held_out_before - 1
