"""From dialogues to jobs: what each variant trains on, for how many steps, on which devices.

`prepare(...)` decides and writes nothing; `Prepared.write` makes the job folders. The dry run uses
the first without the second.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wavecoder.artifact import writing
from wavecoder.errors import ConfigError
from wavecoder.plugins import nearest, validate
from wavecoder.records import Dialogue, Rejected
from wavecoder.train import launch, memory, plan
from wavecoder.train.config import Adapter, Precision, TrainConfig, Variant
from wavecoder.train.conversations import Conversation
from wavecoder.train.job import Job
from wavecoder.train.split import hold_out, uses
from wavecoder.train.tokens import Tokens
from wavecoder.train.writing import Writing

__all__ = ["Prepared", "Ready", "Where", "prepare"]

_ASSUMED = 80
"""GB of a GPU that is not here and of which nothing is said: those of the paper."""


@dataclass(frozen=True)
class Ready:
    """One variant, ready to be trained."""

    job: Job
    uses: tuple[int, ...]
    """How often an epoch has each dialogue of `Prepared.dialogues`; 0 of those held out."""

    def folder(self) -> Path:
        """Return the folder the trainer is given."""
        return self.job.work.parent / "job"


@dataclass(frozen=True)
class Prepared:
    """All that `train` decided before a weight is touched."""

    outcomes: list[Dialogue | Rejected]
    """One for each input, in their order."""
    dialogues: list[Tokens]
    """Of the inputs that are dialogues, in their order."""
    held_out: list[bool]
    variants: dict[str, Ready]
    shape: memory.ModelShape
    """The base's sizes."""
    device: tuple[str, int] | None
    """Name and bytes of the GPUs that are planned for; None: the CPU."""
    repeated: int
    """Dialogues that say the same as one before them."""

    def write(self, name: str) -> Path:
        """Write the job folder of a variant and return it.

        Raises:
            ArtifactError: It cannot be written.
        """
        ready = self.variants[name]
        folder = ready.folder()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            ready.job.work.mkdir(parents=True, exist_ok=True)
            ready.job.output.mkdir(parents=True, exist_ok=True)
        rows = zip(self.dialogues, ready.uses, strict=True)
        _write(folder / "train.parquet", [one for one, count in rows for _ in range(count)])
        kept_apart = zip(self.dialogues, self.held_out, strict=True)
        held_out = [one for one, apart in kept_apart if apart]
        if held_out:
            _write(folder / "held_out.parquet", held_out)
        ready.job.save(folder)
        return folder


def _write(path: Path, dialogues: Sequence[Tokens]) -> None:
    """Write rows of tokens, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = pa.list_(pa.int32())
    table = pa.table(
        {
            "input_ids": pa.array([one.input_ids for one in dialogues], numbers),
            "labels": pa.array([one.labels for one in dialogues], numbers),
        }
    )
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        pq.write_table(table, partial)
        partial.replace(path)


@dataclass(frozen=True)
class Where:
    """Where training reads and writes."""

    base: Path
    """The base model's folder."""
    files: Path
    work: Path


def prepare(
    config: TrainConfig,
    inputs: Iterable[Conversation | Rejected],
    written: Writing,
    *,
    shape: memory.ModelShape,
    where: Where,
    seed: int,
) -> Prepared:
    """Decide everything that training needs.

    Args:
        config: The stage's table.
        inputs: Dialogues, and what was rejected before.
        written: How dialogues become tokens; `estimated()` for a dry run without the base.
        shape: The base's sizes.
        where: Folders.
        seed: The run's random seed.

    Raises:
        ConfigError: There is nothing to train on, the settings do not fit each other, or the base
            cannot read what its tokenizer writes.
    """
    encoded: list[tuple[Conversation, Tokens] | Rejected] = []
    for one in inputs:
        tokens = one if isinstance(one, Rejected) else written.encode(one, config.max_length)
        if isinstance(one, Rejected) or isinstance(tokens, Rejected):
            assert isinstance(tokens, Rejected)
            encoded.append(tokens)
        else:
            encoded.append((one, tokens))
    pairs = [one for one in encoded if not isinstance(one, Rejected)]
    if not pairs:
        raise ConfigError(_nothing(encoded))
    conversations = [one for one, _ in pairs]
    _check_base(pairs, shape, config.base)
    apart = hold_out(conversations, config.held_out, seed=seed)
    weights = {str(mix.path or mix.hub): mix.weight for mix in config.data}
    by_variant = uses(conversations, config.variants, weights, seed=seed, apart=apart)
    gpus, device = _devices(config)
    variants = {}
    for name, own in config.variants.items():
        _check_modules(own, name, shape)
        job = _job(config, own, name, written=written, where=where, seed=seed, gpus=gpus)
        lengths = [
            len(tokens.input_ids)
            for (_, tokens), count in zip(pairs, by_variant[name], strict=True)
            for _ in range(count)
        ]
        variants[name] = Ready(_placed(config, job, lengths, shape, device), by_variant[name])
    index = {one.id: place for place, one in enumerate(conversations)}
    outcomes: list[Dialogue | Rejected] = [
        one
        if isinstance(one, Rejected)
        else _dialogue(*one, one[0].id in apart, [u[index[one[0].id]] for u in by_variant.values()])
        for one in encoded
    ]
    return Prepared(
        outcomes,
        [tokens for _, tokens in pairs],
        [one.id in apart for one in conversations],
        variants,
        shape,
        device,
        len(pairs) - len({(one.messages, one.information) for one in conversations}),
    )


def _check_base(
    pairs: Sequence[tuple[Conversation, Tokens]], shape: memory.ModelShape, base: str
) -> None:
    """Make sure that the base has an embedding for every token, and a position if it learned them.

    Raises:
        ConfigError: It has not.
    """
    token, id = max((max(tokens.input_ids), one.id) for one, tokens in pairs)
    if token >= shape.vocab:
        raise ConfigError(
            f"The dialogue {id} has the token {token}, and the base {base} embeds {shape.vocab:,} "
            f"tokens, counted from 0. Take the tokenizer it was trained with, or give it room with "
            f"transformers' resize_token_embeddings and save it again."
        )
    longest, id = max((len(tokens.input_ids), one.id) for one, tokens in pairs)
    if shape.learned and shape.positions is not None and longest > shape.positions:
        raise ConfigError(
            f"The dialogue {id} has {longest:,} tokens, and the base {base} learned "
            f"{shape.positions:,} positions and can read no more. Set train.max_length to "
            f"{shape.positions}."
        )


def _check_modules(own: Variant, name: str, shape: memory.ModelShape) -> None:
    """Make sure that a block has the layers an adapter is to stand beside.

    Raises:
        ConfigError: There is none of that name, in an architecture whose names are known.
    """
    if own.adapter is Adapter.NONE or own.lora.modules is None or not shape.known:
        return
    known = sorted({layer for layer, _, _ in shape.linears()})
    for module in own.lora.modules:
        # PEFT takes a path's end, too: mlp.c_proj.
        if module.rpartition(".")[2] not in known:
            raise ConfigError(
                f"The variant {name} has train.lora.modules {module!r}, and the base, a "
                f"{shape.architecture}, has no layer of that name.{nearest(module, known)} "
                f"Known: {', '.join(known)}."
            )


def _devices(config: TrainConfig) -> tuple[int, tuple[str, int] | None]:
    """Return the GPUs of a machine, and name and bytes of each; None: the CPU is planned for."""
    here = launch.devices()
    gpus = len(here) if config.gpus is None else config.gpus
    if not gpus:
        return 0, None
    if config.gpu_memory is not None:
        return gpus, (f"GPU of {config.gpu_memory:g} GB", int(config.gpu_memory * 1e9))
    if here:
        return gpus, min(here, key=lambda one: one[1])
    return gpus, (f"GPU of {_ASSUMED} GB (assumed)", _ASSUMED * 10**9)


def _nothing(encoded: Sequence[tuple[Conversation, Tokens] | Rejected]) -> str:
    """Say why there is nothing to train on."""
    if not encoded:
        return (
            "train got no instances and no rows of other datasets. See why generate accepted none "
            "with `wavecoder show RUN`, or name a dataset under train.data."
        )
    counts = Counter(one.reason for one in encoded if isinstance(one, Rejected))
    reason, count = counts.most_common(1)[0]
    example = next(one for one in encoded if isinstance(one, Rejected) and one.reason == reason)
    return (
        f"None of {len(encoded):,} dialogues can be trained on, most often for the reason "
        f"{reason} ({count:,}); the first: {example.detail} Change train.max_length or the data."
    )


def _dialogue(one: Conversation, tokens: Tokens, held_out: bool, counts: Sequence[int]) -> Dialogue:
    return Dialogue(
        id=one.id,
        source=one.source,
        task=one.task,
        tokens=len(tokens.input_ids),
        response_tokens=tokens.response_tokens,
        held_out=held_out,
        uses=tuple(counts),
    )


def _job(
    config: TrainConfig,
    own: Variant,
    name: str,
    *,
    written: Writing,
    where: Where,
    seed: int,
    gpus: int,
) -> Job:
    """Return a variant's job as if one device took one row at a time."""
    precision = config.precision
    if precision is Precision.AUTO:
        precision = Precision.BF16 if gpus else Precision.FP32
    same = {key for key in Job.model_fields if key in TrainConfig.model_fields}
    table = {key: getattr(own if key in Variant.model_fields else config, key) for key in same}
    decided = {
        "base": where.base.resolve(),
        "chat_template": written.template,
        "eos_token": written.end,
        "seed": seed,
        "steps": 1,
        "per_device_batch": 1,
        "precision": precision,
        "gpus": gpus,
        "output": (where.files / name).resolve(),
        "work": (where.work / name / "checkpoints").resolve(),
    }
    return validate(Job, table | decided, "job")


def _placed(
    config: TrainConfig,
    job: Job,
    lengths: Sequence[int],
    shape: memory.ModelShape,
    device: tuple[str, int] | None,
) -> Job:
    """Return the job with what depends on the devices and on how much there is to train on."""
    processes = max(1, job.gpus) * config.nodes
    at_once = config.per_device_batch
    if at_once is None:
        # A core gains nothing from a second row, and padding would cost it.
        at_once = 1
        if device is not None:
            at_once = memory.fitting_batch(job, shape, device[1], nodes=config.nodes)
    if job.batch % (at_once * processes):
        change = f"train.batch to a multiple of {at_once * processes}"
        if job.batch % processes == 0:
            change += f", or train.per_device_batch to a divisor of {job.batch // processes}"
        raise ConfigError(
            f"A batch of {job.batch} rows cannot be split evenly among {processes} processes that "
            f"take {at_once} at once. Set {change}."
        )
    rows = plan.packed_rows(lengths, job.max_length) if job.packing else len(lengths)
    steps = plan.steps_of(rows, job.batch, job.epochs, per_device_batch=at_once, gpus=processes)
    table = job.model_dump() | {"per_device_batch": at_once, "steps": steps}
    return validate(Job, table, "job")
