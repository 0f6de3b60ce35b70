"""What the benchmarks of the engine share: a fake endpoint, functions, a run and its cost."""

import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wavecoder.artifact import Artifact
from wavecoder.llm.fake.api import key_of
from wavecoder.records import ChatRequest, RawCode

WAVECODER = [sys.executable, "-m", "wavecoder.cli"]

STDLIB = """\
seed: 1
collect:
  sources: [{package: stdlib}]
  filters: {length: {least: 100, most: 600}, documented: true, self_contained: true}
"""
RECIPE = """\
seed: 1
collect:
  sources: [{{jsonl: {functions}}}]
  near_duplicates: false
generate:
  generator: {model}
  target_languages: [javascript]
{more}
"""


@contextmanager
def fake_server(*options: str) -> Iterator[str]:
    """Serve the fake endpoint in a process of its own; yield its address."""
    command = [*WAVECODER, "fake-server", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+/v1", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


def stats(url: str) -> dict[str, object]:
    """Return what the fake endpoint counted."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:
        return dict(json.load(reply))


def write_functions(home: Path, count: int) -> Path:
    """Write `count` functions as JSON lines: real ones, again and again under other names."""
    recipe = home / "stdlib.yaml"
    recipe.write_text(STDLIB)
    out = home / "stdlib"
    if not (out / "1-collect/manifest.json").exists():
        subprocess.run(
            [*WAVECODER, "run", str(recipe), "-o", str(out)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    raws = list(Artifact.open(out / "1-collect").records(RawCode))
    path = home / f"functions-{count}.jsonl"
    with path.open("w") as file:
        for number in range(count):
            raw = raws[number % len(raws)]
            name = raw.name.rsplit(".", 1)[-1]
            code = re.sub(rf"\b{re.escape(name)}\b", f"{name}_{number}", raw.code)
            file.write(json.dumps({"code": code, "language": raw.language}) + "\n")
    return path


def write_recipe(home: Path, functions: Path, model: str, more: str = "") -> Path:
    """Write a recipe that generates from `functions` with `model` in both roles."""
    path = home / "recipe.yaml"
    path.write_text(RECIPE.format(functions=functions, model=model, more=more))
    return path


@dataclass
class Cost:
    """What a process took."""

    seconds: float
    cpu: float
    """Seconds of CPU, its children included."""
    peak: float
    """MB of memory at most."""


def run(recipe: Path, out: Path, *options: str) -> Cost:
    """Run a recipe as a process and return what it cost."""
    return wavecoder("run", str(recipe), "-o", str(out), *options)


def wavecoder(*words: str) -> Cost:
    """Give a command as a process and return what it cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with subprocess.Popen(
        [*WAVECODER, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        peak = _peak(process)
    if process.returncode:
        raise SystemExit(f"wavecoder {words[0]} ended with {process.returncode}: {said[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.monotonic() - began, cpu, peak)


def stored(ledger: Path, model: str = "fake") -> list[str]:
    """Return, for each reply in a ledger, the hash by which the fake endpoint counts its request.

    What is read is a copy: to open the ledger itself would mend what a killed process left.
    """
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        for path in ledger.parent.glob(f"{ledger.name}*"):
            shutil.copy(path, folder)
        copy = Path(folder) / ledger.name
        if not copy.exists():
            return []
        db = sqlite3.connect(copy)
        try:
            rows = db.execute("SELECT request FROM replies").fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            rows = []  # killed before it was made
        finally:
            db.close()
    return [key_of(_sent(model, request)) for (request,) in rows]


def _sent(model: str, request: str) -> dict[str, object]:
    """Return a stored request as it is sent to an endpoint that knows no response_format."""
    asked = ChatRequest.model_validate_json(request)
    return {
        "model": model,
        "messages": [message.model_dump() for message in asked.messages],
        **asked.sampling.model_dump(exclude_none=True),
    }


def _peak(process: "subprocess.Popen[str]") -> float:
    """Wait for a process and return its own peak, without that of others before it."""
    import os

    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / 1024
