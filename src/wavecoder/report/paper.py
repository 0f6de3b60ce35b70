"""Tables 3, 4 and 5 of the WaveCoder paper (arXiv 2312.14187v5), with this run's rows first."""

from collections.abc import Iterable, Mapping
from typing import Any

from wavecoder.records import Mode
from wavecoder.report.grid import NONE, Table, percent
from wavecoder.report.scores import Results, Scores, published

__all__ = ["paper_tables", "whole_in"]


def paper_tables(results: Results) -> list[Table]:
    """Return those of the paper's tables that there are scores for, published rows beside them.

    One with a single benchmark, and nothing published that may stand beside it, says nothing new.
    """
    found = []
    for table in published()["tables"]:
        ours = {
            one.name: whole_in(results, one.name)
            for scores in results.models
            for one in scores.benchmarks
            if one.name in table["columns"].values() and one.by_mode
        }
        if len(ours) > 1 or any(ours.values()):
            found.append(_table(results, table))
    return found


def whole_in(results: Results, benchmark: str) -> bool:
    """Say whether every model that was asked a benchmark has a score of all of it."""
    found = [one for scores in results.models if (one := scores.named(benchmark)) is not None]
    return bool(found) and all(one.whole for one in found)


def _table(results: Results, table: Mapping[str, Any]) -> Table:
    """Return one of the paper's tables: this run's scores, then the published rows.

    A column whose benchmark was not scored whole has no published figures in it.
    """
    columns: Mapping[str, str] = table["columns"]
    measured = set(results.benchmarks)
    compared = [name not in measured or whole_in(results, name) for name in columns.values()]
    header = ["model", *table["about"], *columns]
    if table["average"]:
        compared.append(all(compared))
        header.append("average")
    rows = [row for scores in results.models for row in _own_rows(scores, table)]
    if any(whole_in(results, name) for name in columns.values()):
        for group in table["groups"]:
            for row in group["rows"]:
                figures = [
                    _figure(value) if fits else ""
                    for value, fits in zip(row["scores"], compared, strict=True)
                ]
                about = [value or NONE for value in row.get("about", ())]
                if any(figure not in ("", NONE) for figure in figures):
                    rows.append((row["model"], *about, *figures))
        sources = "; ".join(group["source"] for group in table["groups"])
        note = f"Sources: {sources}. {table['note']}"
    else:
        note = ""
    return Table(
        title=f"{table['title']}: pass@1 in %",
        header=tuple(header),
        rows=tuple(rows),
        left=1,
        note=note,
    )


def _own_rows(scores: Scores, table: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """Yield a model's row, and one by the strict rule where that differs anywhere."""
    ours = [scores.named(name) for name in table["columns"].values()]
    name = f"this run: {scores.model}" if scores.model else "this run"
    blank = [""] * len(table["about"])
    by_mode: dict[Mode, list[str]] = {}
    for mode in Mode:
        cells = [
            percent(one.by_mode[mode][1].value) if one and mode in one.by_mode else NONE
            for one in ours
        ]
        if table["average"]:
            family = next(iter(table["columns"].values())).partition("-")[0]
            cells.append(percent(scores.average(family, mode)))
        if any(one is not None and mode in one.by_mode for one in ours):
            by_mode[mode] = cells
    first = by_mode.get(Mode.PUBLISHED)
    if first is not None:
        yield (name, *blank, *first)
    strict = by_mode.get(Mode.STRICT)
    if strict is not None and any(one is not None and not one.alike for one in ours):
        yield (f"{name}, strict", *blank, *strict)


def _figure(value: float | str | None) -> str:
    return NONE if value is None else value if isinstance(value, str) else f"{value:.1f}"
