"""wavecoder beside distilabel, data-designer and curator, on the same server at 64 in flight.

Run: `.venv/bin/python benchmarks/peers.py [--rows 640] [--repeats 2] [--venvs FOLDER]`. Each peer
gets a venv of its own under `--venvs`, made at the first run (2.3 GB together, from PyPI) and kept
for the next; its script is in benchmarks/peers/.

A row is two calls, one that writes an instance from the row's code and one that judges that reply,
so the ideal is in flight / latency / 2: 64 rows/s at 0.5 s. All get the same functions, those that
wavecoder selects from the standard library, and are run one after another, each against a server of
its own, in an order that is rotated. The peers get the same two short prompts; wavecoder sends its
own, longer, with its default examples. 640 rows are 10 s at the ideal and whole batches of 64 for
those that work in batches; start and end of a run weigh less in a longer one.

What is measured: rows/s from the first request to the last reply, as the server saw them (which it
is asked a hundred times a second), so no import, installation or set-up counts; the share of the
ideal by calls, as a row that a check refuses is not judged; CPU per call of the client's processes,
for peers inside their script around the run, for wavecoder from the first request to the end of its
process, which includes what it writes at the end. Lost is a row that has no outcome.

Versions: distilabel 1.5.3 imports `requests` and names it nowhere, so it is added; its `openai` is
pinned as 2.30 was no faster. data-designer is 0.9.6, as 0.9.7 asks for a newer certifi than there
was to be had. curator pins litellm, pandas, vertexai and anthropic itself; none of them, nor any
other, needs torch or vllm. Its tokenizer's vocabulary is read from the copy inside litellm, or it
would be downloaded at the start. Settings, each the best that was found:

- distilabel: a batch of 32 in each of two tasks, which work at the same time. Two and four replicas
  of a task with batches of 16 and 8 did half and a quarter as much (batches did not run beside one
  another), and with `load_groups` to run 64 in one task after the other it did not end.
- data-designer: `max_parallel_requests` 64, everything else by default; the native template engine
  and smaller row groups made no difference.
- curator: the aiohttp backend with `max_concurrent_requests` 64 and limits a minute out of reach.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from processes import tree

PACKAGES = {
    "distilabel": (
        "distilabel[openai]==1.5.3", "openai==3.54.0", "datasets==5.2.0", "pydantic==2.14.3",
        "requests==2.34.2",
    ),
    "data-designer": (
        "data-designer==0.9.6", "httpx==0.28.1", "pandas==3.1.1", "pydantic==2.14.3",
    ),
    "curator": (
        "bespokelabs-curator==0.1.31", "aiohttp==3.13.5", "datasets==3.6.0", "pydantic==2.12.5",
        "tiktoken==0.12.0",
    ),
}  # fmt: skip
CONTENDERS = ("wavecoder", *PACKAGES)
SCRIPTS = Path(__file__).parent / "peers"
RECIPE = """\
seed: 1
collect:
  sources:
    - package: stdlib
select:
  embedder: lexical
  k: {rows}
generate:
  generator: http://127.0.0.1:1/v1#fake
  structured_verdicts: false  # the others do not ask for structured replies either
"""
WRITE = """\
Write one instruction that a programmer could be given and that this code answers. Say what it is
to do, what it is given and what it returns, so that nobody needs to see the code. Then write the
solution as one whole function.

Code:
{{ code }}
"""
JUDGE = """\
Judge whether the instance is clear, complete, right and no mere copy of the code. Go through it
step by step, then answer yes or no on the last line.

Code:
{{ code }}

Instance:
{{ instance }}
"""
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "NEMO_TELEMETRY_ENABLED": "false",  # data-designer
    "TELEMETRY_ENABLED": "false",  # curator
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "OPENAI_API_KEY": "none",
    "NO_PROXY": "127.0.0.1",
}


class Failed(Exception):
    """A contender cannot be installed or run; the text says why."""


class Measured(NamedTuple):
    """What one contender did in one run."""

    out: int
    """Rows that have an outcome."""
    seconds: float
    """From the first request to the last reply."""
    calls: int
    most_in_flight: int
    cpu: float
    """CPU seconds of the client's processes meanwhile."""
    process_seconds: float
    process_cpu: float


class Ended(NamedTuple):
    """A process that came to its end."""

    text: str
    """Its stdout."""
    began: float
    """Seconds since 1970."""
    seconds: float
    cpu: float
    """CPU seconds of it and its children."""
    cpu_before: float
    """Those of them before the first request."""


class Server:
    """A fake endpoint in a process of its own, and what it saw."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.url: str = connection.recv()

    def wait_for_request(self, seconds: float) -> bool:
        """Return whether a request has come; to be asked until it has."""
        return self._connection.poll(seconds) and bool(self._connection.recv())

    def end(self, began: float, cpu: float, *, out: int, ended: Ended) -> Measured:
        """Stop it and put together what it and others saw of the requests after `began`."""
        self._connection.send("end")
        seen = self._connection.recv()
        while seen is True:  # nobody waited for the first request
            seen = self._connection.recv()
        moments, stats = seen
        before = [(requests, ok) for at, requests, ok in moments if at < began]
        requests, ok = before[-1] if before else (0, 0)
        first = next((at for at, count, _ in moments if count > requests), began)
        last = next((at for at, _, count in moments if count == stats["ok"]), began)
        return Measured(
            out=out,
            seconds=last - first,
            calls=stats["ok"] - ok,
            most_in_flight=stats["most_in_flight"],
            cpu=cpu,
            process_seconds=ended.seconds,
            process_cpu=ended.cpu,
        )


def serve(connection: Connection, latency: float) -> None:
    """Serve until asked to end; send the address, then a True at the first request, then all."""
    from wavecoder.llm.fake.server import FakeServer

    with FakeServer(FakeServer.Options(latency=latency, refuse=0.0)) as server:
        connection.send(server.url)
        moments: list[tuple[float, int, int]] = []
        while not connection.poll(0.01):
            stats = server.stats()
            counts = stats["requests"], stats["ok"]
            if counts != (moments[-1][1:] if moments else (0, 0)):
                if not moments:
                    connection.send(True)
                moments.append((time.time(), *counts))
        connection.recv()
        connection.send((moments, {name: stats[name] for name in ("ok", "most_in_flight")}))


@contextmanager
def served(latency: float) -> Iterator[Server]:
    """Give a fresh server."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, latency))
    process.start()
    try:
        yield Server(ours)
    finally:
        process.terminate()
        process.join()


def install(folder: Path, packages: tuple[str, ...]) -> Path:
    """Return the Python of a venv with the packages, made where it is not there yet."""
    python, done = folder / "bin/python", folder / "packages.json"
    if done.exists() and json.loads(done.read_text()) == list(packages):
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {packages[0]} into {folder}", flush=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *packages],
    ):
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            said = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
            raise Failed(f"not installed: {(said or [ended.stderr.strip()])[-1]}")
    done.write_text(json.dumps(packages))
    return python


def children_cpu() -> float:
    """Return the CPU seconds of all ended processes that this one began."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def running_cpu(process: int) -> float:
    """Return the CPU seconds of a process and of all it began."""
    ticks = 0
    for number in tree(process):
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # utime, stime and those of ended children
    return ticks / os.sysconf("SC_CLK_TCK")


def process(command: list[str], server: Server, *, folder: Path, limit: float) -> Ended:
    """Run a contender to its end, at most `limit` seconds."""
    own_home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    before, began, at_first = children_cpu(), time.time(), None
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        child = subprocess.Popen(
            command,
            stdout=out,
            stderr=err,
            cwd=folder,
            env={**os.environ, **QUIET, **own_home, **vocabulary(Path(command[0]))},
            start_new_session=True,
        )
        try:
            while child.poll() is None:
                if at_first is None and server.wait_for_request(0.05):
                    at_first = running_cpu(child.pid)
                elif at_first is not None:
                    time.sleep(0.05)
                if time.time() - began > limit:
                    raise Failed(f"did not end in {limit:.0f} s")
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if child.returncode:
        said = (folder / "stderr").read_text().strip().splitlines() or ["nothing on stderr"]
        raise Failed(f"ended with {child.returncode}: {said[-1]}")
    return Ended(
        text=(folder / "stdout").read_text(),
        began=began,
        seconds=time.time() - began,
        cpu=children_cpu() - before,
        cpu_before=at_first or 0.0,
    )


def vocabulary(python: Path) -> dict[str, str]:
    """Return where tiktoken finds its vocabulary without a network, if the venv has it."""
    found = list(python.parent.parent.glob("lib/*/site-packages/litellm/**/tokenizers"))
    return {"TIKTOKEN_CACHE_DIR": str(found[0])} if found else {}


def peer(
    name: str, python: Path, rows: Path, *, asked: int, folder: Path, given: argparse.Namespace
) -> Measured:
    """Run a peer's script."""
    limit = 60 + 10 * asked * 2 * given.latency / given.in_flight
    with served(given.latency) as server:
        job = {
            "url": server.url,
            "rows": str(rows),
            "write": WRITE,
            "judge": JUDGE,
            "in_flight": given.in_flight,
            "max_tokens": 512,
            "work": str(folder / "work"),
        }
        (folder / "work").mkdir()
        (folder / "job.json").write_text(json.dumps(job))
        script = SCRIPTS / f"{name.replace('-', '_')}_rows.py"
        command = [str(python), str(script), str(folder / "job.json")]
        ended = process(command, server, folder=folder, limit=limit)
        lines = ended.text.splitlines()
        said = json.loads(next(line for line in lines if line.startswith('{"out"')))
        return server.end(said["began"], said["cpu"], out=said["out"], ended=ended)


def ours(home: Path, *, asked: int, folder: Path, given: argparse.Namespace) -> Measured:
    """Run stage `generate` on what was collected and selected in `home`."""
    limit = 60 + 10 * asked * 2 * given.latency / given.in_flight
    out = folder / "run"
    shutil.copytree(home / "run", out)
    with served(given.latency) as server:
        command = [*wavecoder(home, out), "--first", "generate", "--last", "generate"]
        command += ["--model", f"{server.url}#fake", "--concurrency", str(given.in_flight)]
        ended = process(command, server, folder=folder, limit=limit)
        manifest = json.loads((out / "3-generate/manifest.json").read_text())
        done = manifest["kept"] + sum(manifest["rejected"].values())
        return server.end(ended.began, ended.cpu - ended.cpu_before, out=done, ended=ended)


def wavecoder(home: Path, out: Path) -> list[str]:
    """Return the command that runs the recipe."""
    return [sys.executable, "-m", "wavecoder.cli", "run", str(home / "recipe.yaml"), "-o", str(out)]


def functions(home: Path, count: int) -> Path:
    """Collect and select; return a jsonl of the functions' ids and code."""
    import pyarrow.parquet as pq

    (home / "recipe.yaml").write_text(RECIPE.format(rows=count))
    subprocess.run(
        [*wavecoder(home, home / "run"), "--last", "select"], check=True, capture_output=True
    )
    table = pq.read_table(home / "run/2-select/records.parquet", columns=["id", "code"])
    rows = home / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return rows


def line(name: str, runs: list[Measured], given: argparse.Namespace) -> str:
    """Return a contender's row of the table; rates are means of the runs."""
    rates = [run.out / run.seconds for run in runs]
    share = mean(run.calls / run.seconds for run in runs) * given.latency / given.in_flight
    per_call = mean(run.cpu / run.calls for run in runs)
    return (
        f"{name:<14}{mean(rates):>8.1f}{share:>8.0%}{per_call * 1000:>12.2f}"
        f"{max(run.most_in_flight for run in runs):>11}{mean(run.calls for run in runs):>8.0f}"
        f"{sum(given.rows - run.out for run in runs):>6}"
        f"{mean(run.process_seconds for run in runs):>10.1f}"
        f"{mean(run.process_cpu for run in runs):>7.1f}   "
        + " ".join(f"{rate:.1f}" for rate in rates)
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds a reply takes")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "peers-venvs")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    given = parser.parse_args()
    given.venvs = given.venvs.absolute()
    runs: dict[str, list[Measured]] = {name: [] for name in given.only}
    failed: dict[str, str] = {}
    pythons: dict[str, Path] = {}
    for name in given.only:
        try:
            if name in PACKAGES:
                pythons[name] = install(given.venvs / name, PACKAGES[name])
        except Failed as error:
            failed[name] = str(error)
    home = Path(tempfile.mkdtemp(prefix="peers-"))
    try:
        rows = functions(home, given.rows)
        for repeat in range(given.repeats):
            turn = repeat % len(given.only)
            for name in (*given.only[turn:], *given.only[:turn]):
                if name in failed:
                    continue
                folder = home / f"{name}-{repeat}"
                folder.mkdir()
                shared = {"asked": given.rows, "folder": folder, "given": given}
                try:
                    if name in PACKAGES:
                        runs[name].append(peer(name, pythons[name], rows, **shared))
                    else:
                        runs[name].append(ours(home, **shared))
                except Failed as error:
                    failed[name] = str(error)
    finally:
        shutil.rmtree(home)
    ideal = given.in_flight / given.latency / 2
    print(
        f"{given.rows} rows of two calls that take {given.latency} s, {given.in_flight} in flight:"
    )
    print(f"{ideal:.0f} rows/s would be ideal. Process: with imports and set-up.")
    print(
        f"{'':<14}{'rows/s':>8}{'share':>8}{'CPU ms/call':>12}{'in flight':>11}{'calls':>8}"
        f"{'lost':>6}{'process s':>10}{'CPU s':>7}   rows/s of each run"
    )
    for name in given.only:
        print(f"{name:<14}  {failed[name]}" if name in failed else line(name, runs[name], given))


if __name__ == "__main__":
    main()
