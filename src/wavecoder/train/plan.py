"""What a training run will be, counted before it starts: `wavecoder train --dry-run`."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path

from wavecoder.train.config import Adapter, Sharding
from wavecoder.train.fitting import proposal
from wavecoder.train.job import Job
from wavecoder.train.launch import text
from wavecoder.train.memory import USABLE, Memory, ModelShape, estimate, host

__all__ = ["describe", "packed_rows", "padded_tokens", "steps_of"]

_PACKED_TOGETHER = 1000
"""Dialogues: TRL packs with `datasets.map`, which hands over so many at a time."""


def packed_rows(lengths: Sequence[int], max_length: int) -> int:
    """Return how many rows of `max_length` tokens TRL packs dialogues into.

    The longest first, each into the row with the least room that is enough (best fit decreasing),
    within every thousand dialogues (TRL 1.16: `trl.data_utils`, strategy `bfd`). A longer dialogue
    takes a row.

    Args:
        lengths: Tokens of each dialogue, in the order of the job's file.
        max_length: Tokens of a row.
    """
    starts = range(0, len(lengths), _PACKED_TOGETHER)
    return sum(_best_fit(lengths[at : at + _PACKED_TOGETHER], max_length) for at in starts)


def _best_fit(lengths: Iterable[int], max_length: int) -> int:
    rooms: list[int] = []  # of the rows that are not full, smallest first
    rows = 0
    for length in sorted((min(one, max_length) for one in lengths if one), reverse=True):
        place = bisect_left(rooms, length)
        if place < len(rooms):
            room = rooms.pop(place) - length
        else:
            room = max_length - length
            rows += 1
        if room:
            rooms.insert(bisect_left(rooms, room), room)
    return rows


def padded_tokens(lengths: Sequence[int], together: int) -> int:
    """Return how many tokens go through the model when rows are filled up to the longest beside it.

    The mean over all orders of the rows, for draws with replacement: the longest of `together` is
    at most the i-th shortest of n with probability (i / n) ** together.

    Args:
        lengths: Tokens of each row.
        together: Rows a device takes at once.
    """
    count = len(lengths)
    if not count or together == 1:
        return sum(lengths)
    longest = sum(
        length * ((place / count) ** together - ((place - 1) / count) ** together)
        for place, length in enumerate(sorted(lengths), 1)
    )
    return round(longest * count)


def steps_of(rows: int, batch: int, epochs: float, *, per_device_batch: int, gpus: int) -> int:
    """Return how many steps of the optimizer transformers' Trainer takes.

    Nothing is dropped (`dataloader_drop_last` is off): the last rows of an epoch make a step of
    their own, smaller than the others. Every process gets equally many portions, the last ones
    filled up with rows from the front (accelerate, `even_batches`). An epoch that is not whole is
    rounded up to a step (transformers 5: `Trainer.set_initial_training_values`).

    Args:
        rows: Rows an epoch has.
        batch: Rows a step, over all processes; a multiple of `per_device_batch` on each.
        epochs: Times the rows are gone through.
        per_device_batch: Rows a process takes at once.
        gpus: Processes, over all machines; 0, the CPU, is one.
    """
    processes = max(1, gpus)
    portions = ceil(ceil(rows / per_device_batch) / processes)
    gathered = batch // (per_device_batch * processes)
    return ceil(epochs * max(1, ceil(portions / gathered)))


def describe(
    name: str,
    job: Job,
    shape: ModelShape,
    *,
    lengths: Sequence[int],
    response_tokens: int,
    rejected: Mapping[str, int],
    held_out: int,
    uses: int,
    device: tuple[str, int] | None,
    nodes: int = 1,
    folder: Path | None = None,
) -> str:
    """Return what a dry run prints of a variant.

    Args:
        name: The variant's.
        job: What would be trained.
        shape: The base's sizes.
        lengths: Tokens of every dialogue an epoch has, in the order of the job's file; of one that
            it has twice, twice.
        response_tokens: Those of them with loss.
        rejected: Dialogues that are not trained on, by reason.
        held_out: Dialogues whose loss is measured.
        uses: Dialogues an epoch has.
        device: Name and bytes of a GPU that is planned for; None: the CPU.
        nodes: Machines.
        folder: The job's folder; None: where the stage writes it.

    Raises:
        ConfigError: The sharding asked for cannot be had.
    """
    devices = max(1, job.gpus) * nodes
    needed = estimate(job, shape, gpus=devices, longest=max(lengths, default=None))
    folder = job.work.parent / "job" if folder is None else folder
    lines = [
        f"{name}: {_count(shape.parameters)} parameters ({shape.architecture}), "
        f"{_trained(job)}, {job.precision.value}, on {_on(job, device, nodes)}",
        _row("dialogues", f"{uses:,} an epoch, {held_out:,} held out{_why(rejected)}"),
        *_volume(job, shape, lengths, response_tokens=response_tokens, devices=devices),
        *_beyond(shape, max(lengths, default=0)),
        *_memory(needed, device),
        *_fitting(job, shape, needed, device, nodes=nodes, longest=max(lengths, default=None)),
        *_host(job, shape),
        _row("start", _started(job, folder, nodes)),
    ]
    return "\n".join(lines)


def _count(parameters: int) -> str:
    size, name = (1e9, "billion") if parameters >= 1e8 else (1e6, "million")
    return f"{parameters / size:.2f} {name}"


def _row(title: str, words: str) -> str:
    return f"  {title:<11} {words}"


def _trained(job: Job) -> str:
    if job.adapter is Adapter.NONE:
        return "every weight"
    return f"{job.adapter.value} of rank {job.lora.rank}"


def _on(job: Job, device: tuple[str, int] | None, nodes: int) -> str:
    if not job.gpus:
        return "the CPU"
    kind = "GPU" if device is None else device[0]
    shared = "" if job.sharding is Sharding.NONE else f", {job.sharding.value}"
    machines = f" in each of {nodes} machines" if nodes > 1 else ""
    return f"{job.gpus} x {kind}{machines}{shared}"


def _why(rejected: Mapping[str, int]) -> str:
    if not rejected:
        return ""
    reasons = ", ".join(
        f"{reason} {count:,}" for reason, count in sorted(rejected.items(), key=lambda one: -one[1])
    )
    return f", {sum(rejected.values()):,} rejected ({reasons})"


def _volume(
    job: Job,
    shape: ModelShape,
    lengths: Sequence[int],
    *,
    response_tokens: int,
    devices: int,
) -> list[str]:
    """Return the lines on tokens, rows, steps and work."""
    tokens = sum(lengths)
    packed = packed_rows(lengths, job.max_length)
    rows = packed if job.packing else len(lengths)
    padded = padded_tokens(lengths, job.per_device_batch)
    through = tokens if job.packing else padded
    steps = steps_of(
        rows, job.batch, job.epochs, per_device_batch=job.per_device_batch, gpus=devices
    )
    gathered = job.batch // (job.per_device_batch * devices)
    # Kaplan et al. 2020 (arXiv 2001.08361), 2.1: a token costs 2 operations a parameter forward and
    # 4 back; calculating activations again costs another 2, and a frozen weight has no gradient.
    each = 6 if job.adapter is Adapter.NONE else 4
    each += 2 if job.gradient_checkpointing else 0
    work = each * shape.parameters * through * job.epochs
    share = response_tokens / tokens if tokens else 0
    full = tokens / (packed * job.max_length) if packed else 0
    return [
        _row("tokens", f"{tokens:,} an epoch, {response_tokens:,} with loss ({share:.0%})"),
        _row("", f"padded: {padded:,} go through the model{_used(not job.packing)}"),
        _row(
            "",
            f"packed: {packed:,} rows of {job.max_length:,}, {full:.0%} full{_used(job.packing)}",
        ),
        _row("steps", f"{steps:,}: {job.epochs:g} epochs of {rows:,} rows, {job.batch:,} a step"),
        _row(
            "",
            f"a step: {devices} x {job.per_device_batch} rows at once, gathered {gathered} times",
        ),
        _row("work", f"about {work:.1e} operations"),
    ]


def _used(this: bool) -> str:
    return " (as set)" if this else ""


def _beyond(shape: ModelShape, longest: int) -> list[str]:
    """Return the line on a dialogue that is longer than what the base was made for."""
    if shape.positions is None or longest <= shape.positions:
        return []
    return [
        _row(
            "",
            f"the longest has {longest:,}, beyond the {shape.positions:,} positions the base was "
            f"trained on",
        )
    ]


def _memory(needed: Memory, device: tuple[str, int] | None) -> list[str]:
    """Return the table of memory, and whether a device has it."""
    parts = {
        "weights": needed.weights,
        "gradients": needed.gradients,
        "optimizer": needed.optimizer,
        "activations": needed.activations,
        "logits": needed.logits,
    }
    unit, name = (1e9, "GB") if needed.total >= 1e9 else (1e6, "MB")
    width = len(f"{needed.total / unit:,.2f}")

    def line(part: str, size: float, more: str = "") -> str:
        return f"{part:<11} {size / unit:>{width},.2f} {name}{more}"

    lines = [line(part, size) for part, size in parts.items()]
    over = needed.step - needed.activations - needed.logits
    if over > 0:
        lines.append(line("its step", over, " more, without activations"))
    lines.append(line("together", needed.total, " on each device, estimated"))
    if device is not None:
        room = device[1] * USABLE
        what = "fits" if needed.total <= room else "does not fit"
        lines.append(
            f"{what} {device[0]}: {device[1] / 1e9:.1f} GB, of which {room / 1e9:.1f} count"
        )
    return [_row("memory" if not place else "", line) for place, line in enumerate(lines)]


def _fitting(
    job: Job,
    shape: ModelShape,
    needed: Memory,
    device: tuple[str, int] | None,
    *,
    nodes: int,
    longest: int | None,
) -> list[str]:
    """Return the line on what would fit where this does not."""
    if device is None or needed.total <= device[1] * USABLE:
        return []
    words = proposal(job, shape, device[1] * USABLE, nodes=nodes, longest=longest)
    return [_row("", words)]


def _host(job: Job, shape: ModelShape) -> list[str]:
    """Return the lines on a machine's own memory, and on what nobody has tried."""
    lines = []
    size = host(job, shape)
    if size:
        each = "" if job.gpus == 1 else f", {job.gpus} processes at once"
        lines.append(
            _row(
                "host", f"{size / 1e9:.2f} GB of each machine's own memory to load the model{each}"
            )
        )
    untried = {
        "FSDP with an 8-bit optimizer": job.sharding is Sharding.FSDP and "8bit" in job.optimizer,
        "QLoRA on a GPU": job.adapter is Adapter.QLORA and job.gpus > 0,
        "DeepSpeed on GPUs": job.sharding in (Sharding.ZERO2, Sharding.ZERO3),
    }
    return [*lines, *(_row("untried", what) for what, asked in untried.items() if asked)]


def _started(job: Job, folder: Path, nodes: int) -> str:
    line = text(job, folder, nodes=nodes)
    if nodes == 1:
        return line
    return (
        f"on each of the {nodes} machines, with RANK=0 to RANK={nodes - 1} and HEAD the address of "
        f"that with 0, the job's folder on a disk they share:\n{' ' * 14}{line}"
    )
