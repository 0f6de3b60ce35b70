"""The command that tunes a model, or says what that will take."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecoder.cli.options import RecipePath, Set
from wavecoder.stage import OnExisting

if TYPE_CHECKING:
    from wavecoder.pipeline import Recipe, RunOptions

__all__ = ["train"]

_BEFORE = ("collect", "select", "generate", "regenerate")


def train(
    recipe: RecipePath,
    out: Annotated[Path, typer.Option("-o", "--out", help="The run's folder.")],
    overrides: Set = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print tokens, steps, memory and the launch line; train nothing."
        ),
    ] = False,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare",
            help="Write what each variant is trained from, and stop: start the printed lines with "
            "your own scheduler, then give this command again without --prepare.",
        ),
    ] = False,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="GPUs of a machine, 0: the CPU; otherwise those here.")
    ] = None,
    gpu_memory: Annotated[
        float | None, typer.Option(min=1, help="GB of each; otherwise of those here, or 80.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Machines, for --dry-run and --prepare.")
    ] = None,
    on_existing: Annotated[
        OnExisting, typer.Option(help="resume, replace or fail, as in `wavecoder run`.")
    ] = OnExisting.RESUME,
) -> None:
    """Tune the base model of a recipe on a run's instances, or go on with it.

    A recipe whose `train` reads only other datasets needs no run before it.
    """
    from wavecoder import pipeline
    from wavecoder.cli.run import stopping
    from wavecoder.errors import ConfigError
    from wavecoder.progress import progress

    chosen = list(overrides or ())
    own = {"gpus": gpus, "gpu_memory": gpu_memory, "nodes": nodes}
    chosen += [f"train.{key}={value}" for key, value in own.items() if value is not None]
    if prepare:
        chosen.append("train.prepare_only=true")
    loaded = pipeline.read_recipe(recipe, chosen)
    if loaded.train is None:
        raise ConfigError(f"The recipe {recipe} has no table train. Add one; see recipes/.")
    missing = _missing(loaded, out)
    if missing is not None and not (dry_run and loaded.train.get("data")):
        raise ConfigError(
            f"train reads the instances of {missing}, and {out} has none yet. Make them first: "
            f"wavecoder run {recipe} -o {out} --last {missing}"
        )
    with stopping() as stop, progress() as shown:
        options = pipeline.RunOptions(progress=shown, stop=stop, on_existing=on_existing)
        if dry_run or prepare:
            lines = _plan(loaded, out, options, write=prepare)
        else:
            made = pipeline.run(loaded, out, options, first="train", last="train")
            lines = f"train: {made['train'].files / 'checkpoints.json'}"
    typer.echo(lines)


def _plan(recipe: "Recipe", out: Path, options: "RunOptions", *, write: bool) -> str:
    """Return what is going to be trained, and how; write the job folders where that is asked."""
    from wavecoder import pipeline
    from wavecoder.errors import StoppedError
    from wavecoder.records import Rejected
    from wavecoder.train import Train, plan
    from wavecoder.train.writing import CHARACTERS_A_TOKEN

    notes = []
    missing = _missing(recipe, out)
    if missing is not None:
        notes.append(
            f"Only train.data is counted, whatever a variant weighs: {out} has no instances of "
            f"{missing} yet."
        )
        recipe = _of_data_alone(recipe)
    if write:
        try:
            pipeline.run(recipe, out, options, first="train", last="train")
        except StoppedError:
            if options.stop.is_set():
                raise
        else:
            return f"train: {out} is trained already, so that there is nothing to prepare."
    (stage,) = pipeline.stages(recipe, "train", "train")
    ctx = pipeline.context(stage, recipe, out, options)
    assert isinstance(stage, Train)
    nodes = stage.config.nodes
    prepared, counted = stage.planned(ctx)
    if not counted:
        notes.append(
            f"Tokens are estimated, at {CHARACTERS_A_TOKEN} characters each, as the base "
            f"{stage.config.base} is not on this machine and cannot be fetched."
        )
    if prepared.repeated:
        notes.append(
            f"{prepared.repeated:,} of {len(prepared.dialogues):,} dialogues repeat another word "
            f"for word."
        )
    rejected = Counter(one.reason for one in prepared.outcomes if isinstance(one, Rejected))
    parts = []
    for name, ready in prepared.variants.items():
        used = [
            tokens
            for tokens, count in zip(prepared.dialogues, ready.uses, strict=True)
            for _ in range(count)
        ]
        parts.append(
            plan.describe(
                name,
                ready.job,
                prepared.shape,
                lengths=[len(tokens.input_ids) for tokens in used],
                response_tokens=sum(tokens.response_tokens for tokens in used),
                rejected=rejected,
                held_out=sum(prepared.held_out),
                uses=len(used),
                device=prepared.device,
                nodes=nodes,
            )
        )
    if write:
        less = "--prepare" if nodes == 1 else "--prepare and --nodes"
        parts.append(f"When all of it has ended, give this command again without {less}.")
    return "\n\n".join([*notes, *parts])


def _missing(recipe: "Recipe", out: Path) -> str | None:
    """Return the stage whose instances are trained on, where a run has none of it yet."""
    from wavecoder import pipeline

    before = [name for name in recipe.tables() if name in _BEFORE]
    folders = [pipeline.stage_folder(out, name) for name in before]
    whole = all((folder / "manifest.json").exists() for folder in folders)
    return None if whole else before[-1]


def _of_data_alone(recipe: "Recipe") -> "Recipe":
    """Return a recipe without the stages before `train`, and without weights of their tasks."""
    table = dict(recipe.train or {})
    variants = table.get("variants")
    if isinstance(variants, dict):
        table["variants"] = {name: _unweighted(own) for name, own in variants.items()}
    return recipe.model_copy(update={**dict.fromkeys(_BEFORE), "train": _unweighted(table)})


def _unweighted(table: Any) -> Any:
    if not isinstance(table, dict) or not isinstance(table.get("weights"), dict):
        return table
    # A row of another dataset has this task and no other.
    weights = {task: weight for task, weight in table["weights"].items() if task == "other"}
    return {**table, "weights": weights}
