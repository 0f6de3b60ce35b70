"""How training is started: one process, or `accelerate launch` with every setting on its line.

A line starts the same training on every machine: no configuration file of its user is read, and
nothing is asked. Several machines need the job's folder on a disk they share.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from wavecoder.errors import ConfigError
from wavecoder.train.config import Precision, Sharding
from wavecoder.train.job import Job
from wavecoder.train.shapes import shape_of_name

__all__ = ["LAYERS", "command", "devices", "fsdp_version", "text"]

_WORKER = "wavecoder.train.worker"
_PORT = 29500  # accelerate's own
_CONFIG = Path(__file__).with_name("accelerate.yaml")
"""Given so that accelerate does not read the one in the user's home; it decides nothing."""

LAYERS = {
    "gpt_bigcode": "GPTBigCodeBlock",
    "llama": "LlamaDecoderLayer",
    "qwen2": "Qwen2DecoderLayer",
    "starcoder2": "Starcoder2DecoderLayer",
}
"""By architecture, the class of a block, which FSDP wraps. Of others accelerate asks the model."""


def command(job: Job, folder: Path, *, nodes: int = 1, processes: int | None = None) -> list[str]:
    """Return the line that trains from `folder`.

    Args:
        job: What is in the folder.
        folder: The job's folder.
        nodes: Machines, each with `job.gpus` GPUs. With more than one the words `$RANK` (0, 1, …)
            and `$HEAD` (the first machine's address) are for a shell to fill in.
        processes: Processes a machine, where it is not one for each GPU: several share a CPU, and
            need `ACCELERATE_USE_CPU=true` in the environment, but for DeepSpeed, which that would
            turn off.

    Raises:
        ConfigError: A sharding was asked for that one process cannot have.
    """
    each = max(1, job.gpus) if processes is None else processes
    total = each * nodes
    worker = [_WORKER, str(folder)]
    if total == 1:
        if job.sharding is not Sharding.NONE:
            raise ConfigError(
                f"train.sharding is {job.sharding.value}, and there is one device to train on: "
                f"nothing can be shared out. Take sharding: none, or name more with train.gpus."
            )
        return [sys.executable, "-m", *worker]
    line = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(_CONFIG)]
    line += ["--num_processes", str(total), "--num_machines", str(nodes)]
    line += ["--mixed_precision", "bf16" if job.precision is Precision.BF16 else "no"]
    line += ["--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    if nodes > 1:
        line += ["--machine_rank", "$RANK", "--main_process_ip", "$HEAD"]
        line += ["--main_process_port", str(_PORT), "--same_network"]
    else:
        line += ["--main_process_port", "0"]  # a free one: two runs may share a machine
    line += _sharding(job, total, nodes)
    return [*line, "-m", *worker]


def _sharding(job: Job, total: int, nodes: int) -> list[str]:
    """Return the flags that say what the processes share."""
    if job.sharding is Sharding.NONE:
        return ["--multi_gpu"]
    if job.sharding is Sharding.FSDP:
        layer = LAYERS.get(_architecture(job.base))
        return [
            "--use_fsdp",
            *_fsdp_flags(job),
            *("--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
            *(("--fsdp_transformer_layer_cls_to_wrap", layer) if layer else ()),
            # Each process saves its part; the worker writes the last checkpoint whole by itself.
            *("--fsdp_state_dict_type", "SHARDED_STATE_DICT"),
            # It has one process load the model and deal it out, in theory: transformers 5.23 reads
            # the weights in each of them all the same.
            *("--fsdp_cpu_ram_efficient_loading", "false"),
            *("--fsdp_offload_params", "false"),
        ]
    # What accelerate is not told here it takes from the worker's own settings.
    line = [
        "--use_deepspeed",
        *("--zero_stage", "2" if job.sharding is Sharding.ZERO2 else "3"),
        *(
            "--gradient_accumulation_steps",
            str(max(1, job.batch // (job.per_device_batch * total))),
        ),
        *("--gradient_clipping", str(job.max_grad_norm)),
        *("--offload_optimizer_device", "none"),
        *("--offload_param_device", "none"),
        *("--zero3_init_flag", "true" if job.sharding is Sharding.ZERO3 else "false"),
        *("--zero3_save_16bit_model", "true"),
    ]
    if nodes > 1:
        # Every machine runs the line itself, so that DeepSpeed needs no hostfile and no ssh.
        line += ["--deepspeed_multinode_launcher", "standard"]
    return line


def fsdp_version(job: Job) -> int:
    """Return the version of PyTorch's FSDP that the optimizer runs under.

    2 is the one that is kept up. transformers' Adafactor stops under it (its factored state is no
    DTensor) and is left with 1, whose shards are flat: the paper's own way.
    """
    return 1 if job.optimizer == "adafactor" else 2


def _fsdp_flags(job: Job) -> list[str]:
    if fsdp_version(job) == 2:
        return ["--fsdp_version", "2", "--fsdp_reshard_after_forward", "true"]
    return [
        *("--fsdp_version", "1"),
        *("--fsdp_reshard_after_forward", "FULL_SHARD"),
        *("--fsdp_use_orig_params", "true"),
        *("--fsdp_sync_module_states", "false"),
    ]


def text(job: Job, folder: Path, *, nodes: int = 1) -> str:
    """Return the line as a person gives it to a shell; with several machines, on each of them.

    Raises:
        ConfigError: As `command`.
    """
    # A shell is to fill these in; all else it must leave alone.
    open_words = {"$RANK": '"$RANK"', "$HEAD": '"$HEAD"'}
    return " ".join(
        open_words.get(word, shlex.quote(word)) for word in command(job, folder, nodes=nodes)
    )


def devices() -> list[tuple[str, int]]:
    """Return name and bytes of memory of each NVIDIA GPU that may be used here.

    torch is not asked, and `CUDA_VISIBLE_DEVICES` is minded, as numbers or as UUIDs.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):  # it is there, and its driver is not
        return []
    every, seen = _parsed(found.stdout), os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen is None:
        return every
    names = [name.strip() for name in seen.split(",")]
    names = [name for name in names if name and name != "-1"]
    if all(name.isdigit() for name in names):
        return [every[int(name)] for name in names if int(name) < len(every)]
    return every[: len(names)]


def _parsed(answer: str) -> list[tuple[str, int]]:
    """Return what nvidia-smi said: a line a GPU, `NVIDIA H100 80GB HBM3, 81559`, in MiB."""
    rows = [line.rpartition(",") for line in answer.splitlines()]
    return [(name.strip(), int(size) << 20) for name, _, size in rows if size.strip().isdigit()]


def _architecture(base: Path) -> str:
    try:
        config = json.loads((base / "config.json").read_text("utf-8"))
    except (OSError, ValueError):  # a dry run of a base that is not here
        known = shape_of_name("/".join(base.parts[-2:]))
        return known.architecture if known else ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""
