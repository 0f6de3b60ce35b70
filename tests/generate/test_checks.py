from random import Random

import pytest

from wavecoder.generate.bugs import put_bug
from wavecoder.generate.checks import CHECKS, Draft, first_failure
from wavecoder.generate.generator import Assignment
from wavecoder.generate.sections import Sections
from wavecoder.generate.task import load_task
from wavecoder.records import RawCode

CODE = "def smallest(items):\n    if not items:\n        return None\n    return min(items)"


def raw_code(code: str = CODE, language: str = "python", name: str = "smallest") -> RawCode:
    return RawCode(
        id="1",
        language=language,
        name=name,
        code=code,
        docstring=None,
        source="s",
        path="p",
        start_line=1,
        end_line=4,
        content_hash="h",
    )


GOOD = {
    "generation": (
        "Write a Python function `largest(items)` that returns the largest number of a list.",
        "```python\ndef largest(items):\n    return max(items)\n```",
    ),
    "summarization": (
        "Summarize the Python function `smallest`.",
        "Returns the smallest of the items, or None where there are none.",
    ),
    "translation": (
        "Translate the Python function `smallest` to JavaScript.",
        "```javascript\nfunction smallest(items) {\n"
        "  return items.length ? Math.min(...items) : null;\n}\n```",
    ),
    "repair": (
        "The Python function `smallest` should return the smallest item. Find and fix the bug.",
        "given",
    ),
}


def draft(
    task: str, instruction: str | None = None, solution: str | None = None, shown: bool = False
) -> Draft:
    loaded = load_task(task)
    raw = raw_code()
    assignment = Assignment(
        raw_code=raw,
        task=loaded,
        target_language="javascript" if loaded.changes_language else None,
        bug=put_bug(raw.code, "python", Random(0)) if task == "repair" else None,
    )
    sections = Sections(
        task_name=loaded.title,
        instruction=instruction or GOOD[task][0],
        information=None if task == "generation" else "given",
        solution=solution or GOOD[task][1],
    )
    return Draft(assignment, sections, loaded.seed_examples if shown else ())


@pytest.mark.parametrize("task", GOOD)
def test_good_drafts_pass(task: str):
    assert first_failure(draft(task, shown=True)) is None


BAD = [
    ("instruction_length", "generation", "Python max", None),
    ("language_not_named", "generation", "Write a function `largest(items)` for a list.", None),
    ("language_not_named", "translation", "Translate the Python function `smallest`.", None),
    (
        "leans_on_unseen",
        "generation",
        "Write a Python function that does the same as the function above.",
        None,
    ),
    (
        "prose_outside_code",
        "generation",
        None,
        "```python\ndef f():\n    return 1\n```\nNote: this returns one.",
    ),
    (
        "prose_outside_code",
        "generation",
        None,
        "```python\ndef f():\n    return 1\n```\n```python\nf()\n```",
    ),
    ("wrong_language", "translation", None, "```python\ndef f():\n    return 1\n```"),
    ("syntax_error", "generation", None, "```python\ndef f(:\n    return 1\n```"),
    ("syntax_error", "generation", None, "You only have to call max on the list of items."),
    ("syntax_error", "translation", None, "```\ndef f():\n    return 1\n```"),
    ("prose_expected", "summarization", None, "Calls this:\n```python\nmin(items)\n```"),
    ("prose_expected", "summarization", None, "It finds the minimum."),
    (
        "prose_expected",
        "summarization",
        None,
        "Returns the smallest item of a list.\nArgs:\n    items: the list of items",
    ),
    (
        "placeholder",
        "generation",
        None,
        "```python\ndef f(items):\n    # your code here\n    pass\n```",
    ),
    ("placeholder", "generation", None, "```python\ndef f(items):\n    ...\n```"),
    ("undefined_name", "generation", None, "```python\ndef f(x):\n    return math.sqrt(x)\n```"),
    ("undefined_name", "generation", None, "```python\ndef f(self):\n    return self.x\n```"),
]


@pytest.mark.parametrize(("slug", "task", "instruction", "solution"), BAD)
def test_each_check_gives_its_reason(
    slug: str, task: str, instruction: str | None, solution: str | None
):
    failure = first_failure(draft(task, instruction, solution))
    assert failure is not None
    assert failure[0] == slug
    assert len(failure[1]) > 20


@pytest.mark.parametrize(
    "instruction",
    [
        "Write a Python function `twice(f)` that calls the given function two times.",
        "Write a Python function `negate(f)` that returns the opposite of the original function.",
        "Write a Python function `clip(x)` that keeps numbers above zero and below ten.",
    ],
)
def test_what_only_looks_like_leaning_passes(instruction: str):
    assert first_failure(draft("generation", instruction)) is None


def test_quoting_the_broken_line_gives_the_repair_away():
    one = draft("repair")
    assert one.assignment.bug is not None
    for code in (one.assignment.raw_code.code, one.assignment.bug.code):
        for line in set(code.splitlines()) - (
            set(one.assignment.raw_code.code.splitlines())
            & set(one.assignment.bug.code.splitlines())
        ):
            told = draft("repair", f"The Python function `smallest` has `{line.strip()}` wrong.")
            assert first_failure(told) is not None
            assert first_failure(told)[0] == "gives_away"  # type: ignore[index]


def test_a_repair_that_changes_nothing_is_refused():
    one = draft("repair")
    same = Assignment(one.assignment.raw_code, one.assignment.task, None, None)
    same_bug = type(put_bug(CODE, "python", Random(0)))(kind="value", code=CODE + "  # comment")  # type: ignore[call-arg]
    unchanged = Draft(Assignment(same.raw_code, same.task, None, same_bug), one.sections, ())
    assert CHECKS["no_difference"](unchanged) is not None
    assert CHECKS["no_difference"](one) is None


def test_an_example_copied_word_by_word_is_refused():
    example = load_task("generation").seed_examples[0]
    failure = first_failure(draft("generation", example.instruction, shown=True))
    assert failure is not None
    assert failure[0] == "copied"
    assert example.id in failure[1]


def test_every_check_is_tried_here():
    tried = {case[0] for case in BAD} | {"gives_away", "no_difference", "copied"}
    assert tried == set(CHECKS)
