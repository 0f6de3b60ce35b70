import pytest

from wavecoder.contamination import Document, document_of, reference_of, reference_of_document
from wavecoder.contamination.documents import blocks
from wavecoder.records import Problem


@pytest.mark.parametrize(
    "cells, expected",
    [
        (
            {"instruction": "i", "input": "x", "output": "o", "language": "JavaScript"},
            Document(instruction="i", information="x", solution="o", language="javascript"),
        ),
        (
            {"id": "7", "task": "repair", "instruction": "i", "information": "x", "solution": "o"},
            Document(id="7", instruction="i", information="x", solution="o"),
        ),
        (
            {"messages": [{"role": "user", "content": "i"}, {"role": "assistant", "content": "o"}]},
            Document(instruction="i", solution="o"),
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "i"}]}]},
            Document(instruction="i"),
        ),
        ({"content": "c", "lang": "rs"}, Document(solution="c", language="rust")),
        ({"text": "c"}, Document(solution="c")),
        ({"code": "c", "docstring": "d"}, Document(instruction="d", solution="c")),
        (
            {"task_id": 3, "prompt": "p", "canonical_solution": "s", "test_list": ["a", "b"]},
            Document(id="3", instruction="p", solution="s", tests="a\nb"),
        ),
        ({}, None),
        ({"instruction": " ", "output": None}, None),
        ({"messages": []}, None),
        ({"messages": ["?", {"role": "user"}]}, None),
        ({"other": "x"}, None),
    ],
)
def test_rows_become_documents(cells: dict, expected: Document | None):
    assert document_of(cells) == expected


def test_the_text_of_a_document_is_its_parts_in_order():
    assert Document(instruction="a", solution="b", tests="c").text == "a\nb\nc"


def test_a_prompt_is_cut_before_its_examples(problems: list[Problem]):
    first = reference_of(problems[0])
    assert first.prompt.split()[:3] == ["Check", "if", "in"]
    assert ">>>" not in first.prompt
    assert first.programs[0].startswith("from typing")
    assert first.bodies[0].startswith("    for idx")


def test_every_problem_has_a_prompt_a_program_and_tests(problems: list[Problem]):
    for problem in problems:
        found = reference_of(problem)
        assert found.prompt.strip(), problem.id
        assert found.programs, problem.id
        assert found.tests.strip(), problem.id


def test_mbpp_stands_for_itself(problems: list[Problem]):
    found = reference_of(next(one for one in problems if one.id == "Mbpp/11"))
    assert found.programs == found.bodies
    assert found.prompt.startswith("Write a python function")


def test_a_row_of_a_file_is_a_reference():
    document = Document(id="x", instruction="say it", solution="ok\n```py\nf(1)\n```\n")
    found = reference_of_document(document, "mine", 4)
    assert (found.problem, found.bodies) == ("x", ("f(1)\n",))
    assert reference_of_document(document._replace(id=None), "mine", 4).problem == "4"


def test_fenced_code_has_the_language_of_its_fence():
    text = "a\n```python\nx\n```\nb\n```\ny\n"
    assert list(blocks(text)) == [("x\n", "python"), ("y\n", None)]
