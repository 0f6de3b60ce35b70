"""Do all reference solutions pass and all buggy ones fail, each time and on a busy machine?

Run: `.venv/bin/python benchmarks/references.py [--runs N] [--load N] [--only NAMES] [--workers N]`,
with `WAVECODER_BENCHMARKS` naming the folder with the benchmarks' files.

Every solution of HumanEval, HumanEval+, MBPP, MBPP+ and HumanEvalPack in six languages is run, and
every buggy one of HumanEvalPack, by both rules, `--runs` times. What is printed: the verdicts of
each run, and each program whose verdict was not the same every time or not the expected one.
`--load` keeps so many busy loops running for each core.
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading.scoring import Scorer, Work
from wavecoder.records import Mode, Problem, Trial
from wavecoder.sandbox import open_sandbox

LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
BENCHMARKS = (
    *("humaneval", "humaneval+", "mbpp", "mbpp+"),
    *(f"humanevalfix-{language}" for language in LANGUAGES),
)
BUSY = "while True:\n    pass\n"
Verdicts = dict[tuple[str, str, str, str], str]
"""By benchmark, problem, side (`reference`, `buggy`) and rule."""


def works(problems: list[Problem], side: str) -> Iterator[Work]:
    """Yield what a scorer wants of one side of a benchmark's problems."""
    for problem in problems:
        body = problem.canonical_solution if side == "reference" else problem.buggy_solution
        # MBPP's references are whole programs; the others continue their prompt.
        text = body if problem.benchmark == "mbpp" else problem.prompt + body
        yield Work(
            problem,
            Trial(
                id=problem.id,
                benchmark=problem.benchmark,
                task_id=problem.id,
                language=problem.language,
                index=0,
                completion="",
                program=text,
            ),
        )


def run_all(names: list[str], workers: int) -> Verdicts:
    """Run everything once; print a line a benchmark and side."""
    found: Verdicts = {}
    sandbox = open_sandbox()
    scorer = Scorer(sandbox, workers)
    try:
        for name in names:
            problems = list(load_benchmark(name))
            sides = ("reference", "buggy") if problems[0].buggy_solution else ("reference",)
            for side in sides:
                began = time.monotonic()
                retried = 0
                for trial in scorer.score(works(problems, side), [*Mode]):
                    for mode, execution in trial.executions.items():
                        found[name, trial.task_id, side, str(mode)] = execution.status.value
                        retried += execution.attempts > 1
                seconds = time.monotonic() - began
                cells = []
                for mode in Mode:
                    counted = Counter(
                        status
                        for (bench, _, which, rule), status in found.items()
                        if (bench, which, rule) == (name, side, str(mode))
                    )
                    passed = counted.pop("passed", 0)
                    rest = ", ".join(
                        f"{status} {count}" for status, count in sorted(counted.items())
                    )
                    cells.append(f"{mode} {passed}/{len(problems)} ({rest or 'nothing else'})")
                words = "; ".join(cells)
                print(f"{name:<24}{side:<10}{words}; {seconds:.0f} s, {retried} again", flush=True)
    finally:
        scorer.close()
        sandbox.close()
    return found


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep so many loops running."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(loops)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def main() -> None:
    """Run, and print what changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--load", type=int, default=0, help="busy loops for each core")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    runs = []
    with busy(given.load * (os.cpu_count() or 1)):
        for number in range(given.runs):
            print(f"run {number + 1} of {given.runs}, {given.workers} workers", flush=True)
            runs.append(run_all(given.only, given.workers))
    changed = [key for key in runs[0] if len({run[key] for run in runs}) > 1]
    unlike = [
        key for key, status in runs[0].items() if (status == "passed") != (key[2] == "reference")
    ]
    print(f"{len(runs[0])} programs and rules, {len(changed)} verdicts changed between runs")
    for key in changed:
        print("changed:", *key, *(run[key] for run in runs))
    for key in unlike:
        print("not as expected:", *key, runs[0][key])


if __name__ == "__main__":
    main()
