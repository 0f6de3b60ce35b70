"""Scores as tables for a terminal, and as JSON.

`wavecoder evaluate` and `wavecoder score` print them; the page shows the same tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from wavecoder.artifact import Artifact
from wavecoder.languages import LANGUAGES
from wavecoder.records import Mode, Status
from wavecoder.report.ablations import ablation_tables
from wavecoder.report.grid import NONE, Table, draw, percent, signed, wrapped
from wavecoder.report.metrics import Score
from wavecoder.report.notes import about, notes
from wavecoder.report.paper import paper_tables
from wavecoder.report.scores import BenchmarkScores, Comparison, Results, Scores, read_results

__all__ = ["score_tables", "scores_as_json", "tables"]


def score_tables(artifact: Artifact) -> str:
    """Return the scores of an `evaluate` artifact as text of at most 100 columns.

    Raises:
        ArtifactError: A file is missing or damaged.
        RecordError: A row is no trial.
    """
    results = read_results(artifact)
    blocks = [wrapped(text) for text in (about(results), *notes(results)) if text]
    parts = ["\n".join(blocks), *map(draw, tables(results))]
    return "\n\n".join(part for part in parts if part)


def scores_as_json(artifact: Artifact) -> dict[str, Any]:
    """Return the scores of an `evaluate` artifact; shares are in 0..1, None where not defined.

    Of the checkpoints of a run each has its own under `models`, with what it was trained on, and
    `comparisons` has each beside the base.

    Raises:
        ArtifactError: A file is missing or damaged.
        RecordError: A row is no trial.
    """
    results = read_results(artifact)
    keys = ("model", "answers", "prompt", "temperature", "top_p", "max_new_tokens", "seed", "limit")
    found = {key: results.identity.get(key) for key in keys}
    if not results.named:
        return {**found, **_model_json(results.models[0]), "notes": notes(results)}
    return {
        **found,
        "base_prompt": results.identity.get("base_prompt"),
        "models": {
            scores.model: {
                **(scores.checkpoint.model_dump() if scores.checkpoint else {}),
                **_model_json(scores),
            }
            for scores in results.models
        },
        "comparisons": list(map(_comparison_json, results.comparisons)),
        "notes": notes(results),
    }


def _comparison_json(one: Comparison) -> dict[str, Any]:
    fields = asdict(one)
    pair = fields.pop("paired")
    return {**fields, **pair}


def _model_json(scores: Scores) -> dict[str, Any]:
    families = dict.fromkeys(one.family for one in scores.benchmarks)
    averages = {
        family: {
            mode: value for mode in Mode if (value := scores.average(family, mode)) is not None
        }
        for family in families
    }
    return {
        "benchmarks": {one.name: _benchmark_json(one) for one in scores.benchmarks},
        "averages": {family: found for family, found in averages.items() if found},
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


def tables(results: Results) -> list[Table]:
    """Return every table that there are trials for, the paper's behind our own."""
    found = [_table_of_scores(results), _table_of_comparisons(results), _table_of_verdicts(results)]
    for scores in results.models:
        for family in dict.fromkeys(one.family for one in scores.benchmarks if one.by_bug):
            found.append(_table_of_bugs(scores, family))
    behind = (*ablation_tables(results), *paper_tables(results))
    return [table for table in (*found, *behind) if table.rows]


def _by_benchmark(results: Results) -> list[tuple[Scores, BenchmarkScores]]:
    """Return all scores, those of every model of a benchmark together."""
    return [
        (scores, one)
        for name in results.benchmarks
        for scores in results.models
        if (one := scores.named(name)) is not None
    ]


def _table_of_scores(results: Results) -> Table:
    rows = []
    told = any(one.differ for _, one in _by_benchmark(results))
    for scores, one in _by_benchmark(results):
        few, most = one.samples
        samples = str(most) if few == most else f"{few}{NONE}{most}"
        who = [scores.model] if results.named else []
        named = [one.name, *who, "", str(one.problems), samples]
        for mode, by_k in one.by_mode.items():
            if one.alike and mode != Mode.PUBLISHED:
                continue
            named[-3] = "both" if one.alike else mode.value
            differ = str(one.differ) if mode == Mode.STRICT and len(one.by_mode) > 1 else ""
            for k, found in by_k.items():
                span = (
                    NONE if found.low is None else f"{percent(found.low)} – {percent(found.high)}"
                )
                row = (*named, f"pass@{k}", percent(found.value), span)
                rows.append((*row, differ if k == 1 else "") if told else row)
                named = [""] * len(named)
    who = ["model"] if results.named else []
    header = ("benchmark", *who, "rule", "problems", "samples", "metric", "score", "95 %")
    note = "differ: programs that pass by one rule and not by the other." if told else ""
    return Table(
        title="Scores: the unbiased estimate of pass@k in %, and its 95 % interval",
        header=(*header, "differ") if told else header,
        rows=_once_a_benchmark(rows),
        left=2 + len(who),
        note=note,
    )


def _once_a_benchmark(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Return the rows with a benchmark's name in its first alone."""
    found, above = [], ""
    for row in rows:
        found.append(("", *row[1:]) if row[0] == above else row)
        above = row[0] or above
    return tuple(found)


def _table_of_comparisons(results: Results) -> Table:
    """Return every model beside the base; both intervals stand in the table of scores."""
    rows: list[tuple[str, ...]] = []
    for one in results.comparisons:
        change = signed(100 * (one.value - one.base))
        pair = one.paired
        figures = (percent(one.base), percent(one.value), change)
        counts = (str(pair.gained), str(pair.lost), _p_value(pair.p))
        if rows and (rows[-1][:2], rows[-1][3:]) == (_key(one), (*figures, *counts)):
            rows[-1] = (*_key(one), "both", *figures, *counts)
        else:
            rows.append((*_key(one), one.mode.value, *figures, *counts))
    return Table(
        title="Against base, problem by problem: pass@1 in %",
        header=("benchmark", "model", "rule", "base", "score", "change", "gained", "lost", "p"),
        rows=_once_a_benchmark(rows),
        left=3,
        note="Gained: problems of which more samples pass than base's; lost: fewer. p: McNemar's "
        "exact test, how often two equal models would differ so unevenly; of twenty such "
        "comparisons one falls below 0.05.",
    )


def _key(one: Comparison) -> tuple[str, str]:
    return (one.benchmark, one.model)


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _table_of_verdicts(results: Results) -> Table:
    """Return how many programs came to each verdict; a verdict that nobody got has no column."""
    counts = [
        ((one.name, scores.model) if results.named else (one.name,), mode, by_k[1].statuses)
        for scores, one in _by_benchmark(results)
        for mode, by_k in one.by_mode.items()
    ]
    shown = [status for status in Status if any(of[status] for _, _, of in counts)]
    rows: list[tuple[str, ...]] = []
    for named, mode, of in counts:
        width, figures = len(named), tuple(f"{of[status]:,}" for status in shown)
        if rows and (rows[-1][:width], rows[-1][width + 1 :]) == (named, figures):
            rows[-1] = (*named, "both", *figures)
        else:
            rows.append((*named, mode.value, *figures))
    who = ["model"] if results.named else []
    verdicts = (status.value.removesuffix("_error") for status in shown)
    return Table(
        title="Programs by verdict",
        header=("benchmark", *who, "rule", *verdicts),
        rows=_once_a_benchmark(rows),
        left=2 + len(who),
    )


def _table_of_bugs(scores: Scores, family: str) -> Table:
    members = [one for one in scores.benchmarks if one.family == family and one.by_bug]
    bugs = dict.fromkeys(bug for one in members for by in one.by_bug.values() for bug in by)
    rows = [
        (bug, *(_both({mode: by.get(bug) for mode, by in one.by_bug.items()}) for one in members))
        for bug in sorted(bugs)
    ]
    of = f", {scores.model}" if scores.model else ""
    all_of_them = [_both({mode: by_k[1] for mode, by_k in one.by_mode.items()}) for one in members]
    return Table(
        title=f"{family} by kind of bug{of}, pass@1 in %",
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
