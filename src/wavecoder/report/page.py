"""Render the report as one HTML page that asks nothing of the network.

What came out of raw code or a model is text to the template, which escapes it; the page's own
content policy forbids scripts and requests besides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from wavecoder.artifact import Artifact
from wavecoder.llm import Prices
from wavecoder.records import Instance, Mode, RawCode, Rejected, Verdict
from wavecoder.report.axes import POINTS, Tick, axis, step
from wavecoder.report.figures import (
    Tally,
    cover_radii,
    coverage,
    raw_codes,
    spending,
    tally,
)
from wavecoder.report.losses import loss_curve
from wavecoder.report.notes import about, notes
from wavecoder.report.scores import Results, read_results
from wavecoder.report.tables import tables
from wavecoder.report.training import read_training

__all__ = ["render", "template_text"]

_CURVE_WIDTH, _CURVE_HEIGHT = 640, 200
"""Size of the curve's plot area, in SVG units."""


def template_text() -> str:
    """Return the template of the page."""
    return files("wavecoder.report").joinpath("page.html.j2").read_text(encoding="utf-8")


def render(upstream: Mapping[str, Artifact], shown: int, *, prices: Prices) -> str:
    """Return the page of a run, with up to `shown` accepted and as many refused instances."""
    counts = tally(upstream["generate"], shown) if "generate" in upstream else None
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(count=_count, percent=_percent, duration=_duration, usd=_usd)
    page = environment.from_string(template_text())
    radii = cover_radii(upstream["select"]) if "select" in upstream else []
    results = read_results(upstream["evaluate"]) if "evaluate" in upstream else None
    training = read_training(upstream["train"]) if "train" in upstream else None
    return page.render(
        manifests={stage: artifact.manifest for stage, artifact in upstream.items()},
        seed=next(iter(upstream.values())).manifest.seed,
        curve=_curve(radii),
        coverage=coverage(upstream["select"]) if "select" in upstream else {},
        counts=counts,
        spent=spending(upstream["generate"], prices) if counts else None,
        spendings={
            stage: found
            for stage, artifact in upstream.items()
            if (found := spending(artifact, prices)).models
        },
        languages=sorted({language for _, language in counts.instances}) if counts else [],
        accepted=[_accepted_card(one) for one in counts.shown_accepted] if counts else [],
        refused=_refused_cards(counts, upstream) if counts else [],
        training=training,
        losses=[(one, loss_curve(one)) for one in training.tuned] if training else [],
        measured=_measured(results) if results else [],
        about=about(results) if results else "",
        notes=notes(results) if results else [],
        tables=tables(results) if results else [],
    )


@dataclass(frozen=True)
class _Measured:
    """pass@1 of a benchmark by one rule, to be drawn as a bar."""

    name: str
    rule: str
    value: float
    low: float
    high: float


def _measured(results: Results) -> list[_Measured]:
    return [
        _Measured(
            f"{one.name}, {scores.model}" if scores.model else one.name,
            "" if one.alike else mode.value,
            found.value,
            found.low,
            found.high,
        )
        for name in results.benchmarks
        for scores in results.models
        if (one := scores.named(name)) is not None
        for mode, by_k in one.by_mode.items()
        if not (one.alike and mode == Mode.STRICT)
        if (found := by_k[1]).value is not None and found.low is not None and found.high is not None
    ]


@dataclass(frozen=True)
class _Card:
    """An instance as the page shows it: three columns and a line of provenance."""

    id: str
    task: str
    languages: str
    raw_code: RawCode | None
    instance: Instance | None
    reply: str | None
    """The generator's raw reply."""
    verdict: Verdict | None
    judge_reply: str | None
    """The discriminator's raw reply."""
    reason: str | None
    """Why it was refused; None for an accepted instance."""
    detail: str


def _accepted_card(instance: Instance) -> _Card:
    return _Card(
        id=instance.id,
        task=instance.task,
        languages=_languages(instance),
        raw_code=instance.raw_code,
        instance=instance,
        reply=instance.reply,
        verdict=instance.verdict,
        judge_reply=instance.verdict.analysis if instance.verdict else None,
        reason=None,
        detail="",
    )


def _refused_cards(counts: Tally, upstream: Mapping[str, Artifact]) -> list[_Card]:
    lonely = [one.id for one in counts.shown_refused if one.instance is None]
    found = raw_codes(upstream, lonely)
    return [_refused_card(one, found.get(one.id)) for one in counts.shown_refused]


def _refused_card(rejected: Rejected, raw_code: RawCode | None) -> _Card:
    instance = rejected.instance
    if instance is None:
        return _Card(
            id=rejected.id,
            task=rejected.task or "",
            languages=raw_code.language if raw_code else "",
            raw_code=raw_code,
            instance=None,
            reply=rejected.reply,
            verdict=None,
            judge_reply=None,
            reason=rejected.reason,
            detail=rejected.detail,
        )
    verdict = instance.verdict
    # A refusal by the discriminator carries its reply, one by a check the generator's.
    judge_reply = rejected.reply if rejected.reply != instance.reply else None
    return _Card(
        id=instance.id,
        task=instance.task,
        languages=_languages(instance),
        raw_code=instance.raw_code,
        instance=instance,
        reply=instance.reply,
        verdict=verdict,
        judge_reply=verdict.analysis if verdict else judge_reply,
        reason=rejected.reason,
        detail=rejected.detail,
    )


def _languages(instance: Instance) -> str:
    target = instance.target_language
    return f"{instance.language} → {target}" if target else instance.language


@dataclass(frozen=True)
class _Curve:
    """The cover radius by number of centers, ready to draw."""

    width: int
    height: int
    points: str
    end: tuple[float, float]
    """The last point."""
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    first: float
    last: float
    centers: int


def _curve(radii: list[float]) -> _Curve | None:
    """Scale the curve to its plot; the y axis begins near the smallest radius, not at zero."""
    if not radii:
        return None
    upright = axis(min(radii), max(radii), _CURVE_HEIGHT)
    by = max(1, round(step(len(radii))))

    def x(center: float) -> float:
        return round(_CURVE_WIDTH * center / len(radii), 2)

    stride = max(1, len(radii) // POINTS)
    drawn = sorted({*range(0, len(radii), stride), len(radii) - 1})
    return _Curve(
        width=_CURVE_WIDTH,
        height=_CURVE_HEIGHT,
        points=" ".join(f"{x(index + 1)},{upright.place(radii[index])}" for index in drawn),
        end=(x(len(radii)), upright.place(radii[-1])),
        x_ticks=[Tick(x(center), f"{center:,}") for center in range(0, len(radii) + 1, by)],
        y_ticks=upright.ticks,
        first=radii[0],
        last=radii[-1],
        centers=len(radii),
    )


def _count(number: int) -> str:
    return f"{number:,}"


def _percent(part: float, whole: float = 1.0) -> str:
    """Return `part` of `whole` as text; an empty whole has no share."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _usd(amount: float | None) -> str:
    """Return USD as text, small amounts with three digits that count."""
    if amount is None:
        return "unknown"
    digits = 2 if amount >= 1 or not amount else max(2, 2 - math.floor(math.log10(amount)))
    return f"${amount:,.{digits}f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
