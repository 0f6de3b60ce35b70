"""QLoRA on a CPU, which bitsandbytes has kernels for: slow, and otherwise as on a GPU."""

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.train import quantized, worker
from wavecoder.train.callbacks import last_whole, read_rows
from wavecoder.train.job import Job, Outcome

pytest.importorskip("bitsandbytes")

JobFolder = Callable[..., Path]
QLORA: dict[str, Any] = {
    "adapter": "qlora",
    "lora": {"rank": 4, "alpha": 8},
    "learning_rate": 1e-2,
    "gradient_checkpointing": True,
}


def _trained(folder: Path) -> Job:
    assert worker.main(folder) == 0
    return Job.load(folder)


def _losses(job: Job) -> list[float]:
    return [row["loss"] for row in read_rows(job.output / "metrics.jsonl") if "loss" in row]


def _outcome(job: Job) -> Outcome:
    return Outcome.model_validate_json((job.output / "outcome.json").read_text("utf-8"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt_bigcode"])
def test_the_checkpoint_is_the_base_as_it_was_with_what_was_learned(
    job_folder: JobFolder, architecture: str, precision: str
) -> None:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    job = _trained(job_folder(architecture=architecture, precision=precision, **QLORA))
    outcome = _outcome(job)
    assert outcome.held_out_before is not None and outcome.held_out_after is not None
    assert outcome.held_out_after < outcome.held_out_before - 0.005
    adapter = load_file(job.output / "adapter" / "adapter_model.safetensors")
    # TRL rounds it to bf16, in which small steps are lost.
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    kept = getattr(torch, "bfloat16" if precision == "bf16" else "float32")
    merged = AutoModelForCausalLM.from_pretrained(job.output / "checkpoint")
    assert {weight.dtype for weight in merged.parameters()} == {kept}
    base = AutoModelForCausalLM.from_pretrained(job.base, dtype="float32")
    both = PeftModel.from_pretrained(base, job.output / "adapter")
    ids = torch.arange(1, 60)[None]
    with torch.no_grad():
        wanted = both(ids).logits
        with both.disable_adapter():
            alone = both(ids).logits
        found = merged.float()(ids).logits
    near = 1e-5 if precision == "fp32" else 2e-2
    assert (found - wanted).abs().max() < near < (wanted - alone).abs().max()


def test_linear_layers_are_held_in_four_bits(job_folder: JobFolder) -> None:
    import torch

    linear = importlib.import_module("bitsandbytes").nn.Linear4bit
    model = worker._load(Job.load(job_folder(**QLORA)))
    found = {name for name, part in model.named_modules() if isinstance(part, linear)}
    assert len(found) == 2 * 7 and "lm_head" not in found
    weight = model.model.layers[0].mlp.up_proj.weight
    assert (weight.dtype, weight.numel()) == (torch.uint8, 64 * 32 // 2)


def test_no_weight_is_packed_for_a_cpu_that_calculates_in_bf16(job_folder: JobFolder) -> None:
    model = worker._load(Job.load(job_folder(**QLORA)))
    flags = [one for one in model.modules() if hasattr(one, "support_avx512bf16_for_cpu")]
    assert len(flags) == 2 * 7
    for one in flags:
        one.support_avx512bf16_for_cpu = True
    quantized.keep_as_loaded(model)
    assert not any(one.support_avx512bf16_for_cpu for one in flags)


def test_measuring_what_is_held_out_changes_nothing(job_folder: JobFolder) -> None:
    """CPUs that calculate in bf16 have weights packed for it, with other constants, when asked."""
    shape = QLORA | {"precision": "bf16"}
    measured, blind = job_folder("measured", **shape), job_folder("blind", held_out=0, **shape)
    assert _losses(_trained(measured)) == _losses(_trained(blind))


def test_it_goes_on_where_it_was(job_folder: JobFolder) -> None:
    job = _trained(job_folder(**QLORA, save_steps=3))
    whole = _losses(job)
    # What there is when it is killed in its last steps.
    (job.output / "outcome.json").unlink()
    shutil.rmtree(job.output / "checkpoint")
    last = last_whole(job.work)
    assert last is not None and last.name == "checkpoint-9"
    assert _losses(_trained(job.work.parent)) == pytest.approx(whole, abs=1e-6)
    assert _outcome(job).steps == 12
