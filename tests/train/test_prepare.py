"""What is decided of a job before anything is written, over real tiny bases."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wavecoder.errors import ConfigError
from wavecoder.plugins import validate
from wavecoder.records import Dialogue, Message
from wavecoder.train.bases import load_tokenizer
from wavecoder.train.config import TrainConfig
from wavecoder.train.conversations import Conversation, read_mix
from wavecoder.train.memory import ModelShape, shape_of
from wavecoder.train.prepare import Prepared, Where, prepare
from wavecoder.train.sft import settings
from wavecoder.train.writing import Writing

Prepare = Callable[..., Prepared]


def talk(number: int, said: str = "x", task: str = "other") -> Conversation:
    turns = (
        Message(role="user", content=f"Add {number}."),
        Message(role="assistant", content=said),
    )
    return Conversation(f"i{number}", "a.json", task, f"g{number}", turns, None)


TALKS = [talk(number) for number in range(40)]


@pytest.fixture
def prepared(tiny: Callable[[str], Path], tmp_path: Path) -> Prepare:
    def make(
        talks: Any = TALKS,
        architecture: str = "llama",
        change: Callable[[ModelShape], ModelShape] = lambda shape: shape,
        **keys: Any,
    ) -> Prepared:
        base = tiny(architecture)
        table = {"base": str(base), "template": "chat", "batch": 16, "held_out": 0} | keys
        config = validate(TrainConfig, table, "train")
        return prepare(
            config,
            talks,
            Writing.of(load_tokenizer(base), config),
            shape=change(shape_of(base)),
            where=Where(base, tmp_path / "files", tmp_path / "work"),
            seed=1,
        )

    return make


@pytest.mark.parametrize("gpus", [1, 4])
@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("packing", [False, True])
def test_what_is_planned_is_what_every_process_of_all_machines_takes(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch, gpus: int, nodes: int, packing: bool
) -> None:
    job = prepared(gpus=gpus, nodes=nodes, packing=packing, max_length=64).variants["tuned"].job
    monkeypatch.setenv("WORLD_SIZE", str(gpus * nodes))
    found = settings(job)
    gathered = found["gradient_accumulation_steps"]
    assert gathered * found["per_device_train_batch_size"] * gpus * nodes == 16
    assert job.per_device_batch == 16 // (gpus * nodes)
    assert job.steps == (9 if not packing else 6)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"gpus": 8, "nodes": 3}, "24 processes that take 1 at once. Set train.batch to a multipl"),
        (
            {"gpus": 4, "nodes": 2, "per_device_batch": 4},
            "Set train.batch to a multiple of 32, or train.per_device_batch to a divisor of 2.",
        ),
        ({"gpus": 1, "nodes": 17, "per_device_batch": 1}, "to a multiple of 17."),
    ],
)
def test_a_batch_that_cannot_be_split_among_all_machines_is_said(
    prepared: Prepare, keys: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prepared(**keys)
    assert words in str(caught.value)


def test_the_worker_says_the_batch_that_would_do(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared(gpus=4).variants["tuned"].job
    monkeypatch.setenv("WORLD_SIZE", "24")
    with pytest.raises(ConfigError, match=r"Set train\.batch to a multiple of 96\."):
        settings(job)


def test_a_gpu_of_another_size_is_planned_for_where_one_is_used(prepared: Prepare) -> None:
    assert prepared(gpus=2, gpu_memory=24).device == ("GPU of 24 GB", 24 * 10**9)
    assert prepared(gpus=0, gpu_memory=24).device is None


def test_of_unequal_gpus_the_smallest_is_planned_for_and_of_none_one_of_80_gb(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wavecoder.train import launch

    monkeypatch.setattr(launch, "devices", lambda: [("large", 80 << 30), ("small", 16 << 30)])
    found = prepared()
    assert found.device == ("small", 16 << 30)
    assert found.variants["tuned"].job.gpus == 2
    # 0 is the CPU, even where GPUs are.
    job = prepared(gpus=0).variants["tuned"].job
    assert (job.gpus, job.precision, job.per_device_batch) == (0, "fp32", 1)
    monkeypatch.setattr(launch, "devices", list)
    assert prepared(gpus=2).device == ("GPU of 80 GB (assumed)", 80 * 10**9)
    assert prepared().device is None


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (["q_prj"], "no layer of that name. Did you mean 'q_proj'? Known: down_proj, gate_proj"),
        (["q_proj", "q_prj"], "The variant tuned has train.lora.modules 'q_prj', and the base, a"),
        (["c_attn"], "Known: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj."),
    ],
)
def test_an_adapter_beside_layers_that_are_not_there_is_refused(
    prepared: Prepare, modules: list[str], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prepared(adapter="lora", lora={"modules": modules})
    assert words in str(caught.value)
    assert prepared(lora={"modules": modules})  # without an adapter nobody looks


def test_layers_of_an_architecture_that_is_not_known_are_taken_as_they_are_named(
    prepared: Prepare,
) -> None:
    def other(shape: ModelShape) -> ModelShape:
        return replace(shape, architecture="phi3")

    lora = {"modules": ["qkv_proj"]}
    assert prepared(change=other, adapter="lora", lora=lora, gpus=1)
    ends = {"modules": ["mlp.c_proj", "c_attn"]}
    assert prepared(architecture="gpt_bigcode", adapter="lora", lora=ends, gpus=1)


def test_rows_that_repeat_are_on_one_side_and_counted(prepared: Prepare, tmp_path: Path) -> None:
    from wavecoder.train.config import Mix

    path = tmp_path / "rows.json"
    rows = [{"instruction": f"Add {n}.", "output": f"x + {n}"} for n in range(20)]
    path.write_text(json.dumps([*rows, *rows, {"instruction": "Add 1.", "output": "1 + x"}]))
    talks = list(read_mix(Mix(path=path)))
    found = prepared(talks, held_out=0.3)
    assert found.repeated == 20
    held_out, trained = set(), set()
    for talk, one in zip(talks, found.outcomes, strict=True):
        assert isinstance(talk, Conversation) and isinstance(one, Dialogue)
        (held_out if one.held_out else trained).add(talk.messages[0].content)
    assert held_out and trained
    assert not held_out & trained


def test_a_token_without_an_embedding_is_named(prepared: Prepare) -> None:
    with pytest.raises(ConfigError) as caught:
        prepared(change=lambda shape: replace(shape, vocab=200))
    said = str(caught.value)
    assert "has the token 2" in said
    assert "embeds 200 tokens, counted from 0. Take the tokenizer it was trained with" in said
    assert "resize_token_embeddings" in said


@pytest.mark.parametrize("packing", [False, True])
def test_a_position_that_was_not_learned_is_not_trained_on(
    prepared: Prepare, packing: bool
) -> None:
    long = [*TALKS, talk(99, "return x\n" * 60)]
    keys = {"max_length": 512, "packing": packing}
    with pytest.raises(ConfigError) as caught:
        prepared(long, "gpt_bigcode", **keys)
    assert "learned 256 positions and can read no more. Set train.max_length to 256." in str(
        caught.value
    )
    # Rotary ones go on, and packed dialogues each begin at 0.
    assert prepared(long, "llama", **keys)
    assert prepared(TALKS, "gpt_bigcode", **keys)


def test_a_task_whose_only_dialogue_is_held_out_can_be_weighed(prepared: Prepare) -> None:
    sides = set()
    for number in range(20):  # which one is held out depends on the groups
        talks = [*TALKS[:2], replace(talk(50, task="repair"), group=f"r{number}")]
        found = prepared(talks, held_out=0.2, weights={"repair": 2})
        assert sum(found.held_out) == 1
        sides.add(found.held_out[-1])
    assert sides == {True, False}
