from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecoder.train.job import Job
from wavecoder.train.plan import describe, packed_rows, padded_tokens, steps_of
from wavecoder.train.shapes import shape_of_name


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_length", [7, 64, 100])
def test_rows_are_those_trl_packs(seed, max_length):
    from datasets import Dataset, disable_progress_bars
    from trl.data_utils import pack_dataset

    disable_progress_bars()
    random = Random(seed)
    lengths = [random.randint(1, max_length) for _ in range(random.choice([1, 40, 1000, 2345]))]
    data = Dataset.from_dict({"input_ids": [[1] * length for length in lengths]})
    assert packed_rows(lengths, max_length) == len(pack_dataset(data, max_length, strategy="bfd"))


def test_nothing_is_packed_into_no_rows():
    assert packed_rows([], 10) == 0


def test_packing_is_within_a_thousand_dialogues():
    assert packed_rows([5] * 1001, 10) == 501  # 500, and one for the one that is left
    assert packed_rows([5] * 999 + [5, 5], 10) == 501


@given(st.lists(st.integers(1, 50), max_size=60))
def test_rows_hold_all_tokens_and_no_two_rows_fit_into_one(lengths):
    rows = packed_rows(lengths, 50)
    assert -(-sum(lengths) // 50) <= rows <= max(1, 2 * sum(lengths) // 50 + 1)


@pytest.mark.parametrize("together", [1, 2, 4])
def test_padding_is_what_random_orders_pad_to(together):
    random = Random(3)
    lengths = [random.randint(10, 500) for _ in range(400)]
    real = []
    for _ in range(300):
        order = random.sample(lengths, len(lengths))
        groups = [order[at : at + together] for at in range(0, len(order), together)]
        real.append(sum(max(group) * len(group) for group in groups))
    assert padded_tokens(lengths, together) == pytest.approx(sum(real) / len(real), rel=0.01)


def test_rows_of_one_length_need_no_padding():
    assert padded_tokens([7] * 10, 4) == 70
    assert padded_tokens([], 4) == 0


@pytest.mark.parametrize(
    ("rows", "batch", "per_device", "epochs"),
    [
        (24, 4, 2, 2),
        (25, 4, 2, 2),
        (23, 4, 1, 3),
        (3, 8, 2, 3),
        (1, 8, 1, 1),
        (26, 8, 4, 1.5),
        (27, 4, 4, 0.3),
        (29, 6, 2, 2.5),
    ],
)
def test_steps_are_those_of_transformers(tiny, tmp_path, rows, batch, per_device, epochs):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=batch // per_device,
        num_train_epochs=epochs,
        use_cpu=True,
        report_to=[],
    )
    data = Dataset.from_dict({"input_ids": [[1, 2]] * rows, "labels": [[1, 2]] * rows})
    model = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    trainer = Trainer(model, arguments, train_dataset=data)
    found = trainer.set_initial_training_values(arguments, trainer.get_train_dataloader())
    assert steps_of(rows, batch, epochs, per_device_batch=per_device, gpus=0) == found[-1]


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 30, 31, 32, 33])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_portions_of_several_processes_are_those_of_accelerate(rows, processes):
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler, SequentialSampler

    sampler = BatchSampler(SequentialSampler(range(rows)), batch_size=2, drop_last=False)
    portions = len(BatchSamplerShard(sampler, num_processes=processes, process_index=0))
    found = steps_of(rows, 2 * processes, 1, per_device_batch=2, gpus=processes)
    assert found == portions  # a step for each portion, when nothing is gathered


def test_the_papers_steps():
    # Paper facts, 4.1: 19,915 dialogues, about 39 steps an epoch at 512 and about 78 at 256.
    assert steps_of(19_915, 512, 3, per_device_batch=4, gpus=8) == 117
    assert steps_of(19_915, 512, 1, per_device_batch=4, gpus=8) == 39
    assert steps_of(19_915, 256, 1, per_device_batch=4, gpus=8) == 78
    assert steps_of(19_915, 256, 3, per_device_batch=4, gpus=8) == 234


def job(**keys) -> Job:
    base = Path("/models/base")
    table = {
        "base": base,
        "chat_template": "",
        "eos_token": "</s>",
        "seed": 0,
        "adapter": "none",
        "lora": {},
        "merge": True,
        "epochs": 3,
        "steps": 117,
        "batch": 512,
        "per_device_batch": 4,
        "learning_rate": 5e-5,
        "optimizer": "adamw_torch",
        "schedule": "linear",
        "warmup_steps": 15,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "max_length": 2048,
        "packing": False,
        "precision": "bf16",
        "gpus": 8,
        "sharding": "fsdp",
        "gradient_checkpointing": True,
        "attention": "sdpa",
        "save_steps": 30,
        "output": Path("/runs/a/files/tuned"),
        "work": Path("/runs/a/work/tuned/checkpoints"),
    }
    return Job.model_validate(table | keys)


def described(job_: Job, shape=None, **keys) -> str:
    shape = shape or shape_of_name("deepseek-ai/deepseek-coder-6.7b-base")
    assert shape is not None
    random = Random(1)
    given_ = {
        "lengths": [random.randint(100, 1500) for _ in range(19_915)],
        "response_tokens": 7_000_000,
        "rejected": {"empty_response": 2, "too_long": 31},
        "held_out": 0,
        "uses": 19_915,
        "device": ("NVIDIA A100-SXM4-80GB", 80 << 30),
    }
    return describe("tuned", job_, shape, **(given_ | keys))


def test_a_dry_run_says_data_steps_memory_and_the_line():
    words = described(job())
    print(words)
    for part in (
        "tuned: 6.74 billion parameters (llama), every weight, bf16",
        "8 x NVIDIA A100-SXM4-80GB, fsdp",
        "19,915 an epoch, 0 held out, 33 rejected (too_long 31, empty_response 2)",
        "7,000,000 with loss",
        "117: 3 epochs of 19,915 rows, 512 a step",
        "8 x 4 rows at once, gathered 16 times",
        "fits NVIDIA A100-SXM4-80GB: 85.9 GB, of which 77.3 count",
        "-m accelerate.commands.launch",
        "--num_processes 8",
        "wavecoder.train.worker /runs/a/work/tuned/job",
    ):
        assert part in words, part


def test_a_dry_run_with_packing_counts_packed_rows():
    words = described(job(packing=True))
    (packed,) = [line for line in words.splitlines() if "packed:" in line]
    assert packed.endswith("(as set)")
    count = packed.split("packed: ")[1].split(" rows")[0]
    assert f"epochs of {count} rows" in words


def test_a_dry_run_says_what_does_not_fit_and_what_would():
    words = described(job(gpus=1, sharding="none"), device=("NVIDIA L4", 24 << 30))
    assert "does not fit NVIDIA L4" in words
    assert "Set per_device_batch: 1 and adapter: lora under train: that takes about 1" in words
    two = described(job(batch=16, gpus=1), nodes=2, device=("NVIDIA L4", 24 << 30))
    assert "gpus: 8 and sharding: fsdp" not in two  # of 16 rows, 16 processes have one each
    assert "Set " not in described(job())


def test_a_small_model_is_counted_in_millions_and_may_be_asked_for_more_than_it_was_made_for():
    shape = shape_of_name("bigcode/starcoder")
    small = replace(shape, parameters=3_200_000, positions=1024)
    words = described(job(gpus=1, sharding="none"), shape=small, lengths=[100, 1500])
    assert words.startswith("tuned: 3.20 million parameters (gpt_bigcode)")
    assert "the longest has 1,500, beyond the 1,024 positions the base was trained on" in words
    assert "beyond" not in described(job(), shape=small, lengths=[1024])


def test_a_dry_run_of_several_machines_has_one_line_for_all():
    words = described(job(), nodes=2)
    assert "on each of the 2 machines, with RANK=0 to RANK=1 and HEAD" in words
    assert "--num_machines 2" in words
    assert "16 x 4 rows at once, gathered 8 times" in words
    # The batch is over all machines, so that there are no fewer steps.
    assert "117: 3 epochs" in words


def test_a_dry_run_on_a_cpu_has_no_device_to_fit():
    words = described(job(gpus=0, sharding="none", precision="fp32"), device=None)
    assert "fp32, on the CPU" in words
    assert "fit" not in words


def test_a_dry_run_says_what_a_machine_needs_itself_and_what_is_untried():
    several = described(job())
    assert "215.70 GB of each machine's own memory to load the model, 8 processes" in several
    assert "untried" not in several
    assert "untried     FSDP with an 8-bit optimizer" in described(job(optimizer="adamw_8bit"))
    assert "untried     DeepSpeed" in described(job(sharding="zero2"))


def test_memory_in_a_dry_run_adds_up():
    lines = described(job(gpus=2)).splitlines()
    table = [line for line in lines if " GB" in line and "own memory" not in line]
    numbers = [float(line.split(" GB")[0].split()[-1]) for line in table]
    *parts, whole, _ = numbers  # the last is the device's own
    assert len(parts) == 6  # with the optimizer's step, which takes more than activations here
    assert sum(parts) == pytest.approx(whole, abs=0.03)
