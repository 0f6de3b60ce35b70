"""Plant HumanEval and MBPP in disguise among clean functions, and count what is found.

Run: `WAVECODER_BENCHMARKS=FOLDER .venv/bin/python benchmarks/contamination.py [TREE...]`; it takes
about ten minutes. TREE is a folder of source code, say `runs/corpus/trees` (`corpus.py` fetches
it); the standard library and the installed packages are read in any case. It prints

- recall: of planted instances, how many each layer of hashes found, by disguise;
- false: clean instances that were hit, by layer; their text goes to
  `runs/contamination/false.jsonl` for a person to read;
- time and peak memory of `wavecoder decontaminate` on 100,000 instances.

The disguises are in `disguises.py`; `contamination_text.py` measures the other two layers. A
problem counts as found where a hit names it, in any benchmark or language.
"""

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from disguises import OUT, collect_clean, family, planted, translated

from wavecoder.contamination import HASHED, Index, document_of, reference_of
from wavecoder.decontaminate import DEFAULT, Options, decontaminate
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.records import Problem


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    clean = collect_clean([Path(name) for name in sys.argv[1:]])
    problems = {name: load_benchmark(name) for name in DEFAULT}
    index = Index.build(reference_of(one) for found in problems.values() for one in found)
    print_recall(index, problems)
    print_false(index, clean)
    print_cost(clean)


def print_recall(index: Index, problems: Mapping[str, list[Problem]]) -> None:
    """Plant, look, and count."""
    counts: dict[str, Counter[str]] = {}
    for name, disguise, document, problem in planted(problems):
        own = family(problem.benchmark, problem.id)
        hits = index.hits(document)
        found = {hit.layer for hit in hits if family(hit.benchmark, hit.problem) == own}
        count = counts.setdefault(f"{name:<11} {disguise}", Counter())
        count["planted"] += 1
        count.update({layer: 1 for layer in found})
        count["any"] += bool(found)
    only = Index.build(reference_of(one) for one in problems["humaneval"])
    for disguise, document, problem in translated(problems):
        own = family(problem.benchmark, problem.id)
        hits = only.hits(document)
        found = {hit.layer for hit in hits if family(hit.benchmark, hit.problem) == own}
        count = counts.setdefault(f"{'humaneval':<11} {disguise}", Counter())
        count["planted"] += 1
        count.update({layer: 1 for layer in found})
        count["any"] += bool(found)
    head = " ".join(f"{layer:>7}" for layer in (*HASHED, "any"))
    print(f"\n{'recall, %':<52} planted {head}")
    for name, count in counts.items():
        shares = " ".join(f"{100 * count[c] / count['planted']:7.1f}" for c in (*HASHED, "any"))
        print(f"{name:<52} {count['planted']:>7} {shares}")


def print_false(index: Index, clean: Path) -> None:
    """Count hits on clean instances, and write them where a person can read them."""
    count: Counter[str] = Counter()
    started, rows = time.perf_counter(), 0
    with clean.open() as file, (OUT / "false.jsonl").open("w") as out:
        for line in file:
            cells = json.loads(line)
            document = document_of(cells)
            assert document is not None
            rows += 1
            hits = index.hits(document)
            count.update({layer: 1 for layer in {hit.layer for hit in hits}})
            if hits:
                count["any"] += 1
                found = [list(hit[:5]) for hit in hits]
                out.write(json.dumps({"hits": found, **cells}) + "\n")
    seconds = time.perf_counter() - started
    print(
        f"\nfalse hits on {rows:,} clean instances, one process, {1e6 * seconds / rows:.0f} us each"
    )
    for layer in (*HASHED, "any"):
        print(f"{layer:<8} {count[layer]:>5}  {100 * count[layer] / rows:.3f} %")


def print_cost(clean: Path) -> None:
    """Time the whole of it in a process of its own, with what a user would run."""
    started = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--cost", str(clean)], check=True)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    size = clean.stat().st_size
    with clean.open() as file:
        rows = sum(1 for _ in file)
    print(
        f"\n{rows:,} instances of {size / rows:.0f} bytes, 2 processes: {seconds:.0f} s in all, "
        f"largest process {peak:.0f} MiB"
    )
    print(f"1,000,000 by the rate of these: {seconds * 1e6 / rows / 60:.1f} min")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cost"]:
        decontaminate(Path(sys.argv[2]), OUT / "out", Options(processes=2))
    else:
        main()
