import json

import pytest

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


def test_json_holds_no_labels():
    names = ("task_name", "instruction", "information", "solution")
    reply = json.dumps(dict.fromkeys(names, "text"), indent=2)
    assert "no section" in str(parse_sections(reply))


def test_bold_around_a_whole_section_is_taken_off():
    reply = PLAIN.replace(
        "instruction: Write a Python function `f`.", "**Instruction: Write `f`, **now**, as 1.**"
    )
    sections = parse_sections(reply)
    assert isinstance(sections, Sections)
    assert sections.instruction == "Write `f`, **now**, as 1."
