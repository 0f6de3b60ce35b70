"""How much do the checks, the sandbox and a judge catch of what is known to be wrong?

Run: `.venv/bin/python benchmarks/calibration.py [defects | sides | pairs] -o DIR [--only LANGUAGES]
[--sample N] [--planted N] [--judge MODEL] [--repeats N]`, with `WAVECODER_BENCHMARKS` naming the
folder with the benchmarks' files. The same command goes on where it was stopped: what was run is
in `DIR/grades.jsonl`, what a judge replied in `DIR/replies.sqlite`. Delete `grades.jsonl` when the
code that runs programs has changed.

`defects`: what `wavecoder calibrate` prints, on all known-good instances of HumanEvalPack unless
`--sample` says otherwise, each defect planted `--planted` times; 0: wherever it suits.

`sides`: HumanEvalPack's fixed and buggy solutions as answers of a repair, by its own tests in
strict mode. None of the buggy ones should be accepted, all of the fixed ones.

`pairs`: do the solutions of one problem in two languages give the same on inputs that a program
found? What differs is printed: it is what a proof of a translation would refuse.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event

from wavecoder.calibrate import LANGUAGES, Plan, as_markdown, as_table, calibrate, write
from wavecoder.calibrate.cases import Case, Reference, Side
from wavecoder.calibrate.grades import Share
from wavecoder.calibrate.known import humanevalpack, program
from wavecoder.calibrate.running import Runner
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.generate.quoting import fenced
from wavecoder.generate.stage import Generate
from wavecoder.generate.task import Task, load_task
from wavecoder.progress import progress
from wavecoder.records import Problem, RawCode
from wavecoder.sandbox import open_sandbox


def defects(given: argparse.Namespace) -> None:
    """Plant defects, grade them, and print the tables."""
    judge = given.judge
    stage = None if judge is None else Generate(Generate.Config(generator=judge))
    plan = Plan(
        stage=stage,
        graders=("checks", "execution", *(("judge",) if stage else ())),
        languages=given.only,
        sample=given.sample or None,
        planted=given.planted or None,
        repeats=given.repeats,
        seed=given.seed,
    )
    with progress() as shown:
        result = calibrate(plan, given.out, progress=shown, stop=Event())
    write(result, given.out)
    print(as_markdown(as_table(result)))
    for one in result.graded:
        grades = {"checks": one.checks, "execution": one.execution}
        if one.case.good:
            for name, grade in grades.items():
                if grade is not None and grade.refused:
                    why = f"{grade.rules[0]}: {grade.reason}"
                    print(f"falsely refused: {one.case.id} by {name}: {why}")
        together = one.by("checks+execution")
        if not one.case.good and together is not None and not together.refused:
            print(f"not caught: {one.case.id} ({one.case.language})")


def sides(given: argparse.Namespace) -> None:
    """Run all fixed and all buggy solutions under their tests."""
    task = load_task("generation")
    accepted: Counter[tuple[str, str]] = Counter()
    graded: Counter[tuple[str, str]] = Counter()
    with running(given.out) as runner:
        for name in given.only:
            problems = load_benchmark(f"humanevalfix-{name}")[: given.sample or None]
            for side in ("fixed", "buggy"):
                began = time.monotonic()
                cases = [answer(one, side, task) for one in problems]
                statuses: Counter[str] = Counter()
                for case, grade in zip(cases, runner.pool.map(runner.grade, cases), strict=True):
                    accepted[name, side] += grade.refused is False
                    graded[name, side] += grade.refused is not None
                    statuses[grade.rules[0] if grade.rules else "passed"] += 1
                    if (grade.refused is not False) == (side == "fixed"):
                        print(f"not as expected: {case.id}: {grade.rules} {grade.reason[:200]}")
                share = Share(accepted[name, side], graded[name, side])
                words = ", ".join(f"{rule} {count}" for rule, count in statuses.most_common())
                seconds = time.monotonic() - began
                print(
                    f"{name:<11}{side:<6} accepted {share} ({words}); {seconds:.0f} s", flush=True
                )
    for side in ("fixed", "buggy"):
        total = [sum(count[n, side] for n in given.only) for count in (accepted, graded)]
        print(f"all        {side:<6} accepted {Share(*total)}")


def answer(problem: Problem, side: str, task: Task) -> Case:
    """Return a side of a problem as an answer that its tests decide."""
    body = problem.canonical_solution if side == "fixed" else problem.buggy_solution
    raw = RawCode(
        id=problem.id,
        language=problem.language,
        name=problem.entry_point,
        code="",
        docstring=None,
        source="humanevalpack",
        path=problem.id,
        start_line=None,
        end_line=None,
        content_hash="",
    )
    return Case(
        id=f"{problem.id}:{side}",
        raw=raw,
        task=task,
        instruction="",
        solution=fenced(program(problem, body), problem.language),
        good=side == "fixed",
        reference=Reference(problem=problem),
    )


def pairs(given: argparse.Namespace) -> None:
    """Compare each translation's sides on inputs that a program found."""
    task = load_task("translation")
    cases = humanevalpack({"translation": task}, given.only)
    if given.sample:
        cases = cases[:: max(1, len(cases) // given.sample)]
    both = []
    for case in cases:
        source = Side(case.raw.code, case.raw.language, case.raw.name)
        both.append(replace(case, reference=Reference((source, *case.reference.sides))))
    counts: Counter[str] = Counter()
    with running(given.out) as runner:
        for case, grade in zip(both, runner.pool.map(runner.grade, both), strict=True):
            said = {None: "could not tell", True: "differ", False: "same"}[grade.refused]
            counts[said] += 1
            if grade.refused:
                print(f"{case.id} from {case.raw.language}: {grade.rules[0]}: {grade.reason}")
    print(dict(counts))


def running(out: Path) -> "closing[Runner]":
    """Return a runner over a sandbox that keeps its grades in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    return closing(Runner(open_sandbox(), (os.cpu_count() or 1) + 1, out / "grades.jsonl"))


def main(words: Sequence[str]) -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="defects", choices=("defects", "sides", "pairs"))
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--planted", type=int, default=96)
    parser.add_argument("--judge")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    {"defects": defects, "sides": sides, "pairs": pairs}[given.what](given)


if __name__ == "__main__":
    main(sys.argv[1:])
