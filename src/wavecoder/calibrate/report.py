"""A calibration as a table of figures, as text for a person, and as files."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wavecoder.artifact import write_text, writing
from wavecoder.calibrate.engine import Graded, Result
from wavecoder.calibrate.grades import GRADERS, Share, share
from wavecoder.calibrate.planting import DEFECTS
from wavecoder.generate.judge import FORMAT

__all__ = ["as_json", "as_markdown", "as_table", "rubber_stamp", "write"]

_NEARLY = 0.9
"""From this share on a judge accepts, or refuses, nearly everything."""
_FEWEST = 10
"""Cases of each kind below which nothing is said of a judge."""


def as_table(result: Result) -> dict[str, Any]:
    """Return all figures as a JSON object: shares as count, of, share, low and high."""
    names = _graders(result)
    rows = result.graded
    table: dict[str, Any] = {
        "format": FORMAT,
        "source": str(result.plan.source or "humanevalpack"),
        "seed": result.plan.seed,
        "known_good": sum(one.case.good for one in rows),
        "planted": sum(not one.case.good for one in rows),
        "graders": {name: _both(rows, name) for name in names},
        "decidable_by_program": {
            name: share(one.by(name) for one in rows if _by_program(one)).as_table()
            for name in names
        },
        "defects": _split(rows, names, lambda one: one.case.defect, good=False),
        "tasks": _split(rows, names, lambda one: one.case.task.name),
        "languages": _split(rows, names, lambda one: one.case.language),
        "rules": {name: _rules(rows, name) for name in ("checks", "execution", "judge")},
        "notes": result.notes,
        "judge": None,
    }
    if "judge" in names:
        table["judge"] = _judge(result)
    return table


def _graders(result: Result) -> list[str]:
    """Return the graders that graded, and what they do together."""
    asked = result.plan.graders
    found = [name for name in GRADERS if name in asked]
    if "checks" in asked and "execution" in asked:
        found.append("checks+execution")
    if "judge" in asked and len(found) > 1:
        found.append("all")
    return [name for name in GRADERS if name in found]


def _both(rows: Iterable[Graded], name: str) -> dict[str, Any]:
    rows = list(rows)
    return {
        "caught": share(one.by(name) for one in rows if not one.case.good).as_table(),
        "falsely_refused": share(one.by(name) for one in rows if one.case.good).as_table(),
        "could_not_tell": sum(
            grade is not None and grade.refused is None for grade in (one.by(name) for one in rows)
        ),
    }


def _by_program(one: Graded) -> bool:
    defect = DEFECTS.get(one.case.defect)
    return defect is not None and defect.by_program


def _split(
    rows: Sequence[Graded],
    names: Sequence[str],
    key: Callable[[Graded], str],
    *,
    good: bool = True,
) -> dict[str, dict[str, Any]]:
    """Return the shares by grader of each group; `good`: with those falsely refused."""
    groups: dict[str, list[Graded]] = {}
    for one in rows:
        if good or not one.case.good:
            groups.setdefault(key(one), []).append(one)
    if good:
        return {
            group: {name: _both(some, name) for name in names} for group, some in groups.items()
        }
    return {
        group: {name: share(one.by(name) for one in some).as_table() for name in names}
        for group, some in groups.items()
    }


def _rules(rows: Sequence[Graded], name: str) -> dict[str, dict[str, Any]]:
    """Return for each rule that ever spoke of how many cases it did: planted and known-good."""
    bad: Counter[str] = Counter()
    good: Counter[str] = Counter()
    graded = [(one.case.good, grade) for one in rows if (grade := one.by(name)) is not None]
    for is_good, grade in graded:
        (good if is_good else bad).update(grade.rules)
    counts = Counter(is_good for is_good, _ in graded)
    return {
        rule: {
            "caught": Share(bad[rule], counts[False]).as_table(),
            "falsely_refused": Share(good[rule], counts[True]).as_table(),
        }
        for rule, _ in (bad + good).most_common()
    }


def _judge(result: Result) -> dict[str, Any]:
    """Return what is said of the judge alone: its stability, its cost, whether it is one."""
    rows, repeats = result.graded, result.plan.repeats
    ((model, (prompt, completion, cost)),) = result.used.items()
    whole = [one for one in rows if len(one.judge) == repeats]
    stable = sum(len({grade.refused for grade in one.judge}) == 1 for one in whole)
    caught = [one for one in rows if not one.case.good and _says(one, "judge")]
    only = [one for one in caught if not _says(one, "checks") and not _says(one, "execution")]
    tokens = prompt + completion
    return {
        "model": model,
        "repeats": repeats,
        "stable": Share(stable, len(whole)).as_table() if repeats > 1 else None,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cost": cost,
        "tokens_per_caught": tokens / len(caught) if caught else None,
        "cost_per_caught": cost / len(caught) if caught and cost is not None else None,
        "caught_alone": len(only),
        "tokens_per_caught_alone": tokens / len(only) if only else None,
        "cost_per_caught_alone": cost / len(only) if only and cost is not None else None,
        "rubber_stamp": _stamp(rows),
    }


def _stamp(rows: Sequence[Graded]) -> str | None:
    """Return why the judge is none: of all tasks together, or else of some."""
    whole = rubber_stamp(*_shares(rows))
    if whole is not None:
        return whole
    found = []
    for task in sorted({one.case.task.name for one in rows}):
        why = rubber_stamp(*_shares([one for one in rows if one.case.task.name == task]))
        if why is not None:
            found.append(f"Of {task}: {why[0].lower()}{why[1:]}")
    return " ".join(found) or None


def _shares(rows: Sequence[Graded]) -> tuple[Share, Share]:
    """Return what the judge refuses of the planted defects, and of what is good."""
    bad = share(one.by("judge") for one in rows if not one.case.good)
    return bad, share(one.by("judge") for one in rows if one.case.good)


def _says(one: Graded, name: str) -> bool:
    grade = one.by(name)
    return grade is not None and grade.refused is True


def rubber_stamp(caught: Share, falsely_refused: Share) -> str | None:
    """Return in a sentence why a judge is none, or None where it tells good from bad.

    It is none if it accepts 90 % of the planted defects or refuses 90 % of the known-good, or if
    what it refuses of both cannot be told apart (Newcombe's interval of the difference of two
    shares, 1998, method 10, holds zero).
    """
    if min(caught.of, falsely_refused.of) < _FEWEST:
        return None
    bad, good = caught.value or 0.0, falsely_refused.value or 0.0
    if bad <= 1 - _NEARLY + 1e-9:
        return (
            f"This judge is a rubber stamp: it accepts {1 - bad:.0%} of the planted defects, "
            f"and {1 - good:.0%} of what is good."
        )
    if good >= _NEARLY:
        return (
            f"This judge refuses nearly everything: {good:.0%} of what is good, and {bad:.0%} "
            f"of the planted defects."
        )
    low = (bad - good) - (
        (bad - caught.interval[0]) ** 2 + (falsely_refused.interval[1] - good) ** 2
    ) ** 0.5
    if low <= 0:
        return (
            f"This judge does not tell good from bad: it refuses {bad:.0%} of the planted defects "
            f"and {good:.0%} of what is good."
        )
    return None


def as_json(result: Result) -> str:
    """Return the figures as JSON."""
    return json.dumps(as_table(result), indent=2) + "\n"


def as_markdown(table: Mapping[str, Any]) -> str:
    """Return figures of `as_table` as text for a person."""
    names = list(table["graders"])
    lines = [
        f"# Calibration on {table['source']}",
        "",
        f"{table['known_good']:,} known-good instances and {table['planted']:,} with one planted "
        "defect; 95 % intervals.",
        "",
    ]
    judge = table["judge"]
    if judge and judge["rubber_stamp"]:
        lines += [f"**{judge['rubber_stamp']}**", ""]
    lines += _grid(
        ["grader", "caught", "of those a program can decide", "falsely refused", "could not tell"],
        [
            [
                name,
                _words(row["caught"]),
                _words(table["decidable_by_program"][name]),
                _words(row["falsely_refused"]),
                f"{row['could_not_tell']:,}",
            ]
            for name, row in table["graders"].items()
        ],
    )
    if judge:
        lines += ["", *_about(judge)]
    lines += ["", "## Caught, by defect", ""]
    lines += _grid(
        ["defect", "what is wrong", "program", "cases", *names],
        [_defect_row(slug, row, names) for slug, row in table["defects"].items()],
    )
    for title, key in (("task", "tasks"), ("language", "languages")):
        lines += ["", f"## Caught and falsely refused, by {title}", ""]
        lines += _grid(
            [title, *(f"{name}, {what}" for name in names for what in ("caught", "falsely"))],
            [
                [
                    group,
                    *(
                        _short(row[name][what])
                        for name in names
                        for what in ("caught", "falsely_refused")
                    ),
                ]
                for group, row in table[key].items()
            ],
        )
    rows = [
        [grader, rule, _short(row["caught"]), _short(row["falsely_refused"])]
        for grader, rules in table["rules"].items()
        for rule, row in rules.items()
    ]
    if rows:
        lines += ["", "## What each rule refused", ""]
        lines += _grid(["grader", "rule", "planted", "known-good"], rows)
    if table["notes"]:
        lines += ["", *(f"- {note}" for note in table["notes"])]
    return "\n".join(lines) + "\n"


def _defect_row(slug: str, row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    defect = DEFECTS.get(slug)
    return [
        slug,
        defect.what if defect else "labelled",
        "yes" if defect and defect.by_program else "no" if defect else "",
        str(next(iter(row.values()))["of"]),
        *(_short(row[name]) for name in names),
    ]


def _about(judge: Mapping[str, Any]) -> list[str]:
    tokens = judge["prompt_tokens"] + judge["completion_tokens"]
    lines = [
        f"Judge {judge['model']}: {tokens:,} tokens, {_money(judge['cost'])}, for one verdict on "
        "each."
    ]
    for key, what in (("caught", "caught defect"), ("caught_alone", "defect that it alone caught")):
        each = judge[f"tokens_per_{key}"]
        if each is not None:
            price = _money(judge[f"cost_per_{key}"])
            lines.append(f"A {what} takes {each:,.0f} tokens, {price}.")
    if judge["stable"] is not None:
        lines.append(
            f"The same verdict in all of {judge['repeats']} repeats: {_words(judge['stable'])}."
        )
    return lines


def _money(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"${cost:.6f}" if cost else "at no cost"


def _words(row: Mapping[str, Any]) -> str:
    return str(Share(row["count"], row["of"]))


def _short(row: Mapping[str, Any]) -> str:
    return "-" if not row["of"] else f"{row['count']}/{row['of']} {100 * row['share']:.0f} %"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [head, *rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (wide + 2) for wide in widths) + "|")
    return lines


def write(result: Result, out: Path) -> Path:
    """Write `calibration.json`, `calibration.md` and `cases.jsonl` into a folder; return the first.

    Raises:
        ArtifactError: A file cannot be written.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_text(out / "cases.jsonl", "".join(_line(one) for one in result.graded))
    write_text(out / "calibration.md", as_markdown(as_table(result)))
    write_text(out / "calibration.json", as_json(result))
    return out / "calibration.json"


def _line(one: Graded) -> str:
    """Return a case and its grades, to be read where a figure is doubted."""
    grades = {"checks": one.checks, "execution": one.execution}
    told = {name: grade for name, grade in grades.items() if grade is not None}
    row = {
        "id": one.case.id,
        "task": one.case.task.name,
        "language": one.case.language,
        "good": one.case.good,
        "defect": one.case.defect,
        **{
            name: {"refused": grade.refused, "rules": grade.rules, "reason": grade.reason}
            for name, grade in told.items()
        },
        "judge": [{"refused": it.refused, "rules": it.rules, "reason": it.reason}
                  for it in one.judge],
        "raw_code": one.case.raw.code,
        "reply": one.case.reply,
    }  # fmt: skip
    return json.dumps(row, ensure_ascii=True) + "\n"
