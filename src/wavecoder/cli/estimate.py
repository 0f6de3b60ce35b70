"""The command that says what a recipe will cost, before it is run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecoder.cli.options import MaxCost, MaxTokens, Model, PricesFile, RecipePath, Set
from wavecoder.pipeline import RunOptions
from wavecoder.protocols import Limits

if TYPE_CHECKING:
    from wavecoder.estimate import Estimate, ModelEstimate, Range

__all__ = ["estimate"]


def estimate(
    recipe: RecipePath,
    rows: Annotated[
        int,
        typer.Option(
            "-n", "--rows", min=0, help="Functions that are really asked; 0: none, lengths alone."
        ),
    ] = 20,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The run's folder, to keep the sample's replies for the run."
        ),
    ] = None,
    overrides: Set = None,
    model: Model = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    prices: PricesFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a recipe will ask and cost, from a sample that a run need not ask again."""
    import json
    from dataclasses import asdict

    from wavecoder import estimate as estimating
    from wavecoder import pipeline
    from wavecoder.cli.run import stopping
    from wavecoder.progress import progress

    loaded = pipeline.read_recipe(recipe, overrides or (), model)
    limits = Limits(max_cost=max_cost, max_tokens=max_tokens, prices=prices)
    with stopping() as stop, progress() as shown:
        options = RunOptions(
            progress=shown, stop=stop, limits=limits, processes=max(2, os.cpu_count() or 1)
        )
        found = estimating.estimate(loaded, out, options, rows=rows)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2, default=_plain))
        return
    for name, words in _lines(found, out):
        typer.echo(f"{name:<9} {words}")


def _plain(value: Any) -> Any:
    return value.model_dump()


def _lines(found: "Estimate", out: Path | None) -> list[tuple[str, str]]:
    """Return what is printed, a name and words a line."""
    lines = [("functions", f"{_whole(found.rows)} of {found.functions:,} tried")]
    if found.target is not None:
        lines.append(("target", f"{found.target:,} accepted"))
    if found.accepted is not None and found.acceptance is not None:
        share = _range(f"{100 * found.acceptance.low:.0f}", f"{100 * found.acceptance.high:.0f}")
        lines.append(("accepted", f"{_whole(found.accepted)}, {share} % of those tried"))
    lines.append(("calls", _whole(found.calls)))
    lines += [("model", _model(one)) for one in found.models]
    lines.append(("cost", _cost(found.cost)))
    if found.cost_per_accepted is not None:
        lines.append(("", f"{_cost(found.cost_per_accepted)} an accepted instance"))
    if found.asked:
        lines.append(("sample", _sample(found, out)))
    return [*lines, *(("note", note) for note in found.notes)]


def _model(one: "ModelEstimate") -> str:
    rate = "price unknown: give it in a file with --prices"
    if one.price is not None:
        rate = f"${one.price.prompt:g} and ${one.price.completion:g} a million"
        origin = ", ".join(word for word in (one.price.source, one.price.date) if word)
        rate += f" ({origin})"
    return (
        f"{one.model}: {_whole(one.calls)} calls, {_whole(one.prompt_tokens)} tokens read, "
        f"{_whole(one.completion_tokens)} written, {_cost(one.cost)}; {rate}"
    )


def _sample(found: "Estimate", out: Path | None) -> str:
    cost = "cost unknown" if found.sample.cost is None else f"${found.sample.cost:.4f}"
    failed = f", {found.failed:,} of them failed" if found.failed else ""
    kept = "not kept, as -o was left out" if out is None else f"in {out}, not to be asked again"
    return (
        f"{found.asked:,} functions asked{failed}: {found.sample.calls:,} calls, "
        f"{found.sample.tokens:,} tokens, {cost}; the replies are {kept}"
    )


def _whole(found: "Range") -> str:
    import math

    # A hair above a whole number is rounding.
    return _range(f"{math.floor(found.low + 1e-6):,}", f"{math.ceil(found.high - 1e-6):,}")


def _cost(found: "Range | None") -> str:
    if found is None:
        return "unknown"
    digits = 2 if found.high >= 1 else 4 if found.high >= 0.01 else 6
    return _range(f"${found.low:,.{digits}f}", f"${found.high:,.{digits}f}")


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
