"""The command that says how far a run is, also from another shell while it goes on."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecoder.cli.options import RunFolder

if TYPE_CHECKING:
    from wavecoder.status import StageStatus, Status

__all__ = ["status"]

_WORKING = {
    True: "a process is working on it",
    False: "no process is working on it",
    None: "the file system does not tell whether a process is working on it",
}


def status(
    folder: RunFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how far a run is: every input accepted, refused, failed or pending; rate, replies."""
    import json

    from wavecoder import status as reading

    found = reading.status(folder)
    if as_json:
        typer.echo(json.dumps(_table(found), indent=2))
        return
    typer.echo(f"{found.folder}: {_WORKING[found.working]}")
    for stage in found.stages:
        typer.echo(f"{stage.name}: {_words(stage)}")
        for what, counts in (("refused", stage.refused), ("failed", stage.failed)):
            for reason, count in counts.items():
                typer.echo(f"  {count:>8}  {what:<7}  {reason}")
        for variant, far in stage.variants.items():
            typer.echo(f"  {variant}: {far}")
        if stage.name == found.progress.get("stage"):
            typer.echo(f"  {_progress_words(found, stage)}")
    for one in found.replies:
        at = f" at {one.endpoint}" if one.endpoint else ""
        unknown = f", {one.uncounted:,} without a count" if one.uncounted else ""
        typer.echo(
            f"replies: {one.count:,} of {one.model}{at}, "
            f"{one.prompt_tokens:,} tokens read, {one.completion_tokens:,} written{unknown}"
        )
    if found.trouble:
        typer.echo(f"replies: {found.trouble}")


def _words(stage: "StageStatus") -> str:
    state = stage.state if stage.state != "stopped" else "stopped half-way"
    if stage.state == "waiting":
        return "not begun"
    if not stage.journaled:
        return f"{state}, its outcomes are on disk once it is complete"
    of = "" if stage.total is None else f" of {stage.total:,}"
    pending = "total unknown" if stage.pending is None else f"{stage.pending:,} pending"
    if stage.target is not None:
        pending = f"total unknown, it ends at {stage.target:,} accepted"
    return (
        f"{state}, {stage.done:,}{of} done: {stage.accepted:,} accepted, "
        f"{sum(stage.refused.values()):,} refused, {sum(stage.failed.values()):,} failed, {pending}"
    )


def _progress_words(found: "Status", stage: "StageStatus") -> str:
    """Return what the process that works on the stage says: rate, time left, in flight, spent."""
    from wavecoder.progress import duration, figure_text

    said = found.progress
    parts = []
    if said.get("step"):
        parts.append(str(said["step"]))
    else:
        if not stage.journaled and said.get("done"):
            parts.append(f"{said['done']:,} done")
        if said.get("rate") is not None:
            parts.append(f"{said['rate']:,.1f} a second")
        if said.get("seconds_left") is not None:
            parts.append(f"{duration(said['seconds_left'])} left")
    parts += [f"{label} {figure_text(value)}" for label, value in said.get("figures", {}).items()]
    age = "" if found.age is None else f" ({duration(found.age)} ago)"
    return (", ".join(parts) or "begun") + age


def _table(found: "Status") -> dict[str, Any]:
    from dataclasses import asdict

    stages = []
    for stage in found.stages:
        table = {**asdict(stage), "done": stage.done, "pending": stage.pending}
        if not table.pop("journaled"):
            unknown = ("accepted", "refused", "failed", "done", "pending")
            table |= dict.fromkeys(unknown)
        stages.append(table)
    return {**asdict(found), "folder": str(found.folder), "stages": stages}
