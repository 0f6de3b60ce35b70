"""What FSDP, DeepSpeed and accelerate 1.15 get wrong for trainings as ours, and what is done."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.train.config import Precision
from wavecoder.train.job import Job

__all__ = ["allow_on_cpu", "before_loading", "before_saving", "check_shares", "in_full"]


def check_shares(checkpoint: Path) -> None:
    """Refuse a checkpoint of DeepSpeed that other than these processes wrote: it cannot be dealt.

    Raises:
        ConfigError: There were more of them, or fewer.
    """
    shares = len(list(checkpoint.glob("global_step*/*_optim_states.pt")))
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if shares and shares != processes:
        raise ConfigError(
            f"The checkpoint {checkpoint} is in {shares} shares, DeepSpeed cannot deal them out "
            f"anew, and there are {processes} GPUs. Set train.gpus (and nodes) back to {shares} "
            f"altogether, or remove it to begin anew."
        )


def in_full(trainer: Any, job: Job) -> None:
    """Keep in fp32 what accelerate would round to bf16; called before the model is wrapped.

    That is the sum of gradients over processes; under FSDP 2 what the model gives back, which is
    where TRL's losses are; under FSDP 1 the model's buffers, which turn positions into angles.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is None or job.precision is not Precision.BF16:
        return
    torch: Any = importlib.import_module("torch")
    fsdp: Any = importlib.import_module("torch.distributed.fsdp")
    low = {"param_dtype": torch.bfloat16, "reduce_dtype": torch.float32}
    plugin.mixed_precision_policy = (
        fsdp.MixedPrecision(**low, buffer_dtype=torch.float32)
        if plugin.fsdp_version == 1
        else fsdp.MixedPrecisionPolicy(**low)
    )


def before_saving(trainer: Any) -> None:
    """Drop what transformers' Adafactor notes of each shard by itself, its root mean square.

    FSDP 1 wants a single number to be the same in every process. Only `scale_parameter` reads it,
    which is off.
    """
    if _is_version_1(trainer):
        for state in trainer.optimizer.state.values():
            state.pop("RMS", None)


def before_loading(trainer: Any) -> None:
    """Give a new Adafactor the state that a checkpoint is read into.

    accelerate loads under FSDP 1 only what is there already, which in a new optimizer is nothing.
    """
    if not _is_version_1(trainer):
        return
    torch: Any = importlib.import_module("torch")
    for group in trainer.optimizer.param_groups:
        for weight in group["params"]:
            if weight.numel():  # this process has a share of it
                empty = {"step": 0, "exp_avg_sq": torch.zeros_like(weight)}
                trainer.optimizer.state[weight] = empty


def _is_version_1(trainer: Any) -> bool:
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    return plugin is not None and plugin.fsdp_version == 1


def allow_on_cpu() -> None:
    """Make accelerate shard between processes on one CPU, which its line has no word for.

    It turns FSDP on only for the kinds of devices it lists (state.py), and CPUs are not among them;
    the code behind it needs nothing that gloo lacks. FSDP 1 takes a CPU's number for its name, and
    has no copy on a CPU to move weights to.
    """
    accelerate: Any = importlib.import_module("accelerate")
    kinds: Any = importlib.import_module("accelerate.utils").DistributedType
    shared = accelerate.PartialState._shared_state
    if shared.get("distributed_type") != kinds.MULTI_CPU:
        return
    shared["distributed_type"] = kinds.MULTI_GPU
    torch: Any = importlib.import_module("torch")
    fsdp: Any = importlib.import_module("torch.distributed.fsdp")
    _set(fsdp.FullyShardedDataParallel, "device_id", torch.device("cpu"))
    _set(fsdp.FullStateDictConfig, "offload_to_cpu", False)


def _set(made: Any, name: str, value: object) -> None:
    """Make a class with a keyword's value whatever is asked for."""
    begin: Callable[..., None] = made.__init__

    def init(self: Any, *args: Any, **more: Any) -> None:
        begin(self, *args, **more | {name: value})

    made.__init__ = init
