"""How much of llama.cpp's speed is left in the pipeline?

Run: `.venv/bin/python benchmarks/local.py [--rows 20]`. Functions of the standard library go
through the stage `generate` with the local 0.5B model; then the same requests, read from the
ledger, go to the same model bare, one after the other as the model takes them. What is compared is
tokens written a second, both in this process.
"""

import argparse
import asyncio
import json
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from endpoint import run, write_functions, write_recipe

from wavecoder.artifact import Artifact
from wavecoder.llm import open_model
from wavecoder.pipeline import RunOptions, read_recipe
from wavecoder.pipeline import run as run_pipeline
from wavecoder.records import ChatRequest

MODEL = "local:qwen2.5-coder-0.5b-instruct"
MORE = "  generator_sampling: {temperature: 0.2, max_tokens: 400}"


async def ask_all(requests: list[ChatRequest]) -> tuple[float, int]:
    """Return the seconds and the tokens written of all requests, one after the other."""
    model = open_model(MODEL)
    try:
        warm = requests[0].sampling.model_copy(update={"max_tokens": 1})
        await model.complete(requests[0].model_copy(update={"sampling": warm}))
        began, written = time.monotonic(), 0
        for request in requests:
            written += (await model.complete(request)).completion_tokens or 0
        return time.monotonic() - began, written
    finally:
        await model.close()


def stored(replies: Path) -> list[ChatRequest]:
    """Return the requests in a ledger, in the order they were asked."""
    with sqlite3.connect(replies) as database:
        rows = database.execute("select request from replies order by rowid").fetchall()
    return [ChatRequest.model_validate(json.loads(row)) for (row,) in rows]


def main() -> None:
    """Print tokens a second of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="local-"))
    try:
        functions = write_functions(home, given.rows)
        recipe = write_recipe(home, functions, MODEL, MORE)
        out = home / "run"
        run(recipe, out, "--last", "collect")
        run_pipeline(read_recipe(recipe), out, RunOptions(), first="generate")
        manifest = Artifact.open(out / "3-generate").manifest
        requests = stored(out / "replies.sqlite")
        bare_seconds, bare_tokens = asyncio.run(ask_all(requests))
        ours, bare = manifest.tokens.completion / manifest.seconds, bare_tokens / bare_seconds
        print(f"{manifest.inputs} rows, {len(requests)} requests")
        print(f"pipeline: {ours:.1f} tokens/s in {manifest.seconds:.1f} s, the model's load in it")
        print(f"llama.cpp alone: {bare:.1f} tokens/s in {bare_seconds:.1f} s, loaded before")
        print(f"share: {ours / bare:.3f}")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
