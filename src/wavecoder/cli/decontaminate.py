"""The command that finds benchmarks in a dataset, and takes them out."""

import os
from pathlib import Path
from typing import Annotated

import typer

from wavecoder.cli.options import Unsandboxed

__all__ = ["decontaminate"]


def decontaminate(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="JSON lines, a JSON list or parquet (alpaca, messages, or code), or a run.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder for the clean dataset, removed.jsonl and the report."
        ),
    ] = None,
    benchmarks: Annotated[
        str | None,
        typer.Option(
            "-b",
            "--benchmarks",
            help="Names or files of problems, with commas between them. Otherwise HumanEval and "
            "MBPP, their + versions, and HumanEvalPack in six languages.",
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            "-l", "--layers", help="Of exact, ngram, ast, embedding, behaviour; commas between."
        ),
    ] = "exact,ngram,ast",
    index: Annotated[
        Path | None,
        typer.Option(help="A file of hashes that stands for the benchmarks' text."),
    ] = None,
    write_index: Annotated[
        Path | None, typer.Option(help="Write the benchmarks as a file of hashes.")
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="Measure the leakage with it: lexical, static, sentence_transformers."),
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=1, help="Layer embedding: rows near each problem to drop.")
    ] = 3,
    cosine: Annotated[
        float | None,
        typer.Option(min=-1, max=1, help="Layer embedding: drop of these only what is as near."),
    ] = None,
    tried: Annotated[
        int, typer.Option(min=1, help="Layer behaviour: rows that are run for each problem.")
    ] = 5,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that share the work.")
    ] = os.cpu_count() or 1,
    allow_unsandboxed: Unsandboxed = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Find the problems of benchmarks in a dataset, and write it without them.

    Without -o the report is printed and nothing is written.
    """
    from wavecoder import decontaminate as cleaning
    from wavecoder.cli.run import stopping
    from wavecoder.progress import progress

    options = cleaning.Options(
        benchmarks=_names(benchmarks) if benchmarks else cleaning.DEFAULT,
        layers=_names(layers),
        index=index,
        write_index=write_index,
        embedder=embedder,
        neighbours=neighbours,
        cosine=cosine,
        tried=tried,
        unsandboxed=allow_unsandboxed,
        processes=processes,
    )
    with stopping() as stop, progress() as shown:
        report = cleaning.decontaminate(dataset, out, options, progress=shown, stop=stop)
    text = cleaning.as_json(report) if as_json else cleaning.as_markdown(report)
    typer.echo(text, nl=False)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
