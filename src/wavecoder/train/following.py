"""Workers at work: what they write of the curve is told to who shows it, and a stop to them."""

import json
import subprocess
import time
from threading import Event
from typing import TYPE_CHECKING

from wavecoder.train.callbacks import last_whole, step_of
from wavecoder.train.job import Job

if TYPE_CHECKING:
    from wavecoder.protocols import Progress

__all__ = ["follow"]

_SECONDS = 0.2  # between two looks at the workers


def follow(
    workers: "subprocess.Popen[bytes]", job: Job, progress: "Progress", stop: Event, *, told: int
) -> None:
    """Tell the progress what the workers write, until they end.

    Args:
        workers: The process they are under.
        job: What they train.
        progress: Hears of steps and losses.
        stop: Set once the user asks to stop.
        told: Bytes of `metrics.jsonl` that an earlier start wrote.
    """
    progress.step("steps", step_of(last_whole(job.work)), job.steps)
    curve = _Curve(job, progress, told)
    asked = False
    while workers.poll() is None:
        if asked:
            time.sleep(_SECONDS)
        elif stop.wait(_SECONDS):
            (job.work / "stop").touch()
            asked = True
        curve.tell()
    curve.tell()


class _Curve:
    """Reads `metrics.jsonl` while it grows."""

    def __init__(self, job: Job, progress: "Progress", told: int) -> None:
        self._job = job
        self._progress = progress
        self._at = told

    def tell(self) -> None:
        try:
            with (self._job.output / "metrics.jsonl").open("rb") as file:
                file.seek(self._at)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        rows = [json.loads(line) for line in whole.splitlines()]
        measured = [row for row in rows if "held_out_loss" in row]
        steps = [row for row in rows if "loss" in row]
        if measured:
            self._progress.figures({"held-out loss": measured[-1]["held_out_loss"]})
        if steps:
            last = steps[-1]
            self._progress.step("steps", last["step"], self._job.steps)
            rate = round(last["tokens_per_second"])
            self._progress.figures({"loss": last["loss"], "tokens/s": rate})
