from random import Random

from wavecoder.generate.examples import ExampleDatabase, purpose
from wavecoder.records import Example, RuleVerdict


def example(number: int, **changes: object) -> Example:
    fields: dict[str, object] = {
        "id": f"e{number}",
        "task": "generation",
        "language": "python",
        "target_language": None,
        "good": True,
        "name": "f",
        "docstring": None,
        "code": "def f(): pass",
        "instruction": f"instruction {number}",
        "information": None,
        "solution": "def g(): pass",
        "rules": (RuleVerdict(rule="answers", passed=True, reason="it does"),),
        "analysis": "good",
    }
    return Example.model_validate(fields | changes)


def ids(examples: object) -> list[str]:
    return [one.id for one in examples]  # type: ignore[attr-defined]


def test_draws_whole_examples_of_the_task_and_kind():
    database = ExampleDatabase(
        [example(1), example(2, good=False), example(3, task="repair"), example(4)]
    )
    drawn = database.draw("generation", ("python", None), Random(0), good=True, count=5)
    assert sorted(ids(drawn)) == ["e1", "e4"]
    assert all(isinstance(one, Example) for one in drawn)
    bad = database.draw("generation", ("python", None), Random(0), good=False, count=1)
    assert ids(bad) == ["e2"]


def test_own_language_first_then_the_others_evenly():
    crowd = [example(n, language="java") for n in range(50)]
    database = ExampleDatabase([example(100), example(101, language="go"), *crowd])
    first = database.draw("generation", ("python", None), Random(0), good=True, count=1)
    assert ids(first) == ["e100"]
    others = [
        database.draw("generation", ("python", None), Random(seed), good=True, count=2)[1].language
        for seed in range(200)
    ]
    assert 60 < others.count("go") < 140  # one Go example weighs as much as fifty in Java


def test_equal_examples_are_kept_once_and_the_number_is_capped():
    database = ExampleDatabase([example(1), example(1), example(2, instruction="instruction 1")])
    assert len(database) == 1
    for number in range(300):
        database.add(example(number, instruction=f"other {number}"))
    assert len(database) == 100


def test_an_example_that_crowds_the_prompt_is_left_out():
    assert len(ExampleDatabase([example(1, code="x" * 2_000)])) == 0


def test_judged_leaves_out_what_a_check_refused():
    database = ExampleDatabase([example(1, good=False, rules=()), example(2, good=False)])
    drawn = database.draw("generation", ("python", None), Random(0), good=False, count=2)
    assert sorted(ids(drawn)) == ["e1", "e2"]
    judged = database.draw(
        "generation", ("python", None), Random(0), good=False, count=2, judged=True
    )
    assert ids(judged) == ["e2"]


def test_the_same_generator_draws_the_same():
    database = ExampleDatabase(example(number) for number in range(20))
    first, second = (
        ids(database.draw("generation", ("python", None), Random(7), good=True, count=3))
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 3


def test_purpose_is_the_first_paragraph_on_one_line():
    assert purpose("Adds\n  two numbers.\n\nArgs: a, b") == "Adds two numbers."
    assert purpose(None) is None
    assert purpose("  \n ") is None
