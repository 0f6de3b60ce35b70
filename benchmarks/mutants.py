"""How many bugs can be put into real functions, how many parse, and how many do tests tell apart?

Run: `.venv/bin/python benchmarks/mutants.py FOLDER... [--functions 400] [--most 60]` reads source
files under the folders, cuts functions out, takes up to so many of each language, spread over the
files, and up to so many mutants of each, evenly. Every mutant is parsed anew. A table says per
language and class how many there are, how many parse and how many are certain to change behaviour,
and how many functions have at least one that is certain.

`--tests python javascript … [--most 12] [--problems 164] [--certain]` makes mutants of
HumanEvalPack's solutions, with `WAVECODER_BENCHMARKS` naming the folder with its files: all certain
ones and, without `--certain`, so many others of each. It runs its tests on them and says per
language and class how many are told apart, and how many of these do not compile or take too long.
Each certain one that passes all tests is printed, to be looked at.
"""

import argparse
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading import LANGUAGES as RUN_LANGUAGES
from wavecoder.grading.scoring import Scorer, Work
from wavecoder.languages import BUG_CLASSES, Mutant, functions, language_of, mutants, parses
from wavecoder.records import Mode, Problem, Status, Trial
from wavecoder.sandbox import open_sandbox

LARGEST = 400_000  # bytes of a file; larger ones are mostly generated
# Tests are left out, as `collect` does: their code is asserts.
TESTS = re.compile(r"(?i)tests?\b|\btest|tests?[/_.]|spec[/s_.]|bench|fixture|example|mock|demo")


def spread(found: Sequence[Mutant], most: int) -> list[Mutant]:
    """Return so many of them, evenly."""
    if len(found) <= most:
        return list(found)
    return [found[round(i * (len(found) - 1) / (most - 1))] for i in range(most)]


def files(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the source files under the folders by language."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.rglob("*") if folder.is_dir() else [folder]):
            row = language_of(path) if path.suffix not in ("", ".h") else None
            plain = (
                row is not None
                and path.is_file()
                and not TESTS.search(str(path.relative_to(folder)))
            )
            if row is not None and plain and path.stat().st_size <= LARGEST:
                found[row.name].append(path)
    return dict(sorted(found.items()))


def cut(language: str, paths: Sequence[Path], wanted: int) -> Iterator[str]:
    """Yield functions of files that are spread over all of them, up to four of each."""
    given = 0
    # Every n-th first, then those between.
    step = max(1, len(paths) * 4 // max(wanted, 1))
    for path in [path for start in range(step) for path in paths[start::step]]:
        text = path.read_text("utf-8", "replace")
        spans = [
            span
            for span in functions(text, language)
            if span.issue is None and 4 <= span.code.count("\n") <= 80
        ]
        for span in spans[:: max(1, len(spans) // 4)][:4]:
            if parses(span.code, language):
                given += 1
                yield span.code
                if given == wanted:
                    return


def of_sources(given: argparse.Namespace) -> None:
    """Print the table of real functions."""
    print(
        f"{'':<12}{'functions':>10}{'/min':>8}{'certain/min':>12}{'mutants':>9}{'parse':>8}", end=""
    )
    print(f"{'certain':>9}  functions with one, with a certain one")
    total, broken = 0, 0
    by_kind: dict[str, Counter[str]] = {}
    for name, paths in files(given.folders).items():
        count, seconds, quick, made, parsed, sure, some, with_sure = 0, 0.0, 0.0, 0, 0, 0, 0, 0
        kinds: Counter[str] = Counter()
        for code in cut(name, paths, given.functions):
            began = time.perf_counter()
            found = list(mutants(code, name))
            seconds += time.perf_counter() - began
            began = time.perf_counter()
            for _ in mutants(code, name, certain=True):
                pass
            quick += time.perf_counter() - began
            count += 1
            some += bool(found)
            with_sure += any(one.certain for one in found)
            for one in spread(found, given.most):
                made += 1
                parsed += parses(one.code, name)
                sure += one.certain is not None
                kinds[one.kind] += 1
                kinds[f"{one.kind}, certain"] += one.certain is not None
        if not count:
            continue
        by_kind[name] = kinds
        total, broken = total + made, broken + made - parsed
        print(
            f"{name:<12}{count:>10,}{count / seconds * 60:>8,.0f}"
            f"{count / quick * 60:>12,.0f}{made:>9,}{parsed / made:>8.1%}"
            f"{sure / made:>9.1%}  {some / count:.1%}, {with_sure / count:.1%}",
            flush=True,
        )
    print(f"{total:,} mutants, {broken} of them do not parse\n")
    print(f"{'(certain ones)':<18}" + "".join(f"{name:>14}" for name in by_kind))
    for kind in BUG_CLASSES:
        cells = [f"{one[kind]:>6,} ({one[f'{kind}, certain']:>4,})" for one in by_kind.values()]
        print(f"{kind:<18}" + "".join(f"{cell:>14}" for cell in cells))


def whole(problem: Problem) -> str:
    """Return a problem's right program."""
    # In Go and C++ the declaration lacks helper functions, or holds part of the body.
    head = problem.prompt if problem.language in ("go", "cpp") else problem.declaration
    return head + problem.canonical_solution


def works(name: str, given: argparse.Namespace) -> Iterator[tuple[Work, Mutant]]:
    """Yield the mutants of a language's solutions, to be run."""
    problems = load_benchmark(f"humanevalsynthesize-{name}")
    for problem in problems[:: max(1, len(problems) // given.problems)][: given.problems]:
        right = whole(problem)
        # What the tests are about: helpers above it have none.
        begin = len(right.encode()) - len(problem.canonical_solution.encode())
        found = [one for one in mutants(right, name, certain=given.certain) if one.start >= begin]
        sure = [one for one in found if one.certain]
        others = [one for one in found if not one.certain]
        for number, one in enumerate([*sure, *spread(others, given.most)]):
            trial = Trial(
                id=f"{problem.id}-{number}",
                benchmark=problem.benchmark,
                task_id=problem.id,
                language=name,
                index=number,
                completion="",
                program=one.code,
            )
            yield Work(problem, trial), one


def of_tests(given: argparse.Namespace) -> None:
    """Print how many mutants the tests tell apart."""
    sandbox = open_sandbox()
    scorer = Scorer(sandbox, given.workers)
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    try:
        for name in given.tests:
            began = time.monotonic()
            pairs = list(works(name, given))
            trials = scorer.score((work for work, _ in pairs), [Mode.PUBLISHED])
            for trial, (work, one) in zip(trials, pairs, strict=True):
                status = trial.executions[Mode.PUBLISHED].status
                cells = [counts[name, one.kind]]
                if one.certain:
                    cells.append(counts[name, f"{one.kind}, certain"])
                for cell in cells:
                    cell[status] += 1
                if one.certain and status == Status.PASSED:
                    print(f"survives: {work.problem.id} line {one.line}: {one.kind}: {one.what}")
                    print(f"  {one.code.splitlines()[one.line - 1].strip()!r}: {one.certain}")
            seconds = time.monotonic() - began
            print(f"{name}: {len(pairs)} programs in {seconds:.0f} s", file=sys.stderr, flush=True)
    finally:
        scorer.close()
        sandbox.close()
    print(f"{'':<12}{'':<28}{'mutants':>8}{'told apart':>12}{'no program':>12}{'too slow':>10}")
    for name in given.tests:
        for kind in BUG_CLASSES:
            for label in (kind, f"{kind}, certain"):
                cell = counts[name, label]
                made = cell.total() - cell[Status.HARNESS]
                if not made:
                    continue
                killed = made - cell[Status.PASSED]
                print(
                    f"{name:<12}{label:<28}{made:>8,}{killed / made:>12.1%}"
                    f"{cell[Status.COMPILE_ERROR] / made:>12.1%}"
                    f"{cell[Status.TIMEOUT] / made:>10.1%}"
                )


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--functions", type=int, default=400, help="of a language")
    parser.add_argument("--most", type=int, default=60, help="mutants of a function")
    parser.add_argument("--tests", nargs="+", choices=RUN_LANGUAGES, default=[])
    parser.add_argument("--problems", type=int, default=164, help="of a language")
    parser.add_argument("--certain", action="store_true", help="run only the certain ones")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if given.folders:
        of_sources(given)
    if given.tests:
        of_tests(given)


if __name__ == "__main__":
    main()
