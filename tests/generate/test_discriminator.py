import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecoder.generate.discriminator import discriminator_request, parse_verdict, verdict_schema
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


ALL_YES = "rule 1: yes\nrule 2: yes\noverall: yes"


@pytest.mark.parametrize(
    "word",
    [
        "yes, no",
        "yes no",
        "yes -> no",
        "yes (no)",
        "yes, and no.",
        "yes?",
        "yes if it compiles",
        "yes only if every rule is yes",
        "yes, but only if it runs",
        "yes, but: only if it runs",
        "*yes*not",
        "yes is wrong",
        "yes-or-no",
        "❌ yes",
        "yes ❌",
        "yes, it runs ❌",
        "yes\u200bno",
        "yes, n\u200bo",
        "yes, ｎｏ",
        "yes\u0301",
        "y\u200bes",
        "yeſ",
        "ｙｅｓ",
        "oui",
        "~~yes~~ no",
    ],
)
def test_a_yes_that_is_taken_back_or_is_none_passes_nowhere(word: str):
    for line in ALL_YES.split("\n"):
        reply = ALL_YES.replace(line, line.replace("yes", word))
        assert "has no yes or no in front" in str(parse_verdict(reply, RULES))


@pytest.mark.parametrize("aside", ["is it no?", "not a yes", "no"])
def test_brackets_that_answer_before_the_answer_are_no_name(aside: str):
    parsed = parse_verdict(ALL_YES.replace("rule 1:", f"rule 1 ({aside}):"), RULES)
    assert not (isinstance(parsed, Verdict) and parsed.passed)


@pytest.mark.parametrize(
    "denial",
    [
        "Correction: rule 1: no",
        "It runs; rule 2: no",
        "rule two: no",
        "1. no",
        "No.",
        "**Rule** 1: no",
        "_Rule_ 2: _no_",
        "Final answer: **no**",
        "My final, verdict: no",
        "The overall answer is no.",
        "r\u200bule 1: no",
        "ｒｕｌｅ 1： ｎｏ",
        "x\x0crule 1: no",
        "x\u2028overall: no",
    ],
)
def test_a_no_elsewhere_unsays_a_verdict_that_would_pass(denial: str):
    for reply in (f"{ALL_YES}\n{denial}", ALL_YES.replace("\n", f"\n{denial}\n", 1)):
        assert "elsewhere it says" in str(parse_verdict(reply, RULES))


@pytest.mark.parametrize(
    "reason",
    [
        "no problem is left",
        "nothing is missing",
        "if the list is empty it returns 0",
        "only the parameters are used",
        "because rule 2, no less than this one, is met",
        "bugs: no",
        "it prints ❌ for failures",
    ],
)
def test_a_reason_takes_nothing_back(reason: str):
    assert verdict(ALL_YES.replace("rule 1: yes", f"rule 1: yes, {reason}")).passed


@pytest.mark.parametrize(
    "line", ["Rule 1：yes，it does", "rule 1: _yes_, it does", "• Rule 1: yes", "rule 1: [yes]"]
)
def test_other_marks_around_a_yes(line: str):
    assert verdict(f"\ufeff{line}\nrule 2: yes\noverall: yes").passed


def test_letters_that_only_look_alike_are_no_label():
    assert "overall line is not answered" in str(
        parse_verdict(ALL_YES.replace("overall", "overall verdİct"), RULES)
    )
    assert "rule 1 is not answered" in str(
        parse_verdict(ALL_YES.replace("rule 1", "ruIe 1"), RULES)
    )


def test_digits_without_end_are_no_rule():
    # int() refuses more than 4,300 digits.
    parsed = parse_verdict(f"rule {'9' * 5000}: yes\n{ALL_YES}", RULES)
    assert parsed == "there is no rule 999999999 among the 2"
    assert "rule 1 is not answered" in str(parse_verdict(ALL_YES.replace("1", "１"), RULES))


def test_half_a_character_is_no_verdict():
    assert "half a character" in str(parse_verdict(f"{ALL_YES}, \ud83d", RULES))
    reply = as_json(rule_1={"reason": "\ud83d", "answer": "yes"})
    assert "a reason that is no text" in str(parse_verdict(reply, RULES))


def as_json(**changes: Any) -> str:
    judged = {"reason": "It does.", "answer": "yes"}
    table = {"rule_1": judged, "rule_2": judged, "overall": "yes", **changes}
    return json.dumps({key: value for key, value in table.items() if value != "absent"})


@pytest.mark.parametrize("form", ["{}", " {}\n", "```json\n{}\n```", "```\n{}\n```\n"])
def test_a_json_object_is_read(form: str):
    parsed = verdict(form.replace("{}", as_json(rule_2={"reason": " Ok. ", "answer": " YES "})))
    assert parsed.passed
    assert [(rule.rule, rule.reason) for rule in parsed.rules] == [
        ("answers", "It does."),
        ("complete", "Ok."),
    ]
    refused = verdict(form.replace("{}", as_json(rule_2={"reason": "Not.", "answer": "No"})))
    assert [rule.passed for rule in refused.rules] == [True, False]
    assert not refused.passed  # though its overall answer is yes
    assert not verdict(form.replace("{}", as_json(overall="no"))).passed


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (as_json(rule_2="absent"), "rule 2 is not answered"),
        (as_json(overall="absent"), "the overall line is not answered"),
        (as_json(rule_3="yes"), "a key 'rule_3'"),
        (as_json(note="fine"), "a key 'note'"),
        (as_json(Overall="yes"), "a key 'Overall'"),
        (as_json(overall="yes or no"), "neither yes nor no"),
        (as_json(overall=True), "neither yes nor no"),
        (as_json(rule_1={"reason": "r", "answer": "yes."}), "neither yes nor no"),
        (as_json(rule_1={"reason": "r", "answer": ["yes"]}), "neither yes nor no"),
        (as_json(rule_1={"reason": None, "answer": "yes"}), "a reason that is no text"),
        (as_json(rule_1={"answer": "yes"}), "rule 1 is no JSON object"),
        (as_json(rule_1={"reason": "r", "answer": "yes", "no": ""}), "rule 1 is no JSON object"),
        (as_json(rule_1="yes"), "rule 1 is no JSON object"),
        (as_json()[:-1] + ', "overall": "yes"}', "'overall' occurs twice"),
        (as_json().replace('"answer"', '"answer": "no", "answer"', 1), "'answer' occurs twice"),
        (as_json() + as_json(), "begins as a JSON object and is none"),
        (as_json()[:-1], "begins as a JSON object and is none"),
        (as_json().replace("It does.", "It\ndoes."), "begins as a JSON object and is none"),
        ('{"rule_1": ' * 100_000, "begins as a JSON object and is none"),
        ('{"rule_1": ' + "9" * 5000 + "}", "begins as a JSON object and is none"),
        (f"Here it is: {as_json()}", "rule 1 is not answered"),
        (f"[{as_json()}]", "rule 1 is not answered"),
        (f"{{\n{ALL_YES}\n}}", "begins as a JSON object and is none"),
    ],
)
def test_json_of_another_form_is_no_verdict(reply: str, reason: str):
    assert reason in str(parse_verdict(reply, RULES))


def test_the_schema_is_strict_and_what_fits_it_is_read():
    schema = verdict_schema(RULES)
    objects = [schema, schema["properties"]["rule_1"], schema["properties"]["rule_2"]]
    for table in objects:
        assert table["type"] == "object"
        assert table["additionalProperties"] is False
        assert table["required"] == list(table["properties"])
    assert schema["required"] == ["rule_1", "rule_2", "overall"]
    assert objects[1]["required"] == ["reason", "answer"]
    assert objects[1]["properties"]["answer"]["enum"] == ["yes", "no"]
    assert json.loads(json.dumps(schema)) == schema
    assert set(json.loads(as_json())) == set(schema["required"])
    # Rules may be called anything.
    named = [Rule(slug="overall", text=""), Rule(slug="overall", text="")]
    assert verdict_schema(named) == schema


@pytest.mark.parametrize(
    "unit", ["*", "- ", "```a\n", "rule 1: ", "a\n", "(", "rule 1 (", "yes, ", "/", " ", "\u200b"]
)
def test_a_long_run_of_anything_is_answered(unit: str):
    # Regular expressions that try every split of a run would take minutes here.
    for start in ("", "rule 1: ", "rule 1: yes", f"{ALL_YES}\n", "overall"):
        parsed = parse_verdict(start + unit * (200_000 // len(unit)), RULES)
        assert isinstance(parsed, str) or parsed.analysis


CLEAR = st.sampled_from(["yes", "Yes.", "**yes**", "yes, no problem is left", "<answer: YES, ok>"])
REFUSING = st.sampled_from(["no", "No, it stops", "**NO**", "<no>", "(no) because it stops"])
UNCLEAR = st.sampled_from(
    ["yes or no", "yes/no", "yes no", "yes?", "perhaps", "", "ja", "y\u200bes", "yes if", "not yes"]
)
PIECE = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["\n", "rule 1: ", "Rule 2", "overall: ", "yes", "no", " or ", "*", "(", '{"']),
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(PIECE, max_size=30).map("".join))
def test_no_reply_makes_it_raise(reply: str):
    for form in (reply, f"{ALL_YES}{reply}", f"{{{reply}", as_json(note=reply)):
        assert isinstance(parse_verdict(form, RULES), str | Verdict)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.lists(st.one_of(CLEAR, CLEAR, CLEAR, REFUSING, UNCLEAR), min_size=3, max_size=3))
def test_only_three_clear_yes_pass(words: list[str]):
    labels = ("rule 1: ", "rule 2: ", "overall: ")
    reply = "\n".join(label + word for label, word in zip(labels, words, strict=True))
    parsed = parse_verdict(reply, RULES)
    meant = ["yes" in word.lower() and not UNCLEAR_WORDS & {word} for word in words]
    assert (isinstance(parsed, Verdict) and parsed.passed) == all(meant)
    assert isinstance(parsed, str) == bool(UNCLEAR_WORDS & set(words))


UNCLEAR_WORDS = set(UNCLEAR.elements)
