"""Whether an architecture keeps the dialogues of a packed row apart; asked before packing.

Nothing in a model's name says so: it is tried. A model of the same architecture, two layers small
and with random weights, reads two dialogues in one row as TRL gives them to it, and each alone.
"""

import importlib
import os
from pathlib import Path
from typing import Any

__all__ = ["holds"]

_TOLERANCE = 1e-4  # of logits; fp32 arithmetic in another order differs by about 1e-6
_LENGTHS = (7, 5)

# Sizes by the names that architectures give them; 4 heads of 16.
_SIZES: dict[str, int] = {
    "vocab_size": 64,
    "hidden_size": 64,
    "n_embd": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "n_inner": 96,
    "num_hidden_layers": 2,
    "n_layer": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "head_dim": 16,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "v_head_dim": 16,
    "max_position_embeddings": 64,
    "n_positions": 64,
}
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def holds(folder: Path, attention: str) -> str | None:
    """Return None where packed dialogues do not see each other, else a sentence why not.

    Args:
        folder: The base, as transformers saves a model; its config alone is read.
        attention: As `Job.attention`: `auto` or a name transformers knows.
    """
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    config = transformers.AutoConfig.from_pretrained(folder)
    named = f"{config.model_type} with {attention} attention"
    # flash attention has no CPU version and no fp32 one; bf16 keeps 8 bits.
    flash = attention.startswith("flash")
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    where, dtype = (own, torch.bfloat16) if flash else ("cpu", torch.float32)
    options = {} if attention == "auto" else {"attn_implementation": attention}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            model = transformers.AutoModelForCausalLM.from_config(
                _small(config), dtype=dtype, **options
            )
            model.to(where).eval()
            worst, seen = _differences(model, torch)
        # A small model of an architecture nobody here has seen can fail in any way; not having
        # been able to try is a reason not to pack.
        except Exception as error:
            return (
                f"Packing cannot be tried on {named}: {str(error).splitlines()[0].rstrip('.')}. "
                f"Set packing: false."
            )
    tolerance = 0.05 * seen if flash else _TOLERANCE
    if seen <= tolerance:
        return f"Packing cannot be tried on {named}: it shows no attention. Set packing: false."
    if worst <= tolerance:
        return None
    return (
        f"{named} lets packed dialogues see each other: a logit moves by {worst:.2g} when another "
        f"dialogue stands before it. Set packing: false, or another attention."
    )


def _small(config: Any) -> Any:
    """Return the config with two small layers of the same kind; it is changed in place."""
    heads = getattr(config, "num_attention_heads", None)
    groups = getattr(config, "num_key_value_heads", None)
    for name, size in _SIZES.items():
        if getattr(config, name, None) is not None:
            setattr(config, name, size)
    if groups is not None:
        config.num_key_value_heads = 4 if groups == heads else 2
    if getattr(config, "layer_types", None):
        # One of each kind, as a model may alternate between two.
        kinds = list(dict.fromkeys(config.layer_types))
        config.layer_types = (kinds * 2)[:2]
    for name in _TOKENS:
        if getattr(config, name, None) is not None:
            setattr(config, name, 0)
    config.initializer_range = 0.2  # so that attention moves logits by far more than rounding
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config


def _differences(model: Any, torch: Any) -> tuple[float, float]:
    """Return how far logits move in a packed row, and how far if nothing kept dialogues apart."""
    collators: Any = importlib.import_module("trl.trainer.sft_trainer")
    collate = collators.DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    first, second = (torch.randint(1, 64, (length,)).tolist() for length in _LENGTHS)

    def logits(*dialogues: list[int]) -> Any:
        ids = [token for one in dialogues for token in one]
        row = collate([{"input_ids": ids, "seq_lengths": [len(one) for one in dialogues]}])
        row = {key: _to(value, model.device) for key, value in row.items() if key != "labels"}
        with torch.inference_mode():
            return model(**row, use_cache=False).logits[0].float()

    alone = torch.cat([logits(first), logits(second)])
    packed = logits(first, second)
    mixed = logits(first + second)
    return float((packed - alone).abs().max()), float((mixed - alone).abs().max())


def _to(value: Any, device: Any) -> Any:
    return value.to(device) if hasattr(value, "to") else value
