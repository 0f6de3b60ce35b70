"""What models of one run score that differ in what they were trained on, side by side.

Which table applies is read from the checkpoints: where a variant was trained without a task and
another with all of them, it is the paper's Table 6; else, where variants of equal weights differ in
how many dialogues they had, a table of sizes. Both are by the benchmark's own rule where a model
was graded by it, and by the strict rule where that says something else.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wavecoder.records import Checkpoint, Mode
from wavecoder.report.grid import Table, signed
from wavecoder.report.paper import whole_in
from wavecoder.report.scores import BASE, Results, Scores, published

__all__ = ["ablation_tables"]

Values = tuple[float | None, ...]
"""A row's scores in %, one a column; None: not measured."""


def ablation_tables(results: Results) -> list[Table]:
    """Return the tables of tasks and of sizes that the run's models make up, if any."""
    variants = [one for one in results.models if one.checkpoint and one.model != BASE]
    dropped = {one.model: _dropped(one.checkpoint) for one in variants if one.checkpoint}
    by_weights: dict[frozenset[tuple[str, float]], list[Scores]] = defaultdict(list)
    for one in variants:
        weights = one.checkpoint.weights if one.checkpoint is not None else {}
        # A task that is not named has the weight 1.
        by_weights[frozenset(pair for pair in weights.items() if pair[1] != 1)].append(one)
    found = []
    for mode in _modes(results):
        columns = _columns(results, mode)
        if not columns:
            continue
        if any(dropped.values()) and not all(dropped.values()):
            found.append(_tasks(results, variants, columns, mode))
            continue  # it says how many dialogues each had
        for members in by_weights.values():
            if len({_dialogues(one) for one in members}) > 1:
                found.append(_sizes(results, members, columns, mode))
    return found


def _dropped(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the tasks that a variant was not trained on."""
    return tuple(sorted(task for task, weight in checkpoint.weights.items() if not weight))


def _dialogues(scores: Scores) -> int:
    return scores.checkpoint.dialogues if scores.checkpoint is not None else 0


def _modes(results: Results) -> Iterable[Mode]:
    """Yield the rules that there are scores by; not the second where it says the same."""
    found = [one for scores in results.models for one in scores.benchmarks]
    for mode in Mode:
        if any(mode in one.by_mode for one in found):
            yield mode
            if all(one.alike for one in found if one.by_mode):
                return


def _columns(results: Results, mode: Mode) -> dict[str, str]:
    """Return title and benchmark, or family, of what was measured: the paper's columns first."""
    names: Mapping[str, str] = published()["ablations"]["columns"]
    found = {
        title: name
        for title, name in names.items()
        if any(_value(one, name, mode) is not None for one in results.models)
    }
    # A language of a family is beside it where the family has no average.
    single = [name for name in results.benchmarks if name.partition("-")[0] not in found.values()]
    return found | {name: name for name in single}


def _value(scores: Scores, name: str, mode: Mode) -> float | None:
    """Return pass@1 of a benchmark, or of a family in all its languages, in %."""
    one = scores.named(name)
    if one is None:
        value = scores.average(name, mode)
    else:
        value = one.by_mode[mode][1].value if mode in one.by_mode else None
    return None if value is None else 100 * value


def _values(scores: Scores, columns: Mapping[str, str], mode: Mode) -> Values:
    return tuple(_value(scores, name, mode) for name in columns.values())


def _tasks(
    results: Results, variants: Sequence[Scores], columns: Mapping[str, str], mode: Mode
) -> Table:
    """Return Table 6: base, all tasks, then without each.

    A variant without a task is held against the one with all tasks that has as many dialogues,
    where there is one; else against the one that has the most.
    """
    base = _base(results, columns, mode)
    whole = [one for one in variants if one.checkpoint and not _dropped(one.checkpoint)]
    rows = [_row((BASE, "", ""), base, None)] if base is not None else []
    for one in sorted(variants, key=lambda one: one not in whole):
        beside: Values | None = base
        if one not in whole:
            equal = [other for other in whole if _dialogues(other) == _dialogues(one)]
            beside = _values(max(equal or whole, key=_dialogues), columns, mode)
        without = _dropped(one.checkpoint) if one.checkpoint else ()
        label = (one.model, _trained_on(without), f"{_dialogues(one):,}")
        rows.append(_row(label, _values(one, columns, mode), beside))
    theirs = published()["ablations"]["tasks"]
    figures = {tuple(row["without"] or ()): row["scores"] for row in theirs["rows"][1:]}
    for row in theirs["rows"] if _comparable(results, columns, mode) else ():
        without = row["without"]
        label = (
            f"paper: {row['model']}" if "model" in row else "paper",
            "" if without is None else _trained_on(without),
            row["dialogues"] or "",
        )
        before = theirs["rows"][0]["scores"] if not without else figures[()]
        rows.append(_published(label, row["scores"], before, results, columns, without is not None))
    note = "In brackets: of all tasks against base, of the others against all tasks."
    return _table("Tasks left out", mode, columns, rows, f"{note} {_source(theirs, rows)}")


def _sizes(
    results: Results, members: Sequence[Scores], columns: Mapping[str, str], mode: Mode
) -> Table:
    """Return the models that were trained on more and more of the same dialogues."""
    base = _base(results, columns, mode)
    rows = [_row((BASE, "", ""), base, None)] if base is not None else []
    for one in sorted(members, key=_dialogues):
        without = _dropped(one.checkpoint) if one.checkpoint else ()
        label = (one.model, _trained_on(without), f"{_dialogues(one):,}")
        rows.append(_row(label, _values(one, columns, mode), base))
    theirs = published()["ablations"]["sizes"]
    before = theirs["rows"][0]["scores"]
    for row in theirs["rows"] if _comparable(results, columns, mode) else ():
        label = (f"paper: {row['model']}", "", row["dialogues"] or "")
        tuned = row["dialogues"] is not None
        rows.append(_published(label, row["scores"], before, results, columns, tuned))
    note = f"In brackets: against base. {_source(theirs, rows)}"
    return _table("Sizes of the dataset", mode, columns, rows, note)


def _base(results: Results, columns: Mapping[str, str], mode: Mode) -> Values | None:
    found = next((one for one in results.models if one.model == BASE), None)
    return None if found is None else _values(found, columns, mode)


def _trained_on(without: Sequence[str]) -> str:
    return f"without {', '.join(without)}" if without else "all tasks"


def _row(label: tuple[str, ...], values: Values, beside: Values | None) -> tuple[str, ...]:
    """Return a row of figures, each with its difference to another row's in brackets."""
    others = beside or (None,) * len(values)
    return (*label, *map(_cell, values, others))


def _cell(value: float | None, other: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if other is None else f"{value:.1f} ({signed(value - other)})"


def _published(
    label: tuple[str, ...],
    scores: Sequence[float | None],
    before: Sequence[float | None],
    results: Results,
    columns: Mapping[str, str],
    tuned: bool,
) -> tuple[str, ...]:
    """Return a row of the paper's, empty where this run did not measure the same."""
    places = {name: at for at, name in enumerate(published()["ablations"]["columns"].values())}
    at = [places.get(name) if _whole(results, name) else None for name in columns.values()]
    values = tuple(None if place is None else scores[place] for place in at)
    others = tuple(None if place is None or not tuned else before[place] for place in at)
    return _row(label, values, others)


def _comparable(results: Results, columns: Mapping[str, str], mode: Mode) -> bool:
    """Say whether any column of the paper's was measured whole, by the benchmark's own rule."""
    names = published()["ablations"]["columns"].values()
    return mode == Mode.PUBLISHED and any(
        name in names and _whole(results, name) for name in columns.values()
    )


def _whole(results: Results, name: str) -> bool:
    """Say whether a benchmark, or all that were asked of a family, was measured whole."""
    members = [one for one in results.benchmarks if name in (one, one.rpartition("-")[0])]
    return bool(members) and all(whole_in(results, one) for one in members)


def _source(theirs: Mapping[str, Any], rows: Sequence[tuple[str, ...]]) -> str:
    if not any(row[0].startswith("paper") for row in rows):
        return ""
    return f"Source of the paper's rows: {theirs['source']}. {theirs['note']}"


def _table(
    title: str,
    mode: Mode,
    columns: Mapping[str, str],
    rows: Sequence[tuple[str, ...]],
    note: str,
) -> Table:
    rule = "" if mode == Mode.PUBLISHED else " by the strict rule"
    return Table(
        title=f"{title}: pass@1 in %{rule}",
        header=("model", "trained on", "dialogues", *columns),
        rows=tuple(rows),
        left=2,
        note=note.strip(),
    )
