"""Stage `regenerate`: the solutions of a dataset written anew by a stronger model.

WaveCoder-Pro is tuned on the instructions of CodeOcean with answers of GPT-4 (paper section 1).

In: the instances of `generate`. Out: each with its new solution (`Instance.regenerated` says what
happened), or `Rejected`.
Run it: `wavecoder run RECIPE -o RUN --first regenerate --last regenerate`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavecoder.artifact import Artifact
from wavecoder.contamination import index_of
from wavecoder.errors import ConfigError
from wavecoder.generate.asking import held, outcomes, prices_of, prover_for, write_free
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.engine import Engine
from wavecoder.generate.method import Outcome
from wavecoder.generate.rewriting import Rewriter
from wavecoder.generate.task import Task
from wavecoder.llm import Ledger, Prices, open_model
from wavecoder.plugins import nearest, validate
from wavecoder.protocols import ChatModel
from wavecoder.records import Instance, Level, Sampling
from wavecoder.stage import Context

__all__ = ["Regenerate", "RegenerateConfig"]


class RegenerateConfig(BaseModel):
    """The `regenerate` table of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    teacher: str
    """The model that writes: `local:NAME`, `http://host:port/v1#NAME`, `scripted:FILE`."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the endpoint's key."""
    tasks: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    """Tasks whose solutions are written anew; instances of others pass as they are. None: all."""
    attempts: Annotated[int, Field(gt=0)] = 1
    """How often the teacher is asked, with a new random seed, until a solution is accepted."""
    keep_refused: bool = True
    """Where the new solution is refused, keep the instance with its old one, and have the record
    say why (`regenerated`); false: reject the instance. One to which the teacher did not reply at
    all is rejected in any case: `wavecoder failed RUN --retry` asks for it again."""
    decontaminate: bool | Path = True
    """Refuse solutions that make an instance hold a problem of a benchmark; as in `generate`."""
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=1024)

    @model_validator(mode="after")
    def _another_attempt_is_another(self) -> Self:
        if self.attempts > 1 and not self.sampling.temperature:
            raise ValueError(
                f"attempts is {self.attempts}, and at temperature 0 each would get the same reply; "
                f"set sampling.temperature above 0, or attempts to 1"
            )
        return self


class Regenerate:
    """One question an instance: the teacher answers as a tuned model should."""

    name: ClassVar[str] = "regenerate"
    data_version: ClassVar[int] = 1
    streaming: ClassVar[bool] = True
    writes: ClassVar[type[Instance]] = Instance
    Config: ClassVar[type[RegenerateConfig]] = RegenerateConfig

    def __init__(self, config: RegenerateConfig) -> None:
        """Name the teacher; it is not asked yet.

        Raises:
            ConfigError: The index of benchmarks cannot be read, or the key is not set.
            ModelNotFoundError: The teacher is unknown.
        """
        self.config = config
        self.index: Path | None = None
        if config.decontaminate:
            own = config.decontaminate if isinstance(config.decontaminate, Path) else None
            self.index, _ = index_of(own)
        self.teacher: ChatModel = open_model(config.teacher, api_key_env=config.api_key_env)

    def identity(self) -> Mapping[str, object]:
        """Return the config, with the teacher by revision and the words by content."""
        config = self.config.model_dump(mode="json", exclude={"api_key_env", "decontaminate"})
        return {
            **config,
            "tasks": None if self.config.tasks is None else sorted(set(self.config.tasks)),
            "teacher": self.teacher.identity,
            **self._rewriter({}).identity(),
            **({"index": index_of(self.index)[1]} if self.index else {}),
        }

    def inputs(self, ctx: Context) -> Iterable[Instance]:
        """Return the instances, in the order of the dataset.

        Raises:
            ConfigError: The recipe has no stage `generate`, or `tasks` names one that it has not.
        """
        artifact = _generated(ctx)
        known = sorted(_tasks(artifact))
        for name in self.config.tasks or ():
            if known and name not in known:
                raise ConfigError(
                    f"regenerate.tasks names {name!r}, which is no task of this run."
                    f"{nearest(name, known)} Tasks: {', '.join(known)}."
                )
        return artifact.records(Instance)

    def run(self, inputs: Iterable[Instance], ctx: Context) -> Iterator[Outcome]:
        """Yield each instance with the solution it is to have, in order, or why there is none."""
        artifact = _generated(ctx)
        write_free(self.models, ctx)
        with prover_for(_levels(artifact), ctx) as prover:
            rewriter = self._rewriter(_tasks(artifact))
            rewriter.prover = prover
            make = partial(self._engine, ctx, rewriter, artifact.manifest.kept)
            with closing(outcomes(make, rewriter.functions(inputs), ctx)) as jobs:
                for job in jobs:
                    assert job.outcome is not None
                    old = rewriter.pending.pop(job.raw.id)
                    yield self._settled(old, job.outcome, asked=rewriter.wants(old))

    @property
    def models(self) -> Sequence[ChatModel]:
        """Return the model that is asked."""
        return (self.teacher,)

    def prices(self, path: Path | None) -> Prices:
        """Return what tokens cost, with nothing for a model that runs on this machine.

        Args:
            path: The user's own prices.

        Raises:
            ConfigError: They cannot be read.
        """
        return prices_of(self.models, path)

    def _rewriter(self, tasks: Mapping[str, Task]) -> Rewriter:
        config = self.config
        return Rewriter(config.sampling, tasks, config.tasks, prover=None, index=self.index)

    def _settled(self, old: Instance, outcome: Outcome, *, asked: bool) -> Outcome:
        """Return what becomes of an instance."""
        if not asked:
            return old
        if isinstance(outcome, Instance):
            # The engine marks what failed before; that says nothing of an instance's round here.
            return outcome.model_copy(update={"retried": old.retried})
        if outcome.failed or not self.config.keep_refused:
            return outcome
        return old.model_copy(update={"regenerated": outcome.reason})

    def _engine(self, ctx: Context, rewriter: Rewriter, inputs: int, ledger: Ledger) -> Engine:
        """Return the engine of `generate`, without what is for new instructions.

        Raises:
            ConfigError: There is a cap on cost and the teacher's price is unknown.
        """
        (teacher,), budget = held(self.models, ledger, ctx)
        config = GenerateConfig(
            generator=self.config.teacher,
            attempts=self.config.attempts,
            examples="none",
            near_duplicates=False,
        )
        return Engine(config, rewriter, (teacher, teacher), ctx, budget, inputs)


def _generated(ctx: Context) -> Artifact:
    """Return the artifact of `generate`.

    Raises:
        ConfigError: The recipe has no such stage.
    """
    if "generate" not in ctx.upstream:
        raise ConfigError(
            "regenerate needs instances and no stage before it gives any; add generate to the "
            "recipe."
        )
    return ctx.upstream["generate"]


def _tasks(artifact: Artifact) -> dict[str, Task]:
    """Return the tasks by whose rules the instances were written, as they were then."""
    tables = artifact.manifest.identity.get("tasks")
    if not isinstance(tables, dict):
        return {}
    return {
        name: validate(Task, table, f"task {name}")
        for name, table in tables.items()
        if isinstance(table, dict)
    }


def _levels(artifact: Artifact) -> dict[str, Level]:
    """Return what running the code had to show, by task."""
    levels = artifact.manifest.identity.get("levels")
    if not isinstance(levels, dict):
        return {}
    return {name: Level(str(level)) for name, level in levels.items()}
