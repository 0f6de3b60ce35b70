"""Runs after the other files of attacks, and counts."""

import pytest


def test_all_72_misbehaviours_are_contained(contained):
    if not contained:
        pytest.skip("counts what the other files of attacks found, which were not run")
    programs = sum(len(names) for names in contained.values())
    print(f"{len(contained)} of 72 misbehaviours contained, by {programs} programs")
    assert sorted(contained) == list(range(1, 73))
