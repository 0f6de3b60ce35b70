from dataclasses import replace
from random import Random

import pytest

from wavecoder.generate.bugs import Bug, put_bug
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
        instruction=instruction or GOOD[task][0],
        information=None if task == "generation" else "given",
        solution=solution or GOOD[task][1],
    )
    return Draft(assignment, sections, loaded.own_examples if shown else ())


@pytest.mark.parametrize("task", GOOD)
def test_good_drafts_pass(task: str):
    assert first_failure(draft(task, shown=True)) is None


BAD = [
    (
        "asks_for_nothing",
        "repair",
        "The Python function `smallest` should return the smallest of its items.",
        None,
    ),
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


@pytest.mark.parametrize(
    ("old", "new", "told", "gives_away"),
    [
        ("min(items)", "max(items)", "return min(items)", True),
        ("min(items)", "max(items)", "return  max(items)", True),
        ("not items", "items", "if not items:", False),  # too short to tell a quote from chance
    ],
)
def test_quoting_the_broken_line_gives_the_repair_away(
    old: str, new: str, told: str, gives_away: bool
):
    one = draft("repair", f"The Python function `smallest` has `{told}` wrong.")
    bug = Bug(kind="function", code=CODE.replace(old, new))
    asked = replace(one, assignment=replace(one.assignment, bug=bug))
    failure = first_failure(asked)
    assert (failure is not None and failure[0] == "gives_away") is gives_away


def test_a_repair_that_changes_nothing_is_refused():
    one = draft("repair")
    same = Assignment(one.assignment.raw_code, one.assignment.task, None, None)
    same_bug = type(put_bug(CODE, "python", Random(0)))(kind="value", code=CODE + "  # comment")  # type: ignore[call-arg]
    unchanged = Draft(Assignment(same.raw_code, same.task, None, same_bug), one.sections, ())
    assert CHECKS["no_difference"](unchanged) is not None
    assert CHECKS["no_difference"](one) is None


def test_an_example_copied_word_by_word_is_refused():
    example = load_task("generation").own_examples[0]
    failure = first_failure(draft("generation", example.instruction, shown=True))
    assert failure is not None
    assert failure[0] == "copied"
    assert example.id in failure[1]


@pytest.mark.parametrize("task", ["generation", "summarization", "repair"])
def test_half_of_an_example_is_copied_and_phrases_are_not(task: str):
    example = load_task(task).own_examples[0]
    told = task != "summarization"
    text = example.instruction if told else example.solution
    words = text.split()
    half = " ".join(words[: len(words) * 3 // 4]) + " and so on."
    copied = draft(task, half, shown=True) if told else draft(task, None, half, shown=True)
    assert "it repeats the example" in str(CHECKS["copied"](copied))


@pytest.mark.parametrize(
    ("task", "instruction"),
    [
        (
            "generation",
            "Write a Python function `longest(words)` that takes a list of strings and returns a "
            "new list of the longest ones, in the order they had.",
        ),
        (
            "repair",
            "The Python function `smallest` should return the smallest item of a list, but for "
            "some inputs its answer is wrong. Find and fix the bug.",
        ),
    ],
)
def test_a_turn_of_phrase_is_no_copy(task: str, instruction: str):
    assert CHECKS["copied"](draft(task, instruction, shown=True)) is None


def test_only_the_same_code_is_copied_code():
    example = load_task("translation").own_examples[0]
    loop = "for (let i = items.length - 1; i >= 0; i--) { if (items[i] === wanted) { return i; } }"
    same = draft("translation", None, example.solution + "  // the end", shown=True)
    assert "is that of the example" in str(CHECKS["copied"](same))
    like = draft("translation", None, f"function f(items, wanted) {{ {loop} }}", shown=True)
    assert CHECKS["copied"](like) is None


@pytest.mark.parametrize(
    "body",
    [
        "    raise NotImplementedError",
        "    return input('Enter your code: ')",
        "    # the todo list\n    return [items]",
        "    try:\n        return items[0]\n    except IndexError:\n        pass",
    ],
)
def test_what_only_looks_undone_passes(body: str):
    assert CHECKS["placeholder"](draft("generation", None, f"def f(items):\n{body}")) is None


@pytest.mark.parametrize(
    "body", ["pass", "...", "# FIXME\n    return 1", "# rest of the code\n    return 1"]
)
def test_work_left_undone_is_refused(body: str):
    code = f'def f(items):\n    """Do it."""\n    {body}'
    assert CHECKS["placeholder"](draft("generation", None, code)) is not None


def test_rust_macros_for_work_undone_are_refused():
    one = draft("translation", None, "fn f() -> u8 {\n    todo!()\n}")
    rust = replace(one, assignment=replace(one.assignment, target_language="rust"))
    assert CHECKS["placeholder"](rust) is not None


def test_a_summary_may_speak_of_your_code():
    one = draft("summarization", None, "Returns the rest of the code that was not implemented yet.")
    assert first_failure(one) is None


@pytest.mark.parametrize(
    "code",
    [
        "print 'x'",
        "def f(a, a):\n    return a",
        "return 1",
        "def f(a):\n    b = a\n      c = b\n    return c",
    ],
)
def test_python_that_does_not_compile_is_refused(code: str):
    failure = first_failure(draft("generation", None, code))
    assert failure is not None
    assert failure[0] == "syntax_error"


def test_a_star_import_may_define_any_name():
    code = "from math import *\n\ndef f(x):\n    return sqrt(x)"
    assert first_failure(draft("generation", None, code)) is None


def test_a_signature_is_seen():
    told = "Write a Python function with the following function signature: `largest(items)`."
    assert first_failure(draft("generation", told)) is None


def test_a_closing_pleasantry_is_no_summary():
    summary = GOOD["summarization"][1] + "\n\nLet me know if you need more details!"
    failure = first_failure(draft("summarization", None, summary))
    assert failure is not None
    assert failure[0] == "prose_expected"


def test_every_check_is_tried_here():
    tried = {case[0] for case in BAD} | {"gives_away", "no_difference", "copied"}
    assert tried == set(CHECKS)
