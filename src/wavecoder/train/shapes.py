"""How large a model is, told without loading it.

`shape_of` reads `config.json` and the headers of the safetensors; torch is not needed.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from wavecoder.errors import ConfigError

__all__ = ["ModelShape", "shape_of", "shape_of_name"]

_UNGATED = ("gpt_bigcode", "starcoder2")
"""Architectures whose feed-forward has two matrices, not three, and LayerNorm, not RMSNorm."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What memory and time depend on."""

    architecture: str
    """`model_type` of transformers: `llama`, `gpt_bigcode`."""
    parameters: int
    hidden: int
    layers: int
    vocab: int
    heads: int
    kv_heads: int
    """Heads of keys and values; fewer than `heads` where several share one."""
    head_width: int
    intermediate: int
    """Width of the feed-forward's inner layer."""
    tied: bool
    """The head that gives logits is the embedding."""
    positions: int | None
    """Tokens of the longest text that it was made for; None: its config does not say."""
    learned: bool
    """Positions are a table of so many rows, and there is none for what is longer."""

    @property
    def known(self) -> bool:
        """Say whether `linears` are its own; of another architecture they are taken for Llama's."""
        return self.architecture in ("gpt_bigcode", "llama", "qwen2", "starcoder2")

    @property
    def gated(self) -> bool:
        """Say whether the feed-forward is SwiGLU (gate, up, down) and the norms are RMSNorm."""
        return self.architecture not in _UNGATED

    def linears(self) -> list[tuple[str, int, int]]:
        """Return name, inputs and outputs of the linear layers of one block."""
        hidden, inner = self.hidden, self.intermediate
        queries, keys = self.heads * self.head_width, self.kv_heads * self.head_width
        if self.architecture == "gpt_bigcode":
            return [
                ("c_attn", hidden, queries + 2 * keys),
                ("c_proj", queries, hidden),
                ("c_fc", hidden, inner),
                ("c_proj", inner, hidden),
            ]
        attention = [
            ("q_proj", hidden, queries),
            ("k_proj", hidden, keys),
            ("v_proj", hidden, keys),
            ("o_proj", queries, hidden),
        ]
        if not self.gated:
            return [*attention, ("c_fc", hidden, inner), ("c_proj", inner, hidden)]
        feed_forward = [("gate_proj", hidden, inner), ("up_proj", hidden, inner)]
        return [*attention, *feed_forward, ("down_proj", inner, hidden)]


def shape_of(folder: Path) -> ModelShape:
    """Return the sizes of the model in `folder`, as transformers saved it.

    Parameters are counted in the headers of the safetensors where these are there, else from
    `config.json`.

    Raises:
        ConfigError: There is no `config.json`, it is damaged, or it lacks a size.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it holds no table")
        counted = _counted(folder)
    except (OSError, ValueError, KeyError, struct.error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"The sizes of the model in {folder} cannot be read: {reason}. Name a folder as "
            f"transformers saves a model."
        ) from error
    return _shape(config, counted, str(path))


def shape_of_name(base: str) -> ModelShape | None:
    """Return the sizes of a model on the hub that a preset starts from, without fetching it.

    None: its sizes are not known here.
    """
    config = _PUBLISHED.get(base)
    return None if config is None else _shape(config, None, base)


def _counted(folder: Path) -> int | None:
    """Return the parameters in the safetensors of a folder; None where there are none."""
    files = sorted(folder.glob("model*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        files = [folder / name for name in sorted(names)]
    return sum(_in_file(file) for file in files) or None


def _in_file(path: Path) -> int:
    """Return the parameters in one file: 8 bytes say how long the JSON header behind them is."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(prod(one["shape"]) for name, one in header.items() if name != "__metadata__")


def _shape(config: Mapping[str, Any], counted: int | None, where: str) -> ModelShape:
    architecture = str(config.get("model_type", ""))
    positions = config.get("n_positions", 1024 if architecture == "gpt_bigcode" else None)
    try:
        if architecture == "gpt_bigcode":
            hidden, heads = int(config["n_embd"]), int(config["n_head"])
            layers, kv_heads = (
                int(config["n_layer"]),
                1 if config.get("multi_query", True) else heads,
            )
            inner = int(config.get("n_inner") or 4 * hidden)
        else:
            hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
            layers = int(config["num_hidden_layers"])
            kv_heads = int(config.get("num_key_value_heads") or heads)
            inner = int(config["intermediate_size"])
        vocab = int(config["vocab_size"])
    except KeyError as error:
        raise ConfigError(
            f"{where} does not say {error.args[0]!r} of its {architecture or 'model'}, so that the "
            f"memory cannot be told. Name a model of one of the architectures gpt_bigcode, llama, "
            f"qwen2 and starcoder2, or one whose config.json has that key."
        ) from error
    shape = ModelShape(
        architecture=architecture,
        parameters=counted or 0,
        hidden=hidden,
        layers=layers,
        vocab=vocab,
        heads=heads,
        kv_heads=kv_heads,
        head_width=int(config.get("head_dim") or hidden // heads),
        intermediate=inner,
        # What transformers' classes take where the file is silent.
        tied=bool(config.get("tie_word_embeddings", architecture in _UNGATED)),
        positions=positions or config.get("max_position_embeddings"),
        learned=positions is not None,
    )
    if counted:
        return shape
    return _with_parameters(shape, config)


def _with_parameters(shape: ModelShape, config: Mapping[str, Any]) -> ModelShape:
    """Return the shape with its parameters counted by the architecture's plan."""
    hidden = shape.hidden
    names = {name for name, _, _ in shape.linears()}
    biased: set[str] = set()
    if shape.architecture == "gpt_bigcode" or (
        shape.architecture == "starcoder2" and config.get("use_bias", True)
    ):
        biased = names
    elif shape.architecture == "qwen2":
        biased = {"q_proj", "k_proj", "v_proj"}
    else:
        if config.get("attention_bias"):
            biased |= {name for name in names if name in ("q_proj", "k_proj", "v_proj", "o_proj")}
        if config.get("mlp_bias"):
            biased |= {"gate_proj", "up_proj", "down_proj"}
    block = sum(
        inputs * outputs + (outputs if name in biased else 0)
        for name, inputs, outputs in shape.linears()
    )
    norm = hidden if shape.gated else 2 * hidden  # LayerNorm has a bias, RMSNorm has none
    total = shape.layers * (block + 2 * norm) + norm
    total += shape.vocab * hidden * (1 if shape.tied else 2)
    if shape.learned:
        total += (shape.positions or 0) * hidden
    return replace(shape, parameters=total)


def _llama(vocab: int, hidden: int, layers: int, heads: int, inner: int) -> Mapping[str, Any]:
    return {
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


# From the `config.json` that each publisher put on the hub.
_PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "bigcode/starcoder": {
        "model_type": "gpt_bigcode",
        "vocab_size": 49152,
        "n_embd": 6144,
        "n_layer": 40,
        "n_head": 48,
        "n_inner": 24576,
        "n_positions": 8192,
        "multi_query": True,
    },
    "codellama/CodeLlama-7b-hf": _llama(32016, 4096, 32, 32, 11008),
    "codellama/CodeLlama-13b-hf": _llama(32016, 5120, 40, 40, 13824),
    "deepseek-ai/deepseek-coder-6.7b-base": _llama(32256, 4096, 32, 32, 11008),
}
