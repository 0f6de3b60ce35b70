"""The program: which commands there are, and what becomes of an error."""

import gc
import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from wavecoder import __version__
from wavecoder.cli.calibrate import calibrate
from wavecoder.cli.decontaminate import decontaminate
from wavecoder.cli.doctor import doctor
from wavecoder.cli.estimate import estimate
from wavecoder.cli.evaluate import evaluate, score
from wavecoder.cli.failed import failed
from wavecoder.cli.fake_server import fake_server
from wavecoder.cli.preview import preview
from wavecoder.cli.run import check, run
from wavecoder.cli.show import export, near, show
from wavecoder.cli.status import status
from wavecoder.cli.train import train
from wavecoder.errors import StoppedError, WaveCoderError
from wavecoder.pipeline import STAGES

__all__ = ["app", "main", "options"]

_STAGE_LINES = "\n\n".join(f"{stage.name}: {stage.summary}" for stage in STAGES)

app = typer.Typer(
    help="Turn raw source code into an instruction dataset you can trust.\n\n"
    f"A run goes through these stages, each a folder on disk:\n\n{_STAGE_LINES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


for _command in (
    run,
    check,
    doctor,
    preview,
    estimate,
    status,
    failed,
    show,
    near,
    export,
    train,
    evaluate,
    score,
    decontaminate,
    calibrate,
    fake_server,
):
    app.command()(_command)


def main() -> NoReturn:
    """Run the command line; every error a person can cause is one sentence and an exit code."""
    # A run keeps a few hundred thousand objects; looking for garbage among them at every 700 new
    # ones took a fifth of the time of asking a fast endpoint.
    gc.set_threshold(20_000, 10, 10)
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


def _resume_command() -> str:
    """Return this command as the shell takes it, but for what would refuse what is there."""
    typed = Path(sys.argv[0])
    program = [sys.argv[0]] if typed.suffix != ".py" else [sys.executable, "-m", "wavecoder.cli"]
    given = shlex.join([*program, *sys.argv[1:]])
    return given.replace("--on-existing=fail", "").replace("--on-existing fail", "")
