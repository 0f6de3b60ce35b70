"""What to set where memory is too small: the mildest change that fits, by the estimate."""

from collections.abc import Iterator
from typing import Any

from wavecoder.machine import free_memory
from wavecoder.train.config import Adapter, Precision, Sharding
from wavecoder.train.job import Job
from wavecoder.train.launch import devices
from wavecoder.train.memory import USABLE, Memory, ModelShape, estimate, shape_of

__all__ = ["fitting", "proposal"]


def fitting(job: Job, device_bytes: int | None = None) -> str:
    """Return a sentence with the settings that would fit after memory ran out.

    Args:
        job: What ran out of memory.
        device_bytes: Memory of each device; None: of the smallest GPU here, or what is free.

    Raises:
        ConfigError: The base's `config.json` cannot be read.
    """
    shape = shape_of(job.base)
    if device_bytes is None:
        here = [size for _, size in devices()] if job.gpus else []
        device_bytes = min(here, default=free_memory() or 0)
    taken = estimate(job, shape).total
    # It ran out although it was started: the estimate was too low, or others take memory here. A
    # proposal must be clearly smaller than what failed, whatever the device should hold.
    room = min(device_bytes * USABLE, taken * 0.75) if device_bytes else taken * 0.75
    has = f" A device has {_size(device_bytes)}." if device_bytes else ""
    return proposal(job, shape, room) + has


def proposal(
    job: Job, shape: ModelShape, room: float, *, nodes: int = 1, longest: int | None = None
) -> str:
    """Return a sentence with the settings under which each device needs no more than `room` bytes.

    Tried one after the other, each with what came before it: fewer rows at once, activations
    calculated again, shorter dialogues; then, at full length, `lora`, `qlora`, more GPUs.

    Args:
        job: What does not fit.
        shape: The base's sizes.
        room: Bytes of a device that count.
        nodes: Machines, each with `job.gpus`.
        longest: Tokens of the longest dialogue; None: `max_length`.
    """

    def needed(one: Job) -> Memory:
        return estimate(one, shape, gpus=max(1, one.gpus) * nodes, longest=longest)

    for words, changed in _smaller(job, nodes):
        need = needed(changed).total
        if need <= room:
            return (
                f"Set {words} under train: that takes about {_size(need)} a device in place of "
                f"{_size(needed(job).total)}."
            )
    return (
        f"Nothing that train can be set to makes it fit: weights, gradients and optimizer alone "
        f"take {_size(needed(job).certain)}. Take a smaller base or a larger device."
    )


def _smaller(job: Job, nodes: int) -> Iterator[tuple[str, Job]]:
    """Yield ways to take less memory, the mildest first, each in the words of a recipe."""
    rows = job.per_device_batch
    while rows > 1:
        rows //= 2
        yield f"per_device_batch: {rows}", _changed(job, per_device_batch=rows)
    least = _changed(job, per_device_batch=1, gradient_checkpointing=True)
    words = "per_device_batch: 1"
    if not job.gradient_checkpointing:
        words += " and gradient_checkpointing: true"
        yield words, least
    length = job.max_length
    while length > 512:  # shorter, and hardly a dialogue is left
        length = max(512, length // 2)
        yield (
            f"{words} and max_length: {length} (longer dialogues are then rejected)",
            _changed(least, max_length=length),
        )
    if job.adapter is Adapter.NONE:
        yield f"{words} and adapter: lora", _changed(least, adapter=Adapter.LORA)
    if job.adapter is not Adapter.QLORA and job.gpus:
        alone = "" if job.sharding is Sharding.NONE else ", sharding: none"
        changed = {"adapter": Adapter.QLORA, "precision": Precision.BF16, "sharding": Sharding.NONE}
        yield f"{words}{alone} and adapter: qlora", _changed(least, **changed)
    gpus = max(2, job.gpus)
    while job.gpus and job.adapter is Adapter.NONE and gpus <= 64:
        if job.batch % (gpus * nodes) == 0 and (
            job.sharding is not Sharding.FSDP or gpus > job.gpus
        ):
            yield (
                f"{words}, gpus: {gpus} and sharding: fsdp",
                _changed(least, gpus=gpus, sharding=Sharding.FSDP),
            )
        gpus *= 2


def _changed(job: Job, **changes: Any) -> Job:
    return job.model_copy(update=changes)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
