"""Scores as tables for a terminal, and as JSON.

`wavecoder evaluate` and `wavecoder score` print them; the page shows the same tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from wavecoder.artifact import Artifact
from wavecoder.languages import LANGUAGES
from wavecoder.records import Mode, Status
from wavecoder.report.grid import NONE, Table, draw, percent, wrapped
from wavecoder.report.metrics import Score
from wavecoder.report.notes import about, notes
from wavecoder.report.paper import paper_tables
from wavecoder.report.scores import BenchmarkScores, Scores, read_scores

__all__ = ["score_tables", "scores_as_json", "tables"]


def score_tables(artifact: Artifact) -> str:
    """Return the scores of an `evaluate` artifact as text of at most 100 columns.

    Raises:
        ArtifactError: A file is missing or damaged.
        RecordError: A row is no trial.
    """
    scores = read_scores(artifact)
    blocks = [wrapped(text) for text in (about(scores.identity), *notes(scores)) if text]
    parts = ["\n".join(blocks), *map(draw, tables(scores))]
    return "\n\n".join(part for part in parts if part)


def scores_as_json(artifact: Artifact) -> dict[str, Any]:
    """Return the scores of an `evaluate` artifact; shares are in 0..1, None where not defined.

    Raises:
        ArtifactError: A file is missing or damaged.
        RecordError: A row is no trial.
    """
    scores = read_scores(artifact)
    keys = ("model", "answers", "prompt", "temperature", "top_p", "max_new_tokens", "seed", "limit")
    families = dict.fromkeys(one.family for one in scores.benchmarks)
    averages = {
        family: {
            mode: value for mode in Mode if (value := scores.average(family, mode)) is not None
        }
        for family in families
    }
    return {
        **{key: scores.identity.get(key) for key in keys},
        "benchmarks": {one.name: _benchmark_json(one) for one in scores.benchmarks},
        "averages": {family: found for family, found in averages.items() if found},
        "notes": notes(scores),
    }


def _benchmark_json(one: BenchmarkScores) -> dict[str, Any]:
    return {
        "language": one.language,
        "problems": one.problems,
        "of": one.size,
        "whole": one.whole,
        "samples": list(one.samples),
        "missing": dict(one.missing),
        "unsandboxed": one.unsandboxed,
        "differ": one.differ,
        "rules": {
            mode: {
                **{f"pass@{k}": _share_json(found) for k, found in by_k.items()},
                "programs": by_k[1].programs,
                "passed": by_k[1].passed,
                "verdicts": dict(by_k[1].statuses),
            }
            for mode, by_k in one.by_mode.items()
        },
        "bug_types": {
            mode: {bug: _share_json(found) for bug, found in by_bug.items()}
            for mode, by_bug in one.by_bug.items()
        },
    }


def _share_json(found: Score) -> dict[str, Any]:
    fields = asdict(found)
    return {key: fields[key] for key in ("value", "low", "high", "problems", "unmeasured")}


def tables(scores: Scores) -> list[Table]:
    """Return every table that there are trials for, the paper's behind our own."""
    found = [_table_of_scores(scores), _table_of_verdicts(scores)]
    for family in dict.fromkeys(one.family for one in scores.benchmarks if one.by_bug):
        found.append(_table_of_bugs(scores, family))
    return [table for table in (*found, *paper_tables(scores)) if table.rows]


def _table_of_scores(scores: Scores) -> Table:
    rows = []
    told = any(one.differ for one in scores.benchmarks)
    for one in scores.benchmarks:
        few, most = one.samples
        samples = str(most) if few == most else f"{few}{NONE}{most}"
        named = [one.name, "", str(one.problems), samples]
        for mode, by_k in one.by_mode.items():
            if one.alike and mode != Mode.PUBLISHED:
                continue
            named[1] = "both" if one.alike else mode.value
            differ = str(one.differ) if mode == Mode.STRICT and len(one.by_mode) > 1 else ""
            for k, found in by_k.items():
                span = (
                    NONE if found.low is None else f"{percent(found.low)} – {percent(found.high)}"
                )
                row = (*named, f"pass@{k}", percent(found.value), span)
                rows.append((*row, differ if k == 1 else "") if told else row)
                named = [""] * len(named)
    header = ("benchmark", "rule", "problems", "samples", "metric", "score", "95 %")
    note = "differ: programs that pass by one rule and not by the other." if told else ""
    return Table(
        title="Scores: the unbiased estimate of pass@k in %, and its 95 % interval",
        header=(*header, "differ") if told else header,
        rows=tuple(rows),
        left=2,
        note=note,
    )


def _table_of_verdicts(scores: Scores) -> Table:
    """Return how many programs came to each verdict; a verdict that nobody got has no column."""
    counts = [
        (one.name, mode, by_k[1].statuses)
        for one in scores.benchmarks
        for mode, by_k in one.by_mode.items()
    ]
    shown = [status for status in Status if any(of[status] for _, _, of in counts)]
    rows: list[tuple[str, ...]] = []
    for name, mode, of in counts:
        figures = tuple(f"{of[status]:,}" for status in shown)
        if rows and (rows[-1][0], rows[-1][2:]) == (name, figures):
            rows[-1] = (rows[-1][0], "both", *figures)
        else:
            rows.append((name, mode.value, *figures))
    return Table(
        title="Programs by verdict",
        header=("benchmark", "rule", *(status.value.removesuffix("_error") for status in shown)),
        rows=_once(rows),
        left=2,
    )


def _once(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Return the rows without a first cell that is the one above."""
    above = ["", *(row[0] for row in rows)]
    return tuple(
        ("", *row[1:]) if row[0] == name else row for name, row in zip(above, rows, strict=False)
    )


def _table_of_bugs(scores: Scores, family: str) -> Table:
    members = [one for one in scores.benchmarks if one.family == family and one.by_bug]
    bugs = dict.fromkeys(bug for one in members for by in one.by_bug.values() for bug in by)
    rows = [
        (bug, *(_both({mode: by.get(bug) for mode, by in one.by_bug.items()}) for one in members))
        for bug in sorted(bugs)
    ]
    all_of_them = [_both({mode: by_k[1] for mode, by_k in one.by_mode.items()}) for one in members]
    return Table(
        title=f"{family} by kind of bug, pass@1 in %",
        header=("kind of bug", *(_title(one.language) for one in members)),
        rows=(*rows, ("all", *all_of_them)) if rows else (),
        left=1,
        note="Where the rules differ: published / strict." if "/" in str(rows) else "",
    )


def _title(language: str) -> str:
    row = LANGUAGES.get(language)
    return language if row is None else row.title


def _both(found: Mapping[Mode, Score | None]) -> str:
    """Return a share by each rule, once where they agree."""
    words = [percent(None if one is None else one.value) for one in found.values()]
    return "/".join(dict.fromkeys(words))
