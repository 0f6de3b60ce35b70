"""Commands that measure: a model on benchmarks, or answers that others made."""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from wavecoder.cli.options import (
    Concurrency,
    MaxCost,
    MaxFailed,
    MaxTokens,
    PricesFile,
    RequestsPerMinute,
    SandboxName,
    Timeout,
    TokensPerMinute,
    Unsandboxed,
)
from wavecoder.cli.run import stopping
from wavecoder.errors import StoppedError
from wavecoder.protocols import Limits
from wavecoder.stage import OnExisting

__all__ = ["evaluate", "score"]

AsJson = Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")]
Existing = Annotated[
    OnExisting,
    typer.Option(
        "--on-existing",
        help="resume: go on with what is there, refuse what was measured otherwise. "
        "replace: measure that again. fail: refuse anything that is there.",
    ),
]


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="local:NAME, local:FILE.gguf, checkpoint:FOLDER, http://host:port/v1#name, "
            "scripted:FILE.",
        ),
    ],
    benchmarks: Annotated[
        str, typer.Option("-b", "--benchmarks", help="Names, with commas between them.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run's folder.")],
    prompt: Annotated[
        str, typer.Option(help="chat, alpaca (WaveCoder's template) or completion.")
    ] = "chat",
    samples: Annotated[
        int, typer.Option("-n", "--samples", min=1, help="Completions a problem.")
    ] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="0: greedy.")] = 0.0,
    top_p: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the likeliest tokens to draw from.")
    ] = 1.0,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Most tokens a completion; as the benchmark's own otherwise."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the sampling.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first problems of each, to try it out.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Name of the variable with the endpoint's key.")
    ] = None,
    on_existing: Existing = OnExisting.RESUME,
    sandbox: SandboxName = "bubblewrap",
    allow_unsandboxed: Unsandboxed = False,
    as_json: AsJson = False,
    concurrency: Concurrency = 64,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    timeout: Timeout = 600.0,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    prices: PricesFile = None,
    max_failed: MaxFailed = 0.5,
) -> None:
    """Measure a model: sample completions, run their programs in a sandbox, print pass@k.

    The same command goes on where it was stopped; nothing is sampled twice.

    Benchmarks: humaneval, humaneval+, mbpp, mbpp+; humanevalsynthesize-L,
    humanevalfix-L, humanevalfixdocs-L and humanevalexplain-L, with L one of
    python, javascript, java, go, cpp, rust.
    """
    table = {
        "model": model,
        "api_key_env": api_key_env,
        "benchmarks": [name.strip() for name in benchmarks.split(",") if name.strip()],
        "prompt": prompt,
        "temperature": temperature,
        "top_p": top_p,
        "max_new_tokens": max_new_tokens,
        "seed": seed,
        "samples": samples,
        "limit": limit,
    }
    limits = Limits(
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        timeout=timeout,
        max_cost=max_cost,
        max_tokens=max_tokens,
        prices=prices,
        max_failed=max_failed,
        sandbox=sandbox,
        unsandboxed=allow_unsandboxed,
    )
    page = _measure(table, out, limits, on_existing, as_json=as_json)
    if not as_json:
        typer.echo(f"\nreport: {page}")


def score(
    answers: Annotated[
        Path,
        typer.Argument(
            metavar="SAMPLES",
            help="A file of human-eval, EvalPlus, bigcode or WaveCoder, or EvalPlus's folder.",
        ),
    ],
    benchmark: Annotated[
        str, typer.Option("-b", "--benchmark", help="One of those of `evaluate`.")
    ],
    mode: Annotated[
        str | None, typer.Option(help="published or strict; both where it is not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Keep the verdicts in this folder.")
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Grade what is there: some tasks, or others.")
    ] = False,
    on_existing: Existing = OnExisting.RESUME,
    sandbox: SandboxName = "bubblewrap",
    allow_unsandboxed: Unsandboxed = False,
    as_json: AsJson = False,
) -> None:
    """Grade answers that were made elsewhere, in a sandbox.

    With -o, the same command goes on where it was stopped.
    """
    table: dict[str, Any] = {
        "answers": str(answers),
        "benchmarks": [benchmark],
        "partial": allow_partial,
    }
    if mode is not None:
        table["modes"] = [mode]
    limits = Limits(sandbox=sandbox, unsandboxed=allow_unsandboxed)
    with ExitStack() as stack:
        folder = out
        if folder is None:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="wavecoder-score-"))
            folder = Path(made)
        try:
            page = _measure(table, folder, limits, on_existing, as_json=as_json)
        except StoppedError as error:
            if out is not None:
                raise
            raise StoppedError("Stopped; without -o nothing is kept. Name a folder.") from error
    if out is not None and not as_json:
        typer.echo(f"\nreport: {page}")


def _measure(
    table: dict[str, Any], out: Path, limits: Limits, on_existing: OnExisting, *, as_json: bool
) -> Path:
    """Run the stages evaluate and report, print the scores, and return the page."""
    from wavecoder import pipeline
    from wavecoder.progress import progress
    from wavecoder.report import score_tables, scores_as_json

    recipe = pipeline.Recipe(evaluate=table, report={})
    with stopping() as stop, progress() as shown:
        made = pipeline.run(
            recipe,
            out,
            pipeline.RunOptions(progress=shown, stop=stop, on_existing=on_existing, limits=limits),
        )
    trials = made["evaluate"]
    typer.echo(json.dumps(scores_as_json(trials)) if as_json else score_tables(trials))
    return made["report"].files / "report.html"
