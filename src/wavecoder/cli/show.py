"""Commands that look at a run, and write out what it made."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecoder.cli.options import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wavecoder.artifact import Artifact

__all__ = ["export", "near", "show"]

_LINE = 160  # characters of what was rejected


def show(
    folder: RunFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    by: Annotated[
        str | None, typer.Option(help="Show what collect did by language or by source instead.")
    ] = None,
) -> None:
    """Show what each complete stage of a run kept and rejected, by reason."""
    import json

    from wavecoder import pipeline
    from wavecoder.errors import ConfigError

    pipeline.check_run(folder)
    found = pipeline.artifacts(folder)
    if not found:
        raise ConfigError(
            f"The run {folder} has no complete stage yet. "
            f"`wavecoder status {folder}` says how far it is."
        )
    if by is not None:
        _show_counts(found, by)
        return
    if as_json:
        manifests = {
            name: artifact.manifest.model_dump(mode="json", exclude={"identity"})
            for name, artifact in found.items()
        }
        typer.echo(json.dumps(manifests, indent=2))
        return
    for name, artifact in found.items():
        manifest = artifact.manifest
        # A stage that asked no model wrote no tokens.
        wrote = f", {manifest.tokens.completion} tokens written" if manifest.usage else ""
        typer.echo(
            f"{name}: {manifest.inputs} in, {manifest.kept} kept, {manifest.seconds:.1f} s{wrote}"
        )
        firsts = _firsts(artifact)
        for reason, count in manifest.rejected.items():
            typer.echo(f"  {count:>8}  {reason}, first: {firsts[reason]}")
        if name == "train":
            _show_checkpoints(artifact)
        if name == "evaluate":
            from wavecoder.report import score_tables

            typer.echo(score_tables(artifact))


def near(
    folder: RunFolder,
    function: Annotated[str, typer.Argument(help="A function's id or name.")],
    count: Annotated[int, typer.Option(min=1, help="Neighbours of each kind.")] = 5,
) -> None:
    """Show why a function was picked and what it stands for, or which picks stand for it."""
    from wavecoder import pipeline
    from wavecoder.artifact import Artifact
    from wavecoder.select.near import near as look

    pipeline.check_run(folder)
    collect, select = (
        Artifact.open(pipeline.stage_folder(folder, name)) for name in ("collect", "select")
    )
    found = look(collect, select, function, count)
    typer.echo(f"{found.raw.id}  {found.raw.where}")
    if found.pick is None:
        typer.echo("not picked")
    else:
        why = "the first" if found.added is None else f"{found.added:.3f} from the picks before it"
        typer.echo(f"pick {found.pick}, {why}")
    for title, neighbours in (
        ("nearest picks", found.picks),
        ("nearest functions that were not picked", found.others),
    ):
        typer.echo(f"{title}:")
        for neighbour in neighbours:
            raw = neighbour.raw
            typer.echo(f"  {neighbour.distance:.3f}  {raw.id}  {raw.where}")


def export(
    folder: RunFolder,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The file to write; of a checkpoint, the folder.")
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="alpaca, messages or jsonl (every field); or checkpoint: a tuned model for "
            "transformers and vLLM, with a card.",
        ),
    ] = "alpaca",
    variant: Annotated[
        str | None, typer.Option(help="Which checkpoint, of a run that trained several.")
    ] = None,
) -> None:
    """Write the accepted instances in a form that trainers read, or a model that was tuned."""
    from wavecoder.errors import ConfigError

    if form == "checkpoint":
        from wavecoder.train.export import export_checkpoint

        typer.echo(export_checkpoint(folder, variant, out, scores=_scores(folder)))
        return
    if variant is not None:
        raise ConfigError(
            f"--variant names a checkpoint, and --format is {form}. Give --format checkpoint."
        )
    from wavecoder.generate.export import export as write

    count = write(folder, form, out)
    typer.echo(f"{out}: {count} instances")


def _scores(folder: Path) -> str | None:
    """Return the scores of the run's own checkpoints as Markdown; None: they have none."""
    from wavecoder import pipeline
    from wavecoder.report import score_tables

    found = pipeline.artifacts(folder)
    measured, tuned = found.get("evaluate"), found.get("train")
    if measured is None or tuned is None:
        return None
    if measured.manifest.upstream != tuned.manifest.fingerprint:
        return None
    if not (measured.files / "checkpoints.json").exists():
        return None
    return f"```text\n{score_tables(measured)}\n```"


def _firsts(artifact: "Artifact") -> dict[str, str]:
    """Return what was rejected first for each reason, and why, as a line."""
    found: dict[str, str] = {}
    for table in artifact.rejected().tables(["id", "reason", "detail"]):
        reasons = table["reason"].to_pylist()
        for reason in set(reasons) - found.keys():
            (one,) = table.slice(reasons.index(reason), 1).to_pylist()
            line = " ".join(f"{one['id']}: {one['detail']}".split())
            found[reason] = line if len(line) <= _LINE else line[: _LINE - 1] + "…"
        if len(found) == len(artifact.manifest.rejected):
            break
    return found


def _show_checkpoints(artifact: "Artifact") -> None:
    """Print what every variant was trained on, and its loss before and after."""
    from wavecoder.train.export import trained

    for one, outcome in trained(artifact):
        loss = ""
        if outcome.held_out_before is not None and outcome.held_out_after is not None:
            loss = (
                f", held-out loss {outcome.held_out_before:.3f}, then {outcome.held_out_after:.3f}"
            )
        typer.echo(
            f"  {one.name}: {one.dialogues:,} dialogues an epoch, {outcome.steps:,} steps{loss}"
        )
        typer.echo(f"    {artifact.files / one.model}")


def _show_counts(found: "Mapping[str, Artifact]", by: str) -> None:
    """Print how many functions of each language or source were kept, and rejected by reason."""
    import csv
    from collections import Counter, defaultdict

    from wavecoder.errors import ConfigError

    if by not in ("language", "source"):
        raise ConfigError(f"--by is {by!r}; give language or source.")
    if "collect" not in found:
        raise ConfigError("The run has no complete collect to show; finish it first.")
    groups: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with (found["collect"].files / "counts.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            groups[row[by] or "(unknown)"][row["outcome"]] += int(row["count"])
    for name, counts in sorted(groups.items(), key=lambda item: -item[1].total()):
        typer.echo(f"{name}: {counts.total()} in, {counts.pop('kept', 0)} kept")
        for reason, count in counts.most_common():
            typer.echo(f"  {count:>8}  {reason}")
