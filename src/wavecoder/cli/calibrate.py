"""The command that measures how good a discriminator is."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wavecoder.cli.options import (
    Concurrency,
    MaxCost,
    MaxTokens,
    PricesFile,
    SandboxName,
    Set,
    Timeout,
    Unsandboxed,
)
from wavecoder.protocols import Limits

__all__ = ["calibrate"]


def calibrate(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run whose accepted instances are known to be good, or a .jsonl file of "
            'instances with "good": true or false; HumanEvalPack where it is left out.',
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("-r", "--recipe", help="The recipe whose discriminator judges.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model that judges: local:NAME …")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Name of the variable with the endpoint's key.")
    ] = None,
    overrides: Set = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder for calibration.json, and to go on where it was stopped."
        ),
    ] = None,
    graders: Annotated[
        str | None,
        typer.Option(help="Of checks, execution, judge; commas between. All where left out."),
    ] = None,
    languages: Annotated[str | None, typer.Option(help="Of the solutions; commas between.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Of the four; commas between.")] = None,
    defects: Annotated[
        str | None, typer.Option(help="Slugs of what is planted; commas between.")
    ] = None,
    sample: Annotated[
        int,
        typer.Option("-n", "--sample", min=0, help="Known-good of each task and language; 0: all."),
    ] = 10,
    planted: Annotated[
        int, typer.Option(min=0, help="Cases of each defect; 0: wherever it suits.")
    ] = 24,
    repeats: Annotated[int, typer.Option(min=1, help="How often the judge judges each.")] = 1,
    seed: Annotated[int, typer.Option(help="Random seed of all that is drawn.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    concurrency: Concurrency = 64,
    timeout: Timeout = 600.0,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    prices: PricesFile = None,
    sandbox: SandboxName = "bubblewrap",
    allow_unsandboxed: Unsandboxed = False,
) -> None:
    """Plant known defects into known-good instances and count what is caught.

    The same command with -o goes on where it was stopped; no reply is paid for twice.
    """  # fmt: skip
    from wavecoder import calibrate as calibrating
    from wavecoder.cli.run import stopping
    from wavecoder.progress import progress

    stage = _stage(recipe, judge, api_key_env, overrides)
    asked = _names(graders) or ("checks", "execution", *(("judge",) if stage else ()))
    plan = calibrating.Plan(
        stage=stage,
        source=source,
        graders=asked,
        languages=_names(languages) or calibrating.LANGUAGES,
        tasks=_names(tasks),
        defects=_names(defects),
        sample=sample or None,
        planted=planted or None,
        repeats=repeats,
        seed=seed,
        limits=Limits(
            concurrency=concurrency,
            timeout=timeout,
            max_cost=max_cost,
            max_tokens=max_tokens,
            prices=prices,
            sandbox=sandbox,
            unsandboxed=allow_unsandboxed,
        ),
    )
    with stopping() as stop, progress() as shown:
        result = calibrating.calibrate(plan, out, progress=shown, stop=stop)
    if out is not None:
        calibrating.write(result, out)
    table = calibrating.as_table(result)
    if as_json:
        typer.echo(calibrating.as_json(result), nl=False)
        return
    _print(calibrating.as_markdown(table), table)


def _stage(
    recipe: Path | None, judge: str | None, api_key_env: str | None, overrides: list[str] | None
) -> Any:
    """Return the stage whose discriminator judges, or None where none is named."""
    from wavecoder.errors import ConfigError
    from wavecoder.pipeline import Recipe, read_recipe, stages

    if recipe is None and judge is None:
        if overrides or api_key_env:
            raise ConfigError("-s and --api-key-env are about a judge. Name one with --judge.")
        return None
    if recipe is not None:
        own = [] if judge is None else [f"generate.discriminator={judge}"]
        if api_key_env is not None:
            own.append(f"generate.discriminator_api_key_env={api_key_env}")
        loaded = read_recipe(recipe, [*(overrides or ()), *own], None)
        if loaded.generate is None:
            raise ConfigError(f"The recipe {recipe} has no table generate, so no judge. Add one.")
    else:
        loaded = Recipe(generate={"generator": judge, "api_key_env": api_key_env})
        if overrides:
            raise ConfigError("-s overrides a recipe. Name it with --recipe.")
    (stage,) = stages(loaded, "generate", "generate")
    return stage


def _print(text: str, table: Mapping[str, Any]) -> None:
    stamp = table["judge"] and table["judge"]["rubber_stamp"]
    if not stamp or not sys.stdout.isatty():
        typer.echo(text, nl=False)
        return
    before, _, after = text.partition(f"**{stamp}**")
    typer.echo(before, nl=False)
    typer.secho(stamp, fg="red", bold=True, nl=False)
    typer.echo(after, nl=False)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
