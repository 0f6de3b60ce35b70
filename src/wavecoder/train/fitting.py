"""What to set after memory ran out: the mildest change that fits, by the estimate."""

from collections.abc import Iterator
from typing import Any

from wavecoder.machine import free_memory
from wavecoder.train.config import Adapter, Precision, Sharding
from wavecoder.train.job import Job
from wavecoder.train.launch import devices
from wavecoder.train.memory import USABLE, estimate
from wavecoder.train.shapes import shape_of

__all__ = ["fitting"]


def fitting(job: Job, device_bytes: int | None = None) -> str:
    """Return a sentence with the settings that would fit after memory ran out.

    Tried one after the other, each with what came before it: fewer rows at once, activations
    calculated again, shorter dialogues; then, at full length, `lora`, `qlora`, more GPUs.

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
    for words, changed in _smaller(job):
        need = estimate(changed, shape).total
        if need <= room:
            return (
                f"Set {words} under train: that takes about {_size(need)} a device in place of "
                f"{_size(taken)}{_of(device_bytes)}."
            )
    return (
        f"Nothing that train can be set to makes it fit: weights, gradients and optimizer alone "
        f"take {_size(estimate(job, shape).certain)}{_of(device_bytes)}. Take a smaller base or a "
        f"larger device."
    )


def _smaller(job: Job) -> Iterator[tuple[str, Job]]:
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
        changed = _changed(least, adapter=Adapter.QLORA, precision=Precision.BF16)
        yield f"{words} and adapter: qlora", changed
    gpus = max(2, job.gpus)
    while job.gpus and job.adapter is Adapter.NONE and gpus <= 64:
        if job.batch % gpus == 0 and (job.sharding is not Sharding.FSDP or gpus > job.gpus):
            yield (
                f"{words}, gpus: {gpus} and sharding: fsdp",
                _changed(least, gpus=gpus, sharding=Sharding.FSDP),
            )
        gpus *= 2


def _changed(job: Job, **changes: Any) -> Job:
    return job.model_copy(update=changes)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _of(device_bytes: int) -> str:
    return f", of {_size(device_bytes)}" if device_bytes else ""
