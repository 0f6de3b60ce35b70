from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.generate.generator import _shown, prompt_variables
from wavecoder.generate.task import _DUMMY, _DUMMY_BAD, built_in_tasks, load_task
from wavecoder.languages import parses

TASKS = ["generation", "repair", "summarization", "translation"]


def test_the_four_tasks_of_the_paper():
    assert built_in_tasks() == TASKS
    # Paper table 1: 11,370 + 3,165 + 3,144 + 2,236 = 19,915 instances.
    assert sum(load_task(name).weight for name in TASKS) == 19_915


@pytest.mark.parametrize("name", TASKS)
def test_each_task_has_two_good_and_two_bad_examples(name: str):
    task = load_task(name)
    for good in (True, False):
        examples = [example for example in task.own_examples if example.good is good]
        assert len(examples) >= 2
        assert all(example.analysis and example.rules for example in examples)
        # An example is good if and only if all of its rules are.
        assert all(all(rule.passed for rule in one.rules) is good for one in examples)
    assert len({example.id for example in task.own_examples}) == len(task.examples)


@pytest.mark.parametrize("name", TASKS)
def test_the_code_in_examples_parses(name: str):
    task = load_task(name)
    for example in task.own_examples:
        assert parses(example.code, example.language)
        if task.solution_is == "code" and example.good:
            assert parses(example.solution, example.target_language or example.language)


def test_unknown_task_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'repair'"):
        load_task("repare")


def test_a_task_of_ones_own(tmp_path: Path):
    path = tmp_path / "comments.yaml"
    path.write_text(
        "name: comments\ntitle: comments\ninformation: raw_code\nsolution: generator\n"
        "solution_is: prose\nrules: [{slug: right, text: It is right.}]\n"
        "generator: {system: s, turn: '{{ code }}'}\n"
        "discriminator: {system: s, turn: '{{ solution }}'}\nexamples: []\n"
    )
    assert load_task(str(path)).name == "comments"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title", "titel", "Did you mean 'title'"),
        ("turn: '{{ code }}'", "turn: '{{ code '", "template does not compile"),
        ("{slug: right, text: It is right.}", "", "at least 1 item"),
    ],
)
def test_a_broken_task_file_is_one_sentence(tmp_path: Path, old: str, new: str, message: str):
    path = tmp_path / "comments.yaml"
    text = (
        "name: comments\ntitle: comments\ninformation: raw_code\nsolution: generator\n"
        "solution_is: prose\nrules: [{slug: right, text: It is right.}]\n"
        "generator: {system: s, turn: '{{ code }}'}\n"
        "discriminator: {system: s, turn: '{{ solution }}'}\nexamples: []\n"
    )
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_task(str(path))


OWN = (
    "name: own\ntitle: own\ninformation: raw_code\nsolution: generator\nsolution_is: prose\n"
    "rules: [{slug: right, text: It is right.}]\n"
    "generator: {system: s, turn: '{{ code }}'}\n"
    "discriminator: {system: s, turn: '{{ solution }}'}\n"
)
SHOWN = (
    "examples: [{good: true, language: python, name: f, code: c, instruction: i, solution: s, "
    "rules: {right: 'REASON'}, analysis: a}]\n"
)


@pytest.mark.parametrize("reason", ["Nothing is missing", "maybe", "Yesterday it was"])
def test_a_reason_begins_with_yes_or_no(tmp_path: Path, reason: str):
    path = tmp_path / "own.yaml"
    path.write_text(OWN + SHOWN.replace("REASON", reason))
    with pytest.raises(ConfigError, match=r"own\.yaml, example 0, rule right: .* yes nor no"):
        load_task(str(path))


def test_reasons_are_read_by_their_first_word(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN + SHOWN.replace("REASON", "No: it lacks a, b"))
    (rule,) = load_task(str(path)).own_examples[0].rules
    assert (rule.passed, rule.reason) == (False, "it lacks a, b")


def test_a_task_file_in_another_encoding_is_refused(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_bytes((OWN + "examples: []\n# é\n").encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_task(str(path))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("{{ code }}", "{{ cod }}", "generator.turn"),
        ("{{ code }}", "{{ solution }}", "generator.turn"),
        ("generator: {system: s", "generator: {system: '{{ bug.old }}'", "generator.system"),
        ("{{ solution }}", "{{ answer }}", "discriminator.turn"),
        ("{{ code }}", "{{ docstring.upper() }}", "generator.turn"),
    ],
)
def test_a_template_with_an_unknown_variable_is_refused(
    tmp_path: Path, old: str, new: str, place: str
):
    path = tmp_path / "own.yaml"
    path.write_text((OWN + "examples: []\n").replace(old, new))
    with pytest.raises(ConfigError, match=f"{place}: the template cannot be filled in"):
        load_task(str(path))


def test_the_dummy_variables_are_those_of_the_generator():
    task = load_task("generation")
    given = prompt_variables(
        task, code="", source="c", target=None, information=None, name="", docstring=None, case=None
    )
    assert set(_DUMMY) == set(given)
    assert set(_DUMMY_BAD) == set(_shown(task.own_examples[0]))
