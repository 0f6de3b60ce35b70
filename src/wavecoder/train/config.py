"""The stage's table of a recipe, and the presets behind it."""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from wavecoder.plugins import nearest

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Adapter",
    "Lora",
    "Mix",
    "Precision",
    "Sharding",
    "Template",
    "TrainConfig",
    "Variant",
    "preset_names",
    "preset_table",
]

OPTIMIZERS = (
    "adafactor",
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_8bit",
    "adamw_bnb_8bit",
    "paged_adamw_8bit",
)
"""Those of transformers' that need nothing but a name."""
SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
"""The same, of learning rates."""

Positive = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Adapter(StrEnum):
    """What is trained."""

    NONE = "none"
    """Every weight."""
    LORA = "lora"
    """Low-rank matrices beside the weights (PEFT)."""
    QLORA = "qlora"
    """The same, beside weights held in 4 bits by bitsandbytes; made for a GPU, slow on a CPU."""


class Template(StrEnum):
    """How a dialogue becomes text."""

    ALPACA = "alpaca"
    """The words WaveCoder was trained in (paper, appendix A)."""
    CHAT = "chat"
    """The base model's own chat template."""


class Precision(StrEnum):
    """The numbers that training calculates in."""

    AUTO = "auto"
    """bf16 on GPUs, fp32 elsewhere."""
    BF16 = "bf16"
    FP32 = "fp32"


class Sharding(StrEnum):
    """What several processes share of a model."""

    NONE = "none"
    """Nothing: each holds all of it (DDP)."""
    FSDP = "fsdp"
    """Weights, gradients and optimizer: PyTorch FSDP, full shard, as in the paper."""
    ZERO2 = "zero2"
    """Gradients and optimizer: DeepSpeed ZeRO, stage 2."""
    ZERO3 = "zero3"
    """All three: DeepSpeed ZeRO, stage 3."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Lora(_Table):
    """The adapter's shape."""

    rank: Positive = 8
    """Paper, appendix C: 8."""
    alpha: Positive = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    modules: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the layers it stands beside; None: all linear ones but the head."""


class Mix(_Table):
    """Another dataset that is trained on beside the instances (WaveCoder-Ultra)."""

    path: Path | None = None
    """A file of `instruction`, `input`, `output` rows (Alpaca's words) or of `messages`: .json,
    .jsonl, .parquet; rows without `input` are evol-codealpaca's."""
    hub: str | None = None
    """In place of a path, a dataset's name on the hub: `theblackcat102/evol-codealpaca-v1`."""
    split: str = "train"
    """Of a dataset on the hub."""
    revision: str | None = None
    """Of a dataset on the hub: a commit."""
    weight: Weight = 1.0
    """How often an epoch has each of its dialogues; 0.5 draws half of them."""

    @field_validator("path")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        try:
            return None if path is None else path.expanduser()
        except RuntimeError as error:  # ~name, of nobody here
            raise ValueError(f"{str(error).rstrip('.').lower()}; write the whole path") from error

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("name either a path or a name on the hub")
        return self


class _Choices(_Table):
    """What one training run is made from, and how."""

    adapter: Adapter = Adapter.NONE
    """`none` (every weight), `lora` or `qlora`."""
    lora: Lora = Lora()
    weights: dict[str, Weight] = {}
    """How often an epoch has an instance of a task: 2 is twice, 0.5 half of them, 0 none. A task
    that is not named has 1."""
    size: Positive | Literal["smallest"] | None = None
    """Most dialogues an epoch has, drawn evenly; `smallest`: as many as the variant that has the
    fewest, so that variants compare. None: all."""
    epochs: Annotated[float, Field(gt=0)] = 3.0
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    batch: Positive = 256
    """Dialogues (with `packing`: packed rows) a step of the optimizer, over all GPUs together."""


class Variant(_Choices):
    """One of several models trained from the same dialogues; its keys replace the table's own."""


class TrainConfig(_Choices):
    """The `train` table of a recipe."""

    preset: str | None = None
    """A file of `train/presets`; keys given beside it replace its own."""
    base: str
    """The model to start from: a name on the hub, a folder, or `local:NAME` (GGUF, its weights
    dequantised)."""
    revision: str | None = None
    """Of a base on the hub: a commit."""
    trainer: str = "trl"
    """Who trains: `trl`, one a plugin names, or package.module:Class."""
    template: Template = Template.ALPACA
    """`alpaca` (as the paper trains) or `chat` (the base's own template)."""
    eos_token: str | None = None
    """The token that ends a response, where the base's vocabulary names none."""
    data: tuple[Mix, ...] = ()
    """Other datasets trained on beside the instances, or in place of them."""
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the dialogues that is not trained on and whose loss is measured; all instances of
    one function are on the same side."""
    max_length: Positive = 2048
    """Most tokens of a dialogue; a longer one is rejected, never cut."""
    packing: bool = False
    """Put several dialogues into a row of `max_length` tokens, where none sees another."""
    optimizer: str = "adamw_torch"
    """One of `OPTIMIZERS`."""
    schedule: str = "linear"
    """One of `SCHEDULES`."""
    warmup_steps: Annotated[int, Field(ge=0)] = 15
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    precision: Precision = Precision.AUTO
    merge: bool = True
    """Write an adapter into its base's weights at the end, so that the checkpoint is whole."""
    variants: Annotated[dict[str, Variant], Field(min_length=1)] = {"tuned": Variant()}
    """Models to train, by name, each with what differs."""

    gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs of a machine to use; None: all there are; 0: the CPU. Like the keys below it says how
    training is run, and may be changed when a run goes on."""
    gpu_memory: Annotated[float, Field(gt=0)] | None = None
    """GB of each to plan for; None: what those here have, or 80 where there are none."""
    nodes: Positive = 1
    """Machines, each with `gpus`; more than one are started by hand, after `prepare_only`."""
    sharding: Sharding = Sharding.NONE
    """May not be changed when a run goes on: what is saved on the way depends on it."""
    per_device_batch: Positive | None = None
    """Rows that a device takes at once, with gradients added up to `batch`; None: as many as the
    estimate of memory allows."""
    gradient_checkpointing: bool = True
    """Calculate activations again in place of keeping them: less memory, a third more time."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    save_steps: Positive = 30
    """Steps from one checkpoint to the next; a run that is killed goes on from the last."""
    prepare_only: bool = False
    """Write the job folders and stop, so that another launcher can train from them."""

    @model_validator(mode="before")
    @classmethod
    def _behind_preset(cls, table: Any) -> Any:
        """Put the preset's keys behind the table's own, and the table's behind each variant's."""
        if not isinstance(table, Mapping):
            return table
        name, adapter = table.get("preset"), str(table.get("adapter", "none"))
        whole = dict(table)
        if name is not None:
            whole = _behind(whole, preset_table(str(name), adapter))
        variants = whole.get("variants", {"tuned": {}})
        if isinstance(variants, Mapping):
            whole["variants"] = {
                str(key): _variant(_plain(own), table) for key, own in variants.items()
            }
        return whole

    @field_validator("optimizer", "schedule")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        known = OPTIMIZERS if info.field_name == "optimizer" else SCHEDULES
        if name not in known:
            raise ValueError(
                f"there is no {info.field_name} {name!r}.{nearest(name, list(known))} "
                f"Known: {', '.join(known)}"
            )
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.variants:
            if not name.strip() or name.startswith(".") or "/" in name or name == "base":
                raise ValueError(
                    f"a variant cannot be called {name!r}: it names a folder, and base is taken"
                )
        names = [mix.path.name if mix.path else mix.hub for mix in self.data]
        if len(names) != len(set(names)):
            raise ValueError(
                "two datasets in data have one name, which would give their rows the same ids; "
                "rename a file, or give one dataset a weight of 2"
            )
        return self


def _variant(own: Any, table: Mapping[str, Any]) -> Any:
    """Return a variant's keys with the table's behind them, and behind those the preset's.

    The preset's are those of the variant's own adapter.
    """
    if not isinstance(own, Mapping):
        return own
    adapter = str(own.get("adapter", table.get("adapter", "none")))
    shared = dict(table)
    if table.get("preset") is not None:
        shared = _behind(shared, preset_table(str(table["preset"]), adapter))
    return _behind(own, {key: shared[key] for key in _Choices.model_fields if key in shared})


def _plain(value: Any) -> Any:
    """Return a table for what YAML reads of `name:` with nothing behind it."""
    if value is None:
        return {}
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def _behind(own: Any, shared: Mapping[str, Any]) -> Any:
    """Return `own` with the keys of `shared` that it lacks; of tables in both, key by key."""
    if not isinstance(own, Mapping):
        return own
    both = dict(shared) | dict(own)
    for key in own.keys() & shared.keys():
        if isinstance(own[key], Mapping) and isinstance(shared[key], Mapping):
            both[key] = dict(shared[key]) | dict(own[key])
    return both


def preset_names() -> list[str]:
    """Return the names of the presets, sorted."""
    folder = files("wavecoder.train").joinpath("presets")
    return sorted(
        one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml")
    )


def preset_table(name: str, adapter: str = "none") -> dict[str, Any]:
    """Return a preset's keys of the `train` table.

    Args:
        name: One of `preset_names()`.
        adapter: `none`, `lora` or `qlora`: what the preset has for it replaces the rest.

    Raises:
        ValueError: There is no such preset.
    """
    known = preset_names()
    if name not in known:
        raise ValueError(
            f"there is no preset {name!r}.{nearest(name, known)} Presets: {', '.join(known)}"
        )
    table = dict(_preset(name))
    adapters = table.pop("adapters", {})
    return {**table, **adapters.get(adapter, {})}


@cache
def _preset(name: str) -> Mapping[str, Any]:
    text = files("wavecoder.train").joinpath("presets", f"{name}.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found
