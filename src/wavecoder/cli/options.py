"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Concurrency",
    "MaxCost",
    "MaxFailed",
    "MaxTokens",
    "Model",
    "PricesFile",
    "RecipePath",
    "RequestsPerMinute",
    "RunFolder",
    "SandboxName",
    "Set",
    "Timeout",
    "TokensPerMinute",
    "Unsandboxed",
]

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
Concurrency = Annotated[
    int,
    typer.Option(min=1, help="Most requests in flight to a model; it adapts to what comes back."),
]
RequestsPerMinute = Annotated[
    float | None, typer.Option(min=0.001, help="Most requests a minute to a model.")
]
TokensPerMinute = Annotated[
    float | None,
    typer.Option(min=1, help="Most tokens a minute for a model, prompts and replies together."),
]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds a reply may take.")]
MaxCost = Annotated[
    float | None,
    typer.Option(min=0, help="USD that all replies in the run's ledger may cost together."),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(min=0, help="Tokens that all requests and replies in the run's ledger may have."),
]
PricesFile = Annotated[
    Path | None,
    typer.Option("--prices", help="YAML file of your own prices, in USD per million tokens."),
]
MaxFailed = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Share of the last 100 functions that may fail before the run stops."
    ),
]
SandboxName = Annotated[
    str,
    typer.Option(
        "--sandbox",
        help="Where programs run: bubblewrap, one a plugin names, or package.module:Class.",
    ),
]
Unsandboxed = Annotated[
    bool,
    typer.Option(
        "--allow-unsandboxed",
        help="Where no sandbox works, run programs that a model wrote with all of your rights.",
    ),
]
