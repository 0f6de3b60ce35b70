"""Solutions written anew by a teacher: what it is asked, what is kept, stops, failures, proofs."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.artifact import Artifact
from wavecoder.errors import (
    BudgetError,
    ConfigError,
    FailedRequestError,
    RefusedRequestError,
    StoppedError,
)
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.generate import Generate
from wavecoder.generate.regenerate import Regenerate
from wavecoder.generate.rewriting import words
from wavecoder.llm import ScriptedModel
from wavecoder.llm.fake.server import FakeServer
from wavecoder.protocols import Limits
from wavecoder.records import ChatReply, ChatRequest, Instance, Level, RawCode
from wavecoder.stage import Context, retry_stage, run_stage

Make = Callable[..., Context]
Coreset = Callable[[int], dict[str, Artifact]]
Answer = Callable[[ChatRequest], str | ChatReply]

FILES = ("records.parquet", "rejected.parquet")
TASKS = ("generation", "summarization", "translation", "repair")
EQUAL = dict.fromkeys(TASKS, 1.0)
CASES = '[{"input": [1], "output": 2}, {"input": [5], "output": 6}, {"input": [9], "output": 10}]'


def first(request: ChatRequest) -> str:
    """The generator and the discriminator of the dataset that is there before."""
    system, asked = request.messages[0].content, request.messages[-1].content
    if "You write test cases" in system:
        return CASES
    if asked.endswith("rule by rule."):
        count = len(set(re.findall(r"^rule (\d+): ", system, re.M)))
        lines = [f"rule {number + 1}: yes, because it is" for number in range(count)]
        return "\n".join([*lines, "overall: yes"])
    name = re.findall(r"add_\d+", asked)[0]
    number = name[4:]
    task = system.split("task_name: ")[1].splitlines()[0]
    javascript = (
        f"function {name}(x) {{\n  if (x > {number}) {{ return x + {number}; }}\n"
        f"  return {number};\n}}"
    )
    solution = {
        "code generation": f"\n```python\ndef {name}(x):\n    return x + 1\n```",
        "code summarization": f"Adds a number to x, says {name}, where x is large enough.",
        "code translation": f"\n```javascript\n{javascript}\n```",
        "code repair": "given",
    }[task]
    information = "none" if task == "code generation" else "given"
    return (
        f"task_name: {task}\ninstruction: Fix the Python function `{name}`, in JavaScript too."
        f"\ninformation: {information}\nsolution: {solution}"
    )


def task_of(request: ChatRequest) -> str:
    said = request.messages[0].content
    (found,) = (name for name in TASKS if said.startswith(words()[name].system.split("{{")[0]))
    return found


def solution(name: str, task: str) -> str:
    """The right solution, in other words than `first` has."""
    number = name[4:]
    return {
        "generation": f"def {name}(x):\n    y = x\n    return y + 1",
        "summarization": f"Raises a value above {number} by that much and gives {number} for all "
        "others.",
        "translation": f"const {name} = (x) => (x > {number} ? x + {number} : {number});",
        "repair": f"def {name}(x):\n    if x <= {number}:\n        return {number}\n"
        f"    return x + {number}",
    }[task]


def teacher(request: ChatRequest) -> str:
    """A teacher that knows, and says a word before and behind its code."""
    task = task_of(request)
    name = re.findall(r"add_\d+", request.messages[-1].content)[0]
    found = solution(name, task)
    if task == "summarization":
        return found + "\n"
    tag = "javascript" if task == "translation" else "python"
    return f"Here it is:\n\n```{tag}\n{found}\n```\n\nThat is `{name}`."


def regenerate(answer: Answer = teacher, **config: Any) -> Regenerate:
    table = {"teacher": "local:smollm2-135m-instruct", **config}
    stage = Regenerate(Regenerate.Config.model_validate(table))
    stage.teacher = ScriptedModel.from_function("teacher", answer)
    return stage


@pytest.fixture
def dataset(make_context: Make, coreset: Coreset) -> Callable[..., dict[str, Artifact]]:
    """Make what `regenerate` begins with: the instances of so many functions."""

    def make(count: int = 20, answer: Answer = first, **config: Any) -> dict[str, Artifact]:
        table = {
            "generator": "local:smollm2-135m-instruct",
            "tasks": EQUAL,
            "target_languages": ["javascript"],
            "near_duplicates": False,
            **config,
        }
        upstream = coreset(count)
        stage = Generate(Generate.Config.model_validate(table))
        stage.generator = stage.discriminator = ScriptedModel.from_function("first", answer)
        ctx = make_context("generate", upstream)
        ctx.replies = ctx.folder.with_suffix(".sqlite")
        return {**upstream, "generate": run_stage(stage, ctx)}

    return make


Dataset = Callable[..., dict[str, Artifact]]


def before(upstream: dict[str, Artifact]) -> list[Instance]:
    return list(upstream["generate"].records(Instance))


def contents(artifact: Artifact) -> list[bytes]:
    return [(artifact.folder / name).read_bytes() for name in FILES]


# What is asked, and what comes of it


def test_every_solution_is_the_teachers_and_all_else_stays(make_context: Make, dataset: Dataset):
    upstream = dataset()
    old = before(upstream)
    assert {one.task for one in old} == set(TASKS) and len(old) == 20
    artifact = run_stage(regenerate(), make_context("regenerate", upstream))
    new = list(artifact.records(Instance))
    assert [one.id for one in new] == [one.id for one in old]
    changed = {"solution", "reply", "generator", "discriminator", "verdict", "regenerated"}
    for one, was in zip(new, old, strict=True):
        assert one.solution == solution(one.raw_code.name, one.task) != was.solution
        assert (one.generator, one.regenerated) == ("teacher", "rewritten")
        assert one.verdict is None is one.discriminator and was.verdict is not None
        assert one.solution in one.reply
        assert one.model_dump(exclude=changed) == was.model_dump(exclude=changed)
    assert artifact.manifest.usage.keys() == {"teacher"}


def test_the_teacher_is_asked_what_a_tuned_model_is_and_a_rule_how_to_answer(
    make_context: Make, dataset: Dataset
):
    asked: dict[str, ChatRequest] = {}

    def noting(request: ChatRequest) -> str:
        asked[task_of(request)] = request
        return teacher(request)

    run_stage(regenerate(noting), make_context("regenerate", dataset()))
    assert asked.keys() == set(TASKS)
    for task, request in asked.items():
        system, turn = (one.content for one in request.messages)
        name = re.findall(r"add_\d+", turn)[0]
        assert turn.startswith(f"Fix the Python function `{name}`, in JavaScript too.")
        assert f"def {name}(x)" not in turn if task == "generation" else f"def {name}(x)" in turn
        assert "{{" not in system + turn and "given" not in turn
        assert "JavaScript" in system or task != "translation"
        assert request.sampling.temperature == 0 and request.sampling.max_tokens == 1024


@pytest.mark.parametrize(
    ("reply", "task", "reason"),
    [
        ("```python\ndef add_1(x:\n```", "generation", "syntax_error"),
        ("I cannot do that, as it seems to me.", "generation", "declined"),
        ("Adding is easy, as it seems to me.", "generation", "syntax_error"),
        ("```python\ndef add_1(x):\n    return x", "generation", "open_fence"),
        ("", "summarization", "empty_answer"),
        ("```python\nx = 1\n```\nor\n```python\nx = 2\n```", "generation", "prose_outside_code"),
        ("```python\ndef add_1(x):\n    return x\n```", "translation", "wrong_language"),
        ("- It adds.\n- It returns the sum of both.", "summarization", "prose_expected"),
        ("```python\ndef other(x):\n    return x\n```", "generation", "other_name"),
    ],
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_refused_solution_leaves_the_old_one_or_nothing(
    make_context: Make, dataset: Dataset, reply: str, task: str, reason: str, keep: bool
):
    upstream = dataset(4, tasks={task: 1.0})
    stage = regenerate(lambda request: reply, keep_refused=keep)
    artifact = run_stage(stage, make_context("regenerate", upstream))
    old = before(upstream)
    if keep:
        assert artifact.manifest.rejected == {}
        kept = list(artifact.records(Instance))
        assert {one.regenerated for one in kept} == {reason}
        assert [one.model_copy(update={"regenerated": None}) for one in kept] == old
    else:
        assert artifact.manifest.rejected == {reason: 4}
        assert all(one.reply == reply and one.task == task for one in artifact.rejected())
    assert artifact.manifest.tokens.prompt > 0  # they were paid for in either case


def test_a_reply_that_was_cut_off_is_refused(make_context: Make, dataset: Dataset):
    def cut(request: ChatRequest) -> ChatReply:
        text = teacher(request)
        return ChatReply(
            text=text, finish_reason="length", prompt_tokens=1, completion_tokens=1, seconds=0.0
        )

    upstream = dataset(4)
    artifact = run_stage(regenerate(cut), make_context("regenerate", upstream))
    assert {one.regenerated for one in artifact.records(Instance)} == {"cut_off"}


def test_the_wrong_code_again_is_no_repair(make_context: Make, dataset: Dataset):
    upstream = dataset(4, tasks={"repair": 1.0})
    wrong = {one.raw_code.name: one.information for one in before(upstream)}

    def idle(request: ChatRequest) -> str:
        name = re.findall(r"add_\d+", request.messages[-1].content)[0]
        return f"```python\n{wrong[name]}\n```"

    artifact = run_stage(regenerate(idle), make_context("regenerate", upstream))
    assert {one.regenerated for one in artifact.records(Instance)} == {"no_difference"}


@pytest.mark.parametrize(("name", "what"), [("helper", "rewritten"), ("madeup", "undefined_name")])
def test_a_repair_may_name_what_its_author_named_and_nothing_else(
    make_context: Make, dataset: Dataset, name: str, what: str
):
    upstream = dataset(2, tasks={"repair": 1.0})
    folder = upstream["generate"].folder

    class Calling:
        """The same instances, whose code calls a function of its file."""

        name, data_version, streaming, writes = "generate", 3, False, Instance
        config = Generate.Config(generator="scripted:x")

        def identity(self) -> dict[str, object]:
            return dict(upstream["generate"].manifest.identity)

        def inputs(self, ctx: Context) -> list[Instance]:
            found = []
            for one in before(upstream):
                code = one.raw_code.code.replace("return x", "return helper(x)")
                raw = one.raw_code.model_copy(update={"code": code})
                update = {"raw_code": raw, "solution": code}
                found.append(one.model_copy(update=update))
            return found

        def run(self, inputs: Any, ctx: Context) -> Any:
            yield from inputs

    ctx = make_context("generate", {"functions": upstream["functions"]}, folder="calling")
    changed = {**upstream, "generate": run_stage(Calling(), ctx)}  # type: ignore[arg-type]
    assert folder != changed["generate"].folder

    def calling(request: ChatRequest) -> str:
        return teacher(request).replace("return x", f"return {name}(x)")

    artifact = run_stage(regenerate(calling), make_context("regenerate", changed))
    assert {one.regenerated for one in artifact.records(Instance)} == {what}


def test_tasks_that_are_not_named_pass_and_cost_nothing(make_context: Make, dataset: Dataset):
    upstream = dataset()
    asked = []

    def noting(request: ChatRequest) -> str:
        asked.append(task_of(request))
        return teacher(request)

    stage = regenerate(noting, tasks=["generation", "repair"])
    artifact = run_stage(stage, make_context("regenerate", upstream))
    for one, was in zip(artifact.records(Instance), before(upstream), strict=True):
        if one.task in ("generation", "repair"):
            assert one.regenerated == "rewritten"
        else:
            assert one == was and one.regenerated is None
    assert set(asked) == {"generation", "repair"}


def test_a_second_attempt_is_drawn_anew(make_context: Make, dataset: Dataset):
    seeds: dict[str, list[int]] = {}

    def second_time_lucky(request: ChatRequest) -> str:
        drawn = seeds.setdefault(request.messages[-1].content, [])
        drawn.append(request.sampling.seed)
        return teacher(request) if len(drawn) == 2 else "```python\n"

    stage = regenerate(second_time_lucky, attempts=3, sampling={"temperature": 0.5})
    artifact = run_stage(stage, make_context("regenerate", dataset(8)))
    assert all(len(set(drawn)) == 2 for drawn in seeds.values())
    assert {one.regenerated for one in artifact.records(Instance)} == {"rewritten"}
    assert {one.attempt for one in artifact.records(Instance)} == {1}


def test_a_solution_of_a_benchmark_is_refused(make_context: Make, dataset: Dataset):
    problem = load_benchmark("humaneval")[0]
    declared = problem.prompt.partition('    """')[0].partition("\n\n\n")[2]

    def leaking(request: ChatRequest) -> str:
        name = re.findall(r"add_\d+", request.messages[-1].content)[0]
        code = declared + problem.canonical_solution.rstrip()
        return f"```python\nfrom typing import List\n{code}\n\n{name} = has_close_elements\n```"

    upstream = dataset(3, tasks={"generation": 1.0})
    for decide, reason in ((True, "contaminated"), (False, "rewritten")):
        stage = regenerate(leaking, decontaminate=decide)
        ctx = make_context("regenerate", upstream, folder=f"decontaminate-{decide}")
        artifact = run_stage(stage, ctx)
        assert {one.regenerated for one in artifact.records(Instance)} == {reason}


def test_answers_of_another_method_are_read_as_it_reads_them(make_context: Make, dataset: Dataset):
    def inventing(request: ChatRequest) -> str:
        asked = request.messages[-1].content
        number = re.findall(r"\d+", asked)[0]
        code = f"def more(x):\n    return x + {number}"
        return f"[Problem]\nWrite a Python function that adds {number}.\n[Solution]\n{code}"

    keys = ("tasks", "target_languages")  # this method has none but their defaults
    plain = Generate.Config(generator="scripted:x").model_dump(include=set(keys))
    upstream = dataset(6, inventing, method="oss-instruct", **plain)
    assert {one.task for one in before(upstream)} == {"oss-instruct"}
    answer = "It adds:\n\n```python\ndef more(x):\n    return 1 + x\n```\n\nTry `more(1)`."
    artifact = run_stage(regenerate(lambda request: answer), make_context("regenerate", upstream))
    assert {one.solution for one in artifact.records(Instance)} == {answer}
    broken = answer.replace("more(x)", "more(x")
    ctx = make_context("regenerate", upstream, folder="broken")
    ctx.replies = ctx.folder.with_suffix(".sqlite")
    artifact = run_stage(regenerate(lambda request: broken), ctx)
    assert {one.regenerated for one in artifact.records(Instance)} == {"syntax_error"}


def test_an_empty_dataset_gives_an_empty_one(make_context: Make, dataset: Dataset):
    upstream = dataset(2, lambda request: "mumble")
    artifact = run_stage(regenerate(), make_context("regenerate", upstream))
    assert (artifact.manifest.inputs, artifact.manifest.kept) == (0, 0)


# Running it


def test_what_was_proved_is_proved_again(make_context: Make, dataset: Dataset):
    levels = dict.fromkeys(("generation", "translation", "repair"), "proved")
    upstream = dataset(8, levels=levels, tasks={name: 1.0 for name in levels})
    old = before(upstream)
    assert {one.task for one in old} == levels.keys()
    assert {one.level for one in old} == {Level.PROVED}
    artifact = run_stage(regenerate(), make_context("regenerate", upstream))
    new = list(artifact.records(Instance))
    assert {one.regenerated for one in new} == {"rewritten"}
    for one, was in zip(new, old, strict=True):
        assert one.level == Level.PROVED and one.proof is not None and was.proof is not None
        assert one.proof.how == was.proof.how and len(one.proof.cases) >= 3
    assert artifact.manifest.usage["teacher"].prompt > 0


@pytest.mark.parametrize(
    ("task", "reason"),
    [("generation", "tests_fail"), ("translation", "not_same"), ("repair", "not_same")],
)
def test_code_that_gives_other_results_than_before_is_refused(
    make_context: Make, dataset: Dataset, task: str, reason: str
):
    def wrong(request: ChatRequest) -> str:
        return re.sub(r"\+ \d+", "+ 77", teacher(request))

    upstream = dataset(3, levels={task: "proved"}, tasks={task: 1.0})
    assert before(upstream)
    artifact = run_stage(regenerate(wrong), make_context("regenerate", upstream))
    kept = list(artifact.records(Instance))
    assert {one.regenerated for one in kept} == {reason}
    assert {one.level for one in kept} == {Level.PROVED}  # the old solution, with its old proof


@pytest.mark.parametrize(("level", "after"), [("proved", Level.PARSED), ("ran", Level.RAN)])
def test_a_summary_keeps_only_what_was_shown_of_its_code(
    make_context: Make, dataset: Dataset, level: str, after: Level
):
    def rewriting(request: ChatRequest) -> str:
        if "from a description" in request.messages[0].content:
            name = re.findall(r"`(add_\d+)`", request.messages[-1].content)[0]
            return f"```python\n{solution(name, 'repair')}\n```"
        return first(request)

    task = "summarization"
    upstream = dataset(2, rewriting, levels={task: level}, tasks={task: 1.0})
    assert {one.level for one in before(upstream)} == {Level(level)}
    artifact = run_stage(regenerate(), make_context("regenerate", upstream))
    assert [one.level for one in artifact.records(Instance)] == [after] * 2


# Failures, stops, money


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RefusedRequestError, "model_refused"), (FailedRequestError, "model_failed")],
)
def test_where_no_reply_came_the_old_solution_does_not_slip_in(
    make_context: Make, dataset: Dataset, error: type[Exception], reason: str
):
    upstream = dataset()
    whole = run_stage(regenerate(), make_context("regenerate", upstream, folder="whole"))
    failing = True

    def now_and_then(request: ChatRequest) -> str:
        if failing and re.search(r"add_\d*[37]\b", request.messages[-1].content):
            raise error("no reply")
        return teacher(request)

    stage, ctx = regenerate(now_and_then), make_context("regenerate", upstream)
    ctx.replies = ctx.folder.with_suffix(".sqlite")
    artifact = run_stage(stage, ctx)
    assert artifact.manifest.rejected == {reason: 4}
    assert {one.regenerated for one in artifact.records(Instance)} == {"rewritten"}
    failing = False
    again = retry_stage(stage, ctx)
    assert again is not None
    assert contents(again) == contents(whole)  # as if nothing had failed
    assert again.manifest.usage == whole.manifest.usage


@pytest.mark.parametrize("stop_after", [1, 7, 19])
def test_stopped_and_resumed_gives_the_same_bytes(
    make_context: Make, dataset: Dataset, stop_after: int
):
    upstream = dataset()
    whole = run_stage(regenerate(), make_context("regenerate", upstream, folder="whole"))
    ctx = make_context("regenerate", upstream)
    ctx.replies = ctx.folder.with_suffix(".sqlite")
    ctx.limits = Limits(concurrency=2)
    asked = 0

    def stopping(request: ChatRequest) -> str:
        nonlocal asked
        asked += 1
        if asked == stop_after:
            ctx.stop.set()
        return teacher(request)

    with pytest.raises(StoppedError, match="in regenerate"):
        run_stage(regenerate(stopping), ctx)
    ctx.stop.clear()
    resumed = run_stage(regenerate(stopping), ctx)
    assert asked == 20
    assert contents(resumed) == contents(whole)
    assert resumed.manifest.usage == whole.manifest.usage


def test_the_budget_ends_it_and_more_goes_on(make_context: Make, dataset: Dataset):
    upstream = dataset()
    whole = run_stage(regenerate(), make_context("regenerate", upstream, folder="whole"))
    ctx = make_context("regenerate", upstream)
    ctx.replies = ctx.folder.with_suffix(".sqlite")
    asked = 0

    def counting(request: ChatRequest) -> str:
        nonlocal asked
        asked += 1
        return teacher(request)

    ctx.limits = Limits(max_tokens=2_500, concurrency=1)
    with pytest.raises(BudgetError):
        run_stage(regenerate(counting), ctx)
    assert 0 < asked < 20
    ctx.limits = Limits()
    assert contents(run_stage(regenerate(counting), ctx)) == contents(whole)
    assert asked == 20


KILLED = """\
import json, os, signal, sys
from pathlib import Path
from threading import Event

from conftest import Quiet

from wavecoder.artifact import Artifact
from wavecoder.generate.regenerate import Regenerate
from wavecoder.protocols import Limits
from wavecoder.stage import Context, run_stage

folder, dataset, url, at = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])


class Killing(Quiet):
    def start(self, stage, total, finished):
        self.done = finished

    def outcome(self, reason, count=1):
        self.done += 1
        if self.done == at:
            os.kill(os.getpid(), signal.SIGKILL)


stage = Regenerate(Regenerate.Config(teacher=url + "#fake"))
run_stage(stage, Context(
    folder=folder, seed=0, stage="regenerate", upstream={"generate": Artifact.open(dataset)},
    replies=folder.with_suffix(".sqlite"), progress=Killing(), stop=Event(),
    limits=Limits(concurrency=4, timeout=5.0),
))
"""


def test_killed_over_a_faulty_endpoint_it_gives_the_same_bytes(
    make_context: Make, dataset: Dataset, fake_server: Callable[..., FakeServer], tmp_path: Path
):
    # The fake endpoint answers with a Python function of a name of its own: where the instruction
    # names no function it is a solution, and elsewhere it is refused.
    def unnamed(request: ChatRequest) -> str:
        return re.sub(r"`(add_\d+)`", r"\1", first(request))

    upstream = dataset(24, unnamed)
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def run(name: str, url: str, at: int) -> int:
        words = [str(tmp_path / name), str(upstream["generate"].folder), url, str(at)]
        return subprocess.run([sys.executable, script, *words], env=environment).returncode

    assert run("whole", fake_server().url, 0) == 0
    faulty = fake_server(fault={"reset": 0.1, "http_503": 0.1}, retry_after=0.01)
    for at in (2, 9, 20):
        assert run("killed", faulty.url, at) == -signal.SIGKILL
    assert run("killed", faulty.url, 0) == 0
    whole, killed = (Artifact.open(tmp_path / name) for name in ("whole", "killed"))
    assert contents(killed) == contents(whole)
    assert killed.manifest.usage == whole.manifest.usage
    found = {one.regenerated for one in whole.records(Instance)}
    assert {"rewritten", "wrong_language"} <= found


# Bad input, identity


def test_what_a_person_got_wrong_is_one_sentence(make_context: Make, dataset: Dataset):
    upstream = dataset(2)
    with pytest.raises(ConfigError, match=r"'repiar'.*Did you mean 'repair'\?"):
        run_stage(regenerate(tasks=["repiar"]), make_context("regenerate", upstream))
    functions = {"functions": upstream["functions"]}
    with pytest.raises(ConfigError, match="add generate to the recipe"):
        run_stage(regenerate(), make_context("regenerate", functions))
    with pytest.raises(ValueError, match="temperature 0 each would get the same reply"):
        regenerate(attempts=2)
    with pytest.raises(ValueError, match="at least 1 item"):
        regenerate(tasks=[])


def test_what_decides_the_records_is_the_identity(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_KEY", "x")
    plain = regenerate().identity()
    assert regenerate(api_key_env="SOME_KEY").identity() == plain
    assert plain["words"]["repair"]["system"] == words()["repair"].system  # type: ignore[index]
    both = regenerate(tasks=["repair", "generation"]).identity()
    assert regenerate(tasks=["generation", "repair"]).identity() == both != plain
    for other in ({"keep_refused": False}, {"sampling": {"max_tokens": 9}}):
        assert regenerate(**other).identity() != plain
    other_teacher = regenerate()
    other_teacher.teacher = ScriptedModel.from_function("another", teacher)
    assert other_teacher.identity() != plain
    assert "index" in plain and "index" not in regenerate(decontaminate=False).identity()


def test_functions_stand_under_the_ids_of_their_instances(dataset: Dataset):
    stage, (one, *_) = regenerate(), before(dataset(2))
    moved = one.model_copy(update={"id": "another"})
    rewriter = stage._rewriter({})
    (raw,) = rewriter.functions([moved])
    assert isinstance(raw, RawCode) and raw.id == "another" and rewriter.pending["another"] is moved
