import pytest

from wavecoder.errors import ConfigError
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.methods.evol_instruct import (
    EvolInstruct,
    instruction_problem,
    rewrite_problem,
)
from wavecoder.generate.methods.unjudged import load_prompts
from wavecoder.records import Instance, Rejected

START = "Write a Python function `addLarge` that does this: Adds two numbers."
HARDER = "Write a Python function `addLarge` that adds two numbers given as Roman numerals."
WRONG = f"{HARDER} This is wrong:\n```python\ndef addLarge(x, y): return x\n```"
ANSWER = "```python\ndef add(x, y):\n    return x + y\n```"


def rounds_of(attempt, count: int) -> int:
    """Return a random seed with which an instruction is rewritten so often."""
    for seed in range(100):
        attempt(START, seed=seed)
        if len(attempt.requests) == count:
            return seed
    raise AssertionError("no seed gives that many")


def means_of(request) -> str:
    return request.messages[-1].content.split("Make it harder: ")[1]


def test_it_begins_with_the_doc_comment_and_answers_the_last_rewrite(asking):
    attempt = asking(EvolInstruct)
    seed = next(
        seed
        for seed in range(100)
        if isinstance(attempt(HARDER, ANSWER, seed=seed), Instance)
        and "wrong code" not in attempt.requests[0].messages[-1].content
    )
    outcome = attempt(HARDER, ANSWER, seed=seed)
    assert isinstance(outcome, Instance)
    assert attempt.requests[0].messages[-1].content.startswith(f"{START}\n\nMake it harder: ")
    assert attempt.last == HARDER
    assert (outcome.instruction, outcome.information) == (HARDER, None)
    assert outcome.solution == "def add(x, y):\n    return x + y"
    assert (outcome.task, outcome.reply) == ("evol-instruct", ANSWER)
    assert outcome.verdict is None


def test_a_function_without_a_doc_comment_is_described_first(asking):
    for docstring in (None, "@see Other"):
        attempt = asking(EvolInstruct)
        attempt("Write a Python function that adds.", raw={"docstring": docstring})
        assert "if x > y:" in attempt.requests[0].messages[-1].content
        second = attempt.requests[1].messages[-1].content
        assert second.startswith("Write a Python function that adds.\n\nMake it harder: ")


def test_it_is_rewritten_one_to_three_times_by_each_of_five_means(asking):
    attempt = asking(EvolInstruct)
    counts, means = set(), set()
    for seed in range(60):
        attempt(START, seed=seed)
        counts.add(len(attempt.requests))
        means |= {means_of(request) for request in attempt.requests}
    assert counts == {1, 2, 3}
    assert len(means) == 5


def test_a_rewrite_that_is_none_leaves_the_one_before(asking):
    attempt = asking(EvolInstruct)
    seed = rounds_of(attempt, 3)
    wrong = ["wrong code" in means_of(request) for request in attempt.requests]
    replies = [WRONG if one else HARDER for one in wrong]
    # The second gives the first again, the third declines.
    outcome = attempt(replies[0], replies[0], "Sorry, I cannot.", ANSWER, seed=seed)
    assert isinstance(outcome, Instance)
    assert outcome.instruction == replies[0]
    assert len(attempt.requests) == 4


def test_where_no_rewrite_is_one_the_last_says_why(asking):
    attempt = asking(EvolInstruct)
    seed = rounds_of(attempt, 2)
    outcome = attempt(START, "Rewritten task: Write a program that adds.", seed=seed)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.task) == ("prompt_leak", "evol-instruct")
    assert len(attempt.requests) == 2


def test_only_the_misleading_means_shows_code(asking):
    attempt = asking(EvolInstruct)
    seen = set()
    for seed in range(60):
        attempt(START, seed=seed)
        if len(attempt.requests) > 1:
            continue
        misleads = "wrong code" in means_of(attempt.requests[0])
        for reply, fits in ((HARDER, not misleads), (WRONG, misleads)):
            outcome = attempt(reply, ANSWER, seed=seed)
            assert isinstance(outcome, Instance) is fits
            assert fits or outcome.reason == "code_or_not"
        seen.add(misleads)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty_answer"),
        ("I'm sorry, I can't do that.", "declined"),
        ("```python\ndef add(x, y):\n", "open_fence"),
        ("```python\ndef add(x, y)\n    return\n```", "syntax_error"),
        ("You add them.", "syntax_error"),
    ],
)
def test_an_answer_that_is_none_is_dropped(asking, reply: str, reason: str):
    attempt = asking(EvolInstruct)
    seed = next(
        seed
        for seed in range(100)
        if isinstance(attempt(HARDER, ANSWER, seed=seed), Instance) and len(attempt.requests) == 2
    )
    outcome = attempt(HARDER, reply, seed=seed)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.reply) == (reason, reply)


def test_what_was_cut_off_is_dropped(asking, cut_off):
    outcome = asking(EvolInstruct)(cut_off)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "cut_off"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HARDER, None),
        (START, "not_evolved"),
        (START.upper() + "!", "not_evolved"),
        (f"{START} Quickly.", "not_evolved"),
        (f"{START} {'and so on ' * 41}", "overgrown"),
        ("Here is the harder task: add Roman numerals.", "prompt_leak"),
        ("Unfortunately, I do not understand the text.", "declined"),
        ("```python\ndef addLarge(x, y): return x + y + 1\n```", "empty_instruction"),
        ("...", "empty_instruction"),
    ],
)
def test_what_is_a_rewrite(text: str, reason: str | None):
    problem = rewrite_problem(START, text, ("harder task",))
    assert (problem and problem[0]) == reason


def test_what_is_no_instruction_is_no_rewrite():
    assert instruction_problem("", ()) == rewrite_problem(START, "", ())


def test_our_own_examples_pass_our_own_filters():
    from wavecoder.generate.methods.evol_instruct import _Prompts

    prompts = load_prompts("evol_instruct", _Prompts)
    assert len(prompts.means) == 5
    for means in prompts.means.values():
        assert rewrite_problem(means.before, means.after, prompts.leaks) is None


def test_keys_without_a_meaning_are_refused():
    table = {"generator": "scripted:x", "method": "evol-instruct", "tasks": {"repair": None}}
    with pytest.raises(ConfigError, match="means nothing to the method evol-instruct"):
        EvolInstruct(GenerateConfig.model_validate(table))
