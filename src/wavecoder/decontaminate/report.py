"""What a decontamination found, as JSON and as a page to read."""

import json
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

__all__ = ["Leakage", "Report", "as_json", "as_markdown"]


class Leakage(NamedTuple):
    """How near a dataset comes to a benchmark."""

    benchmark: str
    mean: float
    """Cosine of a problem and its nearest row, averaged over the problems: the paper's figure."""
    highest: float
    problems: int


@dataclass
class Report:
    """Counts of rows; a row counts once, however many layers found it."""

    dataset: str
    layers: tuple[str, ...]
    benchmarks: tuple[str, ...]
    rows: int = 0
    clean: int = 0
    removed: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    """Rows that are no JSON or have no text, by reason; they are left out of the clean dataset."""
    first_unread: str | None = None
    by_layer: dict[str, int] = field(default_factory=dict)
    by_benchmark: dict[str, int] = field(default_factory=dict)
    hits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Rows by layer and benchmark."""
    embedder: str | None = None
    leakage: list[Leakage] = field(default_factory=list)
    likely: int = 0
    """Functions that spoke of a problem; of these at most a few a problem are run."""
    tried: int = 0
    clean_file: str | None = None


def as_json(report: Report) -> str:
    """Return the report as a JSON object."""
    table = asdict(report) | {"leakage": [one._asdict() for one in report.leakage]}
    return json.dumps(table, indent=2) + "\n"


def as_markdown(report: Report) -> str:
    """Return the report as text for a person."""
    share = f" ({100 * report.removed / report.rows:.3f} %)" if report.rows else ""
    lines = [
        f"# Decontamination of {report.dataset}",
        "",
        f"{report.rows:,} rows, {report.removed:,} removed{share}, {report.clean:,} clean.",
    ]
    if report.clean_file:
        lines.append(
            f"The clean rows are in `{report.clean_file}`, why others are gone is in "
            "`removed.jsonl`."
        )
    if report.unread:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.unread.items())
        lines += ["", f"Left out, as they could not be read: {reasons}. {_first(report)}"]
    lines += ["", *_table(report)]
    if report.tried or "behaviour" in report.layers:
        lines += [
            "",
            f"behaviour: {report.likely:,} functions spoke of a problem, {report.tried:,} "
            "of them were run against its tests.",
        ]
    if report.leakage:
        lines += [
            "",
            f"Leakage by {report.embedder}: cosine of each problem's solution and the nearest row.",
            "",
            "| benchmark | mean | highest | problems |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {one.benchmark} | {one.mean:.3f} | {one.highest:.3f} | {one.problems} |"
            for one in report.leakage
        ]
    return "\n".join(lines) + "\n"


def _first(report: Report) -> str:
    return f"The first is {report.first_unread}." if report.first_unread else ""


def _table(report: Report) -> list[str]:
    """Return rows found, by benchmark and layer."""
    lines = [
        f"| benchmark | {' | '.join(report.layers)} | any |",
        "|" + "---|" * (len(report.layers) + 2),
    ]
    for name in report.benchmarks:
        counts = [str(report.hits.get(layer, {}).get(name, 0)) for layer in report.layers]
        lines.append(f"| {name} | {' | '.join(counts)} | {report.by_benchmark.get(name, 0)} |")
    whole = [str(report.by_layer.get(layer, 0)) for layer in report.layers]
    lines.append(f"| rows | {' | '.join(whole)} | {report.removed} |")
    return lines
