"""The command that looks at what a run needs before it begins."""

from pathlib import Path
from typing import Annotated

import typer

from wavecoder.cli.options import Model, Set

__all__ = ["doctor"]


def doctor(
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="[RECIPE]", help="A recipe, to check its sources and models, too."),
    ] = None,
    overrides: Set = None,
    model: Model = None,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask/--no-ask",
            help="Send each model one small request, or none: then an endpoint is asked for its "
            "list of models alone.",
        ),
    ] = True,
) -> None:
    """Check this machine, and a recipe's sources and models; say what to do about each fault."""
    from itertools import chain

    from wavecoder.doctor import Finding, Level, look_at_machine, look_at_recipe

    of_recipe: chain[Finding] = chain()
    if recipe is not None:
        of_recipe = chain(look_at_recipe(recipe, overrides or (), model, ask=ask))
    failed = False
    for finding in chain(look_at_machine(Path.cwd()), of_recipe):
        typer.echo(finding)
        failed |= finding.level is Level.FAIL
    if failed:
        raise typer.Exit(1)
