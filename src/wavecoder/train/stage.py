"""The stage `train`: dialogues are encoded and split, and a trainer makes a checkpoint of each.

A run that is killed encodes anew, which takes seconds, and goes on from the trainer's last
checkpoint under `work/`; variants that are complete are not trained again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from wavecoder.artifact import Artifact, write_text
from wavecoder.errors import (
    ConfigError,
    MissingExtraError,
    ModelNotFoundError,
    StoppedError,
)
from wavecoder.llm import catalogue
from wavecoder.plugins import load_plugin
from wavecoder.protocols import Trainer
from wavecoder.records import Checkpoint, Dialogue, Instance, Rejected, digest
from wavecoder.stage import Context
from wavecoder.train import bases, memory, trl
from wavecoder.train.card import called, card
from wavecoder.train.config import Mix, TrainConfig
from wavecoder.train.conversations import Conversation, from_instance, read_mix
from wavecoder.train.export import facts
from wavecoder.train.job import Outcome
from wavecoder.train.prepare import Prepared, Where, prepare
from wavecoder.train.templates import alpaca_text
from wavecoder.train.writing import Writing, estimated

__all__ = ["RUN_KEYS", "Train"]

RUN_KEYS = frozenset(
    {
        "gpus",
        "gpu_memory",
        "nodes",
        "sharding",
        "per_device_batch",
        "gradient_checkpointing",
        "attention",
        "save_steps",
        "prepare_only",
        "preset",  # its keys stand in the table
    }
)
"""Keys of the table that decide how training is run and not what comes out."""


class Train:
    """Tunes a base model on the instances before it, once for each variant."""

    name: ClassVar[str] = "train"
    data_version: ClassVar[int] = 1
    streaming: ClassVar[bool] = False
    writes: ClassVar[type[Dialogue]] = Dialogue
    Config = TrainConfig
    _prepared: Prepared

    def __init__(self, config: TrainConfig) -> None:
        """Find the trainer and the datasets; the base is looked for, but not loaded.

        Raises:
            ConfigError: A dataset is not there, or the base is none.
            ModelNotFoundError: The base's name is not known.
            PluginError: There is no such trainer.
        """
        self.config = config
        self._trainer: Any = load_plugin("trainers", config.trainer)
        bases.check(config.base)
        for mix in config.data:
            if mix.path is not None and not mix.path.is_file():
                raise ConfigError(
                    f"train.data names {mix.path}, which is no file. Give the path of a .json, "
                    f".jsonl or .parquet file."
                )

    @cached_property
    def base(self) -> Path:
        """The base model's folder, fetched or converted at the first use.

        Raises:
            ConfigError, ModelError: It cannot be had.
        """
        return bases.locate(self.config.base, self.config.revision)

    def fetch(self) -> None:
        """Have the base at hand before anything else of a run is paid for."""
        _ = self.base

    def identity(self) -> Mapping[str, object]:
        """Return what decides the checkpoints: base, settings, other datasets, words."""
        table = self.config.model_dump(mode="json", exclude={*RUN_KEYS, "base", "data"})
        return {
            **table,
            "base": bases.content(self.base),
            "data": self._data(),
            "alpaca": digest(alpaca_text()),
        }

    def _data(self) -> list[Mapping[str, object]]:
        return [_identity(mix) for mix in self.config.data]

    def inputs(self, ctx: Context) -> Sequence[Conversation | Rejected]:
        """Return every instance and every row of the other datasets.

        They are encoded and split here, so that what is wrong with them shows before the run's
        folder says what it was begun with.

        Raises:
            ConfigError: There is neither, a dataset cannot be read, there is nothing in it to train
                on, or the settings do not fit each other.
        """
        if self.config.nodes > 1 and not self.config.prepare_only:
            raise ConfigError(
                f"train.nodes is {self.config.nodes}, and this command trains on its own machine "
                f"alone. Give it with --prepare and start what that prints, or leave nodes out."
            )
        rows = list(self._rows(ctx))
        self._prepared = self._prepare(rows, ctx, self.base, self._writing(self.base))
        return rows

    def _rows(self, ctx: Context) -> Iterator[Conversation | Rejected]:
        source = _instances(ctx.upstream)
        if source is None and not self.config.data:
            raise ConfigError(
                "train has nothing to train on: no generate stands before it and train.data is "
                "empty. Add one of them to the recipe."
            )
        if source is not None:
            for instance in source.records(Instance):
                yield from_instance(instance, source.manifest.stage)
        for mix in self.config.data:
            yield from read_mix(mix)

    def planned(self, ctx: Context) -> tuple[Prepared, bool]:
        """Decide everything for a dry run, which does without a base whose sizes are known.

        Args:
            ctx: The stage's context.

        Returns:
            What is planned, and whether its tokens are counted; they are estimated otherwise.

        Raises:
            ConfigError: As `inputs`.
            ModelNotFoundError, MissingExtraError: The base cannot be had, and its sizes are not
                known.
        """
        rows = self._rows(ctx)
        shape = memory.shape_of_name(self.config.base)
        try:
            base = self.base
        except (ModelNotFoundError, MissingExtraError):
            if shape is None:
                raise
            where = Path(self.config.base)
            return self._prepare(rows, ctx, where, estimated(), shape), False
        return self._prepare(rows, ctx, base, self._writing(base)), True

    def _writing(self, base: Path) -> Writing:
        return Writing.of(bases.load_tokenizer(base), self.config)

    def _prepare(
        self,
        rows: Iterable[Conversation | Rejected],
        ctx: Context,
        base: Path,
        written: Writing,
        shape: memory.ModelShape | None = None,
    ) -> Prepared:
        return prepare(
            self.config,
            rows,
            written,
            shape=shape or memory.shape_of(base),
            where=Where(base, ctx.folder / "files", ctx.folder / "work"),
            seed=ctx.seed,
        )

    def run(
        self, inputs: Iterable[Conversation | Rejected], ctx: Context
    ) -> Iterator[Dialogue | Rejected]:
        """Train every variant, then yield what each input was to them.

        Raises:
            ArtifactError: The folder holds another training, or cannot be written.
            TrainingError: Training ended before its time; the last good checkpoint stays.
            StoppedError: The user asked to stop.
        """
        prepared = self._prepared
        for _ in inputs:  # what became of each is known; the runner counts them
            pass
        _ = ctx.files, ctx.work  # they are there from now on
        folders = {name: prepared.write(name) for name in prepared.variants}
        if self.config.prepare_only:
            for name, folder in folders.items():
                # As the built-in trainer does before it starts: it takes no outcome otherwise.
                trl.check_settings(prepared.variants[name].job, folder)
            raise StoppedError(f"Prepared under {ctx.work}; nothing was trained.")
        trainer: Trainer = self._trainer()
        outcomes = {}
        for name, ready in prepared.variants.items():
            ctx.check_stop()
            if len(folders) > 1:
                ctx.progress.note(f"train: {name}, {sum(ready.uses):,} dialogues an epoch")
            outcomes[name] = trainer.train(
                folders[name], ready.job, progress=ctx.progress, stop=ctx.stop
            )
        found = self._checkpoints(prepared)
        self._write_cards(found, outcomes, prepared, ctx)
        rows = [one.model_dump(mode="json") for one in found]
        write_text(ctx.files / "checkpoints.json", json.dumps(rows, indent=2) + "\n")
        yield from prepared.outcomes

    def _write_cards(
        self,
        found: Sequence[Checkpoint],
        outcomes: Mapping[str, Outcome],
        prepared: Prepared,
        ctx: Context,
    ) -> None:
        """Say beside every checkpoint what it was made of; scores there are none yet."""
        for one in found[1:]:
            told = facts(
                one,
                outcomes[one.name],
                config=self.config.model_dump(mode="json"),
                seed=ctx.seed,
                data=self._data(),
                dialogues=[row for row in prepared.outcomes if isinstance(row, Dialogue)],
                upstream=_instances(ctx.upstream),
                name=one.model,
            )
            write_text(ctx.files / one.model / "README.md", card(told))

    def _checkpoints(self, prepared: Prepared) -> list[Checkpoint]:
        """Return the base, then every variant."""
        base = called(self.config.base)
        found = [Checkpoint(name="base", model=str(self.base), label=base, dialogues=0)]
        for name, ready in prepared.variants.items():
            folder = ready.job.output / "checkpoint"
            if not folder.exists():  # an adapter that was not merged
                folder = ready.job.output / "adapter"
            found.append(
                Checkpoint(
                    name=name,
                    model=str(folder.relative_to(ready.job.output.parent)),
                    label=f"{base}, {name}",
                    dialogues=sum(ready.uses),
                    weights=self.config.variants[name].weights,
                )
            )
        return found


def _instances(upstream: Mapping[str, Artifact]) -> Artifact | None:
    """Return the artifact whose instances are trained on: the last there is."""
    return upstream.get("regenerate") or upstream.get("generate")


def _identity(mix: Mix) -> Mapping[str, object]:
    """Return what stands for a dataset's content."""
    table = mix.model_dump(mode="json", exclude={"path"})
    if mix.path is None:
        return table
    return {**table, "path": mix.path.name, "sha256": catalogue.file_sha256(mix.path)}
