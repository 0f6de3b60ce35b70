"""The command that shows a few records whole before a run is paid for."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecoder.cli.options import Model, RecipePath, Set

if TYPE_CHECKING:
    from wavecoder.preview import Look

__all__ = ["preview"]


def preview(
    recipe: RecipePath,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, help="How many functions, in pick order.")
    ] = 3,
    function: Annotated[
        str | None, typer.Option(help="The id of one function of the coreset instead.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="A run's folder, whose `wavecoder run` will not ask the same again; "
            "left out, nothing is kept.",
        ),
    ] = None,
    overrides: Set = None,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="HTML file to write the same into.", metavar="FILE")
    ] = None,
) -> None:
    """Send a few functions through the real models and print all that was asked and answered."""
    import json
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    from wavecoder import preview as looking
    from wavecoder.artifact import write_text
    from wavecoder.cli.run import stopping
    from wavecoder.errors import ConfigError
    from wavecoder.pipeline import RunOptions, check_ledger, read_recipe
    from wavecoder.progress import Lines, progress

    if save is not None and not save.parent.is_dir():
        raise ConfigError(f"There is no folder {save.parent} to save {save.name} in. Make it.")
    loaded = read_recipe(recipe, overrides or (), model)
    if out is not None:
        check_ledger(out / "replies.sqlite")
    found: list[Look] = []
    with ExitStack() as stack:
        stop = stack.enter_context(stopping())
        folder = out or Path(stack.enter_context(TemporaryDirectory(prefix="wavecoder-")))
        processes = max(2, os.cpu_count() or 1)
        with progress() as shown:
            options = RunOptions(progress=shown, stop=stop, processes=processes)
            ready = looking.prepare(loaded, folder, options)
        options.progress = Lines(sys.stderr)  # a live panel would stand among the records
        for look in looking.looks(ready, count=count, function=function):
            found.append(look)
            if not as_json:
                _print(look)
    if as_json:
        typer.echo(json.dumps([looking.as_table(look) for look in found], indent=2))
    if save is not None:
        write_text(save, looking.as_html(found))


def _print(look: "Look") -> None:
    from wavecoder.preview import as_text, parts

    if not sys.stdout.isatty():
        typer.echo(as_text(look))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for level, title, text in parts(look):
        style = {1: "bold reverse", 2: "bold", 3: "bold cyan", 4: "cyan"}[level]
        console.print(Text(title, style=style))
        if text:
            console.print(Padding(Text(text), (0, 0, 0, 4)))
