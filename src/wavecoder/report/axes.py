"""Places and labels on the axes of a drawn curve."""

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["POINTS", "Axis", "Tick", "axis", "step"]

POINTS = 500
"""Most points drawn of a curve; a longer one is thinned."""


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in SVG units."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """An upright axis whose ends are round numbers."""

    place: Callable[[float], float]
    """A value's place in SVG units, from the top."""
    ticks: list[Tick]


def axis(lowest: float, highest: float, height: int) -> Axis:
    """Return an axis around the values from `lowest` to `highest`; it need not begin at zero.

    Args:
        lowest: Finite.
        highest: Finite, `lowest` or more.
        height: Of the plot, in SVG units.
    """
    by = step(highest - lowest)
    low = math.floor(lowest / by) * by
    high = max(math.ceil(highest / by) * by, low + by)

    def place(value: float) -> float:
        return round(height * (high - value) / (high - low), 2)

    digits = max(0, -math.floor(math.log10(by)))
    steps = range(round((high - low) / by) + 1)
    return Axis(place, [Tick(place(low + i * by), f"{low + i * by:.{digits}f}") for i in steps])


def step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten, of which 3 to 8 make up `span`."""
    if span <= 0:
        return 0.1
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 8)
