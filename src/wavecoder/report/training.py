"""What an artifact of `train` says: dialogues by kind, and every variant's losses.

`files/VARIANT/outcome.json` says how a variant's training ended, `metrics.jsonl` its losses: rows
with `step` and `loss`, and rows with `step` and `held_out_loss`. Another trainer may leave neither;
then there is no curve.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wavecoder.artifact import Artifact, read_json
from wavecoder.errors import ArtifactError
from wavecoder.records import Checkpoint, Dialogue
from wavecoder.report.scores import BASE, checkpoints_in

__all__ = ["Training", "Tuned", "read_training", "training_figures"]

_SMALL = 0.005
"""Share of the lowest held-out loss by which it may rise and count as level."""

Points = tuple[tuple[int, float], ...]
"""Steps, and the loss after each."""


@dataclass(frozen=True)
class Tuned:
    """How a variant was trained."""

    checkpoint: Checkpoint
    outcome: Mapping[str, Any]
    """As `outcome.json` has it; empty where there is none."""
    loss: Points
    held_out: Points

    @property
    def words(self) -> str:
        """Say where the loss of what is held out is lowest, and what that means."""
        if len(self.held_out) < 2:
            return "The loss of dialogues held out was not measured."
        step, lowest = min(self.held_out, key=lambda point: point[1])
        first, (end, last) = self.held_out[0][1], self.held_out[-1]
        if step == self.held_out[0][0]:
            if last <= lowest * (1 + _SMALL):
                return f"The loss of dialogues held out stays at {lowest:.3f}: nothing is learned."
            return (
                f"The loss of dialogues held out is lowest before the first step ({lowest:.3f}) "
                f"and rises to {last:.3f}: training makes the model worse on what it has not seen."
            )
        fell = f"The loss of dialogues held out falls from {first:.3f} to {lowest:.3f}"
        if step == end:
            return f"{fell} at step {step:,}, the last: it does not overfit yet."
        if last <= lowest * (1 + _SMALL):
            return f"{fell} at step {step:,} and stays level from there."
        return (
            f"{fell} at step {step:,} and rises to {last:.3f} by step {end:,}: it overfits from "
            f"step {step:,} on."
        )


@dataclass(frozen=True)
class Training:
    """What `train` did."""

    tuned: tuple[Tuned, ...]
    """In the order of training."""
    by_task: Counter[str] = field(default_factory=Counter)
    """Dialogues, held out ones among them."""
    by_source: Counter[str] = field(default_factory=Counter)
    held_out: int = 0
    """Dialogues that were not trained on."""


def read_training(artifact: Artifact) -> Training:
    """Return what an artifact of `train` says.

    Raises:
        ArtifactError: A file is damaged.
        RecordError: A row is no dialogue.
    """
    tuned = [
        _tuned(one, artifact.files / one.name)
        for one in checkpoints_in(artifact)
        if one.name != BASE
    ]
    by_task: Counter[str] = Counter()
    by_source: Counter[str] = Counter()
    held_out = 0
    for dialogue in artifact.records(Dialogue):
        by_task[dialogue.task] += 1
        by_source[dialogue.source] += 1
        held_out += dialogue.held_out
    return Training(tuple(tuned), by_task, by_source, held_out)


def _tuned(checkpoint: Checkpoint, folder: Path) -> Tuned:
    path = folder / "outcome.json"
    outcome = read_json(path) if path.exists() else {}
    rows = list(_rows(folder / "metrics.jsonl"))
    return Tuned(checkpoint, outcome, _points(rows, "loss"), _points(rows, "held_out_loss"))


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file of metrics, if it is there.

    Raises:
        ArtifactError: A line is no JSON object.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ArtifactError(
                f"{path}:{number} is no row of metrics. Run train again with --on-existing replace."
            )
        yield row


def _points(rows: list[Mapping[str, Any]], key: str) -> Points:
    """Return the finite losses of that name; JSON as Python writes it may hold NaN."""
    found = {
        int(row["step"]): float(row[key])
        for row in rows
        if isinstance(row.get("step"), int) and isinstance(row.get(key), int | float)
    }
    return tuple((step, loss) for step, loss in sorted(found.items()) if math.isfinite(loss))


def training_figures(training: Training) -> Iterator[tuple[str, float]]:
    """Yield the figures of the report, a name and a value each; how long it took is none."""
    for one in training.tuned:
        name, outcome = one.checkpoint.name, one.outcome
        figures = {
            f"loss/{name}": outcome.get("loss"),
            f"held_out_loss/{name}/before": outcome.get("held_out_before"),
            f"held_out_loss/{name}/after": outcome.get("held_out_after"),
            f"steps/{name}": outcome.get("steps"),
            f"trained_tokens/{name}": outcome.get("tokens"),
        }
        yield from ((key, value) for key, value in figures.items() if value is not None)
    for task, count in sorted(training.by_task.items()):
        yield f"dialogues/task/{task}", count
    for source, count in sorted(training.by_source.items()):
        yield f"dialogues/source/{source}", count
    if training.by_task:
        yield "dialogues/held_out", training.held_out
