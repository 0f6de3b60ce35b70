"""The command that looks at what failed, and asks for it again."""

from pathlib import Path
from typing import Annotated

import typer

from wavecoder.cli.options import (
    Concurrency,
    MaxCost,
    MaxFailed,
    MaxTokens,
    PricesFile,
    RequestsPerMinute,
    RunFolder,
    Timeout,
    TokensPerMinute,
)
from wavecoder.protocols import Limits

__all__ = ["failed"]


def failed(
    folder: RunFolder,
    retry: Annotated[
        bool, typer.Option("--retry", help="Ask again for these, and for nothing else.")
    ] = False,
    replies: Annotated[
        Path | None,
        typer.Option(help="The SQLite file of model replies, if the run was given one."),
    ] = None,
    concurrency: Concurrency = 64,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    timeout: Timeout = 600.0,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    prices: PricesFile = None,
    max_failed: MaxFailed = 0.5,
) -> None:
    """List the functions to which no model replied, with the reason; --retry asks again."""
    from wavecoder import pipeline
    from wavecoder.cli.run import stopping
    from wavecoder.progress import progress

    if not retry:
        count = 0
        for one in pipeline.failures(folder):
            typer.echo(f"{one.id}  {one.reason}  {one.detail}")
            count += 1
        typer.echo(f"{count} failed" + ("; --retry asks for them again" if count else ""))
        return
    limits = Limits(
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        timeout=timeout,
        max_cost=max_cost,
        max_tokens=max_tokens,
        prices=prices,
        max_failed=max_failed,
    )
    with stopping() as stop, progress() as shown:
        options = pipeline.RunOptions(shown, stop, limits=limits, replies=replies)
        pipeline.retry(folder, options)
    left = sum(1 for _ in pipeline.failures(folder))
    typer.echo(f"{left} failed")
