"""The checks as a grader."""

import pytest

from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.checking import checked
from wavecoder.calibrate.planting import Pool, plant
from wavecoder.generate.duplicates import AcceptedInstances


def first(cases: list[Case], slug: str) -> Case:
    return next(plant(cases, Pool(cases), [slug], most=1, seed=0))


@pytest.mark.parametrize(
    ("slug", "rule"),
    [
        ("cut_off", "cut_off"),
        ("open_fence", "open_fence"),
        ("near_copy", "near_duplicate"),
        ("unchanged", "no_difference"),
        ("secret", "secret"),
        ("language_not_named", "language_not_named"),
        ("copied_summary", "pasted_code"),
    ],
)
def test_the_rule_that_refuses_is_named(cases: list[Case], slug: str, rule: str):
    found = checked(first(cases, slug))
    assert found.refused and found.rules[0] == rule and found.reason


def test_a_known_good_case_is_accepted_and_again_it_is_a_repeat(of):
    accepted = AcceptedInstances()
    assert checked(of(0, "generation"), accepted).refused is False
    assert checked(of(0, "generation"), accepted).rules == ("near_duplicate",)
