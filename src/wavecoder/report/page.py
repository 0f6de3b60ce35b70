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
from wavecoder.report.figures import (
    Tally,
    cover_radii,
    coverage,
    raw_codes,
    spending,
    tally,
)
from wavecoder.report.notes import about, notes
from wavecoder.report.scores import Scores, read_scores
from wavecoder.report.tables import tables

__all__ = ["render", "template_text"]

_CURVE_WIDTH, _CURVE_HEIGHT = 640, 200
"""Size of the curve's plot area, in SVG units."""
_CURVE_POINTS = 500
"""Most points drawn; a longer curve is thinned."""


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
    scores = read_scores(upstream["evaluate"]) if "evaluate" in upstream else None
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
        measured=_measured(scores) if scores else [],
        about=about(scores.identity) if scores else "",
        notes=notes(scores) if scores else [],
        tables=tables(scores) if scores else [],
    )


@dataclass(frozen=True)
class _Measured:
    """pass@1 of a benchmark by one rule, to be drawn as a bar."""

    name: str
    rule: str
    value: float
    low: float
    high: float


def _measured(scores: Scores) -> list[_Measured]:
    return [
        _Measured(one.name, "" if one.alike else mode.value, found.value, found.low, found.high)
        for one in scores.benchmarks
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
class _Tick:
    """A labelled place on an axis, in SVG units."""

    at: float
    label: str


@dataclass(frozen=True)
class _Curve:
    """The cover radius by number of centers, ready to draw."""

    width: int
    height: int
    points: str
    end: tuple[float, float]
    """The last point."""
    x_ticks: list[_Tick]
    y_ticks: list[_Tick]
    first: float
    last: float
    centers: int


def _curve(radii: list[float]) -> _Curve | None:
    """Scale the curve to its plot; the y axis begins near the smallest radius, not at zero."""
    if not radii:
        return None
    x_step, y_step = _step(len(radii)), _step(max(radii) - min(radii))
    low = math.floor(min(radii) / y_step) * y_step
    high = max(math.ceil(max(radii) / y_step) * y_step, low + y_step)

    def x(center: float) -> float:
        return round(_CURVE_WIDTH * center / len(radii), 2)

    def y(radius: float) -> float:
        return round(_CURVE_HEIGHT * (high - radius) / (high - low), 2)

    stride = max(1, len(radii) // _CURVE_POINTS)
    drawn = sorted({*range(0, len(radii), stride), len(radii) - 1})
    steps = range(round((high - low) / y_step) + 1)
    digits = max(0, -math.floor(math.log10(y_step)))
    return _Curve(
        width=_CURVE_WIDTH,
        height=_CURVE_HEIGHT,
        points=" ".join(f"{x(index + 1)},{y(radii[index])}" for index in drawn),
        end=(x(len(radii)), y(radii[-1])),
        x_ticks=[_Tick(x(c), f"{c:,}") for c in range(0, len(radii) + 1, max(1, round(x_step)))],
        y_ticks=[_Tick(y(low + i * y_step), f"{low + i * y_step:.{digits}f}") for i in steps],
        first=radii[0],
        last=radii[-1],
        centers=len(radii),
    )


def _step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten, of which 3 to 8 make up `span`."""
    if span <= 0:
        return 0.1
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 8)


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
