"""Commands that run a recipe, and check one."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from wavecoder.cli.options import (
    Concurrency,
    MaxCost,
    MaxFailed,
    MaxTokens,
    Model,
    PricesFile,
    RecipePath,
    RequestsPerMinute,
    SandboxName,
    Set,
    Timeout,
    TokensPerMinute,
    Unsandboxed,
)
from wavecoder.pipeline import RunOptions
from wavecoder.protocols import Limits
from wavecoder.stage import OnExisting

__all__ = ["check", "run", "stopping"]


def run(
    recipe: RecipePath,
    out: Annotated[Path, typer.Option("-o", "--out", help="The run's folder.")],
    overrides: Set = None,
    model: Model = None,
    first: Annotated[str | None, typer.Option(help="First stage to run.")] = None,
    last: Annotated[str | None, typer.Option(help="Last stage to run.")] = None,
    on_existing: Annotated[
        OnExisting,
        typer.Option(
            help="resume: go on with what is there, refuse what another recipe made. "
            "replace: make that again. fail: refuse anything that is there."
        ),
    ] = OnExisting.RESUME,
    processes: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that share the work. 1: this one, which a bad file may end."
        ),
    ] = max(2, os.cpu_count() or 1),
    licenses: Annotated[
        str | None,
        typer.Option(help="Keep code under these licences only: permissive, or 'MIT,Apache-2.0'."),
    ] = None,
    replies: Annotated[
        Path | None,
        typer.Option(help="SQLite file of model replies, to share one between runs."),
    ] = None,
    concurrency: Concurrency = 64,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    timeout: Timeout = 600.0,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    prices: PricesFile = None,
    max_failed: MaxFailed = 0.5,
    sandbox: SandboxName = "bubblewrap",
    allow_unsandboxed: Unsandboxed = False,
) -> None:
    """Run a recipe, or go on with it: only what is missing is done."""
    from wavecoder import pipeline
    from wavecoder.progress import progress

    if licenses is not None:
        wanted = ", ".join(name.strip() for name in licenses.split(","))
        overrides = [*(overrides or ()), f"collect.licenses=[{wanted}]"]
    limits = Limits(
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        timeout=timeout,
        max_cost=max_cost,
        max_tokens=max_tokens,
        prices=prices,
        max_failed=max_failed,
        sandbox=sandbox,
        unsandboxed=allow_unsandboxed,
    )
    loaded = pipeline.read_recipe(recipe, overrides or (), model)
    with stopping() as stop, progress() as shown:
        made = pipeline.run(
            loaded,
            out,
            RunOptions(shown, stop, on_existing, limits, processes, replies),
            first=first,
            last=last,
        )
    if "evaluate" in made:
        from wavecoder.report import score_tables

        typer.echo(f"{score_tables(made['evaluate'])}\n")
    for name, artifact in made.items():
        page = artifact.files / "report.html"
        typer.echo(f"{name}: {page if page.exists() else artifact.folder / 'records.parquet'}")


def check(recipe: RecipePath, overrides: Set = None, model: Model = None) -> None:
    """Check a recipe and print it resolved, with every default; nothing is run or asked."""
    import yaml

    from wavecoder import pipeline

    loaded = pipeline.read_recipe(recipe, overrides or (), model)
    tables = {stage.name: stage.config.model_dump(mode="json") for stage in pipeline.stages(loaded)}
    typer.echo(yaml.safe_dump({"seed": loaded.seed, **tables}, sort_keys=False).rstrip())


@contextmanager
def stopping() -> Iterator[Event]:
    """Make Ctrl-C (or SIGTERM) once a request to stop, and twice an end at once."""
    stop = Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            # Threads inside the model do not answer; what was finished is on disk already.
            os._exit(130)
        stop.set()
        sys.stderr.write("\nStopping: finishing what is in flight. Ctrl-C again stops at once.\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
