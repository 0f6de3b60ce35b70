"""Is a run that is killed at random moments the same, byte by byte, as one that is not?

Run: `.venv/bin/python benchmarks/kills.py FOLDER [--kills 20]`. The folder is collected and a
coreset selected, once undisturbed and once with a `kill -9` of the first process after a random
time, again and again; each new start goes on, and what comes to its end is compared.
"""

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

RECIPE = """\
seed: 1
collect:
  sources:
    - directory: {folder}
select:
  k: 2000
"""
COMPARED = (
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


def part_of(out: Path) -> str:
    """Return what a killed run was at."""
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


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Print where the kills came and whether the bytes are the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        recipe = home / "recipe.yaml"
        recipe.write_text(RECIPE.format(folder=given.folder))
        whole, killed = home / "whole", home / "killed"
        command = [sys.executable, "-m", "wavecoder.cli", "run", str(recipe), "-o"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        began = time.monotonic()
        subprocess.run([*command, str(whole)], check=True, **quiet)
        seconds = time.monotonic() - began
        rng, where, compared, same = random.Random(7), Counter[str](), 0, True
        while where.total() < given.kills or killed.exists():
            process = subprocess.Popen([*command, str(killed)], **quiet)
            done = where.total() >= given.kills
            try:
                process.wait(timeout=None if done else rng.uniform(0.3, seconds / 2))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                where[part_of(killed)] += 1
                continue
            compared += 1
            for name in COMPARED:
                if digest(whole / name) != digest(killed / name):
                    same = False
                    print(f"DIFFERENT {name}")
            shutil.rmtree(killed)
        for part, count in where.most_common():
            print(f"{count:>4} kills  {part}")
        print(f"{compared} runs went on to their end, {'all the same' if same else 'NOT the same'}")
        sys.exit(not same)
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
