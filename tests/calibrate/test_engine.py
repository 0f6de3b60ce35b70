"""The judge over a fake endpoint on a real socket, and all graders together."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from wavecoder.calibrate import DEFECTS, Plan, Result, as_markdown, as_table, calibrate, write
from wavecoder.calibrate.grades import Share
from wavecoder.calibrate.judging import Judge
from wavecoder.calibrate.report import rubber_stamp
from wavecoder.errors import BudgetError, ConfigError, ModelError, StoppedError
from wavecoder.generate.judge import Minimum, meets
from wavecoder.generate.stage import Generate
from wavecoder.llm import Ledger
from wavecoder.llm.fake.server import FakeServer
from wavecoder.progress import Silent
from wavecoder.protocols import Limits

Serve = Callable[..., FakeServer]


def stage(server: FakeServer, **more: Any) -> Generate:
    return Generate(Generate.Config(generator=f"{server.url}#fake", **more))


def plan(judge: Generate | None = None, **more: Any) -> Plan:
    given: dict[str, Any] = {
        "stage": judge,
        "graders": ("checks", "judge") if judge else ("checks",),
        "languages": ("python",),
        "sample": 3,
        "planted": 3,
    }
    return Plan(**{**given, **more})


def go(what: Plan, out: Path | None = None, stop: Event | None = None) -> Result:
    return calibrate(what, out, progress=Silent(), stop=stop or Event())


def test_the_checks_alone_need_neither_model_nor_sandbox():
    table = as_table(go(plan()))
    assert list(table["graders"]) == ["checks"]
    assert table["known_good"] == 12
    assert table["graders"]["checks"]["falsely_refused"]["count"] == 0
    assert table["defects"]["secret"]["checks"]["share"] == 1.0
    assert table["judge"] is None
    json.dumps(table)


def test_a_judge_that_says_yes_to_all_is_named_a_rubber_stamp(fake_server: Serve, tmp_path: Path):
    result = go(plan(stage(fake_server(refuse=0.0))), tmp_path)
    table = as_table(result)
    assert table["graders"]["judge"]["caught"]["count"] == 0
    assert "rubber stamp: it accepts 100%" in table["judge"]["rubber_stamp"]
    assert "**This judge is a rubber stamp" in as_markdown(table)
    assert table["graders"]["all"]["caught"] == table["graders"]["checks"]["caught"]
    assert meets(table, Minimum(caught=0.5), judge="fake") is not None


def test_a_judge_that_refuses_all_is_named_so(fake_server: Serve, tmp_path: Path):
    table = as_table(go(plan(stage(fake_server(refuse=1.0))), tmp_path))
    assert "refuses nearly everything" in table["judge"]["rubber_stamp"]
    assert table["graders"]["all"]["falsely_refused"]["share"] == 1.0
    assert table["rules"]["judge"]


def test_a_judge_that_is_none_of_one_task_is_named_so(fake_server: Serve, tmp_path: Path):
    result = go(plan(stage(fake_server(refuse=0.0)), sample=12), tmp_path)
    for one in result.graded:
        refused = one.case.task.name == "generation" or not one.case.good
        one.judge = [replace(grade, refused=refused) for grade in one.judge]
    named = as_table(result)["judge"]["rubber_stamp"]
    assert named.startswith("Of generation: this judge refuses nearly everything: 100% of what")
    assert named.count("Of ") == 1


def test_a_judge_that_guesses_is_unstable_and_named_so(fake_server: Serve, tmp_path: Path):
    table = as_table(go(plan(stage(fake_server(refuse=0.5)), repeats=4), tmp_path))
    stable = table["judge"]["stable"]
    assert stable["share"] < 0.5 and stable["low"] < stable["share"] < stable["high"]
    assert "does not tell good from bad" in table["judge"]["rubber_stamp"]


def test_no_reply_is_paid_for_twice(fake_server: Serve, tmp_path: Path):
    server = fake_server(refuse=0.5)
    first = as_table(go(plan(stage(server), repeats=2), tmp_path))
    sent = server.stats()["ok"]
    assert sent == 2 * (first["graders"]["judge"]["caught"]["of"] + 12)
    assert as_table(go(plan(stage(server), repeats=2), tmp_path)) == first
    assert server.stats()["ok"] == sent


def test_the_judge_is_not_asked_about_what_it_cannot_see(fake_server: Serve, tmp_path: Path):
    result = go(plan(stage(fake_server(refuse=1.0)), defects=("cut_off", "secret")), tmp_path)
    table = as_table(result)
    assert table["defects"]["cut_off"]["judge"]["of"] == 0
    assert table["defects"]["cut_off"]["all"]["share"] == 1.0
    assert table["defects"]["secret"]["judge"]["of"] == 3


def test_a_prompt_is_that_of_generate(fake_server: Serve, of):
    judge = Judge(stage(fake_server()), seed=0)
    case = of(0, "generation")
    request = judge.request(case, 0)
    assert request.reply_schema is not None
    assert len(request.messages) == 6  # the rules, two examples as turns, the draft
    assert case.code in request.messages[-1].content
    assert judge.request(case, 0) == request
    assert judge.request(case, 1).messages[-1] != request.messages[-1]  # another marker
    assert judge.request(case, 1).sampling.seed == request.sampling.seed + 1


def test_a_verdict_that_cannot_be_read_refuses(tmp_path: Path):
    script = tmp_path / "judge.yaml"
    script.write_text("- match: ''\n  reply: I like it.\n")
    made = Generate(Generate.Config(generator=f"scripted:{script}"))
    table = as_table(go(plan(made), tmp_path / "out"))
    assert list(table["rules"]["judge"]) == ["no_verdict"]


def test_tokens_and_money_are_counted(fake_server: Serve, tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("fake: {prompt: 1, completion: 2}\n")
    what = plan(stage(fake_server(refuse=1.0)), limits=Limits(prices=prices))
    judge = as_table(go(what, tmp_path / "out"))["judge"]
    spent = judge["prompt_tokens"] + 2 * judge["completion_tokens"]
    assert judge["cost"] == pytest.approx(spent / 1e6)
    with Ledger(tmp_path / "out" / "replies.sqlite") as ledger:
        assert ledger.usage()["fake"] == (judge["prompt_tokens"], judge["completion_tokens"])
    assert judge["cost_per_caught"] < judge["cost_per_caught_alone"]


def test_a_cap_on_tokens_holds(fake_server: Serve, tmp_path: Path):
    what = plan(stage(fake_server()), limits=Limits(max_tokens=10))
    with pytest.raises(BudgetError):
        go(what, tmp_path)


def test_an_endpoint_that_refuses_the_key_ends_it(fake_server: Serve, tmp_path: Path):
    with pytest.raises(ModelError, match="401"):
        go(plan(stage(fake_server(key="right"))), tmp_path)


class Impatient(Silent):
    """Asks to stop after so many verdicts."""

    def __init__(self, stop: Event, verdicts: int) -> None:
        self.stop, self.left, self.stage = stop, verdicts, ""

    def start(self, stage: str, total: int | None, finished: int) -> None:
        self.stage = stage

    def outcome(self, reason: str | None, count: int = 1) -> None:
        self.left -= self.stage == "judge"
        if self.left == 0:
            self.stop.set()


def test_who_stops_goes_on_later(fake_server: Serve, tmp_path: Path):
    server, stop = fake_server(), Event()
    what = plan(stage(server), limits=Limits(concurrency=1))
    with pytest.raises(StoppedError):
        calibrate(what, tmp_path, progress=Impatient(stop, 5), stop=stop)
    assert server.stats()["ok"] == 5
    table = as_table(go(plan(stage(server)), tmp_path))
    total = table["graders"]["judge"]["caught"]["of"] + 12
    assert server.stats()["ok"] == total


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"graders": ("sandbox",)}, "There is no grader 'sandbox'"),
        ({"graders": ()}, "There is no grader"),
        ({"graders": ("judge",)}, "No judge is named"),
        ({"tasks": ("poetry",)}, "There is no task 'poetry'"),
        ({"defects": ("of_by_one",)}, "Did you mean 'off_by_one'"),
        ({"languages": ("cobol",)}, "There is no language 'cobol'"),
        ({"source": Path("/nowhere")}, "There is no /nowhere"),
    ],
)
def test_what_cannot_be_graded_is_said_in_a_sentence(change: dict[str, Any], says: str):
    with pytest.raises(ConfigError) as caught:
        go(plan(**change))
    assert says in str(caught.value)


def test_a_task_that_the_recipe_lacks_is_refused(fake_server: Serve):
    made = stage(fake_server(), tasks={"repair": 1})
    with pytest.raises(ConfigError, match=r"The recipe has no task 'generation'\. It has repair"):
        go(plan(made, tasks=("generation",)))


def test_a_method_without_a_judge_is_refused(fake_server: Serve):
    made = stage(fake_server(), method="oss-instruct")
    with pytest.raises(ConfigError, match="The method oss-instruct has no judge"):
        go(plan(made))


def test_a_task_without_instances_is_noted(tmp_path: Path):
    row = {"task": "generation", "language": "python", "instruction": "Write a Python function.",
           "solution": "def one():\n    return 1", "good": True}  # fmt: skip
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(row))
    result = go(plan(source=path))
    assert "There is no known-good instance of repair." in result.notes
    assert "The defect swapped suits none of them." in result.notes


def test_labelled_pairs_are_graded_as_they_are(tmp_path: Path):
    good = {"task": "generation", "language": "python", "good": True,
            "instruction": "Write a Python function `one` that returns 1.",
            "solution": "def one():\n    return 1"}  # fmt: skip
    bad = {**good, "good": False, "solution": "def one(:\n    return 1"}
    path = tmp_path / "own.jsonl"
    path.write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n")
    table = as_table(go(plan(source=path)))
    assert (table["known_good"], table["planted"]) == (1, 1)
    assert table["defects"] == {"labelled_bad": {"checks": Share(1, 1).as_table()}}


def test_checks_and_execution_are_counted_alone_and_together(tmp_path: Path):
    what = plan(
        graders=("checks", "execution"),
        tasks=("repair", "translation"),
        defects=("swapped", "language_not_named"),
        sample=2,
        planted=2,
    )
    result = go(what, tmp_path)
    table = as_table(result)
    assert list(table["graders"]) == ["checks", "execution", "checks+execution"]
    assert table["defects"]["swapped"]["checks"]["count"] == 0
    assert table["defects"]["swapped"]["execution"]["count"] == 2
    assert table["defects"]["language_not_named"]["execution"]["count"] == 0
    assert table["decidable_by_program"]["checks+execution"]["share"] == 1.0
    assert write(result, tmp_path) == tmp_path / "calibration.json"
    assert json.loads((tmp_path / "calibration.json").read_text()) == table
    assert len((tmp_path / "cases.jsonl").read_text().splitlines()) == 8
    assert as_markdown(table) == (tmp_path / "calibration.md").read_text()


def test_few_cases_say_nothing_of_a_judge():
    assert rubber_stamp(Share(0, 9), Share(0, 100)) is None
    assert rubber_stamp(Share(60, 100), Share(10, 100)) is None
    assert rubber_stamp(Share(10, 100), Share(0, 100)) is not None


def test_every_defect_says_whether_a_program_can_decide_it():
    undecided = {slug for slug, one in DEFECTS.items() if not one.by_program}
    assert undecided == {"other_summary", "changed_fact", "other_instruction"}
