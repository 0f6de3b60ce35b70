"""The command that tunes a model, or says what that will take."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecoder.cli.options import RecipePath, Set
from wavecoder.stage import OnExisting

if TYPE_CHECKING:
    from wavecoder.pipeline import Recipe, RunOptions

__all__ = ["train"]


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
        int | None, typer.Option(min=0, help="GPUs of a machine; those that are here otherwise.")
    ] = None,
    gpu_memory: Annotated[
        float | None, typer.Option(min=1, help="GB of each, where they are not here: 80.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines, for the launch line.")] = 1,
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
    if gpus is not None:
        chosen.append(f"train.gpus={gpus}")
    if prepare:
        chosen.append("train.prepare_only=true")
    loaded = pipeline.read_recipe(recipe, chosen)
    if loaded.train is None:
        raise ConfigError(f"The recipe {recipe} has no table train. Add one; see recipes/.")
    with stopping() as stop, progress() as shown:
        options = pipeline.RunOptions(progress=shown, stop=stop, on_existing=on_existing)
        if dry_run or prepare:
            lines = _plan(loaded, out, options, gpu_memory=gpu_memory, nodes=nodes, write=prepare)
        else:
            made = pipeline.run(loaded, out, options, first="train", last="train")
            lines = f"train: {made['train'].files / 'checkpoints.json'}"
    typer.echo(lines)


def _plan(
    recipe: "Recipe",
    out: Path,
    options: "RunOptions",
    *,
    gpu_memory: float | None,
    nodes: int,
    write: bool,
) -> str:
    """Return what is going to be trained, and how; write the job folders where that is asked."""
    from wavecoder import pipeline
    from wavecoder.errors import StoppedError
    from wavecoder.records import Rejected
    from wavecoder.train import Train, plan

    (stage,) = pipeline.stages(recipe, "train", "train")
    if write:
        try:
            pipeline.run(recipe, out, options, first="train", last="train")
        except StoppedError:
            if options.stop.is_set():
                raise
    ctx = pipeline.context(stage, recipe, out, options)
    assert isinstance(stage, Train)
    device = None if gpu_memory is None else (f"GPU of {gpu_memory:g} GB", int(gpu_memory * 1e9))
    prepared = stage.prepared(stage.inputs(ctx), ctx, device=device)
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
                device=device,
                nodes=nodes,
            )
        )
    return "\n\n".join(parts)
