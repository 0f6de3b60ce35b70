"""The `generate` table of a recipe."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.generate.judge import Minimum
from wavecoder.generate.task import built_in_tasks
from wavecoder.records import Level, Sampling

__all__ = ["GenerateConfig"]


class GenerateConfig(BaseModel):
    """The `generate` table of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    generator: str
    """The model that writes: `local:NAME`, `http://host:port/v1#NAME`, `scripted:FILE`."""
    discriminator: str | None = None
    """The model that judges; the generator's where left out."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the endpoint's key."""
    discriminator_api_key_env: str | None = None
    """The same for the discriminator. Left out: the generator's key if both have one address, else
    none."""
    method: str = "wavecoder"
    """How a function becomes an instance: `wavecoder` (the paper's), `oss-instruct`,
    `evol-instruct`, `self-instruct`, or `package.module:Class`."""
    target: Annotated[int | None, Field(gt=0)] = None
    """How many accepted instances are wanted: the coreset is walked in pick order until there are
    so many, and the rest of it is left. None: all of the coreset is used."""
    tasks: dict[str, Annotated[float, Field(gt=0)] | None] = Field(
        default_factory=lambda: dict.fromkeys(built_in_tasks())
    )
    """Tasks, by name or by path of a task's file, and their weights; a task without a weight
    has its own (the built-in ones: the paper's counts)."""
    target_languages: tuple[str, ...] = ("python", "javascript", "java", "go", "cpp", "rust")
    """Languages a translation may go to; by default those of HumanEvalPack."""
    examples: Literal["none", "static", "feedback"] = "feedback"
    """Examples in the prompts: none, only the tasks' own, or also those of earlier rounds."""
    good_examples: Annotated[int, Field(ge=0)] = 2
    """Good examples in a generator's prompt. The released code shows one; a small model copies
    a single one word by word, and far less often one of two."""
    bad_examples: Annotated[int, Field(ge=0)] = 1
    """Bad examples in a generator's prompt, as in the released code."""
    round_size: Annotated[int | None, Field(gt=0)] = None
    """Functions that see the same examples. None: from the size of the coreset, 8 to 256."""
    lag: Annotated[int | None, Field(gt=0)] = None
    """A round sees the examples of rounds complete at least so many rounds ago, so that a slow
    reply keeps nobody waiting. None: from the size of the coreset, 1 to 16."""
    attempts: Annotated[int, Field(gt=0)] = 1
    """How often a function is tried, with a new random seed, until an instance is accepted. The
    last attempt is the outcome; the replies of the others are in the run's replies alone."""
    near_duplicates: bool = True
    """Refuse an instance whose instruction and solution nearly repeat those of an accepted one."""
    decontaminate: bool | Path = True
    """Refuse instances that hold a problem of a benchmark: HumanEval, MBPP, their extended versions
    and HumanEvalPack, by an index of hashes that comes with the package; or a file of hashes of
    your own (`wavecoder decontaminate --write-index`)."""
    levels: dict[str, Level] = Field(default_factory=dict)
    """What running the code must show of a task's instances: `parsed` (nothing is run; where a task
    is not named), `ran` or `proved`. It is run in the sandbox, before the discriminator is asked.
    `proved` asks the generator once more for generation and summarization."""
    calibration: Path | None = None
    """The calibration.json that `wavecoder calibrate` made of the discriminator."""
    judge_at_least: Minimum | None = None
    """What the calibration must show before a run may begin."""
    structured_verdicts: bool = True
    """Hold the discriminator to a JSON schema where its endpoint can do that. Never the generator:
    models write worse code inside JSON."""
    generator_sampling: Sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=512)
    discriminator_sampling: Sampling = Sampling(temperature=0.0, max_tokens=256)

    def rounds(self, inputs: int) -> tuple[int, int]:
        """Return (round size, lag) for so many functions.

        Left out, they let a quarter of the functions, 8 to 4096, be on their way at a time: enough
        for the feedback to begin early in a small run and for a fast endpoint to be kept busy in a
        large one.
        """
        window = min(max(inputs // 4, 8), 4096)
        size = self.round_size or max(8, window // 16)
        return size, self.lag or min(max(1, window // size), 16)
