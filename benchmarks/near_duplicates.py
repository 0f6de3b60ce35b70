"""Near-duplicates among a million functions: how fast, how much memory, how many are found?

Run: `nice .venv/bin/python benchmarks/near_duplicates.py [FOLDER] [--count 1000000]`. FOLDER holds
source code in any language; unless given, it is this Python's library and installed packages.

Half of the functions are real ones, fewer where FOLDER holds fewer; the rest are copies of them
with one to four edits, drawn from a fixed seed, so that it is known what is a copy of what.
Printed are:

- signatures a second, in one process and in all, and the time and memory of deciding;
- for each number of edits, the share of the copies that were refused;
- by the true similarity of a function and its copy: the share of such pairs that would be refused
  if the two were alone (recall above the threshold, false alarms below it), and the error of the
  estimated similarity;
- how many refused functions are truly as similar as the threshold asks to those they repeat.
"""

import argparse
import multiprocessing
import multiprocessing.pool
import os
import random
import re
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavecoder.collect.near_duplicates import (
    Duplicates,
    NearDuplicates,
    band_shape,
    find_duplicates,
    shingles,
    signatures,
)
from wavecoder.languages import functions, language_of, languages_of
from wavecoder.records import digest

OPTIONS = NearDuplicates()
LEAST, MOST = 50, 800
"""Characters of a function, as the filter `length` has them unless told otherwise."""
LARGEST_FILE = 200_000
CHUNK = 1000
SAMPLE = 40_000


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    folders = asked.folder or [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    with multiprocessing.Pool(asked.processes) as pool:
        real = cut(pool, folders, asked.count // 2)
        codes, parents, edits = multiply(real, asked.count)
        characters = sum(map(len, codes)) / len(codes)
        print(f"{len(real)} real functions and {len(codes) - len(real)} copies, all mixed;")
        print(f"{characters:.0f} characters in the mean; {OPTIONS!r}; bands {SHAPE}")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "signatures")
            contents = sign(pool, codes, file)
            rows = np.memmap(file, np.uint32, "r", shape=(len(codes), OPTIONS.permutations))
            found = decide(contents, rows)
            tell_copies(edits, found)
            tell_pairs(codes, parents, rows)
            tell_refused(codes, found)


SHAPE = band_shape(OPTIONS.threshold, OPTIONS.permutations)


def cut(pool: multiprocessing.pool.Pool, folders: Sequence[Path], count: int) -> list[str]:
    """Return distinct real functions of files in an order drawn once."""
    files = sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if languages_of(path) and path.is_file() and path.stat().st_size <= LARGEST_FILE
    )
    random.Random(0).shuffle(files)
    began, found, read = time.perf_counter(), dict[str, None](), 0
    while len(found) < count and read < len(files):
        for codes in pool.imap(functions_of, files[read : read + CHUNK], chunksize=20):
            found.update(dict.fromkeys(codes))
        read = min(read + CHUNK, len(files))
    seconds = time.perf_counter() - began
    print(f"{len(found)} distinct functions cut from {read} of {len(files)} files: {seconds:.0f} s")
    return list(found)[:count]


def functions_of(path: Path) -> list[str]:
    """Return the functions of a file that are neither too short nor too long."""
    text = path.read_text(encoding="utf-8", errors="replace")
    language = language_of(path, text)
    if language is None:
        return []
    codes = (span.code for span in functions(text, language.name))
    return [code for code in codes if LEAST <= len(code) <= MOST]


def multiply(real: list[str], count: int) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Return `count` functions; for each, the row it was copied from (-1: none) and the edits."""
    rng = random.Random(1)
    copies = count - len(real)
    origins = [*[-1] * len(real), *(rng.randrange(len(real)) for _ in range(copies))]
    # A copy stands anywhere, before or behind its original.
    order = list(range(count))
    rng.shuffle(order)
    row_of = {old: new for new, old in enumerate(order) if old < len(real)}
    codes, parents, edits = [], np.full(count, -1), np.zeros(count, dtype=np.int64)
    for row, old in enumerate(order):
        if old < len(real):
            codes.append(real[old])
            continue
        code, edits[row] = real[origins[old]], rng.randint(1, 4)
        for _ in range(edits[row]):
            code = edited(code, rng)
        codes.append(code)
        parents[row] = row_of[origins[old]]
    return codes, parents, edits


def edited(code: str, rng: random.Random) -> str:
    """Return `code` with one change: a name, a line more or less, a constant, or the layout."""
    word, lines = f"word{rng.randrange(10**9)}", code.split("\n")
    kind, place = rng.randrange(5), rng.randrange(len(lines))
    if kind == 0 and (names := sorted(set(re.findall(r"\b[a-z_]\w{2,}", code)))):
        return re.sub(rf"\b{rng.choice(names)}\b", word, code)
    if kind == 1 and (constants := list(re.finditer(r"\b\d+\b|\"\w+\"|'\w+'", code))):
        match = rng.choice(constants)
        return f"{code[: match.start()]}{rng.randrange(10**9)}{code[match.end() :]}"
    if kind == 2 and len(lines) > 3:
        return "\n".join(lines[:place] + lines[place + 1 :])
    if kind == 3:
        return re.sub(r"([(,])", r"\1 ", code).replace("\n", "\n ")
    return "\n".join([*lines[: place + 1], f"    log({word});", *lines[place + 1 :]])


def sign(pool: multiprocessing.pool.Pool, codes: list[str], file: Path) -> NDArray[np.uint64]:
    """Write the signatures; return the content hashes."""
    contents, busy, began = [], 0.0, time.perf_counter()
    chunks = (codes[start : start + CHUNK] for start in range(0, len(codes), CHUNK))
    with file.open("wb") as out:
        for hashes, rows, seconds in pool.imap(signed, chunks):
            contents.append(hashes)
            out.write(rows)
            busy += seconds
    took = time.perf_counter() - began
    print(
        f"signatures: {len(codes) / busy:,.0f} functions/s of processor time in one process, "
        f"{took:.1f} s in all"
    )
    return np.concatenate(contents)


def signed(codes: list[str]) -> tuple[NDArray[np.uint64], bytes, float]:
    """Return content hashes, signatures and the seconds of processor time the latter took."""
    began = time.process_time()
    rows = signatures(codes, shingle=OPTIONS.shingle, permutations=OPTIONS.permutations)
    seconds = time.process_time() - began
    hashes = np.array([int(digest(code)[:16], 16) for code in codes], dtype=np.uint64)
    return hashes, rows.tobytes(), seconds


def decide(contents: NDArray[np.uint64], rows: NDArray[np.uint32]) -> Duplicates:
    """Find the duplicates, and print how long it took and how memory grew."""
    before, peak, ended = memory(), memory(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peak.update({name: max(value, peak[name]) for name, value in memory().items()})

    watcher = threading.Thread(target=watch)
    watcher.start()
    gaps = [time.perf_counter()]
    found = find_duplicates(
        contents, rows, OPTIONS.threshold, check=lambda: gaps.append(time.perf_counter())
    )
    gaps.append(time.perf_counter())
    ended.set()
    watcher.join()
    grown = ", ".join(f"{name} +{(peak[name] - before[name]) >> 10} MiB" for name in peak)
    print(
        f"deciding: {gaps[-1] - gaps[0]:.1f} s with compiling, {np.diff(gaps).max():.2f} s at most "
        f"between two checks; {grown}; {(found.original >= 0).mean():.1%} refused"
    )
    return found


def memory() -> dict[str, int]:
    """Return this process's own memory and its mapped pages of files, in KiB; none but on Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    fields = dict(line.split(":") for line in lines)
    names = {"own memory": "RssAnon", "mapped files": "RssFile"}
    return {name: int(fields[key].split()[0]) for name, key in names.items() if key in fields}


def tell_copies(edits: NDArray[np.int64], found: Duplicates) -> None:
    """Print how many functions were refused, by the number of edits."""
    refused = found.original >= 0
    for count in range(5):
        share = refused[edits == count].mean()
        print(f"{f'copies with {count} edits' if count else 'real functions'}: {share:.1%} refused")


def tell_pairs(codes: list[str], parents: NDArray[np.int64], rows: NDArray[np.uint32]) -> None:
    """Print the share of pairs that are found, and the error, by their true similarity."""
    copies = np.flatnonzero(parents >= 0)
    copies = np.random.default_rng(0).permutation(copies)[:SAMPLE]
    true = np.array(list(similarities(codes, copies, parents[copies])))
    equal = rows[copies] == rows[parents[copies]]
    estimate = equal.mean(axis=1)
    bands, width = SHAPE
    candidate = equal[:, : bands * width].reshape(-1, bands, width).all(axis=2).any(axis=1)
    taken = candidate & (estimate >= OPTIONS.threshold)
    for low in (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9):
        high = next(
            edge for edge in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.01) if edge > low
        )
        inside = (true >= low) & (true < high)
        error = np.sqrt(np.mean((estimate - true)[inside] ** 2))
        print(
            f"true similarity {low:.2f} to {min(high, 1):.2f}: {inside.sum():6} pairs, "
            f"{candidate[inside].mean():.2%} share a band, {taken[inside].mean():.2%} are found, "
            f"the estimate is off by {error:.3f}"
        )
    similar = true >= OPTIONS.threshold
    print(f"recall of pairs at or above the threshold: {taken[similar].mean():.2%}")


def tell_refused(codes: list[str], found: Duplicates) -> None:
    """Print the true similarity of refused functions to those they are said to repeat."""
    refused = np.random.default_rng(1).permutation(np.flatnonzero(found.original >= 0))[:SAMPLE]
    true = np.array(list(similarities(codes, refused, found.original[refused])))
    for below in (0, 0.05, 0.1):
        share = (true >= OPTIONS.threshold - below).mean()
        print(f"refused and truly at least {OPTIONS.threshold - below:.2f} similar: {share:.2%}")


def similarities(
    codes: list[str], rows: NDArray[np.int64], others: NDArray[np.int64]
) -> Iterator[float]:
    """Yield the Jaccard similarity of each pair."""
    for row, other in zip(rows, others, strict=True):
        one, two = (set(shingles(codes[place], OPTIONS.shingle)) for place in (row, other))
        yield len(one & two) / len(one | two)


if __name__ == "__main__":
    main()
