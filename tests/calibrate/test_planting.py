"""Each defect is really there, and nothing else is changed."""

import ast
from dataclasses import replace
from random import Random

import pytest

from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.planting import DEFECTS, Pool, plant
from wavecoder.languages import LANGUAGES, names_language, parses

FOUR = ("generation", "repair", "summarization", "translation")


def planted(cases: list[Case], slug: str, most: int = 12) -> list[Case]:
    return list(plant(cases, Pool(cases), [slug], most=most, seed=3))


def origin(case: Case, cases: list[Case]) -> Case:
    return next(one for one in cases if one.id == case.id.partition("+")[0])


@pytest.mark.parametrize("slug", DEFECTS)
def test_every_defect_changes_what_it_is_planted_into(cases: list[Case], slug: str):
    found = planted(cases, slug)
    assert found
    for one in found:
        first = origin(one, cases)
        assert (one.good, one.defect) == (False, slug)
        assert one.task.name in DEFECTS[slug].tasks
        seen = (one.instance.model_dump(exclude={"id"}), one.finish, one.beside)
        assert seen != (first.instance.model_dump(exclude={"id"}), first.finish, first.beside)


@pytest.mark.parametrize("slug", DEFECTS)
def test_equal_seeds_plant_equal_defects_and_others_do_not(cases: list[Case], slug: str):
    def replies(seed: int) -> list[tuple[str, str, str]]:
        found = plant(cases, Pool(cases), [slug], most=6, seed=seed)
        return [(one.id, one.reply, one.raw.code) for one in found]

    assert replies(3) == replies(3)
    assert replies(3) != replies(4)


def test_defects_are_spread_over_tasks_and_languages(cases: list[Case]):
    found = planted(cases, "language_not_named", most=8)
    assert {(one.task.name, one.language) for one in found} == {
        (task, name) for task in FOUR for name in ("python", "javascript")
    }


def test_broken_syntax_does_not_parse(cases: list[Case]):
    assert not any(parses(one.code, one.language) for one in planted(cases, "broken_syntax"))


def test_a_missing_import_was_used(cases: list[Case]):
    for one in planted(cases, "missing_import"):
        first = origin(one, cases)
        gone = set(first.code.split("\n")) - set(one.code.split("\n"))
        (line,) = gone - {""}
        name = line.split()[-1]
        assert name in one.code


def test_an_undefined_name_is_nowhere_else(cases: list[Case]):
    for one in planted(cases, "undefined_name"):
        assert one.code.count("_given") == 1
        assert parses(one.code, one.language)


def test_a_wrong_language_is_neither_of_the_two(cases: list[Case]):
    for one in planted(cases, "wrong_language"):
        if one.language == "python":
            with pytest.raises(SyntaxError):
                ast.parse(one.code)


def test_off_by_one_parses(cases: list[Case]):
    found = planted(cases, "off_by_one")
    assert all(parses(one.code, one.language) for one in found)


def test_a_swapped_repair_has_the_wrong_side_as_its_answer(cases: list[Case]):
    for one in planted(cases, "swapped"):
        first = origin(one, cases)
        assert (one.instance.solution, one.instance.information) == (
            first.instance.information,
            first.instance.solution,
        )


def test_an_order_stands_in_what_the_judge_reads(cases: list[Case]):
    for one in planted(cases, "order_to_judge"):
        text = f"{one.instance.instruction}\n{one.instance.solution}".lower()
        assert any(word in text for word in ("judge", "overall", "grader", "evaluator"))


def test_an_unnamed_language_is_unnamed(cases: list[Case]):
    for one in planted(cases, "language_not_named"):
        assert not names_language(one.instruction, one.language)
        assert not names_language(one.instruction, one.raw.language)


def test_a_changed_fact_is_one_word(cases: list[Case]):
    for one in planted(cases, "changed_fact"):
        ours, theirs = one.solution.split(), origin(one, cases).solution.split()
        assert sum(a != b for a, b in zip(ours, theirs, strict=False)) >= 1
        assert abs(len(ours) - len(theirs)) <= 1


@pytest.mark.parametrize("slug", ["early_exit", "endless_loop", "floods", "equals_everything"])
def test_hostile_code_parses(cases: list[Case], slug: str):
    found = planted(cases, slug)
    assert all(parses(one.code, one.language) for one in found)


def test_what_does_not_suit_is_left_out(cases: list[Case]):
    repairs = [one for one in cases if one.task.name == "repair"]
    assert not list(plant(repairs, Pool(repairs), ["copied_summary"], most=None, seed=0))
    alone = repairs[:1]
    assert not list(plant(alone, Pool(alone), ["other_solution"], most=None, seed=0))


def test_code_in_any_language_can_be_given_a_defect(of):
    """Nothing breaks where a language has no row in the tables of the defects."""
    first = of(0, "generation")
    for name in LANGUAGES:
        raw = first.raw.model_copy(update={"language": name})
        case = replace(first, raw=raw)
        for defect in DEFECTS.values():
            defect.planted(case, Pool([case, first]), Random(0))
