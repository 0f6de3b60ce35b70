"""What is done between the steps of a training: the curve, stopping, divergence, whole checkpoints.

`Course` is the one callback of transformers' Trainer that is ours. It runs in every process, and
all of them decide the same, as a process that saves alone would wait for the others for ever.
"""

import importlib
import json
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from wavecoder.artifact import write_text
from wavecoder.errors import ArtifactError
from wavecoder.records import digest

__all__ = [
    "Course",
    "Divergence",
    "all_here",
    "checkpoints",
    "cut",
    "is_of",
    "is_whole",
    "last_whole",
    "mark_of",
    "peak_bytes",
    "read_rows",
    "step_of",
]

_MARK = "whole"  # a file in a checkpoint that has all its files
_WINDOW = 20  # steps whose median loss is what a loss is compared with
_TIMES = 3.0
_PATIENCE = 5  # steps in a row; one batch alone may be that hard


class Divergence:
    """Tells a training that runs away from one that is noisy.

    It has diverged at once where the loss or the gradient is no number any more, and where the loss
    was above three times the median of the last 20 calm steps, and above the first loss, five
    steps in a row. Losses of small batches are skewed, but a batch that is three times as hard as
    the median is rare, and five in a row are no accident. The first loss is the base's own: below
    it nothing has been lost yet.
    """

    def __init__(self) -> None:
        self._calm: deque[float] = deque(maxlen=_WINDOW)
        self._first: float | None = None
        self._above = 0
        self._last = 0.0

    @property
    def calm(self) -> bool:
        """Say whether the last loss was no higher than those before it may lead one to expect."""
        return self._above == 0

    def take(self, step: int, loss: float, gradient: float | None) -> str | None:
        """Return what happened, as half a sentence, or None while all is well.

        Args:
            step: The step's number.
            loss: Mean loss a response token of the step.
            gradient: Norm of its gradient before it was clipped.
        """
        if not math.isfinite(loss):
            return f"the loss of step {step} is {loss}"
        if gradient is not None and not math.isfinite(gradient):
            return f"the gradient of step {step} has the norm {gradient}"
        if self._first is None:
            self._first = loss
        if self._calm and loss > max(self._first, _TIMES * median(self._calm)):
            self._above += 1
        else:
            self._above = 0
            self._calm.append(loss)
        self._last = loss
        if self._above < _PATIENCE:
            return None
        return (
            f"the loss was above {_TIMES:g} times its median of {median(self._calm):.3g} for "
            f"{_PATIENCE} steps and is {loss:.3g} at step {step}"
        )

    def at_the_end(self, before: float | None, after: float | None) -> str | None:
        """Return why the last state is not worth keeping, as half a sentence, or None.

        The steps may be used up before five in a row were too high. Where a held-out loss was
        measured it decides, as the last batch alone may have been a hard one.

        Args:
            before: The held-out loss of the base; None: not measured.
            after: That of the last state.
        """
        if after is not None and not math.isfinite(after):
            return f"the held-out loss at the end is {after}"
        if self.calm or (before is not None and after is not None and after <= before):
            return None
        return (
            f"the loss of the last step is {self._last:.3g}, above {_TIMES:g} times its median of "
            f"{median(self._calm):.3g}"
        )


class _Job(Protocol):
    """What `Course` reads of a `Job`."""

    output: Path
    work: Path
    save_steps: int


class Course:
    """A callback of transformers' Trainer.

    Args:
        job: The job.
        steps_an_epoch: Steps of the optimizer in an epoch.
        held_out: Whether there is something to measure the loss of.
        resumed: Whether it goes on from a checkpoint, so that the curve has a beginning.
    """

    def __init__(
        self, job: _Job, *, steps_an_epoch: int, held_out: bool, resumed: bool = False
    ) -> None:
        # What follows is the same in every process, whoever of them has written which file.
        self.stopped = False
        self.diverged: str | None = None
        self.loss: float | None = None
        self.held_out: dict[int, float] = {}
        self.seconds = 0.0
        self.tokens = 0
        self._job = job
        self._steps_an_epoch = steps_an_epoch
        self._held_out = held_out
        self._divergence = Divergence()
        self._save_is_due = False
        self._tokens_before = 0
        self._began = time.monotonic()
        if resumed:
            for row in read_rows(job.output / "metrics.jsonl"):
                if "held_out_loss" in row:
                    self.held_out[row["step"]] = row["held_out_loss"]
                else:
                    self.loss = row["loss"]
                    self.seconds = row["seconds"]
                    self.tokens = self._tokens_before = row["tokens"]
                    self._divergence.take(row["step"], row["loss"], row["grad_norm"])

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return what is done at the events of a TrainerCallback that are not below: nothing."""
        if not name.startswith("on_"):
            raise AttributeError(name)
        return _nothing

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Start the clock of the first step."""
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Decide what follows a step."""
        last = state.global_step >= state.max_steps
        if last or state.global_step % self._steps_an_epoch == 0:
            control.should_evaluate = self._held_out
        self._save_is_due |= state.global_step % self._job.save_steps == 0
        if not last and _agreed((self._job.work / "stop").exists(), args.device):
            self.stopped = self._save_is_due = True
            control.should_evaluate = False
            control.should_training_stop = True
        if last:  # then the model itself is saved, which needs no optimizer
            self._save_is_due = False

    def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Write the row of a step; stop before a diverged state is saved."""
        logs = more["logs"]
        if "loss" not in logs:
            return
        seconds = max(time.monotonic() - self._began, 1e-9)
        tokens = self._tokens_before + int(logs["num_tokens"])
        gradient = logs.get("grad_norm")
        self._write(
            state,
            {
                "step": state.global_step,
                "epoch": logs["epoch"],
                "loss": logs["loss"],
                "learning_rate": logs["learning_rate"],
                "grad_norm": gradient,
                "tokens": tokens,
                "tokens_per_second": (tokens - self.tokens) / seconds,
                "seconds": self.seconds + seconds,
                "memory": peak_bytes(),
            },
        )
        self.tokens, self.seconds = tokens, self.seconds + seconds
        self.loss = logs["loss"]
        self.diverged = self._divergence.take(state.global_step, logs["loss"], gradient)
        if self.diverged:
            control.should_evaluate = False
            control.should_training_stop = True
        # A state that may be running away waits, and the good checkpoint stays.
        elif self._save_is_due and self._divergence.calm:
            control.should_save, self._save_is_due = True, False
        self._began = time.monotonic()

    def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Write the row of a measurement; its time is no step's."""
        loss = self.held_out[state.global_step] = more["metrics"]["eval_loss"]
        self._write(state, {"step": state.global_step, "epoch": state.epoch, "held_out_loss": loss})
        self._began = time.monotonic()

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Look at the last state, before it is saved as the model."""
        if not (self.stopped or self.diverged):
            held_out = self.held_out.get(0), self.held_out.get(state.global_step)
            self.diverged = self._divergence.at_the_end(*held_out)

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Mark the checkpoint as whole, then let the ones before it go."""
        all_here()  # their parts of the checkpoint may not be written yet
        if state.is_world_process_zero:
            folder = self._job.work / f"checkpoint-{state.global_step}"
            for file in (one for one in folder.rglob("*") if one.is_file()):
                _settle(file)
            (folder / _MARK).write_text(mark_of(self._job), encoding="utf-8")
            _settle(folder)
            for other in checkpoints(self._job.work):
                if other != folder:
                    shutil.rmtree(other)
        self._began = time.monotonic()

    def _write(self, state: Any, row: dict[str, Any]) -> None:
        if state.is_world_process_zero:
            with (self._job.output / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def checkpoints(work: Path) -> list[Path]:
    """Return the checkpoints in a folder, whole or not, the earliest first."""
    found = [one for one in work.glob("checkpoint-*") if one.name[11:].isdigit()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path | None) -> int:
    """Return the step a checkpoint was saved after; 0 where there is none."""
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def is_whole(checkpoint: Path) -> bool:
    """Return True if all of a checkpoint is on disk."""
    return (checkpoint / _MARK).is_file()


def mark_of(job: "_Job") -> str:
    """Return what the mark of a job's checkpoints says: a digest of what decides the result."""
    settings = job.output / "settings.json"
    return digest(settings.read_text("utf-8")) if settings.is_file() else ""


def is_of(checkpoint: Path, job: "_Job") -> bool:
    """Return False if a checkpoint is whole and was made by another training."""
    mark = (checkpoint / _MARK).read_text("utf-8")
    return mark in ("", mark_of(job))


def last_whole(work: Path) -> Path | None:
    """Return the checkpoint to go on from; None: from the beginning."""
    return next((one for one in reversed(checkpoints(work)) if is_whole(one)), None)


def cut(metrics: Path, checkpoint: Path | None) -> None:
    """Drop the rows behind a checkpoint, whose steps are done again; None: all of them."""
    step = -1 if checkpoint is None else step_of(checkpoint)
    kept = [row for row in read_rows(metrics) if row["step"] <= step]
    text = "".join(json.dumps(row) + "\n" for row in kept)
    # One who reads it while it grows has it open: it is another file only where it must be.
    if metrics.is_file() and metrics.read_text("utf-8") != text:
        write_text(metrics, text)


def read_rows(metrics: Path) -> list[dict[str, Any]]:
    """Return the rows of `metrics.jsonl`; [] where it is not there, without a row half written.

    Raises:
        ArtifactError: It is damaged.
    """
    try:
        lines = metrics.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ArtifactError(
            f"{metrics} is damaged: {error}. Remove it; only the curve until now is lost."
        ) from error


def peak_bytes() -> int | None:
    """Return the most memory that was held on this process's GPU; None on a CPU."""
    torch: Any = importlib.import_module("torch")
    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else None


def _nothing(*args: Any, **more: Any) -> None:
    pass


def _settle(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _agreed(here: bool, device: Any) -> bool:
    """Return True in every process if it is so in any of them."""
    torch: Any = importlib.import_module("torch")
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return here
    found = torch.tensor(int(here), device=device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return bool(found.item())


def all_here() -> None:
    """Wait until every process has come here."""
    torch: Any = importlib.import_module("torch")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
