import re

import pytest

from wavecoder.errors import ConfigError
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.methods.self_instruct import (
    SelfInstruct,
    _Prompts,
    instruction_problem,
    topic,
)
from wavecoder.generate.methods.unjudged import load_prompts
from wavecoder.languages import parses
from wavecoder.records import Example, Instance, Rejected

GOOD = (
    "Instruction: Turn this Python loop into a call of sum.\n"
    "Input:\n```python\nfor n in ns: total += n\n```\n"
    "Output:\n```python\ntotal += sum(ns)\n```"
)
STARTERS = load_prompts("self_instruct", _Prompts).starters
NOTHING = re.compile(r"(?!)")


def made(number: int, instruction: str = "Made by the model in round") -> Example:
    return Example(
        id=f"e{number}",
        task="self-instruct",
        language="python",
        target_language=None,
        good=True,
        name="f",
        docstring=None,
        code="x",
        instruction=f"{instruction} {number}",
        information=None,
        solution=str(number),
        rules=(),
        analysis="",
    )


def shown(attempt) -> list[str]:
    return re.findall(r"^Instruction: (.*)$", attempt.last, re.M)


def test_a_task_becomes_an_instance(asking):
    attempt = asking(SelfInstruct)
    outcome = attempt(GOOD)
    assert isinstance(outcome, Instance)
    assert outcome.task == "self-instruct"
    assert outcome.instruction == "Turn this Python loop into a call of sum."
    assert outcome.information == "for n in ns: total += n"
    assert outcome.solution == "total += sum(ns)"
    assert (outcome.verdict, outcome.discriminator, outcome.example_ids) == (None, None, ())
    assert len(attempt.requests) == 1


def test_the_model_sees_the_language_and_the_words_of_the_name_and_no_code(asking):
    attempt = asking(SelfInstruct)
    attempt(GOOD)
    assert attempt.last.endswith("Language: Python. A topic it may take up: add large.")
    assert "x > y" not in attempt.last
    assert "Adds two numbers" not in attempt.last


def test_three_starters_are_shown_and_each_gets_its_turn(asking):
    attempt, seen = asking(SelfInstruct), set()
    for seed in range(60):
        attempt(GOOD, seed=seed)
        assert len(shown(attempt)) == len(set(shown(attempt))) == 3
        seen |= set(shown(attempt))
    assert seen == {one.instruction for one in STARTERS}


@pytest.mark.parametrize(("good_examples", "own"), [(None, 2), (1, 1), (0, 0)])
def test_tasks_of_earlier_rounds_are_shown_beside_the_starters(asking, good_examples, own):
    attempt = asking(SelfInstruct)
    config = {} if good_examples is None else {"good_examples": good_examples}
    outcome = attempt(GOOD, config=config, examples=[made(n) for n in range(5)])
    assert len(shown(attempt)) == 3
    assert sum(one.startswith("Made by") for one in shown(attempt)) == own
    assert isinstance(outcome, Instance)
    assert len(outcome.example_ids) == own


def test_static_shows_the_starters_alone_and_none_shows_nothing(asking):
    attempt = asking(SelfInstruct)
    for examples, count in (("static", 3), ("none", 0)):
        attempt(GOOD, config={"examples": examples}, examples=[made(1)])
        assert len(shown(attempt)) == count
        assert not any(one.startswith("Made by") for one in shown(attempt))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Write a loop.", "no_sections"),
        ("Instruction: Add the two numbers.\nInput: none\nOutput:", "no_sections"),
        ("Instruction:\nInput: none\nOutput: 3", "no_sections"),
        ("Instruction: Add the two numbers.\nInput: none\nOutput: ```python\nx", "open_fence"),
    ],
)
def test_what_cannot_be_read_is_dropped(asking, reply: str, reason: str):
    outcome = asking(SelfInstruct)(reply)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.task, outcome.reply) == (reason, "self-instruct", reply)


def test_what_was_cut_off_is_dropped(asking, cut_off):
    outcome = asking(SelfInstruct)(cut_off)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "cut_off"


@pytest.mark.parametrize("goes_on", ["\n\nTask 5. Language: Go.", "\nNow write task 5. Go."])
def test_only_the_first_task_of_a_reply_counts(asking, goes_on: str):
    outcome = asking(SelfInstruct)(f"Task 4. Python.\n{GOOD}{goes_on}\n{GOOD}")
    assert isinstance(outcome, Instance)
    assert outcome.solution == "total += sum(ns)"


@pytest.mark.parametrize("word", ["none", "None.", "<noinput>", "N/A", ""])
def test_no_input_is_no_information(asking, word: str):
    outcome = asking(SelfInstruct)(
        f"Instruction: Name a prime number.\nInput: {word}\nOutput: Seven."
    )
    assert isinstance(outcome, Instance)
    assert (outcome.information, outcome.solution) == (None, "Seven.")


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        ("Sort these four numbers.", None),
        ("Sort these numbers.", "instruction_length"),
        ("word " * 150, None),
        ("word " * 151, "instruction_length"),
        ("Draw a flowchart of it.", "word"),
        ("Read the FILES in turn.", "word"),
        ("Drawn profiles are mapped well.", None),
        ("Write a program that sorts.", "write_a_program"),
        ("- Sort these four numbers.", "odd_beginning"),
        ("Écrire une fonction qui trie.", "odd_beginning"),
        ("sort the given list of words in place", "repeats"),
    ],
)
def test_code_alpacas_filters(asking, instruction: str, reason: str | None):
    known = made(1, "Sort the given list of words in place quickly")
    reply = f"Instruction: {instruction}\nInput: none\nOutput: 3"
    outcome = asking(SelfInstruct)(reply, examples=[known])
    if reason is None:
        assert isinstance(outcome, Instance)
    else:
        assert isinstance(outcome, Rejected)
        assert outcome.reason == reason
        assert outcome.instance is not None
        assert outcome.instance.instruction == instruction.strip()


def test_a_starter_told_again_is_refused(asking):
    reply = f"Instruction: {STARTERS[0].instruction}\nInput: none\nOutput: 3"
    outcome = asking(SelfInstruct)(reply)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "repeats"
    assert outcome.detail.startswith("ROUGE-L 1.00 with the instruction that begins 'Write a Py")


def test_seven_tenths_alike_is_still_allowed():
    ten = "a b c d e f g h i j"
    assert instruction_problem("a b c d e f g x y z", NOTHING, [ten]) is None
    problem = instruction_problem("a b c d e f g h y z", NOTHING, [ten])
    assert problem is not None
    assert problem[0] == "repeats"


def test_our_starters_pass_the_filters_and_their_code_parses():
    method = SelfInstruct(GenerateConfig(generator="scripted:x", method="self-instruct"))
    for one in STARTERS:
        others = [other.instruction for other in STARTERS if other is not one]
        assert instruction_problem(one.instruction, method._blacklist, others) is None
        for code in re.findall(r"```\w+\n(.*?)\n```", one.output, re.S):
            assert parses(code, one.language), code
    assert len({one.language for one in STARTERS}) >= 6


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Path.readText2", "read text 2"),
        ("_trim_blank_ends", "trim blank ends"),
        ("HTTPServer.toJSON", "to json"),
        ("größe", "größe"),
        ("_", "_"),
    ],
)
def test_the_topic_is_the_words_of_the_name(name: str, words: str):
    assert topic(name) == words


@pytest.mark.parametrize(("key", "value"), [("good_examples", 3), ("bad_examples", 2)])
def test_keys_that_mean_nothing_are_refused(key: str, value: int):
    table = {"generator": "scripted:x", "method": "self-instruct", key: value}
    with pytest.raises(ConfigError, match=rf"^generate\.{key} is {value}[ ;].*self-instruct"):
        SelfInstruct(GenerateConfig.model_validate(table))
