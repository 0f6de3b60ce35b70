import pytest

from wavecoder.generate.discriminator import discriminator_request, parse_verdict
from wavecoder.generate.task import Rule, load_task
from wavecoder.records import Instance, RawCode, Sampling, Verdict

RULES = (Rule(slug="answers", text="It answers."), Rule(slug="complete", text="It is complete."))


def verdict(reply: str) -> Verdict:
    parsed = parse_verdict(reply, RULES)
    assert isinstance(parsed, Verdict), parsed
    return parsed


def test_all_yes_passes():
    parsed = verdict("rule 1: yes, because it does.\nrule 2: yes, all is there\noverall: yes")
    assert parsed.passed
    assert [rule.rule for rule in parsed.rules] == ["answers", "complete"]
    assert [rule.reason for rule in parsed.rules] == ["it does.", "all is there"]


@pytest.mark.parametrize(
    "reply",
    [
        "rule 1: yes\nrule 2: no, it lacks an import\noverall: yes",  # a rule is no
        "rule 1: yes\nrule 2: yes\noverall: no",  # overall is no
        "Rule 1: Yes\nRule 2: Yes\nOverall answer: <no>",
    ],
)
def test_a_single_no_refuses(reply: str):
    assert not verdict(reply).passed


@pytest.mark.parametrize(
    "reply",
    [
        "rule 1: yes.\nrule 2: yes.\noverall: yes.",
        "- Rule 1: <answer: yes, it does>\n- Rule 2: <answer: yes>\n- Overall answer: yes",
        "**Rule 1:** Yes, nothing is missing\n**Rule 2:** yes\n**Overall:** Yes",
        'rule 1: "yes"\nrule 2: `yes`\noverall: (yes)',
    ],
)
def test_a_word_inside_a_reason_decides_nothing(reply: str):
    # The released code kept or dropped these by the letters "no" anywhere in the answer.
    assert verdict(reply).passed


def test_reasons_over_several_lines_are_kept_whole():
    parsed = verdict("rule 1: no, it stops\nwith a NameError\nrule 2: yes\noverall: no")
    assert parsed.rules[0].reason == "it stops with a NameError"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "rule 1 is not answered"),
        ("rule 1: yes\noverall: yes", "rule 2 is not answered"),
        ("rule 1: yes\nrule 2: yes", "overall line is not answered"),
        ("rule 1: yes\nrule 2: perhaps\noverall: yes", "rule 2 has no yes or no"),
        ("rule 1: yes\nrule 1: no\nrule 2: yes\noverall: yes", "rule 1 is answered twice"),
        ("rule 1: yes\nrule 2: yes\noverall: it is nothing special", "overall line has no yes"),
        ("This is good. Yes.", "rule 1 is not answered"),
    ],
)
def test_what_is_no_verdict_is_not_guessed(reply: str, reason: str):
    parsed = parse_verdict(reply, RULES)
    assert isinstance(parsed, str)
    assert reason in parsed


@pytest.mark.parametrize("name", ["generation", "summarization", "translation", "repair"])
def test_the_request_shows_rules_examples_and_the_draft(name: str):
    task = load_task(name)
    raw = RawCode(
        id="1",
        language="python",
        name="Box.put",
        code="def put(x):\n    return x + 1",
        docstring=None,
        source="s",
        path="p",
        start_line=1,
        end_line=2,
        content_hash="h",
    )
    draft = Instance(
        id="1",
        task=name,
        language="python",
        target_language="go" if task.changes_language else None,
        instruction="AN INSTRUCTION",
        information="def put(x):\n    return x - 1",
        solution="A SOLUTION",
        raw_code=raw,
        bug=None,
        reply="",
        verdict=None,
        generator="g",
        discriminator=None,
        round=0,
        attempt=0,
        example_ids=(),
    )
    request = discriminator_request(task, draft, task.own_examples, Sampling())
    system, last = request.messages[0].content, request.messages[-1].content
    for rule in task.rules:
        assert rule.text.split("{{")[0] in system
    assert "{{" not in system
    assert "AN INSTRUCTION" in last
    assert ("return x - 1" if name == "repair" else "A SOLUTION") in last
    # Each of the task's own judgements is itself a verdict that can be read.
    for example, message in zip(task.own_examples, request.messages[2::2], strict=True):
        judged = parse_verdict(message.content, task.rules)
        assert isinstance(judged, Verdict)
        assert judged.passed is example.good


@pytest.mark.parametrize("echo", ["yes or no, because ...", "yes/no", "yes and no", "no or yes"])
def test_the_template_said_again_is_no_verdict(echo: str):
    parsed = parse_verdict(f"rule 1: {echo}\nrule 2: yes\noverall: yes", RULES)
    assert "rule 1 has no yes or no" in str(parsed)
    parsed = parse_verdict(f"rule 1: yes\nrule 2: yes\noverall: {echo}", RULES)
    assert "overall line has no yes or no" in str(parsed)


def test_a_rule_that_does_not_exist_is_no_verdict():
    parsed = parse_verdict("rule 1: yes\nrule 2: yes\nrule 3: yes\noverall: yes", RULES)
    assert parsed == "there is no rule 3 among the 2"


@pytest.mark.parametrize(
    "line",
    [
        "1. Rule 1: yes",
        "Rule #1: yes",
        "Rule 1 — Yes",
        "Rule 1 (answers): yes",
        "**Rule 1 (answers):** yes",
        "Rule 1: ✅ Yes",
        "✅ Rule 1: yes",
        "rule 1: yes, no problem is left",
    ],
)
def test_rules_as_models_write_them(line: str):
    assert verdict(f"{line}\nrule 2: yes\noverall: yes").passed


@pytest.mark.parametrize("overall", ["Overall judgement: yes", "Overall — ✅ Yes", "Overall, yes."])
def test_the_overall_line_as_models_write_it(overall: str):
    assert verdict(f"rule 1: yes\nrule 2: yes\n{overall}").passed


def test_a_sentence_that_begins_with_overall_is_prose():
    prose = "Overall, no mistake is left and the code is clear."
    assert verdict(f"{prose}\nrule 1: yes\nrule 2: yes\n{prose}\nOverall: yes").passed
    parsed = parse_verdict(f"rule 1: yes\nrule 2: yes\n{prose}", RULES)
    assert parsed == "the overall line is not answered"
