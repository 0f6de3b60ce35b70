"""What models are asked: each benchmark's question, in each style."""

import json
from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.evaluate.prompts import (
    Style,
    clean_description,
    describe_prompt,
    prompt_for,
    stop_words,
)
from wavecoder.records import Problem

_DATA = Path(__file__).parents[3] / "shared" / "benchmarks" / "humanevalpack"
_NAMES = {
    "python": "python",
    "javascript": "js",
    "java": "java",
    "go": "go",
    "cpp": "cpp",
    "rust": "rust",
}
_PROMPT = '\n\ndef double(x):\n    """ Return x twice {as a number}.\n    """\n'
_TESTS = "def check(double):\n    assert double(2) == 4\n"


def problem(benchmark: str, **more: str) -> Problem:
    fields = {
        "id": "X/1",
        "benchmark": benchmark,
        "language": "python",
        "prompt": _PROMPT,
        "entry_point": "double",
        "canonical_solution": "    doubled_value = x * 2\n    return doubled_value\n",
        "test": _TESTS,
        "declaration": "def double(x):\n",
        "docstring": "Return x twice {as a number}.",
        "instruction": "Write `double(x)` to solve this:\nReturn x twice.",
        "buggy_solution": "    return x * 3\n",
    }
    return Problem.model_validate(fields | more)


def mbpp(benchmark: str = "mbpp", prompt: str = "Write a function to double.") -> Problem:
    tests = "assert double(1) == 2\nassert double(2) == 4\nassert double(3) == 6"
    return problem(benchmark, prompt=prompt, test=tests)


def text(asked: Problem, style: Style, description: str | None = None) -> str:
    prompt = prompt_for(asked, style=style, description=description)
    assert [message.role for message in prompt.messages] == ["user"]
    assert prompt.raw == (style != Style.CHAT)
    return prompt.messages[0].content


def test_a_completion_of_humaneval_is_its_stub_to_the_last_character() -> None:
    assert text(problem("humaneval"), Style.COMPLETION) == _PROMPT
    assert text(problem("humaneval+"), Style.COMPLETION) == _PROMPT


def test_alpaca_is_the_template_and_mbpp_shows_all_three_tests() -> None:
    asked = text(mbpp(), Style.ALPACA)
    begin, _, end = asked.partition("### Instruction:\n")
    assert begin.startswith("Below is an instruction that describes a task. Write a response")
    assert end.startswith("Write a function to double.\n")
    assert end.endswith("assert double(3) == 6\n\n### Response:\n")


def test_mbpp_plus_shows_the_one_test_that_its_prompt_has() -> None:
    asked = mbpp("mbpp+", '"""\nWrite a function to double.\nassert double(1) == 2\n"""\n')
    for style in Style:
        shown = text(asked, style)
        assert shown.count("Write a function to double.") == 1
        assert shown.count("assert ") == 1


def test_a_completion_of_mbpp_is_a_docstring_with_the_first_test() -> None:
    expected = '"""\nWrite a function to double.\nassert double(1) == 2\n"""\n'
    assert text(mbpp(), Style.COMPLETION) == expected


@pytest.mark.parametrize("style", Style)
def test_synthesize_has_the_rows_own_instruction_and_the_stub(style: Style) -> None:
    asked = text(problem("humanevalsynthesize-python"), style)
    assert "Write `double(x)` to solve this:\nReturn x twice." in asked
    assert _PROMPT.strip() in asked


@pytest.mark.parametrize("style", Style)
def test_fix_shows_the_bug_and_the_tests_and_no_docstring(style: Style) -> None:
    asked = text(problem("humanevalfix-python"), style)
    assert "def double(x):\n    return x * 3\n" in asked
    assert "assert double(2) == 4" in asked
    assert "twice" not in asked


@pytest.mark.parametrize("style", Style)
def test_fix_from_docs_shows_the_docstring_and_no_tests(style: Style) -> None:
    asked = text(problem("humanevalfixdocs-python"), style)
    assert _PROMPT.strip() + "\n    return x * 3\n" in asked
    assert "assert" not in asked


@pytest.mark.parametrize("kind", ["humanevalsynthesize", "humanevalfix", "humanevalfixdocs"])
def test_alpaca_and_completion_end_in_the_stub(kind: str) -> None:
    asked = problem(f"{kind}-python")
    stub = asked.declaration if kind == "humanevalfix" else _PROMPT
    assert text(asked, Style.ALPACA).endswith("### Response:\n" + stub.rstrip())
    assert text(asked, Style.COMPLETION).endswith("\n\n" + stub)


@pytest.mark.parametrize("style", Style)
def test_explain_is_asked_in_two_turns(style: Style) -> None:
    asked = problem("humanevalexplain-python")
    first = describe_prompt(asked, style=style).messages[0].content
    assert "doubled_value = x * 2" in first
    assert f"at most {len(asked.docstring)} characters" in first
    assert "twice" not in first
    second = text(asked, style, "It doubles {x}.")
    assert "It doubles {x}." in second
    assert "def double(x):" in second
    assert "doubled_value" not in second


def test_a_description_is_given_to_explain_and_to_nothing_else() -> None:
    with pytest.raises(ConfigError, match="X/1 of humaneval was given a description"):
        prompt_for(problem("humaneval"), style=Style.CHAT, description="It doubles.")
    with pytest.raises(ConfigError, match="has no description"):
        prompt_for(problem("humanevalexplain-python"), style=Style.CHAT)
    with pytest.raises(ConfigError, match="only humanevalexplain"):
        describe_prompt(problem("humaneval"), style=Style.CHAT)


def test_a_description_is_cut_to_the_docstrings_length_before_code_is_taken_out() -> None:
    asked = problem("humanevalexplain-python", docstring="x" * 40)
    assert clean_description(asked, "  " + "ab" * 30) == "ab" * 20
    assert clean_description(asked, "A: doubled_value = x * 2, and so on, and so on") == (
        "A: , and so on, and"
    )
    # A line of 20 characters or less may stay.
    assert (
        clean_description(asked, "It does return doubled_value.") == "It does return doubled_value."
    )


def test_a_description_ends_at_the_stop_words() -> None:
    asked = problem("humanevalexplain-python", docstring="x" * 99)
    assert clean_description(asked, "It doubles.\r\n\r\ndef double(x):") == "It doubles."
    assert clean_description(asked, "It doubles.<|endoftext|>It") == "It doubles."
    assert clean_description(asked, "") == ""


def test_stop_words_go_by_style_and_language() -> None:
    assert stop_words(problem("humaneval"), style=Style.CHAT) == ()
    assert "\n### Instruction:" in stop_words(problem("humaneval"), style=Style.ALPACA)
    assert "\ndef" in stop_words(problem("humaneval"), style=Style.COMPLETION)
    assert "\nclass" not in stop_words(mbpp(), style=Style.COMPLETION)
    for name in ("cpp", "java", "javascript", "rust"):
        asked = problem(f"humanevalfix-{name}", language=name)
        assert stop_words(asked, style=Style.COMPLETION) == ()
    go = stop_words(problem("humanevalfix-go", language="go"), style=Style.COMPLETION)
    assert "\n//" in go


def test_a_benchmark_of_ones_own_is_asked_by_what_its_prompt_is() -> None:
    assert text(problem("mine"), Style.COMPLETION) == _PROMPT
    words = problem("mine", prompt="Write a function that doubles.")
    assert "Write a function that doubles." in text(words, Style.CHAT)
    assert "assert double(2) == 4" in text(words, Style.CHAT)


@pytest.mark.usefixtures("benchmark_files")
@pytest.mark.parametrize("language", _NAMES)
@pytest.mark.parametrize(
    "kind", ["humanevalsynthesize", "humanevalfix", "humanevalfixdocs", "humanevalexplain"]
)
def test_no_question_gives_the_solution_away_and_each_has_its_stub(
    language: str, kind: str
) -> None:
    for line in (_DATA / f"{_NAMES[language]}.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        names = set(Problem.model_fields) & row.keys()
        asked = Problem(
            id=row["task_id"],
            benchmark=f"{kind}-{language}",
            language=language,
            **{name: row[name] for name in names},
        )
        description = "It does something." if kind == "humanevalexplain" else None
        for style in Style:
            shown = text(asked, style, description)
            assert f"{asked.canonical_solution.strip()}\n" not in shown
            assert row["signature"].split("(")[0] in shown
            if language == "rust":
                assert "fn main()" in shown
            if style != Style.CHAT:
                opened = shown.rstrip()
                assert (
                    opened.endswith(("{", '"""', "'''", ":", "math", "*/")) or "//" in opened[-200:]
                )
