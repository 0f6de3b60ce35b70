"""The command line: one command a verb; stdout is the result, stderr is progress.

Heavy parts are imported inside the commands, so that `wavecoder --help` answers at once.
"""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from wavecoder import __version__
from wavecoder.errors import StoppedError, WaveCoderError
from wavecoder.pipeline import STAGES, RunOptions
from wavecoder.stage import OnExisting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wavecoder.artifact import Artifact

__all__ = ["app", "main"]

_STAGE_LINES = "\n\n".join(f"{stage.name}: {stage.summary}" for stage in STAGES)

app = typer.Typer(
    help="Turn raw source code into an instruction dataset you can trust.\n\n"
    f"A run goes through these stages, each a folder on disk:\n\n{_STAGE_LINES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Options of every command."""


@app.command()
def run(
    recipe: RecipePath,
    out: Annotated[Path, typer.Option("-o", "--out", help="The run's folder.")],
    overrides: Set = None,
    model: Model = None,
    first: Annotated[str | None, typer.Option(help="First stage to run.")] = None,
    last: Annotated[str | None, typer.Option(help="Last stage to run.")] = None,
    on_existing: Annotated[
        OnExisting,
        typer.Option(
            help="resume: go on with what is there, refuse what another recipe made. "
            "replace: make that again. fail: refuse anything that is there."
        ),
    ] = OnExisting.RESUME,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Most requests in flight to an endpoint.")
    ] = 16,
    processes: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that share the work. 1: this one, which a bad file may end."
        ),
    ] = max(2, os.cpu_count() or 1),
    licenses: Annotated[
        str | None,
        typer.Option(help="Keep code under these licences only: permissive, or 'MIT,Apache-2.0'."),
    ] = None,
    replies: Annotated[
        Path | None,
        typer.Option(help="SQLite file of model replies, to share one between runs."),
    ] = None,
) -> None:
    """Run a recipe, or go on with it: only what is missing is done."""
    from wavecoder import pipeline
    from wavecoder.progress import progress

    if licenses is not None:
        wanted = ", ".join(name.strip() for name in licenses.split(","))
        overrides = [*(overrides or ()), f"collect.licenses=[{wanted}]"]
    loaded = pipeline.read_recipe(recipe, overrides or (), model)
    with _stopping() as stop, progress() as shown:
        made = pipeline.run(
            loaded,
            out,
            RunOptions(shown, stop, on_existing, concurrency, processes, replies),
            first=first,
            last=last,
        )
    for name, artifact in made.items():
        page = artifact.files / "report.html"
        typer.echo(f"{name}: {page if page.exists() else artifact.folder / 'records.parquet'}")


@app.command()
def check(recipe: RecipePath, overrides: Set = None, model: Model = None) -> None:
    """Check a recipe and print it resolved, with every default; nothing is run or asked."""
    import yaml

    from wavecoder import pipeline

    loaded = pipeline.read_recipe(recipe, overrides or (), model)
    tables = {stage.name: stage.config.model_dump(mode="json") for stage in pipeline.stages(loaded)}
    typer.echo(yaml.safe_dump({"seed": loaded.seed, **tables}, sort_keys=False).rstrip())


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    by: Annotated[
        str | None, typer.Option(help="Show what collect did by language or by source instead.")
    ] = None,
) -> None:
    """Show what each complete stage of a run kept and rejected, by reason."""
    import json

    from wavecoder import pipeline
    from wavecoder.errors import ConfigError

    found = pipeline.artifacts(folder)
    if not found:
        raise ConfigError(
            f"{folder} holds no complete stage. Give the folder named with -o in `wavecoder run`."
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
        typer.echo(
            f"{name}: {manifest.inputs} in, {manifest.kept} kept, {manifest.seconds:.1f} s, "
            f"{manifest.tokens.completion} tokens written"
        )
        for reason, count in manifest.rejected.items():
            typer.echo(f"  {count:>8}  {reason}")


@app.command()
def near(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    function: Annotated[str, typer.Argument(help="A function's id or name.")],
    count: Annotated[int, typer.Option(min=1, help="Neighbours of each kind.")] = 5,
) -> None:
    """Show why a function was picked and what it stands for, or which picks stand for it."""
    from wavecoder import pipeline
    from wavecoder.artifact import Artifact
    from wavecoder.select.near import near as look

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


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")],
    form: Annotated[
        str, typer.Option("--format", help="alpaca, messages or jsonl (every field).")
    ] = "alpaca",
) -> None:
    """Write the accepted instances in a form that trainers read."""
    from wavecoder.generate.export import export as write

    count = write(folder, form, out)
    typer.echo(f"{out}: {count} instances")


@contextmanager
def _stopping() -> Iterator[Event]:
    """Make Ctrl-C (or SIGTERM) once a request to stop, and twice an end at once."""
    stop = Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            # Threads inside the model do not answer; what was finished is on disk already.
            os._exit(130)
        stop.set()
        sys.stderr.write("\nStopping: finishing what is in flight. Ctrl-C again stops at once.\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> NoReturn:
    """Run the command line; every error a person can cause is one sentence and an exit code."""
    try:
        app()
    except WaveCoderError as error:
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"wavecoder: {error}\n")
        if isinstance(error, StoppedError):
            sys.stderr.write(f"To go on: {_resume_command()}\n")
        sys.exit(error.exit_code)
    except OSError as error:  # stdout is a full disk, or a pipe that was closed
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"wavecoder: {error}. Mend that, then give the same command again.\n")
        sys.exit(1)
    sys.exit(0)


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


def _resume_command() -> str:
    """Return this command as the shell takes it, but for what would refuse what is there."""
    typed = Path(sys.argv[0])
    program = [sys.argv[0]] if typed.suffix != ".py" else [sys.executable, "-m", "wavecoder.cli"]
    given = shlex.join([*program, *sys.argv[1:]])
    return given.replace("--on-existing=fail", "").replace("--on-existing fail", "")


if __name__ == "__main__":
    main()
