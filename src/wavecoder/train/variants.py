"""How far each variant of a `train` that is not complete is, read from its folder alone."""

from collections.abc import Iterable
from pathlib import Path

from wavecoder.train.callbacks import last_whole, read_rows, step_of
from wavecoder.train.job import Job, read_outcome

__all__ = ["variants"]


def variants(folder: Path, names: Iterable[str], *, stopped: bool) -> dict[str, str]:
    """Return in words how far each variant is, by name.

    Args:
        folder: The stage's folder.
        names: The variants of its table.
        stopped: Whether no process works on the run.

    Raises:
        ArtifactError: The curve of one is damaged.
    """
    work, files = folder / "work", folder / "files"
    return {name: _words(work / name, files / name, stopped) for name in names}


def _words(work: Path, output: Path, stopped: bool) -> str:
    try:
        steps = Job.load(work / "job").steps
    except (OSError, ValueError):
        return "not started"
    outcome, rows = read_outcome(output), read_rows(output / "metrics.jsonl")
    # Where the trainer that was started here has no log, a person may have started the workers.
    started = (work / "checkpoints" / "log.txt").exists()
    step = rows[-1]["step"] if rows else 0
    if outcome is None and not (started and stopped):
        return f"step {step:,} of {steps:,}" if started or rows else "prepared"
    if outcome is None or outcome.status == "stopped":
        kept = step_of(last_whole(work / "checkpoints"))
        return f"stopped at step {kept:,} of {steps:,}; the same command goes on"
    if outcome.status == "complete":
        return "complete"
    return f"ended at step {step:,} of {steps:,}: {outcome.status}"
