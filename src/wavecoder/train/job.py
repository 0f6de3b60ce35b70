"""What a trainer is given: one folder with the settings and the tokens, readable by any process.

The stage makes it, `python -m wavecoder.train.worker FOLDER` trains from it, on as many processes
as accelerate starts. Nothing in it refers to records or recipes.

```text
job/
├── job.json       this Job
├── train.parquet  `input_ids`, `labels`: a row a dialogue, in the order they were read; one that an
│                  epoch has twice stands twice
└── held_out.parquet  the same, of what is not trained on; absent where nothing is held out
```
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from wavecoder.artifact import write_text
from wavecoder.train.config import Adapter, Lora, Precision, Sharding

__all__ = ["IGNORED", "Job", "Outcome", "read_outcome"]

IGNORED = -100
"""The label of a token without loss."""


class Job(BaseModel):
    """One training run, resolved: no name in it is looked up again."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    base: Path
    """A folder as transformers saves a model, absolute."""
    chat_template: str
    """Jinja text the dialogues were written with; saved beside the tokenizer."""
    eos_token: str
    """The token every response ends with."""
    seed: int
    adapter: Adapter
    lora: Lora
    merge: bool
    epochs: float
    steps: int
    """Steps of the optimizer over all epochs."""
    batch: int
    """Rows a step, over all processes together."""
    per_device_batch: int
    learning_rate: float
    optimizer: str
    schedule: str
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    max_length: int
    packing: bool
    precision: Precision
    """`bf16` or `fp32`; `auto` was resolved."""
    gpus: int
    """0: the CPU."""
    sharding: Sharding
    gradient_checkpointing: bool
    attention: str
    save_steps: int
    output: Path
    """Folder for what is kept: `checkpoint/`, `adapter/`, `metrics.jsonl`, `outcome.json`."""
    work: Path
    """Folder for checkpoints of the training itself, gone once the stage is complete."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the job in a folder.

        Raises:
            pydantic.ValidationError: `job.json` is not one.
        """
        return cls.model_validate_json((folder / "job.json").read_text("utf-8"))

    def save(self, folder: Path) -> None:
        """Write `job.json`.

        Raises:
            ArtifactError: It cannot be written.
        """
        write_text(folder / "job.json", self.model_dump_json(indent=2) + "\n")


class Outcome(BaseModel):
    """How a training run ended: `outcome.json`, written last."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    status: str
    """`complete`, or why not: `stopped`, `diverged`, `memory`, `space`, `failed`."""
    detail: str = ""
    """One sentence: what happened, and what to do."""
    steps: int = 0
    """Steps of the optimizer that were done."""
    loss: float | None = None
    """Of the last step that was logged."""
    held_out_before: float | None = None
    """Mean loss a response token of the dialogues held out, before the first step."""
    held_out_after: float | None = None
    tokens: int = 0
    """Tokens that went through the model, padding not counted."""
    seconds: float = 0.0
    """Wall time of the steps, over all starts."""
    peak_bytes: int | None = None
    """Most memory that was held on one device; None on a CPU."""


def read_outcome(output: Path) -> Outcome | None:
    """Return the outcome in the folder for what is kept; None where there is none that is whole."""
    try:
        return Outcome.model_validate_json((output / "outcome.json").read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
