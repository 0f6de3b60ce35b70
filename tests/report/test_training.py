"""What `train` left, as figures and on the page."""

import json
import math
import re

import pytest

from wavecoder.errors import ArtifactError
from wavecoder.records import Checkpoint, Dialogue, Rejected
from wavecoder.report import figures
from wavecoder.report.losses import loss_curve
from wavecoder.report.page import render
from wavecoder.report.training import Tuned, read_training

OUTCOME = {
    "status": "complete",
    "steps": 4,
    "loss": 0.75,
    "held_out_before": 2.5,
    "held_out_after": 1.5,
    "tokens": 1234,
    "seconds": 61.0,
}
HELD = (2.5, 1.0, 1.5)


def dialogue(number: int, task: str, source: str = "generate", *, apart: bool = False) -> Dialogue:
    return Dialogue(
        id=f"d{number}",
        source=source,
        task=task,
        tokens=40,
        response_tokens=20,
        held_out=apart,
        uses=(0 if apart else 1,),
    )


def metrics(losses=(2.0, 1.5, 1.0, 0.75), held=HELD) -> str:
    rows = [{"step": 0, "epoch": 0.0, "held_out_loss": held[0]}]
    rows += [{"step": n, "loss": loss, "grad_norm": 1.0} for n, loss in enumerate(losses, start=1)]
    rows += [{"step": 2 * n, "held_out_loss": loss} for n, loss in enumerate(held[1:], start=1)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def trained(make_artifact, build):
    outcomes = [
        dialogue(0, "generation"),
        dialogue(1, "repair"),
        dialogue(2, "repair", apart=True),
        dialogue(3, "other", "more.jsonl"),
        Rejected(id="d4", reason="too_long", detail="9,000 tokens"),
    ]
    files = {
        "checkpoints.json": build.checkpoints(("tuned", 3, {}), ("bare", 2, {"repair": 0.0})),
        "tuned/metrics.jsonl": metrics(),
        "tuned/outcome.json": json.dumps(OUTCOME),
    }
    return make_artifact("train", Dialogue, outcomes, usage={}, files=files)


def test_the_figures_by_hand(trained, prices):
    found = {one.name: one.value for one in figures({"train": trained}, prices)}
    expected = {
        "inputs": 5,
        "kept": 4,
        "rejected/too_long": 1,
        "loss/tuned": 0.75,
        "held_out_loss/tuned/before": 2.5,
        "held_out_loss/tuned/after": 1.5,
        "steps/tuned": 4,
        "trained_tokens/tuned": 1234,
        "dialogues/task/generation": 1,
        "dialogues/task/other": 1,
        "dialogues/task/repair": 2,
        "dialogues/source/generate": 3,
        "dialogues/source/more.jsonl": 1,
        "dialogues/held_out": 1,
    }
    del found["tokens/prompt"], found["tokens/completion"]
    assert found == expected, "how long it took is no figure"


def test_the_page_has_a_curve_where_losses_were_logged(trained, prices):
    html = render({"train": trained}, 0, prices=prices)
    assert html.count("<svg") == 1
    assert "Loss of tiny, tuned" in html
    assert "it overfits from step 2 on" in html
    assert "1 min 01 s" in html
    assert "there are no instances" not in html
    assert not re.search(r"<script|https?://|url\(", html)
    assert len(re.findall(r'class="mark"', html)) == 3


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (
            (2.5, 1.0, 1.5),
            "falls from 2.500 to 1.000 at step 2 and rises to 1.500 by step 4: it",
        ),
        ((2.5, 1.5, 1.0), "falls from 2.500 to 1.000 at step 4, the last: it does not overfit yet"),
        ((2.5, 1.0, 1.004), "falls from 2.500 to 1.000 at step 2 and stays level"),
        ((1.0, 1.5, 2.0), "lowest before the first step (1.000) and rises to 2.000"),
        ((1.0, 1.0, 1.0), "stays at 1.000: nothing is learned"),
        ((), "was not measured"),
    ],
)
def test_where_the_loss_is_lowest_is_said_in_words(held, words):
    points = tuple((2 * at, loss) for at, loss in enumerate(held))
    assert words in tuned(held_out=points).words


def tuned(loss=(), held_out=()) -> Tuned:
    checkpoint = Checkpoint(name="tuned", model="tuned/checkpoint", label="t", dialogues=1)
    return Tuned(checkpoint, {}, loss, held_out)


@pytest.mark.parametrize(
    ("loss", "held"),
    [
        (((1, 2.0),), ()),
        ((), ((0, 2.0), (9, 2.0))),
        (tuple((n, 1000 / n) for n in range(1, 5000)), ((0, 900.0), (4999, 0.5))),
    ],
)
def test_the_curve_stays_inside_its_plot(loss, held):
    curve = loss_curve(tuned(loss, held))
    lines = [line.split() for line in (curve.loss, curve.held_out)]
    assert [len(line) for line in lines][1] == len(held)
    assert len(lines[0]) <= min(len(loss), 600)
    for point in (*lines[0], *lines[1]):
        x, y = map(float, point.split(","))
        assert 0 <= x <= curve.width
        assert 0 <= y <= curve.height
    assert 1 <= len(curve.x_ticks) <= 12
    assert 2 <= len(curve.y_ticks) <= 12


def test_without_losses_there_is_no_curve():
    assert loss_curve(tuned()) is None


def test_a_loss_that_is_no_number_is_not_drawn(make_artifact, build):
    files = {
        "checkpoints.json": build.checkpoints(("tuned", 1, {})),
        "tuned/metrics.jsonl": metrics(losses=(2.0, math.nan, math.inf)),
    }
    (one,) = read_training(make_artifact("train", Dialogue, [], usage={}, files=files)).tuned
    assert one.loss == ((1, 2.0),)


@pytest.mark.parametrize("line", ["{", "[1]", "\xff"])
def test_damaged_metrics_are_one_sentence(make_artifact, build, line):
    files = {
        "checkpoints.json": build.checkpoints(("tuned", 1, {})),
        "tuned/metrics.jsonl": f'{{"step": 1, "loss": 2.0}}\n{line}\n',
    }
    artifact = make_artifact("train", Dialogue, [], usage={}, files=files)
    with pytest.raises(ArtifactError, match=r"metrics.jsonl:2 is no row"):
        read_training(artifact)


def test_what_another_trainer_left_needs_no_files(make_artifact, prices):
    artifact = make_artifact("train", Dialogue, [dialogue(0, "repair")], usage={})
    assert "Training" in render({"train": artifact}, 0, prices=prices)
