"""Running as a grader, in the real sandbox."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from wavecoder.calibrate.cases import Case, Reference, Side
from wavecoder.calibrate.planting import DEFECTS, Pool, plant
from wavecoder.calibrate.running import Runner
from wavecoder.errors import ConfigError
from wavecoder.generate.bugs import Bug
from wavecoder.grading import javascript
from wavecoder.protocols import Sandbox
from wavecoder.sandbox import open_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = open_sandbox()
    yield made
    made.close()


@pytest.fixture
def runner(sandbox: Sandbox) -> Iterator[Runner]:
    made = Runner(sandbox, 2)
    yield made
    made.close()


@pytest.mark.parametrize("task", ["generation", "repair", "translation"])
@pytest.mark.parametrize("language", ["python", "javascript"])
def test_known_good_code_passes(runner: Runner, of, task: str, language: str):
    assert runner.grade(of(3, task, language)).refused is False


def test_a_summary_has_nothing_to_run(runner: Runner, of):
    assert runner.grade(of(3, "summarization")).refused is None


@pytest.mark.parametrize(
    "slug",
    ["off_by_one", "early_exit", "floods", "equals_everything", "dropped_return", "wrong_language"],
)
def test_what_does_something_else_is_refused(runner: Runner, cases: list[Case], slug: str):
    some = [one for one in cases if one.group == "3" and one.task.name == "generation"]
    found = list(plant(some, Pool(cases), [slug], most=None, seed=0))
    assert found and all(runner.grade(one).refused for one in found)


def test_what_never_ends_is_refused_for_that(runner: Runner, of):
    case = DEFECTS["endless_loop"].planted(of(3, "generation"), Pool([]), Random(0))
    assert case is not None
    assert runner.grade(case).rules == ("timeout",)


def test_a_repair_whose_sides_are_swapped_or_the_same_is_refused(runner: Runner, of):
    case = of(3, "repair")
    (swapped,) = plant([case], Pool([]), ["swapped"], most=1, seed=0)
    (same,) = plant([case], Pool([]), ["unchanged"], most=1, seed=0)
    assert runner.grade(swapped).rules == ("tests_wrong",)
    assert runner.grade(same).rules == ("wrong_passes",)


def test_a_repair_without_tests_is_graded_by_its_results(runner: Runner, of):
    case = of(3, "repair")
    own = Reference((Side(case.raw.code, "python", "below_zero"),))
    case = replace(case, reference=own)
    assert runner.grade(case).refused is False
    unshown = replace(case, bug=Bug("value misuse", f"# a bug\n{case.raw.code}"))
    assert runner.grade(unshown).rules == ("bug_not_shown",)


def test_without_anything_to_compare_nothing_is_said(runner: Runner, of):
    assert runner.grade(replace(of(3, "generation"), reference=Reference())).refused is None


def test_what_was_graded_is_kept(sandbox: Sandbox, tmp_path: Path, of, monkeypatch):
    kept = tmp_path / "grades.jsonl"
    case = of(3, "repair")
    first = Runner(sandbox, 1, kept)
    grade = first.grade(case)
    first.close()
    with kept.open("a") as file:
        file.write('{"key": "half')  # as a killed run leaves it
    second = Runner(sandbox, 1, kept)
    ran: list[Case] = []
    monkeypatch.setattr(second, "_grade", ran.append)
    assert second.grade(case) == grade
    assert not ran
    second.close()


def test_a_changed_case_is_graded_anew(sandbox: Sandbox, tmp_path: Path, of):
    kept = tmp_path / "grades.jsonl"
    runner = Runner(sandbox, 1, kept)
    case = of(3, "repair")
    (swapped,) = plant([case], Pool([]), ["swapped"], most=1, seed=0)
    assert (runner.grade(case).refused, runner.grade(swapped).refused) == (False, True)
    runner.close()
    assert len([json.loads(line) for line in kept.read_text().splitlines()]) == 2


def test_a_missing_toolchain_is_said(
    runner: Runner, of: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
):
    def toolchain() -> None:
        raise ConfigError("Programs in JavaScript cannot be run here: node is not installed.")

    monkeypatch.setattr(javascript, "toolchain", toolchain)
    assert runner.grade(of(3, "repair", "javascript")).refused is None
    assert "node is not installed" in runner.missing["javascript"]
