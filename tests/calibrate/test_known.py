"""Known-good instances, and files that hold none."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from wavecoder.calibrate.cases import Case, Unreadable
from wavecoder.calibrate.known import known, labelled, thinned
from wavecoder.calibrate.summaries import problem_words, summary_words
from wavecoder.errors import ConfigError
from wavecoder.generate.checks import Draft
from wavecoder.generate.task import Task
from wavecoder.records import FinishReason

ROW = {
    "task": "generation",
    "language": "Python",
    "instruction": "Write a Python function that doubles a number.",
    "solution": "def double(n):\n    return 2 * n",
}


def lines(path: Path, *rows: object) -> Path:
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    return path


def test_the_benchmark_gives_cases_of_all_tasks(cases: list[Case]):
    kinds = {(one.task.name, one.language) for one in cases}
    four = ("generation", "repair", "summarization", "translation")
    assert kinds == {(task, name) for task in four for name in ("python", "javascript")}
    assert all(one.good and not one.defect for one in cases)
    assert all(isinstance(one.draft, Draft) for one in cases)


def test_a_repair_has_the_buggy_side_and_the_fixed_one(of):
    case = of(0, "repair")
    assert case.bug.kind == "missing logic"
    assert "abs(elem - elem2)" in case.instance.solution
    assert "abs(" not in case.instance.information


def test_a_translation_has_the_problem_in_two_languages(of):
    case = of(0, "translation")
    assert case.raw.language != "python" and case.instance.target_language == "python"
    assert "has_close_elements" in case.code


def test_an_exercise_is_of_another_function(cases: list[Case]):
    assert all(one.raw.code != one.code for one in cases if one.task.name == "generation")


def test_a_reply_that_was_cut_is_no_draft(of):
    case = replace(of(0, "generation"), finish=FinishReason.LENGTH)
    assert isinstance(case.draft, Unreadable) and case.draft.slug == "cut_off"
    case = replace(of(0, "generation"), cut=True)
    assert isinstance(case.draft, Unreadable) and case.draft.slug == "open_fence"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Return n-th number.\n>>> fib(10)\n55", "Return n-th number."),
        ("Add two\nnumbers\nExample:\nadd(1, 2) == 3", "Add two numbers."),
        ("", ""),
    ],
)
def test_examples_are_no_prose(text: str, words: str):
    assert problem_words(text) == words


def test_a_summary_tells_and_does_not_ask():
    found = summary_words("You're given a list. Your task is to detect a fall. return it.")
    assert found == "It is given a list. It has to detect a fall. Return it."
    found = summary_words("Write a function that takes two numbers and adds them.")
    assert found == "This function does the following: takes two numbers and adds them."


def test_a_sample_is_drawn_of_each_kind(cases: list[Case]):
    first, second = (thinned(cases, 2, Random(seed)) for seed in (0, 1))
    assert len(first) == len(second) == 16
    assert first != second
    assert thinned(cases, None, Random(0)) == cases


def test_labelled_instances_are_read(tmp_path: Path, tasks: dict[str, Task], of):
    bad = {**ROW, "good": False, "solution": "def double(n):\n    return n", "defect": "lazy"}
    whole = {"instance": of(0, "repair").instance.model_dump(mode="json"), "good": True}
    path = lines(tmp_path / "own.jsonl", {**ROW, "good": True}, "", bad, whole)
    found = labelled(path, tasks)
    assert [(one.id, one.good, one.defect) for one in found] == [
        ("line-1", True, ""),
        ("line-3", False, "lazy"),
        ("line-4", True, ""),
    ]
    assert found[0].code == ROW["solution"]
    assert found[2].instance.information == of(0, "repair").instance.information


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", "line 1 is no JSON"),
        (ROW, 'Add "good": true or false'),
        ("[1]", 'Add "good": true or false'),
        ({**ROW, "good": "yes"}, 'Add "good": true or false'),
        ({**ROW, "good": True, "task": "poetry"}, "task"),
        ({**ROW, "good": True, "language": "cobol"}, "There is no language 'cobol'"),
        ({"good": True, "instance": {"id": "x"}}, "line 1"),
        ("", "holds no instance"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, tasks: dict[str, Task], row: object, says: str
):
    with pytest.raises(ConfigError) as caught:
        labelled(lines(tmp_path / "own.jsonl", row), tasks)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_what_holds_no_instances_is_refused(tmp_path: Path, tasks: dict[str, Task]):
    for path, says in (
        (tmp_path / "none", "There is no"),
        (tmp_path, "is no run that went through generate"),
    ):
        with pytest.raises(ConfigError, match=says):
            known(path, tasks, ("python",))
    path = lines(tmp_path / "own.jsonl", {**ROW, "good": True})
    with pytest.raises(ConfigError, match="holds no instance in rust"):
        known(path, tasks, ("rust",))


def test_a_file_of_bytes_is_refused(tmp_path: Path, tasks: dict[str, Task]):
    path = tmp_path / "own.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        labelled(path, tasks)
