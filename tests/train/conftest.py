"""Real models of each architecture, two layers small, with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEXT = """def add(first, second):
    \"\"\"Return the sum of two numbers.\"\"\"
    return first + second


Below is an instruction that describes a task. Write a response that completes the request.
### Instruction: Sort the list of words by length.
### Response: return sorted(words, key=len)
"""
TEMPLATE = (
    "{% for message in messages %}### {{ message.role }}: {{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
)
SIZES: dict[str, dict[str, Any]] = {
    "gpt_bigcode": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "llama": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
    },
}
SIZES["qwen2"] = SIZES["llama"]
SIZES["starcoder2"] = SIZES["llama"] | {"sliding_window": None}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a folder with a model of an architecture; made once."""
    made: dict[str, Path] = {}

    def make(architecture: str = "llama") -> Path:
        if architecture not in made:
            folder = tmp_path_factory.mktemp(architecture)
            _save(architecture, folder)
            made[architecture] = folder
        return made[architecture]

    return make


def _save(architecture: str, folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([TEXT], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **SIZES[architecture],
    )
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


@pytest.fixture
def mixing() -> Callable[..., Any]:
    """Return an attention that looks at all that stands before, whatever the mask says."""
    import torch

    def attend(module: Any, query: Any, key: Any, value: Any, mask: Any, **more: Any) -> Any:
        groups = query.shape[1] // key.shape[1]
        key, value = (one.repeat_interleave(groups, 1) for one in (key, value))
        found = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=more["scaling"]
        )
        return found.transpose(1, 2).contiguous(), None

    return attend


@pytest.fixture
def rows() -> Callable[..., list[dict[str, list[int]]]]:
    """Return rows of tokens whose second half carries loss: `rows(count, seed)`."""

    def make(count: int, seed: int = 0) -> list[dict[str, list[int]]]:
        from random import Random

        random = Random(seed)
        made = []
        for _ in range(count):
            ids = [random.randrange(1, 60) for _ in range(random.randrange(8, 40))] + [0]
            half = len(ids) // 2
            made.append({"input_ids": ids, "labels": [-100] * half + ids[half:]})
        return made

    return make


@pytest.fixture
def job_folder(
    tmp_path: Path, tiny: Callable[[str], Path], rows: Callable[..., list[dict[str, list[int]]]]
) -> Callable[..., Path]:
    """Return a job's folder: `job_folder(name, train=24, held_out=5, architecture=..., **keys)`."""

    def make(
        name: str = "job",
        *,
        train: int = 24,
        held_out: int = 5,
        architecture: str = "llama",
        **keys: Any,
    ) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from wavecoder.train.job import Job

        folder = tmp_path / name
        folder.mkdir()
        base = tiny(architecture)
        job = {
            "base": base,
            "chat_template": TEMPLATE,
            "eos_token": "<|endoftext|>",
            "seed": 7,
            "adapter": "none",
            "lora": {},
            "merge": True,
            "epochs": 2,
            "steps": 12,
            "batch": 4,
            "per_device_batch": 2,
            "learning_rate": 1e-3,
            "optimizer": "adamw_torch",
            "schedule": "linear",
            "warmup_steps": 2,
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "max_length": 128,
            "packing": False,
            "precision": "fp32",
            "gpus": 0,
            "sharding": "none",
            "gradient_checkpointing": False,
            "attention": "sdpa",
            "save_steps": 4,
            "output": folder / "output",
            "work": folder / "work",
        } | keys
        Job.model_validate(job).save(folder)
        pq.write_table(pa.Table.from_pylist(rows(train, 1)), folder / "train.parquet")
        if held_out:
            pq.write_table(pa.Table.from_pylist(rows(held_out, 2)), folder / "held_out.parquet")
        return folder

    return make
