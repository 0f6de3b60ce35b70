"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Model", "RecipePath", "RunFolder", "Set"]

RecipePath = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", metavar="RECIPE")]
Set = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", help="Override a key: -s select.k=100. Repeatable."),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Model that generates and judges: local:NAME, http://host:port/v1#name, scripted:FILE."
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
