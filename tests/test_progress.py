import io
import json
import os
from datetime import UTC, datetime

import pytest
from rich.console import Console
from rich.live import Live

from wavecoder import progress
from wavecoder.progress import Lines, Panel, Recorded, Silent


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


def test_what_takes_more_than_a_second_is_told_in_seconds_each(lines, clock):
    shown, said = lines
    shown.start("train", 60, 0)
    shown.step("steps", 8, 18)
    clock(16)
    shown.step("steps", 13, 18)
    assert said()[-1] == "train: 13 of 18 steps, 3.2 s each, 16 s left"


def test_what_begins_anew_has_figures_of_its_own(lines, clock):
    shown, said = lines
    shown.start("train", 60, 0)
    shown.step("steps", 18, 18)
    shown.figures({"held-out loss": 1.5})
    clock(10)
    shown.step("steps", 0, 18)
    assert said()[-1] == "train: 0 of 18 steps"


def test_lines_come_now_and_then(lines, clock):
    shown, said = lines
    shown.start("collect", None, 0)
    for _ in range(100):
        clock(1)
        shown.outcome("test")
    assert 15 < len(said()) < 25
    assert said()[-1] == "collect: 100 done, 0 kept, 100 rejected"


def test_what_the_engine_says_stands_at_the_end_of_the_line_until_the_stage_ends(lines, clock):
    shown, said = lines
    shown.start("generate", 10, 0)
    shown.figures({"in flight": "64 of 64", "spent": "$1.23"})
    shown.figures({"in flight": "32 of 64", "waits": 1234.5})
    clock(10)
    shown.outcome(None)
    words = "1 min 30 s left, in flight 32 of 64, spent $1.23, waits 1,234.5"
    assert said()[-1] == f"generate: 1 of 10 done, 1 kept, 0 rejected, {words}"
    shown.start("report", 1, 0)
    clock(10)
    shown.outcome(None)
    assert said()[-1] == "report: 1 of 1 done, 1 kept, 0 rejected"


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)


@pytest.fixture
def panel(console):
    panel = Panel(console)
    return panel, lambda: "\n".join(
        "".join(segment.text for segment in line) for line in console.render_lines(panel)
    )


def test_the_panel_shows_the_running_stage(panel, clock):
    shown, drawn = panel
    assert drawn().strip() == ""
    shown.start("generate", 10, 2)
    shown.step("embedded", 3, 6)
    assert "generate: 3 of 6 embedded" in drawn()
    shown.outcome(None)
    shown.outcome("rule_clear", 3)
    shown.tokens(50)
    shown.figures({"in flight": "64 of 64"})
    clock(10)
    assert "generate: 6 of 10 done, 1 kept, 3 rejected, 5 tokens/s, 10 s left, in flight" in drawn()
    assert "rejected: 3 rule_clear" in drawn()
    shown.end("1 kept, 3 rejected")
    assert drawn().strip() == ""
    shown.outcome(None)  # between stages nobody counts
    assert drawn().strip() == ""


def test_the_panel_says_what_stays(panel, console):
    shown, _ = panel
    with Live(shown, console=console, auto_refresh=False, transient=True):
        shown.start("generate", 10, 2)
        shown.note("look [here]")
        shown.end("1 kept, 3 rejected")
    said = console.file.getvalue()
    assert "look [here]" in said
    assert "generate: 1 kept, 3 rejected in 0 s" in said


def test_counting_an_outcome_draws_nothing(console):
    panel = Panel(console)
    with Live(panel, console=console, auto_refresh=False, transient=True) as live:
        panel.start("generate", 5000, 0)
        before = console.file.getvalue()
        for _ in range(5000):
            panel.outcome(None)
        assert console.file.getvalue() == before
        live.refresh()
        assert "5000 of 5000 done" in console.file.getvalue()


@pytest.fixture
def recorded(tmp_path, clock):
    path = tmp_path / "progress.json"
    return Recorded(Silent(), path), lambda: json.loads(path.read_text())


def test_another_shell_can_read_how_far_a_stage_is(recorded, clock):
    shown, read = recorded
    shown.start("generate", 10, 2)
    shown.outcome(None)
    shown.outcome("rule_clear", 3)
    shown.tokens(50)
    clock(8)
    shown.figures({"in flight": "64 of 64", "spent": 1.25})
    found = read()
    started, updated = (datetime.fromisoformat(found.pop(key)) for key in ("started", "updated"))
    assert started <= updated <= datetime.now(UTC)
    assert found == {
        "stage": "generate",
        "total": 10,
        "done": 6,
        "before": 2,
        "kept": 1,
        "rejected": {"rule_clear": 3},
        "tokens": 50,
        "step": None,
        "rate": 0.5,
        "seconds_left": 8.0,
        "figures": {"in flight": "64 of 64", "spent": 1.25},
        "pid": os.getpid(),
    }


def test_it_is_written_at_the_start_and_the_end_and_once_a_second_at_most(recorded, clock):
    shown, read = recorded
    shown.start("select", 5, 0)
    assert read()["stage"] == "select"
    shown.step("embedded", 3, 5)
    clock(0.9)
    shown.outcome(None)
    assert (read()["done"], read()["step"]) == (0, None)
    clock(0.1)
    shown.outcome(None)
    assert read()["done"] == 2
    shown.outcome(None)
    assert read()["done"] == 2
    shown.end("3 kept")
    assert read()["done"] == 3
    shown.start("generate", None, 0)
    clock(1)
    shown.step("planned", 3, None)
    assert (read()["stage"], read()["step"]) == ("generate", "3 planned")


def test_who_is_told_beside_the_file_hears_everything(tmp_path, clock):
    heard = io.StringIO()
    shown = Recorded(Lines(heard), tmp_path / "progress.json")
    shown.start("generate", 10, 2)
    shown.note("look here")
    shown.step("planned", 3, None)
    clock(5)
    shown.figures({"in flight": "4 of 4"})
    clock(5)
    shown.outcome(None)
    clock(5)
    shown.tokens(30)
    shown.end("1 kept")
    assert [line[9:] for line in heard.getvalue().splitlines()] == [
        "generate: begins, 2 done before",
        "look here",
        "generate: 3 planned, in flight 4 of 4",
        "generate: 3 of 10 done, 1 kept, 0 rejected, in flight 4 of 4",
        "generate: 3 of 10 done, 1 kept, 0 rejected, 2 tokens/s, 35 s left, in flight 4 of 4",
        "generate: 1 kept in 15 s",
    ]


def test_a_file_that_cannot_be_written_ends_nothing_and_is_noted_once(tmp_path, clock):
    heard = io.StringIO()
    folder = tmp_path / "run"
    shown = Recorded(Lines(heard), folder / "progress.json")
    shown.start("generate", 10, 0)
    for _ in range(3):
        clock(1)
        shown.outcome(None)
    assert heard.getvalue().count("Cannot write") == 1
    assert "progress.json: No such file or directory. The run goes on" in heard.getvalue()
    folder.mkdir()
    clock(1)
    shown.outcome(None)
    assert json.loads((folder / "progress.json").read_text())["done"] == 4


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="no device that is always full")
def test_a_full_disk_leaves_the_file_whole(recorded, tmp_path, clock):
    shown, read = recorded
    shown.start("generate", 10, 0)
    (tmp_path / "progress.json.partial").symlink_to("/dev/full")
    clock(1)
    shown.outcome(None)
    assert read()["done"] == 0
    clock(1)
    shown.outcome(None)
    assert read()["done"] == 2
