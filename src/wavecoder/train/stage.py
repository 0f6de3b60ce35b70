"""The stage `train`: dialogues are encoded and split, and a trainer makes a checkpoint of each.

A run that is killed encodes anew, which takes seconds, and goes on from the trainer's last
checkpoint under `work/`; variants that are complete are not trained again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from wavecoder.artifact import Artifact, write_text
from wavecoder.errors import ConfigError, StoppedError
from wavecoder.llm import catalogue
from wavecoder.plugins import load_plugin
from wavecoder.protocols import Trainer
from wavecoder.records import Checkpoint, Dialogue, Instance, Rejected, digest
from wavecoder.stage import Context
from wavecoder.train import bases, memory
from wavecoder.train.config import Mix, TrainConfig
from wavecoder.train.conversations import Conversation, from_instance, read_mix
from wavecoder.train.prepare import Prepared, Where, prepare
from wavecoder.train.templates import alpaca_text

__all__ = ["RUN_KEYS", "Train"]

RUN_KEYS = frozenset(
    {
        "gpus",
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

    def identity(self) -> Mapping[str, object]:
        """Return what decides the checkpoints: base, settings, other datasets, words."""
        table = self.config.model_dump(mode="json", exclude={*RUN_KEYS, "base", "data"})
        return {
            **table,
            "base": bases.content(self.base),
            "data": [_identity(mix) for mix in self.config.data],
            "alpaca": digest(alpaca_text()),
        }

    def inputs(self, ctx: Context) -> Iterable[Conversation | Rejected]:
        """Return every instance and every row of the other datasets.

        Raises:
            ConfigError: There is neither, or a dataset cannot be read.
        """
        source = _instances(ctx.upstream)
        if source is None and not self.config.data:
            raise ConfigError(
                "train has nothing to train on: no generate stands before it and train.data is "
                "empty. Add one of them to the recipe."
            )
        return self._read(source)

    def _read(self, source: Artifact | None) -> Iterator[Conversation | Rejected]:
        if source is not None:
            for instance in source.records(Instance):
                yield from_instance(instance, source.manifest.stage)
        for mix in self.config.data:
            yield from read_mix(mix)

    def prepared(
        self,
        inputs: Iterable[Conversation | Rejected],
        ctx: Context,
        *,
        device: tuple[str, int] | None = None,
    ) -> Prepared:
        """Decide everything that training needs; nothing is written.

        Args:
            inputs: What `inputs` gave.
            ctx: The stage's context.
            device: Name and bytes of a GPU to plan for in place of those that are here.

        Raises:
            ConfigError: There is nothing to train on, or the settings do not fit each other.
        """
        return prepare(
            self.config,
            inputs,
            bases.load_tokenizer(self.base),
            shape=memory.shape_of(self.base),
            where=Where(self.base, ctx.folder / "files", ctx.folder / "work"),
            seed=ctx.seed,
            device=device,
        )

    def run(
        self, inputs: Iterable[Conversation | Rejected], ctx: Context
    ) -> Iterator[Dialogue | Rejected]:
        """Train every variant, then yield what each input was to them.

        Raises:
            ConfigError: There is nothing to train on, or the settings do not fit each other.
            TrainingError: Training ended before its time; the last good checkpoint stays.
            StoppedError: The user asked to stop.
        """
        prepared = self.prepared(inputs, ctx)
        _ = ctx.files, ctx.work  # they are there from now on
        folders = {name: prepared.write(name) for name in prepared.variants}
        if self.config.prepare_only:
            raise StoppedError("Prepared; nothing was trained.")
        trainer: Trainer = self._trainer()
        for name, ready in prepared.variants.items():
            ctx.check_stop()
            if len(folders) > 1:
                ctx.progress.note(f"train: {name}, {sum(ready.uses):,} dialogues an epoch")
            trainer.train(folders[name], ready.job, progress=ctx.progress, stop=ctx.stop)
        write_text(ctx.files / "checkpoints.json", self._checkpoints(prepared))
        yield from prepared.outcomes

    def _checkpoints(self, prepared: Prepared) -> str:
        """Return `checkpoints.json`: the base, then every variant."""
        base = self.config.base
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
        rows = [one.model_dump(mode="json") for one in found]
        return json.dumps(rows, indent=2) + "\n"


def _instances(upstream: Mapping[str, Artifact]) -> Artifact | None:
    """Return the artifact whose instances are trained on: the last there is."""
    return upstream.get("regenerate") or upstream.get("generate")


def _identity(mix: Mix) -> Mapping[str, object]:
    """Return what stands for a dataset's content."""
    table = mix.model_dump(mode="json", exclude={"path"})
    if mix.path is None:
        return table
    return {**table, "path": mix.path.name, "sha256": catalogue.file_sha256(mix.path)}
