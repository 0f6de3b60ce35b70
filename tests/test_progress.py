import io

import pytest

from wavecoder import progress
from wavecoder.progress import Lines


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is told to go on."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def go_on(seconds):
        now[0] += seconds

    return go_on


@pytest.fixture
def lines(clock):
    stream = io.StringIO()
    return Lines(stream), lambda: [line[9:] for line in stream.getvalue().splitlines()]


def test_a_part_without_outcomes_tells_how_far_it_is(lines, clock):
    shown, said = lines
    shown.start("select", 5000, 0)
    shown.step("embedded", 1000, 5000)
    clock(10)
    shown.step("embedded", 3000, 5000)
    assert said()[-1] == "select: 3,000 of 5,000 embedded, 200 a second, 10 s left"
    clock(10)
    shown.step("picked", 20, None)
    assert said()[-1] == "select: 20 picked"
    clock(3600)
    shown.outcome(None, 1000)
    clock(10)
    shown.outcome("not_selected", 3000)
    assert said()[-1] == "select: 4000 of 5000 done, 1000 kept, 3000 rejected, 2 s left"


def test_lines_come_now_and_then(lines, clock):
    shown, said = lines
    shown.start("collect", None, 0)
    for _ in range(100):
        clock(1)
        shown.outcome("test")
    assert 15 < len(said()) < 25
    assert said()[-1] == "collect: 100 done, 0 kept, 100 rejected"
