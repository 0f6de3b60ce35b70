import pytest

from wavecoder.generate.methods.labels import is_open, parse_labels

NAMES = ("problem", "solution")


@pytest.mark.parametrize(
    "reply",
    [
        "[Problem]\nAdd.\n[Solution]\n```python\nx\n```",
        "[problem] Add.\n[solution] ```python\nx\n```",
        "Sure!\n\n**[Problem]**\nAdd.\n\n**[Solution]**:\n```python\nx\n```",
        "## Problem\n\nAdd.\n\n## Solution\n```python\nx\n```",
        "**Problem:** Add.\n**Solution:**\n```python\nx\n```",
        "1. Problem: Add.\r\n2. Solution:\r\n```python\r\nx\r\n```",
    ],
)
def test_many_forms_are_labels(reply: str):
    assert parse_labels(reply, NAMES) == {"problem": "Add.", "solution": "```python\nx\n```"}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no section problem, solution"),
        ("[Problem] Add.", "no section solution"),
        ("The problem is hard.\nSolution: none", "no section problem"),
        ("[Solution] x\n[Problem] Add.", "the sections come as solution, problem"),
        ("[Problem] a\n[Problem] b\n[Solution] c", "the section problem occurs twice"),
    ],
)
def test_what_is_missing_or_doubled_is_never_guessed(reply: str, reason: str):
    assert parse_labels(reply, NAMES) == reason


def test_a_label_inside_a_fence_is_code():
    reply = "[Problem] ```text\nSolution: 3\n```\n[Solution] ```python\n# Problem: none\n```"
    assert parse_labels(reply, NAMES) == {
        "problem": "```text\nSolution: 3\n```",
        "solution": "```python\n# Problem: none\n```",
    }


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", False),
        ("words", False),
        ("```python\nx\n```", False),
        ("a\n```\nx\n```\nb\n~~~\ny\n~~~", False),
        ("```python\nx", True),
        ("```\nx\n```\n```python\ny", True),
        ("~~~\nx\n```", True),
    ],
)
def test_a_fence_that_is_not_closed_is_seen(text: str, answer: bool):
    assert is_open(text) is answer


def test_a_megabyte_of_marks_takes_no_time_out_of_proportion():
    # Quadratic work would take minutes.
    for part in (
        "*",
        "`",
        "[problem",
        "> ",
        "```\n",
        "1. ",
        " \t",
        "problem\n",
        "problem\n```\nx\n```\n",
    ):
        reply = part * (1_000_000 // len(part))
        assert isinstance(parse_labels(reply, NAMES), str)
        is_open(reply)
