import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecoder.generate.sections import Sections, fences, parse_sections

PLAIN = """task_name: code generation
instruction: Write a Python function `f`.
information: none
solution:
```python
def f():
    return 1
```"""


def test_plain_reply():
    sections = parse_sections(PLAIN)
    assert isinstance(sections, Sections)
    assert sections.instruction == "Write a Python function `f`."
    assert sections.information is None
    assert fences(sections.solution)[0].body == "def f():\n    return 1"
    assert fences(sections.solution)[0].tag == "python"


@pytest.mark.parametrize(
    "form",
    ["**{}:** ", "**{}**: ", "### {}\n", "## {}: ", "- {}: ", "2. {}: ", "1) **{}**\n", "{} - "],
)
def test_labels_as_models_write_them(form: str):
    reply = "\n".join(
        form.format(name) + text
        for name, text in [
            ("Task Name", "code summarization"),
            ("INSTRUCTION", "Summarize it."),
            ("Information", "given"),
            ("Solution", "It adds two numbers."),
        ]
    )
    sections = parse_sections(reply)
    assert isinstance(sections, Sections), sections
    assert sections.solution == "It adds two numbers."
    assert sections.information is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("information: none\n", ""), "no section information"),
        (("instruction: Write a Python function `f`.", "instruction:"), "instruction is empty"),
        (("\n```", ""), "not closed"),
        (("information: none", "information: none\nsolution: x"), "solution occurs twice"),
        (("task_name: code generation\n", ""), "no section task_name"),
    ],
)
def test_what_is_missing_is_named_and_not_guessed(change: tuple[str, str], reason: str):
    reply = PLAIN[::-1].replace(change[0][::-1], change[1][::-1], 1)[::-1]
    problem = parse_sections(reply)
    assert isinstance(problem, str)
    assert reason in problem


def test_wrong_order_is_refused():
    reply = "solution: x\ntask_name: y\ninstruction: z\ninformation: none"
    assert "order" in str(parse_sections(reply))


def test_labels_inside_code_are_code():
    reply = PLAIN.replace("    return 1", '    """\nsolution: not a label\n"""')
    sections = parse_sections(reply)
    assert isinstance(sections, Sections)
    assert "solution: not a label" in sections.solution


ABSENT = ["given", "No additional information is required.", "not needed", "None required"]


@pytest.mark.parametrize(
    "word", ["None", "none.", "N/A", "<noinput>", "(none)", "`none`", "", *ABSENT]
)
def test_words_for_no_information(word: str):
    sections = parse_sections(PLAIN.replace("information: none", f"information: {word}"))
    assert isinstance(sections, Sections)
    assert sections.information is None


def test_prose_that_mentions_a_label_is_no_label():
    reply = PLAIN.replace("`f`.", "`f`. The solution is short, the information is none.")
    assert isinstance(parse_sections(reply), Sections)


def test_windows_line_ends_are_line_ends():
    assert parse_sections(PLAIN.replace("\n", "\r\n")) == parse_sections(PLAIN)


@pytest.mark.parametrize("marks", ["```", "~~~"])
def test_a_fence_may_open_behind_its_label(marks: str):
    reply = PLAIN.replace("solution:\n```", f"solution: {marks}").replace("\n```", f"\n{marks}")
    sections = parse_sections(reply)
    assert isinstance(sections, Sections), sections
    assert [one.body for one in fences(sections.solution)] == ["def f():\n    return 1"]
    assert fences(sections.solution)[0].tag == "python"


def test_a_longer_fence_holds_shorter_ones():
    body = '    """\n    ```python\n    f()\n    ```\n    """\n    return 1'
    reply = PLAIN.replace("    return 1", body).replace("\n```python\ndef", "\n````python\ndef")
    sections = parse_sections(reply.removesuffix("```") + "````")
    assert isinstance(sections, Sections), sections
    assert [one.body for one in fences(sections.solution)] == [f"def f():\n{body}"]


@pytest.mark.parametrize("start", ["4. solution:\n   ```python", "4. solution: ```python"])
def test_a_fence_in_a_list_loses_its_indent(start: str):
    head = PLAIN.partition("solution:")[0]
    sections = parse_sections(f"{head}{start}\n   def f():\n       return 1\n   ```")
    assert isinstance(sections, Sections), sections
    assert fences(sections.solution)[0].body == "def f():\n    return 1"


def test_bold_around_a_whole_section_is_taken_off():
    reply = PLAIN.replace(
        "instruction: Write a Python function `f`.", "**Instruction: Write `f`, **now**, as 1.**"
    )
    sections = parse_sections(reply)
    assert isinstance(sections, Sections)
    assert sections.instruction == "Write `f`, **now**, as 1."


def as_json(**changes: Any) -> str:
    table = {
        "task_name": "code generation",
        "instruction": "Write a Python function `f`.",
        "information": None,
        "solution": "```python\ndef f():\n    return 1\n```",
        **changes,
    }
    return json.dumps({key: value for key, value in table.items() if value != "absent"}, indent=1)


@pytest.mark.parametrize("form", ["{}", " {}\n", "```json\n{}\n```", "```\n{}\n```\n", "\ufeff{}"])
def test_a_json_object_is_read_like_labels(form: str):
    assert parse_sections(form.replace("{}", as_json())) == parse_sections(PLAIN)
    assert parse_sections(form.replace("{}", as_json(information="none"))) == parse_sections(PLAIN)


def test_what_a_json_object_holds_is_kept():
    reply = as_json(information="x: int\r\ny: int", solution="\n  def f():\n      return 1\n")
    sections = parse_sections(reply)
    assert isinstance(sections, Sections), sections
    assert sections.information == "x: int\ny: int"
    assert sections.solution == "def f():\n    return 1"
    # A line break inside a string is no JSON, but a small slip that hides nothing.
    assert parse_sections(as_json().replace("\\n", "\n")) == parse_sections(PLAIN)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (as_json(solution="absent"), "no section solution"),
        (as_json(solution=None), "the section solution is no text"),
        (as_json(instruction=["Write."]), "the section instruction is no text"),
        (as_json(task_name=None), "the section task_name is no text"),
        (as_json(note="x"), "has 5 keys"),
        (as_json(instruction=" \n"), "instruction is empty"),
        (as_json(solution="```python\ndef f(): pass"), "not closed"),
        (as_json(solution="\ud83d"), "the section solution holds half a character"),
        (as_json().replace('"solution"', '"solution": "x", "solution"'), "'solution' occurs twice"),
        (as_json() + "\nI hope this helps.", "begins as a JSON object and is none"),
        (as_json()[:-1], "begins as a JSON object and is none"),
        ('{"solution": ' * 100_000, "begins as a JSON object and is none"),
        (f"[{as_json()}]", "no section task_name"),
        (f"Here it is: {as_json()}", "no section task_name"),
        (PLAIN + "\ud83d", "half a character"),
    ],
)
def test_json_that_is_not_the_four_sections_is_refused(reply: str, reason: str):
    assert reason in str(parse_sections(reply))


@pytest.mark.parametrize("label", ["task\\_name: ", "task-name: ", "task_name："])
def test_more_ways_to_write_a_label(label: str):
    assert parse_sections(PLAIN.replace("task_name: ", label)) == parse_sections(PLAIN)


def test_letters_that_only_look_alike_are_no_label():
    assert "no section solution" in str(parse_sections(PLAIN.replace("solution", "ſolution")))


@pytest.mark.parametrize(
    "unit",
    ["```\n", "```a\n", "~~~a\n````\n", "solution:\n```\n```\n", "*", "- ", " ", "\n", "`", "["],
)
def test_a_long_run_of_anything_is_answered(unit: str):
    # Looking for each fence's end anew, or trying every split of a run, would take minutes here.
    for start in ("", "```python ", f"{PLAIN}\n", "solution: "):
        reply = start + unit * (200_000 // len(unit))
        assert isinstance(parse_sections(reply), str | Sections)


PIECE = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["\n", "```", "~~~", "solution: ", "instruction:", "**", "\\", '"', "{", "\r"]),
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(PIECE, max_size=30).map("".join))
def test_no_reply_makes_it_raise(reply: str):
    for form in (reply, f"{PLAIN}{reply}", f"{{{reply}", f"solution: ```{reply}"):
        assert isinstance(parse_sections(form), str | Sections)
        for block in fences(form):
            assert form[block.start : block.end].lstrip(" \t").startswith(("```", "~~~"))


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40).map(
    lambda text: f"x{text.replace('`', '')}x"
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(instruction=TEXT, information=TEXT, solution=TEXT)
def test_what_is_written_is_what_is_read(instruction: str, information: str, solution: str):
    wanted = Sections(instruction, information, solution)
    parts = {"instruction": instruction, "information": information, "solution": solution}
    lines = [f"{name}: {text}" for name, text in parts.items()]
    assert parse_sections("\n".join(["task_name: x", *lines])) == wanted
    assert parse_sections(as_json(**parts)) == wanted
    for left_out in lines:
        rest = [line for line in ("task_name: x", *lines) if line != left_out]
        assert isinstance(parse_sections("\n".join(rest)), str)
