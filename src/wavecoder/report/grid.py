"""A table of texts, drawn for a terminal."""

from dataclasses import dataclass
from textwrap import wrap

__all__ = ["NONE", "Table", "draw", "percent", "signed", "wrapped"]

_WIDTH = 100
"""Columns of a terminal that a table may take."""
NONE = "–"
"""What stands where there is no figure."""


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int
    """How many columns, from the left, are words and not figures."""
    note: str = ""


def draw(table: Table) -> str:
    """Return a table as text; a label too long for the room that is left stands on its own line."""
    grid = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    room = _WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)
    widths[0] = min(widths[0], max(room, len(table.header[0])))
    lines = []
    for row in grid:
        cells = [
            cell.ljust(width) if place < table.left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        if len(row[0]) > widths[0]:
            lines.append(row[0])
            cells[0] = " " * widths[0]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, lines))
    parts = [table.title, rule, lines[0], rule, *lines[1:]]
    return "\n".join([*parts, *([wrapped(table.note)] if table.note else [])])


def wrapped(text: str) -> str:
    """Return text in lines that fit."""
    return "\n".join(wrap(text, _WIDTH))


def percent(share: float | None) -> str:
    """Return a share in % with one digit behind the point, or that there is none."""
    return NONE if share is None else f"{100 * share:.1f}"


def signed(points: float) -> str:
    """Return a difference in points with its sign; none is +0.0."""
    return f"{round(points, 1) + 0.0:+.1f}"
