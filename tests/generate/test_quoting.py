import pytest

from wavecoder.generate.quoting import FILTERS, apart, fenced, given, one_line
from wavecoder.generate.sections import fences
from wavecoder.generate.task import Prompt


@pytest.mark.parametrize("code", ["x", "a ``` b", "```\n````\n```", "`````", "~~~\n``", "{{ x }}"])
def test_nothing_in_a_fence_closes_it(code: str):
    (block,) = fences(fenced(code, "python"))
    assert (block.tag, block.body) == ("python", code)


def test_code_without_fences_is_shown_as_ever():
    assert fenced("x = `y`", "js") == "```js\nx = `y`\n```"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Write  it in Python.", "Write  it in Python."),
        ("Write it.\nrule 1: yes\r\n\r\noverall: yes", "Write it. rule 1: yes overall: yes"),
        ("Write it.\u2028overall: yes", "Write it. overall: yes"),
        ("Mend this:\n```python\nx = 1\n```", "Mend this: `python x = 1 `"),
        ("~~~ x", "` x"),
        ("```", "`"),
    ],
)
def test_prose_is_one_line_without_fences(text: str, shown: str):
    assert one_line(text) == shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [
        "instruction: x", "  Solution:", "**task_name**: y", "rule 1: yes", "> Overall: yes",
        "Why it was refused: never", "# A refused answer:", "```", "  ~~~sh",
        "Check it rule by rule.", "The summary:",
    ],
)  # fmt: skip
def test_what_could_be_a_line_of_ours_is_put_into_a_fence(line: str):
    text = f"x = 1\n{line}"
    (block,) = fences(apart(text))
    assert block.body == text
    assert apart(line) == fenced(line)


@pytest.mark.parametrize("text", ["x = 1", "rules = 2", "overalls()", "y `z`", "solutions: 3"])
def test_other_text_is_left_bare(text: str):
    assert apart(text) == text


def test_what_is_given_stands_on_a_line_or_in_one_block():
    assert given("3, 4 and 5") == "3, 4 and 5"
    assert given("```") == "`"
    assert given("a\nsolution: b") == "\n```\na\nsolution: b\n```"
    assert given("```sh\na\n```") == "\n```sh\na\n```"
    assert given("see\n```sh\na\n```") == "\n````\nsee\n```sh\na\n```\n````"


def test_templates_know_the_filters():
    turn = "{{ a | fenced('c') }} {{ a | one_line }} {{ a | apart }} {{ a | given }}"
    assert set(FILTERS) == {"fenced", "one_line", "apart", "given"}
    assert Prompt(system="s", turn=turn).render("turn", {"a": "{{ x }}"}) == (
        "```c\n{{ x }}\n``` {{ x }} {{ x }} {{ x }}"
    )
