"""Instances are proved by running their code, through the real stage and sandbox."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from wavecoder.artifact import Artifact
from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.generate import Generate
from wavecoder.generate.examples import as_example
from wavecoder.generate.symptoms import symptom, telling
from wavecoder.llm import ScriptedModel
from wavecoder.records import ChatRequest, Instance, Level
from wavecoder.stage import run_stage

RIGHT = "def scaled(items, factor):\n    return [factor * one for one in items]"
CASES = [
    {"input": [[1, 2], 3], "output": [3, 6]},
    {"input": [[], 5], "output": []},
    {"input": [[-1], 2], "output": [-2]},
]
ALL = {"generation": 1.0, "summarization": 1.0, "translation": 1.0, "repair": 1.0}


def sections(instruction: str, solution: str, information: str = "none") -> str:
    return (
        f"task_name: it\ninstruction: {instruction}\n"
        f"information: {information}\nsolution: {solution}"
    )


class Teacher:
    """Writes what it is told to, and judges everything good; what it was asked stands in `asked`.

    The functions are those of the fixture `coreset`: `add_N` adds N to what is larger than N.
    """

    def __init__(self, **answers: str) -> None:
        self.answers, self.asked, self.turns = answers, [], []

    def __call__(self, request: ChatRequest) -> str:
        system, turn = request.messages[0].content, request.messages[-1].content
        number = turn.partition("add_")[2].partition("`")[0].partition("(")[0] or "0"
        for words, name in (
            ("You check", "judge"),
            ("You write test cases", "cases"),
            ("You write Python functions from a description", "rewrite"),
            ("bug reports", "repair"),
            ("code generation", "generation"),
            ("code translation", "translation"),
            ("code summarization", "summarization"),
        ):
            if words in system:
                self.asked.append(name)
                self.turns.append((name, turn))
                if name == "judge":
                    rules = [line for line in system.splitlines() if re.match(r"rule \d+:", line)]
                    said = [f"rule {n + 1}: yes, because it is so" for n in range(len(rules) - 1)]
                    return "\n".join([*said, "overall: yes"])
                return self.answers.get(name, "").replace("NUMBER", number)
        raise AssertionError(system)


@pytest.fixture
def generated(make_context, coreset) -> Iterator[Callable[..., tuple[Artifact, Teacher]]]:
    """Run the stage over some functions for one task."""

    def run(task: str, level: str, count: int = 4, **answers: str) -> tuple[Artifact, Teacher]:
        teacher = Teacher(**answers)
        table = {
            "generator": "local:smollm2-135m-instruct",
            "tasks": {task: 1.0},
            "target_languages": ["javascript"],
            "levels": {task: level},
            "examples": "none",
        }
        stage = Generate(Generate.Config.model_validate(table))
        stage.generator = stage.discriminator = ScriptedModel.from_function("scripted", teacher)
        return run_stage(stage, make_context("generate", coreset(count))), teacher

    yield run


def test_a_repair_is_proved_by_tests_that_the_wrong_code_fails(generated):
    told = "The Python function `add_NUMBER` adds to large numbers. It is wrong. Find and fix it."
    artifact, teacher = generated("repair", "proved", repair=sections(told, "given", "given"))
    instances = list(artifact.records(Instance))
    assert len(instances) == 4, [*artifact.rejected()]
    for one in instances:
        assert one.level == Level.PROVED and one.proof.how == "bug_shows"
        assert any(case.expected != case.other for case in one.proof.cases)
        for case in one.proof.cases:
            names: dict = {}
            exec(one.solution, names)
            arguments = json.loads(case.call)
            assert names[one.raw_code.name](*arguments) == json.loads(case.expected)
        # What goes wrong is what was seen to go wrong, in words of the program.
        seen = symptom(telling(one.proof))
        assert "it should give" in seen and one.instruction.endswith(seen)
        assert as_example(one).instruction == one.instruction.removesuffix(seen)
    # The judge is shown the run; what the program adds is not for it to judge.
    judge = next(turn for name, turn in teacher.turns if name == "judge")
    assert "the right code gives" in judge and "For example" not in judge
    assert set(teacher.asked) == {"repair", "judge"}


@pytest.mark.parametrize(
    ("solution", "cases", "reason"),
    [
        (RIGHT, json.dumps(CASES), None),
        (RIGHT, "Here they are:\n```json\n" + json.dumps(CASES) + "\n```", None),
        (RIGHT.replace("factor *", "factor +"), json.dumps(CASES), "tests_fail"),
        (RIGHT, json.dumps([{**CASES[1], "input": [[], n]} for n in range(3)]), "stub_passes"),
        (RIGHT, "I cannot.", "unproved"),
        (RIGHT, json.dumps([{"input": [1], "output": 1}] * 5), "unproved"),
        ("def scaled(items, factor):\n    while True:\n        factor += 1", None, "tests_fail"),
        (
            "import os\n\ndef scaled(items, factor):\n    os._exit(0)\n    return [items, factor]",
            None,
            "tests_fail",
        ),
        (
            "def scaled(items, factor):\n    print('x' * 10**9)\n"
            "    return [factor * one for one in items]",
            None,
            "tests_fail",
        ),
        (
            "class Any(list):\n    def __eq__(self, other):\n        return True\n\n\n"
            "def scaled(items, factor):\n    return Any([items, factor])",
            None,
            "tests_fail",
        ),
    ],
)
def test_a_generated_solution_passes_tests_that_a_stub_fails(generated, solution, cases, reason):
    told = "Write a Python function `scaled(items, factor)` that returns the items times factor."
    artifact, _ = generated(
        "generation",
        "proved",
        1,
        generation=sections(told, f"\n```python\n{solution}\n```"),
        cases=cases or json.dumps(CASES),
    )
    found = [one.reason for one in artifact.rejected()]
    if reason is None:
        (instance,) = artifact.records(Instance)
        assert (instance.level, instance.proof.how) == (Level.PROVED, "tests_pass_stub_fails")
        assert found == []
    else:
        assert found == [reason], [*artifact.rejected()]


def test_tests_that_a_stub_passes_prove_nothing(generated):
    told = "Write a Python function `nothing(items)` that takes a list and returns None always."
    artifact, _ = generated(
        "generation",
        "proved",
        1,
        generation=sections(told, "\n```python\ndef nothing(items):\n    items = 1\n```"),
        cases=json.dumps([{"input": [[n]], "output": None} for n in range(4)]),
    )
    assert [one.reason for one in artifact.rejected()] == ["stub_passes"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("if (x > NUMBER) {\n    return x + NUMBER;\n  }\n  return NUMBER;", None),
        ("if (x > NUMBER) {\n    return x - 7;\n  }\n  return NUMBER;", "not_same"),
        ("return missing(x) + NUMBER;", "does_not_run"),
    ],
)
def test_a_translation_gives_the_same_results(generated, body, reason):
    told = "Translate the Python function `add_NUMBER` to JavaScript, with the same results."
    solution = f"\n```javascript\nfunction add_NUMBER(x) {{\n  {body}\n}}\n```"
    artifact, _ = generated("translation", "proved", translation=sections(told, solution, "given"))
    kept, refused = [*artifact.records(Instance)], {one.reason for one in artifact.rejected()}
    if reason is None:
        assert refused == set() and {one.proof.how for one in kept} == {"same_results"}
        assert all(one.level == Level.PROVED for one in kept)
    else:
        assert kept == [] and refused == {reason}


@pytest.mark.parametrize(("larger", "kept"), [("x + NUMBER", True), ("x * 100 + 3", False)])
def test_a_summary_is_enough_to_write_the_function_again(generated, larger, kept):
    told = "Summarize what the Python function `add_NUMBER` does, in one or two sentences."
    words = "Adds a fixed number to every argument that is larger than it, else gives the number."
    code = (
        f"```python\ndef add_NUMBER(x):\n    if x > NUMBER:\n        return {larger}\n"
        "    return NUMBER\n```"
    )
    artifact, teacher = generated(
        "summarization",
        "proved",
        1,
        summarization=sections(told, words, "given"),
        rewrite=code,
    )
    if kept:
        (instance,) = artifact.records(Instance)
        assert instance.proof.how == "round_trip"
    else:
        assert [one.reason for one in artifact.rejected()] == ["not_same"]
    assert "rewrite" in teacher.asked


def test_a_level_for_a_task_that_is_not_there_is_one_sentence():
    with pytest.raises(ConfigError, match=r"repairs.*Did you mean 'repair'\?"):
        Generate(Generate.Config(generator="scripted:x", levels={"repairs": Level.RAN}))


def test_an_instance_that_holds_a_problem_of_a_benchmark_is_refused(generated):
    problem = load_benchmark("humaneval")[0]
    told = "Write a Python function `has_close_elements(numbers, threshold)` that compares them."
    solution = (
        "from typing import List\n"
        + problem.prompt.partition('    """')[0].partition("\n\n\n")[2]
        + problem.canonical_solution.rstrip()
    )
    artifact, _ = generated(
        "generation", "parsed", 1, generation=sections(told, f"\n```python\n{solution}\n```")
    )
    (refused,) = artifact.rejected()
    assert refused.reason == "contaminated", refused
    assert "HumanEval/0" in refused.detail
