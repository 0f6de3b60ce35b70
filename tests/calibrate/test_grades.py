"""Shares with intervals, and several graders as one."""

import pytest

from wavecoder.calibrate.grades import Grade, Share, both, share

YES, NO, UNTOLD = Grade(True, ("a", "b"), "why"), Grade(False), Grade(None)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # Newcombe 1998 ("Two-sided confidence intervals for the single proportion"), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_of_wilson(count: int, of: int, low: float, high: float):
    found = Share(count, of).interval
    assert found == pytest.approx((low, high), abs=5e-5)


def test_the_interval_of_nothing_is_everything():
    assert Share(0, 0).interval == (0.0, 1.0)
    assert (Share(0, 0).value, str(Share(0, 0))) == (None, "-")


def test_what_could_not_be_told_is_not_refused_and_what_was_not_asked_is_not_counted():
    assert share([YES, NO, UNTOLD, None]) == Share(1, 3)


def test_together_graders_refuse_what_one_refuses():
    assert both(NO, YES) == Grade(True, ("a",), "why")
    assert both(UNTOLD, NO) == Grade(False)
    assert both(YES, None) is None
