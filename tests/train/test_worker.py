import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.errors import ConfigError
from wavecoder.train.job import Job, Outcome
from wavecoder.train.sft import settings
from wavecoder.train.worker import _foreseen, _see_one_gpu, main

JobFolder = Callable[..., Path]
SLOW = pytest.mark.slow
LORA = {"adapter": "lora", "lora": {"rank": 4, "alpha": 8}}


def _rows(job: Job) -> list[dict[str, Any]]:
    lines = (job.output / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _losses(job: Job) -> list[float]:
    return [row["loss"] for row in _rows(job) if "loss" in row]


def _outcome(job: Job) -> Outcome:
    return Outcome.model_validate_json((job.output / "outcome.json").read_text("utf-8"))


def _trained(folder: Path) -> Job:
    assert main(folder) == 0
    return Job.load(folder)


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {
        name: weight
        for file in sorted(folder.glob("*.safetensors"))
        for name, weight in load_file(file).items()
    }


def _differ(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


def _plain_trl(folder: Path, job: Job, output: Path, **more: Any) -> list[float]:
    """Train with TRL as its manual has it, with no line of ours; return the losses."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=str(output),
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        num_train_epochs=2,
        learning_rate=1e-3,
        lr_scheduler_type="linear",
        warmup_steps=2,
        optim="adamw_torch",
        weight_decay=0.0,
        max_grad_norm=1.0,
        max_length=128,
        packing=job.packing,
        gradient_checkpointing=False,
        seed=7,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(job.base, dtype="float32"),
        args=config,
        train_dataset=Dataset.from_parquet(
            str(folder / "train.parquet"), cache_dir=str(output / "rows")
        ),
        processing_class=AutoTokenizer.from_pretrained(job.base),
        **more,
    )
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


@pytest.mark.parametrize(
    "architecture",
    ["llama", *(pytest.param(one, marks=SLOW) for one in ("gpt_bigcode", "qwen2", "starcoder2"))],
)
@pytest.mark.parametrize("packing", [False, True])
def test_losses_are_those_of_plain_trl(
    job_folder: JobFolder, tmp_path: Path, architecture: str, packing: bool
) -> None:
    folder = job_folder(architecture=architecture, packing=packing)
    job = _trained(folder)
    theirs = _plain_trl(folder, job, tmp_path / "plain")
    assert len(theirs) == (4 if packing else 12)
    assert _losses(job) == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("packing", [pytest.param(False, marks=SLOW), True])
def test_losses_of_an_adapter_are_those_of_plain_trl(
    job_folder: JobFolder, tmp_path: Path, packing: bool
) -> None:
    from peft import LoraConfig

    folder = job_folder(packing=packing, **LORA)
    job = _trained(folder)
    shape = LoraConfig(
        r=4,
        lora_alpha=8,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    theirs = _plain_trl(folder, job, tmp_path / "plain", peft_config=shape)
    assert _losses(job) == pytest.approx(theirs, abs=1e-4)


def test_the_held_out_loss_is_a_mean_over_tokens(job_folder: JobFolder) -> None:
    """Five dialogues in batches of two: the last batch is short, and lengths differ."""
    import pyarrow.parquet as pq
    import torch
    from transformers import AutoModelForCausalLM

    folder = job_folder(packing=True)
    job = _trained(folder)
    outcome = _outcome(job)
    dialogues = pq.read_table(folder / "held_out.parquet").to_pylist()
    for place, found in [
        (job.base, outcome.held_out_before),
        (job.output / "checkpoint", outcome.held_out_after),
    ]:
        model = AutoModelForCausalLM.from_pretrained(place)
        loss, tokens = 0.0, 0
        for one in dialogues:
            labels = torch.tensor(one["labels"][1:])
            with torch.no_grad():
                logits = model(torch.tensor([one["input_ids"]])).logits[0, :-1]
            loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            tokens += int((labels != -100).sum())
        assert found == pytest.approx(loss / tokens, abs=1e-5)


def test_what_is_saved_is_what_transformers_and_vllm_load(job_folder: JobFolder) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # gpt_bigcode's head is its embedding, so that two names share one tensor.
    job = _trained(job_folder(architecture="gpt_bigcode", precision="bf16", steps=12))
    folder = job.output / "checkpoint"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert (config["dtype"], config["use_cache"]) == ("bfloat16", True)
    assert {str(one.dtype) for one in _weights(folder).values()} == {"torch.bfloat16"}
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    assert model.generation_config.eos_token_id in (0, [0])
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endoftext|>", "<|endoftext|>")
    assert tokenizer.chat_template == job.chat_template
    assert not list(job.output.glob("*.partial"))


def test_a_base_without_end_or_padding_gets_them(job_folder: JobFolder, tmp_path: Path) -> None:
    """The end token pads, and where it ends a response it still carries loss."""
    import shutil

    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain = Job.load(job_folder("first"))
    base = tmp_path / "base"
    shutil.copytree(plain.base, base)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        table = json.loads((base / name).read_text("utf-8"))
        for key in ("eos_token", "bos_token", "pad_token"):
            table.pop(key, None)
            table.pop(f"{key}_id", None)
        (base / name).write_text(json.dumps(table), "utf-8")
    assert AutoTokenizer.from_pretrained(base).eos_token is None
    job = _trained(job_folder("second", base=base))
    assert _losses(job) == pytest.approx(_losses(_trained(plain.output.parent)), abs=1e-6)
    model = AutoModelForCausalLM.from_pretrained(job.output / "checkpoint")
    assert model.generation_config.eos_token_id in (0, [0])
    assert AutoTokenizer.from_pretrained(job.output / "checkpoint").eos_token == "<|endoftext|>"


def test_a_merged_checkpoint_is_base_and_adapter(job_folder: JobFolder) -> None:
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    job = _trained(job_folder(learning_rate=1e-2, **LORA))
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(job.output / "checkpoint")(ids).logits
        beside = AutoPeftModelForCausalLM.from_pretrained(job.output / "adapter")(ids).logits
        base = AutoModelForCausalLM.from_pretrained(job.base)(ids).logits
    assert torch.allclose(merged, beside, atol=1e-5)
    assert not torch.allclose(merged, base, atol=1e-2)
    unmerged = _trained(job_folder("unmerged", merge=False, **LORA))
    assert (unmerged.output / "adapter" / "tokenizer.json").is_file()
    assert not (unmerged.output / "checkpoint").exists()


def test_the_curve_has_a_row_a_step_and_the_held_out_losses(job_folder: JobFolder) -> None:
    job = _trained(job_folder())
    rows = _rows(job)
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 13))
    assert [row["step"] for row in rows if "held_out_loss" in row] == [0, 6, 12]
    outcome = _outcome(job)
    last = rows[-2]
    assert (outcome.status, outcome.steps) == ("complete", 12)
    assert (outcome.loss, outcome.tokens) == (last["loss"], last["tokens"])
    assert outcome.held_out_after is not None and outcome.held_out_before is not None
    assert outcome.held_out_after < outcome.held_out_before
    assert last["seconds"] == pytest.approx(
        sum(
            (row["tokens"] - before) / row["tokens_per_second"]
            for row, before in zip(
                (one for one in rows if "loss" in one),
                [0, *(one["tokens"] for one in rows if "loss" in one)],
                strict=False,
            )
        )
    )


def test_nothing_held_out_has_no_held_out_loss(job_folder: JobFolder) -> None:
    job = _trained(job_folder(held_out=0))
    assert _outcome(job).held_out_before is _outcome(job).held_out_after is None


def test_one_dialogue_trains(job_folder: JobFolder) -> None:
    job = _trained(job_folder(train=1, held_out=0, steps=2))
    assert len(_losses(job)) == 2


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({}, marks=SLOW),
        LORA | {"lora": {"rank": 4, "alpha": 8, "dropout": 0.3}},
    ],
)
def test_stopped_and_gone_on_with_is_as_if_never_stopped(
    job_folder: JobFolder, shape: dict[str, Any]
) -> None:
    whole = _trained(job_folder("whole", **shape))
    folder = job_folder("stopped", save_steps=100, **shape)
    job = Job.load(folder)
    job.work.mkdir()
    (job.work / "stop").touch()
    assert main(folder) == 0
    assert (_outcome(job).status, _outcome(job).steps) == ("stopped", 1)
    assert not (job.output / "checkpoint").exists()
    (job.work / "stop").unlink()
    _trained(folder)
    assert _losses(job) == _losses(whole)
    assert _outcome(job).held_out_after == _outcome(whole).held_out_after
    assert _outcome(job).tokens == _outcome(whole).tokens
    assert _differ(_weights(job.output / "checkpoint"), _weights(whole.output / "checkpoint")) == 0


@pytest.mark.parametrize(
    "moments",
    [
        ["saving-8"],
        pytest.param(
            ["step-2", "step-6", "step-11", "saving-4", "unmarked", "final", "outcome"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_and_gone_on_with_is_as_if_never_killed(
    job_folder: JobFolder, tmp_path: Path, moments: list[str]
) -> None:
    whole = _trained(job_folder("whole"))
    (tmp_path / "killed").mkdir()
    for moment in moments:
        job_folder(f"killed/{moment}")
    script = Path(__file__).with_name("killed_training.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "killed"), *moments],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    for moment in moments:
        job = Job.load(tmp_path / "killed" / moment)
        assert _outcome(job).status == "complete"
        assert _losses(job) == pytest.approx(_losses(whole), abs=1e-6), moment
        assert [row["step"] for row in _rows(job)] == [row["step"] for row in _rows(whole)]
        ours = _weights(job.output / "checkpoint")
        assert _differ(ours, _weights(whole.output / "checkpoint")) < 1e-6, moment


def test_a_broken_base_is_one_sentence(
    job_folder: JobFolder, tmp_path: Path, tiny: Callable[[str], Path]
) -> None:
    for name in ("cut", "misfit"):
        shutil.copytree(tiny("llama"), tmp_path / name)
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])  # the header, which is first, is whole
    config = tmp_path / "misfit" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 64}))
    for name, why in (
        ("cut", "Error while deserializing header: .*"),
        ("misfit", r"its config\.json does not fit its weights"),
    ):
        folder = job_folder(f"of-{name}", base=tmp_path / name)
        assert main(folder) == 1
        outcome = _outcome(Job.load(folder))
        assert outcome.status == "failed"
        assert re.fullmatch(
            rf"The base {tmp_path / name} cannot be loaded: {why}\. Name another base, or other "
            rf"train\.attention, or get it again\.",
            outcome.detail,
        )


def test_packing_is_refused_where_dialogues_see_each_other(
    job_folder: JobFolder, mixing: Callable[..., Any]
) -> None:
    import transformers

    transformers.AttentionInterface.register("mixing", mixing)
    folder = job_folder(packing=True, attention="mixing")
    assert main(folder) == 1
    outcome = _outcome(Job.load(folder))
    assert outcome.status == "failed"
    assert "lets packed dialogues see each other" in outcome.detail


def test_a_batch_that_cannot_be_reached_is_refused(job_folder: JobFolder) -> None:
    job = Job.load(job_folder(batch=5))
    with pytest.raises(ConfigError, match="batch of 5 rows is no multiple of 2 rows on each of 1"):
        settings(job)


@pytest.mark.parametrize(
    ("gpus", "seen", "wanted"),
    [(1, "2,3", "2"), (1, None, "0"), (1, "", ""), (2, "2,3", "2,3"), (2, None, None)],
)
def test_one_process_sees_one_gpu(
    job_folder: JobFolder,
    monkeypatch: pytest.MonkeyPatch,
    gpus: int,
    seen: str | None,
    wanted: str | None,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    _see_one_gpu(Job.load(job_folder(gpus=gpus)))
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == wanted


def test_a_base_with_sampling_numbers_and_no_do_sample_is_saved(
    job_folder: JobFolder, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny("llama"), base)
    numbers = {"temperature": 0.6, "top_p": 0.9, "eos_token_id": 0}
    (base / "generation_config.json").write_text(json.dumps(numbers))
    folder = job_folder(base=base, epochs=1, train=4, steps=1)
    assert main(folder) == 0
    saved = Job.load(folder).output / "checkpoint" / "generation_config.json"
    assert json.loads(saved.read_text()).items() >= {**numbers, "do_sample": True}.items()


def test_a_base_without_weights_is_refused_in_a_sentence(
    job_folder: JobFolder, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny("llama"), base)
    (base / "model.safetensors").unlink()
    folder = job_folder(base=base)
    assert main(folder) == 1
    assert "cannot be loaded" in _outcome(Job.load(folder)).detail


def test_a_base_that_lacks_a_weight_is_refused(
    job_folder: JobFolder, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    base = tmp_path / "base"
    shutil.copytree(tiny("llama"), base)
    weights = load_file(base / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    folder = job_folder(base=base)
    assert main(folder) == 1
    said = _outcome(Job.load(folder)).detail
    assert "lacks 1 of its weights, model.layers.1.mlp.up_proj.weight first" in said


def test_errors_of_memory_and_disk_are_known() -> None:
    import torch

    assert (
        _status(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")) == "memory"
    )
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert _status(caught.value) == "memory"
    assert _status(OSError(errno.ENOSPC, "No space left on device")) == "space"
    chained = RuntimeError("cannot save")
    chained.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert _status(chained) == "space"
    assert _status(ConfigError("Set this.")) == "failed"
    assert _foreseen(ZeroDivisionError("division by zero")) is None


def _status(error: BaseException) -> str:
    outcome = _foreseen(error)
    assert outcome is not None
    return outcome.status
