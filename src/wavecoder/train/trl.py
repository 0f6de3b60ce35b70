"""The built-in trainer: it starts the workers, follows their curve, and says how they ended.

Nothing of torch is imported here. The workers write to `JOB.work/log.txt`; they end when this
process does, however it ends, as they hold the other end of a pipe to it. What decides the result
is kept in `JOB.output/settings.json`: a folder that holds another training is not gone on with.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from wavecoder.artifact import write_text, writing
from wavecoder.errors import (
    ArtifactError,
    ConfigError,
    MissingExtraError,
    StoppedError,
    TrainingError,
)
from wavecoder.llm import catalogue
from wavecoder.train.callbacks import cut, is_of, last_whole, read_rows, step_of
from wavecoder.train.config import Adapter, Precision, Sharding
from wavecoder.train.following import follow
from wavecoder.train.job import Job, Outcome, read_outcome
from wavecoder.train.launch import command, devices

if TYPE_CHECKING:
    from wavecoder.protocols import Progress

__all__ = ["TrlTrainer", "check_settings", "checkpoint_bytes"]

_HOW = {
    "output",
    "work",
    "gpus",
    "sharding",
    "per_device_batch",
    "gradient_checkpointing",
    "attention",
    "save_steps",
    "steps",  # counted from the others, and from the number of GPUs
}
"""Fields of a job that say how it is run, and not what comes out."""


class TrlTrainer:
    """TRL's SFTTrainer, in processes of its own."""

    def train(self, folder: Path, job: Job, *, progress: "Progress", stop: Event) -> Outcome:
        """Train from a job's folder, or go on with it; one that is complete is left as it is.

        Raises:
            MissingExtraError: A library is not installed.
            ConfigError: There are fewer GPUs here than the job takes.
            ArtifactError: `job.output` holds another training, or the disk cannot be written.
            TrainingError: It diverged, or memory or disk were too small, or the worker died.
            StoppedError: The user asked to stop; the same call goes on from there.
        """
        _check_libraries(job)
        _check_gpus(job)
        with writing(job.output):
            job.output.mkdir(parents=True, exist_ok=True)
            job.work.mkdir(parents=True, exist_ok=True)
        check_settings(job, folder)
        outcome = read_outcome(job.output)
        if outcome is not None and outcome.status == "complete":
            return outcome
        _check_room(job)
        (job.output / "outcome.json").unlink(missing_ok=True)
        (job.work / "stop").unlink(missing_ok=True)
        metrics, began = job.output / "metrics.jsonl", last_whole(job.work)
        cut(metrics, began)  # what an earlier start wrote behind it is done again
        told = metrics.stat().st_size if metrics.exists() else 0
        with _started(folder, job) as workers:
            follow(workers, job, progress, stop, told=told)
        return _judged(job, workers.returncode, began)


def _check_gpus(job: Job) -> None:
    if job.gpus and job.gpus > (here := len(devices())):
        raise ConfigError(
            f"train.gpus is {job.gpus}, and {here or 'no'} NVIDIA GPUs may be used here. Leave "
            f"train.gpus out, or give --prepare to train on another machine."
        )


def _check_libraries(job: Job) -> None:
    needed = {"torch": "train", "transformers": "train", "trl": "train"}
    if job.adapter is not Adapter.NONE:
        needed["peft"] = "train"
    if job.adapter is Adapter.QLORA or "8bit" in job.optimizer:
        needed["bitsandbytes"] = "qlora"
    if job.sharding in (Sharding.ZERO2, Sharding.ZERO3):
        needed["deepspeed"] = "deepspeed"
    for library, extra in needed.items():
        if find_spec(library) is None:
            raise MissingExtraError(
                f"This training needs {library}, which is not installed. "
                f"Install it: pip install 'wavecoder[{extra}]'."
            )
    if job.adapter is Adapter.QLORA and job.sharding in (Sharding.FSDP, Sharding.ZERO3):
        raise ConfigError(
            f"train.adapter is qlora and train.sharding {job.sharding.value}, and weights in 4 "
            f"bits are not shared out. Set train.sharding: none, or zero2, or train.adapter: lora."
        )


def _settings(job: Job, folder: Path) -> dict[str, Any]:
    """Return what decides the result."""
    data = {
        name: catalogue.file_sha256(folder / f"{name}.parquet")
        for name in ("train", "held_out")
        if (folder / f"{name}.parquet").is_file()
    }
    return {**job.model_dump(mode="json", exclude=_HOW), "data": data}


def check_settings(job: Job, folder: Path) -> None:
    """Refuse to go on with another training; a folder in which none has begun is taken.

    Raises:
        ArtifactError: `job.output` or `job.work` holds another training.
    """
    settings = _settings(job, folder)
    path = job.output / "settings.json"
    try:
        before = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        before = None
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read: {error}. Remove {job.output} and {job.work} to train anew."
        ) from error
    begun = last_whole(job.work) is not None or (job.output / "outcome.json").is_file()
    if before != settings:
        if begun and before is None:
            raise ArtifactError(
                f"{job.work} holds a checkpoint of which nothing says what it was trained from. "
                f"Remove it, or train into another folder."
            )
        if begun:
            other = next(key for key in settings if before.get(key) != settings[key])
            said = "" if other == "data" else f" ({before.get(other)}, now {settings[other]})"
            raise ArtifactError(
                f"{job.output} holds a training with another {other}{said}. Train into another "
                f"folder, or remove it and {job.work} to begin anew."
            )
        write_text(path, json.dumps(settings, indent=2) + "\n")
    checkpoint = last_whole(job.work)
    if checkpoint is not None and not is_of(checkpoint, job):
        raise ArtifactError(
            f"{checkpoint} is a checkpoint of another training. Remove it, and this one goes on "
            f"without it, or train into another folder."
        )
    _check_sharding(job)


def _check_sharding(job: Job) -> None:
    """Refuse a checkpoint whose shares another kind of sharding cannot read."""
    checkpoint = last_whole(job.work)
    if checkpoint is None:
        return
    was = Sharding.NONE
    if (checkpoint / "optimizer_0").is_dir() or (checkpoint / "optimizer.bin").is_file():
        was = Sharding.FSDP
    elif (checkpoint / "latest").is_file():  # of DeepSpeed: stage 2 keeps the model whole
        whole = any(checkpoint.glob("global_step*/mp_rank_*_model_states.pt"))
        was = Sharding.ZERO2 if whole else Sharding.ZERO3
    if was is not job.sharding:
        raise ArtifactError(
            f"The checkpoint {checkpoint} was written with sharding: {was.value} and cannot be "
            f"read with sharding: {job.sharding.value}. Set train.sharding back, or remove it to "
            f"begin anew."
        )


def checkpoint_bytes(job: Job) -> tuple[int, int]:
    """Return the most bytes that `job.work` and `job.output` will hold at once.

    A new checkpoint is whole before the one before it goes, so `work` holds two.

    Raises:
        ConfigError: The base's sizes cannot be read.
    """
    from wavecoder.train.shapes import shape_of

    parameters = shape_of(job.base).parameters
    saved = parameters * (2 if job.precision is Precision.BF16 else 4)
    if job.adapter is not Adapter.NONE:
        return 0, saved if job.merge else 0  # an adapter itself is a hundredth of that
    moments = 0 if "adafactor" in job.optimizer else 2 if "8bit" in job.optimizer else 8
    each = parameters * (4 + moments)
    # DeepSpeed saves its fp32 weights beside the model, and stage 2 that once more.
    if job.sharding is Sharding.ZERO3:
        each += saved
    elif job.sharding is Sharding.ZERO2:
        each += 2 * saved
    return each * min(2, (job.steps - 1) // job.save_steps), saved


def _check_room(job: Job) -> None:
    work, output = checkpoint_bytes(job)
    have = sum(one.stat().st_size for one in job.work.rglob("*") if one.is_file())
    needs = {job.work: max(0, work - have)}
    if job.work.stat().st_dev == job.output.stat().st_dev:
        needs[job.work] += output
    else:
        needs[job.output] = output
    for folder, need in needs.items():
        free = shutil.disk_usage(folder).free
        if free < need:
            raise TrainingError(
                f"The checkpoints need {_size(need)} in {folder} and {_size(free)} are free. Make "
                f"room, or train an adapter (train.adapter: lora), whose checkpoints are small."
            )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


@contextmanager
def _started(folder: Path, job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """Start the workers and see to it that none is left."""
    with (job.work / "log.txt").open("wb") as log:
        workers = subprocess.Popen(
            command(job, folder),
            stdin=subprocess.PIPE,  # never written to: its end says that this process is gone
            stdout=log,
            stderr=log,
            env=_environment(job),
            start_new_session=True,  # Ctrl-C is for this process, which tells them
        )
    try:
        yield workers
    finally:
        if workers.poll() is None:
            os.killpg(workers.pid, signal.SIGKILL)
        assert workers.stdin is not None
        workers.stdin.close()
        workers.wait()


def _environment(job: Job) -> dict[str, str]:
    """Return what the workers find in their environment."""
    found = {**os.environ, "WAVECODER_TRAIN_WATCHED": "1", "TOKENIZERS_PARALLELISM": "false"}
    if job.gpus == 0:
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found


def _judged(job: Job, code: int, began: Path | None) -> Outcome:
    """Return the outcome of workers that ended, or raise what it means.

    Args:
        job: What they trained.
        code: Their exit status.
        began: The checkpoint that they were to go on from.
    """
    outcome = read_outcome(job.output)
    goes_on = _goes_on(job)
    if outcome is None:
        if code == -signal.SIGKILL or _memory_was_refused(job):
            raise TrainingError(
                f"The training was ended, as it seems for lack of memory. {_fitting(job)}"
            )
        if began is not None and began == last_whole(job.work) and not _went_on(job, began):
            goes_on = f"If {began} is damaged, remove it, and the same command begins anew."
        raise TrainingError(
            f"The training ended with exit status {code} and without an outcome: "
            f"{_last_line(job)}. Its log is {job.work / 'log.txt'}. {goes_on}"
        )
    if outcome.status == "complete":
        return outcome
    if outcome.status == "stopped":
        raise StoppedError(f"Stopped after step {outcome.steps} of {job.steps}. {goes_on}")
    if outcome.status == "memory":
        raise TrainingError(f"Memory ran out ({outcome.detail}). {_fitting(job)}")
    if outcome.status == "space":
        need = sum(checkpoint_bytes(job))
        raise TrainingError(
            f"The disk is full: a checkpoint could not be written under {job.work} or "
            f"{job.output}, which need {_size(need)} altogether. Make room. {goes_on}"
        )
    raise TrainingError(outcome.detail)


def _goes_on(job: Job) -> str:
    kept = last_whole(job.work)
    if kept is None:
        return "No checkpoint was saved yet."
    return f"The checkpoint of step {step_of(kept)} is kept; the same command goes on from it."


def _went_on(job: Job, began: Path) -> bool:
    """Return True if a step was done behind the checkpoint that was gone on from."""
    rows = read_rows(job.output / "metrics.jsonl")
    return any("loss" in row and row["step"] > step_of(began) for row in rows)


def _fitting(job: Job) -> str:
    from wavecoder.train.fitting import fitting

    return fitting(job)


def _memory_was_refused(job: Job) -> bool:
    """Return True if the log says that a worker was killed, or had no memory to begin with."""
    said = _log(job)
    signs = ("Signal 9 (SIGKILL)", "MemoryError", "failed to map segment", "Cannot allocate memory")
    return any(sign in said for sign in signs)


def _log(job: Job) -> str:
    try:
        with (job.work / "log.txt").open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 10_000))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _last_line(job: Job) -> str:
    lines = [line.strip() for line in _log(job).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "nothing was said"
