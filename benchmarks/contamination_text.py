"""Plant problems in disguise among clean functions: what do the layers that need text find?

Run: `WAVECODER_BENCHMARKS=FOLDER .venv/bin/python benchmarks/contamination_text.py
[EMBEDDER [MODEL]]`, after `contamination.py`, whose clean functions it takes. It plants one
disguise at a time among 20,000 of them and prints

- embedding: recall by disguise with the paper's three nearest rows of each problem, and with those
  of them only whose cosine is so high that 0.1 % of the clean rows are hit; and the false hits;
- behaviour: recall by disguise, each row as if no other layer had looked, and the false hits; and
  what it and the layers of hashes find together;
- time and peak memory of `wavecoder decontaminate` with each of the two layers.
"""

import copy
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from disguises import OUT, family, planted, translated

from wavecoder.contamination import Document, Index, Neighbours, document_of
from wavecoder.contamination.neighbours import Neighbour, raw_code_of
from wavecoder.decontaminate import DEFAULT, Options, decontaminate
from wavecoder.decontaminate.behaviour import RUNNABLE, Shortlist, Suspect, Suspects, passing
from wavecoder.decontaminate.references import Known, load_references
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.plugins import configure
from wavecoder.protocols import Embedder
from wavecoder.records import Problem
from wavecoder.sandbox import open_sandbox

CLEAN = 20_000
MOST_FALSE = CLEAN // 1000
KEPT = 3
TRIED = 5
GROUPS = ("humaneval", "mbpp", "humanevalfix")
Planted = dict[str, list[tuple[Document, Problem]]]


def main() -> None:
    name, *model = sys.argv[1:] or ["lexical"]
    options = {"model": model[0]} if model else {}
    rows = _clean()
    clean = [document_of(json.loads(row)) for row in rows]
    assert all(clean)
    found = [one for one in clean if one is not None]
    known = load_references(DEFAULT)
    groups = _planted()
    print(f"{len(found):,} clean instances, {len(known.references):,} problems")
    embedder: Embedder = configure("embedders", name, options, "embedder")
    print_neighbours(known, found, groups, embedder, name)
    # Its index has all languages; a translation is found here by the tests of its own.
    del groups["Python index"]
    print_behaviour(known, found, groups)
    path = OUT / "clean20k.jsonl"
    path.write_text("".join(rows))
    for layer in ("embedding", "behaviour"):
        print_cost(path, layer, name, options)


def _clean() -> list[str]:
    with (OUT / "clean.jsonl").open() as file:
        return random.Random(2).sample(file.readlines(), CLEAN)


def _planted() -> dict[str, Planted]:
    """Return for each benchmark what is planted, by disguise."""
    problems = {name: load_benchmark(name) for name in DEFAULT}
    groups: dict[str, Planted] = {name: {} for name in GROUPS}
    for group, disguise, document, problem in planted(problems):
        groups[group].setdefault(disguise, []).append((document, problem))
    groups["Python index"] = {}
    for disguise, document, problem in translated(problems):
        groups["Python index"].setdefault(disguise, []).append((document, problem))
    return groups


def print_neighbours(
    known: Known,
    clean: Sequence[Document],
    groups: dict[str, Planted],
    embedder: Embedder,
    name: str,
) -> None:
    """Look with the vectors of one embedder."""
    embedder.fit([raw_code_of(one) for one in clean], 0)
    began = time.perf_counter()
    among = Neighbours(known.references, embedder, KEPT)
    for start in range(0, len(clean), 2_048):
        some = clean[start : start + 2_048]
        among.see(some, range(start, start + len(some)))
    seconds = time.perf_counter() - began
    dropped = {one.row for one in among.found()}
    best: dict[int, float] = {}
    for one in among.found():
        best[one.row] = max(one.cosine, best.get(one.row, -1.0))
    cosines = sorted(best.values(), reverse=True)
    least = cosines[MOST_FALSE] + 0.0001
    false = len({one.row for one in among.found(least)})
    print(f"\nembedding with {name}, {len(clean) / seconds:.0f} rows/s")
    print(f"{KEPT} nearest: {len(dropped):,} clean rows hit, {100 * len(dropped) / CLEAN:.1f} %")
    print(f"of them from {least:.4f} on: {false} clean rows hit, {100 * false / CLEAN:.3f} %")
    print(f"{'recall, %':<56} planted nearest   so near")
    for group, disguise, rows in _each(groups):
        there = copy.copy(among)
        documents = [document for document, _ in rows]
        there.see(documents, range(CLEAN, CLEAN + len(rows)))
        shares = []
        for cosine in (None, least):
            hit = {one.row for one in there.found(cosine) if _names(one, rows, known)}
            shares.append(100 * len(hit) / len(rows))
        print(f"{group:<13}{disguise:<43} {len(rows):>7} {shares[0]:7.1f} {shares[1]:9.1f}")


def print_behaviour(known: Known, clean: Sequence[Document], groups: dict[str, Planted]) -> None:
    """Run what is likely."""
    suspects = Suspects(known)
    likely = [one for row, document in enumerate(clean) for one in suspects.of(document, row)]
    short = Shortlist(TRIED)
    for suspect in likely:
        short.add(suspect)
    ran = _passing(short.suspects(), known)
    hit = {same.row for one in ran for same in short.alike(one)}
    count = len(short.suspects())
    print(f"\nbehaviour: {len(likely):,} likely pairs of a clean row and a problem, {count:,} run")
    index = Index.build(known.references)
    both = hit | {row for row, document in enumerate(clean) if index.hits(document)}
    shares = [f"{100 * len(rows) / CLEAN:.3f} %" for rows in (hit, both)]
    print(f"{len(hit)} clean rows hit, {shares[0]}; {len(both)} by it or hashes, {shares[1]}")
    for row in sorted(hit):
        print(json.dumps(clean[row].solution[:200]))
    print(f"{'recall, %':<56} planted shortlisted     passing  and hashes")
    for group, disguise, every in _each(groups):
        rows = [(document, one) for document, one in every if one.language in RUNNABLE]
        short = Shortlist(TRIED)
        for suspect in likely:
            short.add(suspect)
        for number, (document, _) in enumerate(rows, CLEAN):
            for suspect in suspects.of(document, number):
                short.add(suspect)
        tried = [same for one in short.suspects() for same in short.alike(one)]
        mine = [one for one in tried if _names(one, rows, known)]
        found = {one.row for one in _passing(mine, known)}
        hashed = {
            number
            for number, (document, problem) in enumerate(rows, CLEAN)
            for hit in index.hits(document)
            if family(hit.benchmark, hit.problem) == family(problem.benchmark, problem.id)
        }
        counted = ({one.row for one in mine}, found, found | hashed)
        cells = " ".join(f"{100 * len(some) / len(rows):11.1f}" for some in counted)
        print(f"{group:<13}{disguise:<43} {len(rows):>7} {cells}")


def _names(
    one: Suspect | Neighbour, rows: Sequence[tuple[Document, Problem]], known: Known
) -> bool:
    """Whether what was found is a planted row, by the problem that it was made of."""
    if one.row < CLEAN:
        return False
    problem, reference = rows[one.row - CLEAN][1], known.references[one.problem]
    own = family(problem.benchmark, problem.id)
    return own == family(reference.benchmark, reference.problem)


def _passing(suspects: Sequence[Suspect], known: Known) -> list[Suspect]:
    sandbox = open_sandbox()
    try:
        return [*passing(suspects, known.problems, sandbox, workers=2)]
    finally:
        sandbox.close()


def _each(groups: dict[str, Planted]) -> Iterator[tuple[str, str, list[tuple[Document, Problem]]]]:
    for group, disguises in groups.items():
        for disguise, rows in disguises.items():
            yield group, disguise, rows


def print_cost(path: Path, layer: str, embedder: str, options: dict[str, str]) -> None:
    """Time the whole of it in a process of its own, with what a user would run."""
    arguments = ["--cost", str(path), layer, embedder, json.dumps(options)]
    began = time.perf_counter()
    subprocess.run([sys.executable, __file__, *arguments], check=True)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"\n{layer} alone, {CLEAN:,} instances: {seconds:.0f} s, largest process so far "
        f"{peak:.0f} MiB; 1,000,000 by that rate: {seconds * 1e6 / CLEAN / 60:.0f} min"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cost"]:
        path, layer, embedder, options = sys.argv[2:]
        found = {"embedder": embedder, "embedder_options": json.loads(options)}
        chosen = Options(layers=(layer,), processes=2, **(found if layer == "embedding" else {}))
        decontaminate(Path(path), OUT / layer, chosen)
    else:
        main()
