"""A variant's losses as a curve, ready to draw."""

from collections.abc import Sequence
from dataclasses import dataclass

from wavecoder.report.axes import POINTS, Tick, axis, step
from wavecoder.report.training import Points, Tuned

__all__ = ["LossCurve", "loss_curve"]

_WIDTH, _HEIGHT = 640, 200
"""Size of the plot, in SVG units."""


@dataclass(frozen=True)
class LossCurve:
    """The losses of what is trained on and of what is held out, by step."""

    width: int
    height: int
    loss: str
    """Points of the line, in SVG units."""
    held_out: str
    marks: list[tuple[float, float]]
    """The places at which the loss of what is held out was measured."""
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def loss_curve(tuned: Tuned) -> LossCurve | None:
    """Return the curve of a variant, both losses on one axis; None where none was logged."""
    points = (*tuned.loss, *tuned.held_out)
    if not points:
        return None
    last = max(1, *(at for at, _ in points))
    upright = axis(min(loss for _, loss in points), max(loss for _, loss in points), _HEIGHT)

    def x(at: float) -> float:
        return round(_WIDTH * at / last, 2)

    def line(of: Sequence[tuple[int, float]]) -> str:
        return " ".join(f"{x(at)},{upright.place(loss)}" for at, loss in of)

    by = max(1, round(step(last)))
    return LossCurve(
        width=_WIDTH,
        height=_HEIGHT,
        loss=line(_thinned(tuned.loss)),
        held_out=line(tuned.held_out),
        marks=[(x(at), upright.place(loss)) for at, loss in tuned.held_out],
        x_ticks=[Tick(x(at), f"{at:,}") for at in range(0, last + 1, by)],
        y_ticks=upright.ticks,
    )


def _thinned(points: Points) -> Points:
    """Return at most about `POINTS` of them, first and last among them."""
    stride = max(1, len(points) // POINTS)
    chosen = {*range(0, len(points), stride), len(points) - 1} if points else set()
    return tuple(points[at] for at in sorted(chosen))
