from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecoder.errors import ConfigError
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.methods.oss_instruct import OssInstruct, snippet
from wavecoder.records import Instance, Rejected

GOOD = "[Problem]\nDouble a number.\n\n[Solution]\n```python\ndef double(x):\n    return 2 * x\n```"


def test_a_problem_and_its_solution_become_an_instance(asking):
    attempt = asking(OssInstruct)
    outcome = attempt(GOOD)
    assert isinstance(outcome, Instance)
    assert (outcome.id, outcome.task, outcome.language) == ("f1", "oss-instruct", "python")
    assert outcome.instruction == "Double a number."
    assert outcome.information is None
    assert outcome.solution == "def double(x):\n    return 2 * x"
    assert outcome.reply == GOOD
    assert (outcome.verdict, outcome.discriminator, outcome.example_ids) == (None, None, ())
    assert (outcome.generator, outcome.round, outcome.attempt) == ("writer@1", 3, 0)
    assert len(attempt.requests) == 1


def test_consecutive_lines_of_the_function_are_shown_and_nothing_else_of_it(asking):
    attempt = asking(OssInstruct)
    code = "\n".join(f"    step_{n}()" for n in range(40))
    attempt(GOOD, raw={"code": f"def go():\n{code}\n"}, seed=5)
    shown = [line for line in attempt.last.split("\n") if "step_" in line]
    assert 1 <= len(shown) <= 15
    assert "\n".join(shown) in code
    assert "addLarge" not in attempt.last
    assert "Adds two numbers" not in attempt.last


def test_another_attempt_has_other_lines(asking):
    attempt = asking(OssInstruct)
    raw = {"code": "def go():\n" + "\n".join(f"    step_{n}()" for n in range(40)) + "\n"}
    attempt(GOOD, raw=raw)
    first = attempt.requests[0]
    attempt(GOOD, raw=raw, attempt=1)
    assert attempt.requests[0].messages != first.messages


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Double a number.", "no_sections"),
        ("[Solution] x\n[Problem] y", "no_sections"),
        ("[Problem]\n[Solution]\n```python\nx = 1\n```", "no_sections"),
        ("[Problem] Double.\n[Solution]\n", "empty_answer"),
        ("[Problem] Double.\n[Solution]\n```python\ndef double(x):", "open_fence"),
        (
            "[Problem] Double.\n[Solution]\n```python\ndef double(x)\n    return 2\n```",
            "syntax_error",
        ),
        ("[Problem] Double.\n[Solution]\nJust multiply it by two.", "syntax_error"),
        ("[Problem] Double.\n[Solution]\n```java\nint x = 1;\n```", "wrong_language"),
    ],
)
def test_what_cannot_be_used_is_dropped(asking, reply: str, reason: str):
    outcome = asking(OssInstruct)(reply)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.task, outcome.reply) == (reason, "oss-instruct", reply)
    assert outcome.detail


def test_what_was_cut_off_is_dropped(asking, cut_off):
    outcome = asking(OssInstruct)(cut_off, config={"generator_sampling": {"max_tokens": 9}})
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.detail) == ("cut_off", "the reply was cut at 9 tokens")


def test_prose_beside_the_code_stays_with_its_fences(asking):
    solution = "Multiply:\n```python\nx = 2 * y\n```\nIt prints:\n```text\n4 !\n```"
    outcome = asking(OssInstruct)(f"[Problem] Double.\n[Solution]\n{solution}")
    assert isinstance(outcome, Instance)
    assert outcome.solution == solution


@given(st.text("ab}\n ", max_size=200), st.integers())
def test_a_snippet_is_some_lines_with_a_word_in_them(code: str, seed: int):
    drawn = snippet(code, Random(seed))
    assert drawn in code
    assert drawn.count("\n") < 15 or not set("ab") & set(code)
    assert set("ab") & set(drawn) or not set("ab") & set(code)


def test_every_number_of_lines_and_every_line_is_drawn():
    lines = [f"line{n}" for n in range(20)]
    drawn = [snippet("\n".join(lines), Random(seed)).split("\n") for seed in range(600)]
    assert {len(one) for one in drawn} == set(range(1, 16))
    assert {line for one in drawn for line in one} == set(lines)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tasks", {"repair": 1}),
        ("target_languages", ["go"]),
        ("bad_examples", 0),
        ("good_examples", 1),
        ("discriminator", "scripted:y"),
    ],
)
def test_a_key_without_a_meaning_is_refused(key: str, value: object):
    table = {"generator": "scripted:x", "method": "oss-instruct", key: value}
    with pytest.raises(ConfigError, match=rf"generate\.{key} is .* the method oss-instruct\. "):
        OssInstruct(GenerateConfig.model_validate(table))


def test_a_resolved_recipe_is_read_again():
    config = GenerateConfig(generator="scripted:x", method="oss-instruct")
    OssInstruct(GenerateConfig.model_validate(config.model_dump()))
