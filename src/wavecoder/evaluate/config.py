"""The stage's table of a recipe."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavecoder.evaluate.prompts import Style
from wavecoder.evaluate.trained import TRAINED
from wavecoder.records import Mode

__all__ = ["EvaluateConfig"]


class EvaluateConfig(BaseModel):
    """The `evaluate` table of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str | None = None
    """Who is measured: `local:NAME`, `local:FILE.gguf`, `http://host:port/v1#name`,
    `checkpoint:FOLDER`, or `trained`: the base and every variant of the run's own `train`."""
    checkpoints: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Of what was trained, only these: `base`, `tuned`; None: all."""
    answers: Path | None = None
    """In place of a model, a file or folder of completions that others made."""
    partial: bool = False
    """`answers` may leave out problems."""
    api_key_env: str | None = None
    """Name of the environment variable with the endpoint's key."""
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)]
    """`humaneval`, `mbpp+`, `humanevalfix-go`, …; `wavecoder evaluate --help` names all."""
    prompt: Style = Style.CHAT
    """`chat`, `alpaca` (the template WaveCoder was tuned with) or `completion` (base models)."""
    base_prompt: Style | None = None
    """How the base of trained models is asked: `completion`, say, where it has no chat template;
    None: as the others are."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy decoding."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens a completion; None: as many as the benchmark's own harness allows."""
    seed: int = 0
    """Random seed of the sampler; a problem's sample i is drawn with `seed` + i."""
    samples: Annotated[int, Field(ge=1)] = 1
    """How many completions a problem gets (n of pass@k)."""
    modes: Annotated[tuple[Mode, ...], Field(min_length=1)] = (Mode.PUBLISHED, Mode.STRICT)
    limit: Annotated[int, Field(ge=1)] | None = None
    """Only the first problems of each benchmark: to try things out, never to report."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.model is None) == (self.answers is None):
            raise ValueError("name either a model or a file of answers")
        if self.model != TRAINED and (self.checkpoints or self.base_prompt):
            raise ValueError("checkpoints and base_prompt are for the model trained")
        if self.answers is not None and len(self.benchmarks) != 1:
            raise ValueError("a file of answers is for one benchmark")
        if self.answers is not None and self.limit is not None:
            raise ValueError("a file of answers is graded whole: leave out limit")
        return self
