"""Is a run that is killed at random moments the same, byte by byte, as one that is not?

Run: `.venv/bin/python benchmarks/kills.py FOLDER [--kills 20]`, or
`.venv/bin/python benchmarks/kills.py --stage generate [--kills 50]`. A run goes to its end once
undisturbed and once with a `kill -9` of the first process after a random time, again and again;
each new start goes on, and what comes to its end is compared.

With FOLDER, that is collected and a coreset selected. With `--stage generate`, 300 functions are
written about and judged by a fake endpoint that fails in 5 % of the requests, and what it answered
is held against the ledger after each kill. A reply is *lost* in a kill if the endpoint had given
it and it was not in the ledger when the process was dead: it was in flight, at most as many as may
be. Each lost one is asked for once more, and nothing else is ever answered twice.
"""

import argparse
import hashlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from endpoint import WAVECODER, run, stored, write_functions, write_recipe

from wavecoder.artifact import Artifact
from wavecoder.llm.fake.faults import FAULTS
from wavecoder.llm.fake.server import FakeServer

RECIPE = """\
seed: 1
collect:
  sources:
    - directory: {folder}
select:
  k: 2000
"""
SELECTED = (
    "1-collect/records.parquet",
    "1-collect/rejected.parquet",
    "1-collect/files/counts.csv",
    "2-select/records.parquet",
    "2-select/rejected.parquet",
    "2-select/files/vectors.npy",
    "2-select/files/radii.npy",
    "2-select/files/centers.csv",
    "2-select/files/coverage.json",
)
GENERATED = (
    "3-generate/records.parquet",
    "3-generate/rejected.parquet",
    "3-generate/manifest.json",
    "7-report/records.parquet",
    "7-report/rejected.parquet",
    "7-report/files/report.html",
)
ROWS = 300
IN_FLIGHT = 16
GENERATE = "  round_size: 8\n  lag: 4\nreport: {}"
# Faults that change the reply are left out, as another try rightly has another outcome then; and
# hangs, for the time they take.
PASSING = set(FAULTS) - {
    "quota", "context_length", "hang", "length", "content_filter", "huge", "null_content",
    "odd_verdict",
}  # fmt: skip
ENDPOINT = FakeServer.Options(
    latency=0.05, fault=dict.fromkeys(PASSING, 0.05 / len(PASSING)), retry_after=0.05, drip=0.001
)

_SECONDS = re.compile(rb'<td class="figure">(\d+ min \d+ s|[\d.]+ s)</td>|"seconds": [\d.]+')


def main() -> None:
    """Print where the kills came and whether the bytes are the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="is collected and selected from")
    parser.add_argument("--stage", choices=("select", "generate"), default="select")
    parser.add_argument("--kills", type=int)
    given = parser.parse_args()
    if given.stage == "select" and given.folder is None:
        parser.error("name the FOLDER to collect")
    home = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        if given.stage == "select":
            wrong = list(kill_select(home, given.folder, given.kills or 20))
        else:
            wrong = list(kill_generate(home, given.kills or 50))
    finally:
        shutil.rmtree(home)
    for one in wrong:
        print(f"VIOLATION {one}")
    print("NOT the same" if wrong else "all the same")
    sys.exit(bool(wrong))


def kill_select(home: Path, folder: Path, kills: int) -> Iterator[str]:
    """Kill runs of `collect` and `select`; yield what differs."""
    recipe, whole, killed = home / "recipe.yaml", home / "whole", home / "killed"
    recipe.write_text(RECIPE.format(folder=folder))
    began = time.monotonic()
    run(recipe, whole)
    seconds = time.monotonic() - began
    rng, where, compared = random.Random(7), Counter[str](), 0
    while where.total() < kills:
        command = ["run", str(recipe), "-o", str(killed)]
        for _ in _kills(command, kills - where.total(), lambda: rng.uniform(0.3, seconds / 2)):
            where[_part_of_select(killed)] += 1
        compared += 1
        yield from _differing(whole, killed, SELECTED)
        shutil.rmtree(killed)
    _print(where, compared)


def kill_generate(home: Path, kills: int) -> Iterator[str]:
    """Kill runs of `generate` and `report`; yield what differs, and replies paid twice."""
    functions = write_functions(home, ROWS)
    begun, whole, killed = home / "begun", home / "whole", home / "killed"
    options = ("--first", "generate", "--concurrency", str(IN_FLIGHT))
    with FakeServer(ENDPOINT) as server:
        recipe = write_recipe(home, functions, f"{server.url}#fake", GENERATE)
        run(recipe, begun, "--last", "collect")
        shutil.copytree(begun, whole)
        seconds = run(recipe, whole, *options).seconds
        start = run(recipe, whole, *options).seconds
        books = Books(server, whole / "replies.sqlite")
        yield from books.close()
    manifest = Artifact.open(whole / "3-generate").manifest
    print(
        f"undisturbed: {seconds:.1f} s, {start:.1f} s of them to start; {manifest.inputs} "
        f"functions, {manifest.kept} accepted, {books.paid} replies"
    )
    rng, where, compared, total = random.Random(7), Counter[str](), 0, Counter[str]()
    latest = start + (seconds - start) / 6
    while where.total() < kills:
        with FakeServer(ENDPOINT) as server:
            recipe = write_recipe(home, functions, f"{server.url}#fake", GENERATE)
            shutil.copytree(begun, killed)
            books = Books(server, killed / "replies.sqlite")
            command = ["run", str(recipe), "-o", str(killed), *options]
            for _ in _kills(
                command, kills - where.total(), lambda: rng.uniform(0.5 * start, latest)
            ):
                where[_part_of_generate(killed)] += 1
                yield from books.after_kill()
            yield from books.close()
        compared += 1
        total += Counter(paid=books.paid, twice=books.twice, lost=books.lost.total())
        total["most"] = max(total["most"], books.most)
        yield from _differing(whole, killed, GENERATED)
        shutil.rmtree(killed)
    _print(where, compared)
    print(
        f"{total['paid']} replies given in these runs; answered twice: {total['twice']}, of which "
        f"in flight when killed: {total['lost']}, at most {total['most']} in one kill, of "
        f"{IN_FLIGHT} that may be; paid twice though stored: {total['twice'] - total['lost']}"
    )


class Books:
    """What an endpoint answered, held against the ledger of the run that asked it."""

    def __init__(self, server: FakeServer, ledger: Path) -> None:
        """Begin with an endpoint that has answered nothing, and no ledger."""
        self._server, self._ledger = server, ledger
        self._answered, self._stored = Counter[str](), set[str]()
        self.lost = Counter[str]()
        """How often each reply was given and not stored when the process was dead."""
        self.most = 0
        """Replies lost in one kill at most."""

    @property
    def paid(self) -> int:
        """Replies that the endpoint gave."""
        return self._answered.total()

    @property
    def twice(self) -> int:
        """Those of them that it had given before."""
        return self.paid - len(self._answered)

    def after_kill(self) -> Iterator[str]:
        """Look at what the dead process left; yield what was asked again though it was stored."""
        while self._server.stats()["in_flight"]:  # the connections of the dead are being closed
            time.sleep(0.01)
        answered = Counter[str](self._server.stats()["answered"])
        now = answered - self._answered
        ledger = stored(self._ledger)
        again = [key for key in now if key in self._stored or now[key] > 1]
        if again:
            yield f"{len(again)} requests were answered again in one start, or though stored"
        gone = self._stored - set(ledger)
        if gone or not set(ledger) <= answered.keys() or len(set(ledger)) != len(ledger):
            yield f"the ledger of {len(ledger)} replies lost {len(gone)}, or holds others"
        lost = now.keys() - set(ledger)
        if len(lost) > IN_FLIGHT:
            yield f"{len(lost)} replies were lost in a kill, {IN_FLIGHT} may be in flight"
        self.lost.update(lost)
        self.most = max(self.most, len(lost))
        self._answered, self._stored = answered, set(ledger)

    def close(self) -> Iterator[str]:
        """Look at what a process left that came to its end; yield what was paid in vain."""
        lost = self.lost.total()
        yield from self.after_kill()
        if self.lost.total() > lost:
            yield f"{self.lost.total() - lost} replies are not in the ledger at the end"
        twice = {key: count - 1 for key, count in self._answered.items() if count > 1}
        if twice != self.lost:
            extra = Counter(twice) - self.lost
            yield f"{extra.total()} replies were paid for twice that no kill had lost"


def _kills(command: list[str], most: int, moment: Callable[[], float]) -> Iterator[None]:
    """Give a command again and again until it comes to its end; yield after each kill."""
    for left in range(most, -1, -1):
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                [*WAVECODER, *command], stdout=subprocess.DEVNULL, stderr=said
            )
            try:
                code = process.wait(timeout=moment() if left else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            else:
                said.seek(0)
                if code:
                    raise SystemExit(f"wavecoder run ended with {code}: {said.read()[-2000:]}")
                return
        yield


def _differing(whole: Path, killed: Path, names: tuple[str, ...]) -> Iterator[str]:
    """Yield which files are not the same, byte by byte, but for the seconds that were taken."""
    for name in names:
        one, other = (_digest(out / name) for out in (whole, killed))
        if one != other:
            yield f"{name} is different"


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; of a report or manifest, without how long stages took."""
    content = path.read_bytes()
    if path.suffix in (".html", ".json"):
        content = _SECONDS.sub(b"", content)
    return hashlib.sha256(content).hexdigest()


def _print(where: Counter[str], compared: int) -> None:
    for part, count in where.most_common():
        print(f"{count:>4} kills  {part}")
    print(f"{compared} runs went on to their end")


def _part_of_select(out: Path) -> str:
    """Return what a killed run of `collect` and `select` was at."""
    collect, select = out / "1-collect", out / "2-select"
    if (select / "manifest.json").exists():
        return "complete"
    if (select / "records.parquet.partial").exists():
        return "select: picking or writing"
    if (select / "files/vectors.npy.partial").exists():
        return "select: embedding"
    if (collect / "manifest.json").exists():
        return "between or in select"
    if (collect / "work/parts").exists():
        return "collect: reading, duplicates or writing"
    return "collect: beginning"


def _part_of_generate(out: Path) -> str:
    """Return what a killed run of `generate` and `report` was at."""
    generate, journal = out / "3-generate", out / "3-generate/journal.jsonl"
    if (out / "7-report/manifest.json").exists():
        return "complete"
    if (generate / "manifest.json").exists():
        return "between or in report"
    if not journal.exists():
        return "generate: beginning"
    outcomes = journal.read_bytes().count(b"\n")
    if outcomes == ROWS:
        return "generate: all outcomes there, writing"
    quarter = 4 * outcomes // ROWS
    return f"generate: {25 * quarter} to {25 * quarter + 25} % of the outcomes on disk"


if __name__ == "__main__":
    main()
