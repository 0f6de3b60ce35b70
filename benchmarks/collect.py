"""How fast are functions collected, beside bare tree-sitter parsing of the same files?

Run: `.venv/bin/python benchmarks/collect.py FOLDER` (benchmarks/corpus.py makes one). Everything is
measured in one run, each part in a process of its own, `--rounds` times in turn; ratios are of the
medians. Peak memory is that of all processes together (proportional set size, sampled), for a
third of the sub-folders, two thirds and all: it should not grow with them.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

from processes import run


def bare(folders: list[Path]) -> dict[str, Any]:
    """Parse every file that collect would parse, and do nothing else."""
    from tree_sitter import Parser

    from wavecoder.collect.sources.directories import Directory
    from wavecoder.languages.table import grammars, language_of

    source = Directory(Directory.Config(directory=[str(folder) for folder in folders]))
    files, size, seconds = 0, 0, 0.0
    for batch in source.pieces():
        for root, relative, problem in batch.files:
            if problem is not None:
                continue
            path = Path(root.path) / relative
            data = path.read_bytes()
            row = language_of(path, data.decode("utf-8", "replace"))
            assert row is not None
            parser = Parser(grammars(row.name)[-1])
            began = time.perf_counter()
            parser.parse(data)
            seconds += time.perf_counter() - began
            files += 1
            size += len(data)
    return {"seconds": seconds, "files": files, "megabytes": size / 1e6}


def collect(folders: list[Path], processes: int) -> dict[str, Any]:
    """Collect the folders with every default."""
    from wavecoder.collect.stage import Collect
    from wavecoder.progress import Silent
    from wavecoder.stage import Context, run_stage

    out = Path(tempfile.mkdtemp(prefix="collect-"))
    try:
        ctx = Context(
            folder=out / "1-collect",
            seed=0,
            stage="collect",
            upstream={},
            replies=out / "replies.sqlite",
            progress=Silent(),
            stop=Event(),
            processes=processes,
        )
        began = time.perf_counter()
        table = {"sources": [{"directory": [str(folder) for folder in folders]}]}
        manifest = run_stage(Collect(Collect.Config.model_validate(table)), ctx).manifest
        return {
            "seconds": time.perf_counter() - began,
            "functions": manifest.inputs,
            "kept": manifest.kept,
            "rejected": manifest.rejected,
        }
    finally:
        shutil.rmtree(out)


def measured(mode: str, folders: list[Path]) -> dict[str, Any]:
    """Run a part in a process of its own and return what it says, with its peak memory."""
    found = run([sys.executable, __file__, "--part", mode, *map(str, folders)])
    if found.status:
        sys.exit(found.status)
    return {**json.loads(found.text), "peak": found.peak}


def main() -> None:
    """Print speeds, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["bare", "one", "two"])
    given = parser.parse_args()
    if given.part:
        parts = {
            "bare": lambda: bare(given.folders),
            "one": lambda: collect(given.folders, 1),
            "two": lambda: collect(given.folders, 2),
        }
        print(json.dumps(parts[given.part]()))
        return
    folders = sorted(path for folder in given.folders for path in folder.iterdir())
    rounds = [{mode: measured(mode, folders) for mode in ("bare", "one", "two")}]
    for _ in range(1, given.rounds):
        rounds.append({mode: measured(mode, folders) for mode in ("bare", "one", "two")})
    first = rounds[0]
    megabytes, functions = first["bare"]["megabytes"], first["one"]["functions"]
    seconds = {mode: median(one[mode]["seconds"] for one in rounds) for mode in first}
    print(
        f"{first['bare']['files']:,} files, {megabytes:,.0f} MB, {functions:,} outcomes, "
        f"{first['one']['kept']:,} kept"
    )
    for mode, took in seconds.items():
        print(
            f"{mode:5} {took:7.1f} s {megabytes / took:6.1f} MB/s {functions / took:8,.0f} /s  "
            f"peak {max(one[mode]['peak'] for one in rounds) / 1e6:,.0f} MB"
        )
    print(f"share of bare parsing, one process: {seconds['bare'] / seconds['one']:.2f}")
    print(f"two processes against one: {seconds['one'] / seconds['two']:.2f} x")
    for share in (1, 2):
        few = folders[: len(folders) * share // 3]
        found = measured("two", few)
        print(
            f"{len(few)} of {len(folders)} folders: {found['functions']:,} outcomes, "
            f"peak {found['peak'] / 1e6:,.0f} MB"
        )
    for reason, count in sorted(first["one"]["rejected"].items(), key=lambda item: -item[1]):
        print(f"  {count:>9,}  {reason}")


if __name__ == "__main__":
    main()
