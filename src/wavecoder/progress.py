"""How far a stage is: a live panel on a terminal, a line now and then elsewhere.

`Recorded` also writes it to a file, where another shell can see it: `wavecoder status RUN`.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from wavecoder.protocols import Progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Lines", "Panel", "Recorded", "Silent", "duration", "figure_text", "progress"]

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_WRITES = 1.0
_SECONDS_FOR_A_RATE = 1.0  # a few outcomes in a moment tell nothing of the rest


@dataclass
class _Count:
    """The figures of the stage that is running."""

    stage: str = ""
    total: int | None = None
    done: int = 0
    kept: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    completion_tokens: int = 0
    before: int = 0
    """Outcomes that were on disk when this process began."""
    started: float = field(default_factory=lambda: time.monotonic())
    rate_started: float = field(default_factory=lambda: time.monotonic())
    step: str = ""
    """What is done in the part of the stage that gives no outcomes yet: `embedded`."""
    step_done: int = 0
    step_total: int | None = None
    step_before: int = 0
    """What of it was done when this process began it."""
    step_started: float = field(default_factory=lambda: time.monotonic())
    figures: dict[str, float | str] = field(default_factory=dict)
    """What the engine says of itself, by label."""

    def take(self, reason: str | None, count: int) -> None:
        if self.step and self.done == self.before:
            self.rate_started = time.monotonic()  # the time until now tells nothing of the rest
        self.done += count
        if reason is None:
            self.kept += count
        else:
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def take_step(self, what: str, done: int, total: int | None) -> None:
        if what != self.step or done < self.step_done:
            self.step, self.step_before = what, done
            self.step_started = time.monotonic()
            self.figures.clear()  # they were of what was done before
        self.step_done, self.step_total = done, total

    @property
    def stepping(self) -> bool:
        """Whether the stage is in a part that gives no outcomes yet."""
        return bool(self.step) and self.done == self.before

    def rate(self) -> float | None:
        """Return outcomes a second, or what is counted in the part that gives none yet."""
        here = self.step_done - self.step_before if self.stepping else self.done - self.before
        started = self.step_started if self.stepping else self.rate_started
        seconds = time.monotonic() - started
        return here / seconds if here > 0 and seconds >= _SECONDS_FOR_A_RATE else None

    def seconds_left(self) -> float | None:
        """Return how long the stage, or the part it is in, still takes at this rate."""
        total = self.step_total if self.stepping else self.total
        done = self.step_done if self.stepping else self.done
        rate = self.rate()
        return (total - done) / rate if rate and total is not None and done < total else None

    def now(self) -> str:
        """Return how far the stage is, as one line."""
        words = self.step_words() if self.stepping else self.words()
        # A copy, as another thread may draw.
        said = ", ".join(
            f"{label} {figure_text(value)}" for label, value in self.figures.copy().items()
        )
        return f"{words}, {said}" if said else words

    def step_words(self) -> str:
        """Return how far the part of the stage is that gives no outcomes yet."""
        of = f" of {self.step_total:,}" if self.step_total is not None else ""
        words = f"{self.step_done:,}{of} {self.step}"
        rate, left = self.rate(), self.seconds_left()
        if rate is not None:
            words += f", {rate:,.0f} a second" if rate >= 1 else f", {1 / rate:,.1f} s each"
        return words if left is None else f"{words}, {duration(left)} left"

    def words(self) -> str:
        """Return the figures as one line."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        here = self.done - self.before
        of = f" of {self.total}" if self.total is not None else ""
        parts = [f"{self.done}{of} done", f"{self.kept} kept", f"{here - self.kept} rejected"]
        if self.completion_tokens:
            parts.append(f"{self.completion_tokens / seconds:.0f} tokens/s")
        left = self.seconds_left()
        if left is not None:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)


def figure_text(value: float | str) -> str:
    """Return a figure as a person reads it: two decimals, none where they are zeros."""
    return value if isinstance(value, str) else f"{value:,.2f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Return seconds in a person's words: `2 h 05 min`, `1 min 30 s`, `8 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Silent:
    """Tells nobody; for use from Python."""

    def start(self, stage: str, total: int | None, finished: int) -> None:
        """Do nothing."""

    def outcome(self, reason: str | None, count: int = 1) -> None:
        """Do nothing."""

    def step(self, what: str, done: int, total: int | None) -> None:
        """Do nothing."""

    def tokens(self, completion_tokens: int) -> None:
        """Do nothing."""

    def figures(self, values: Mapping[str, float | str]) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def end(self, summary: str) -> None:
        """Do nothing."""


class Lines:
    """Plain lines on stderr: when a stage begins, every few seconds, and when it ends."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._count = _Count()
        self._last = 0.0

    def _line(self, text: str) -> None:
        self._stream.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        self._stream.flush()

    def _now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self._line(f"{self._count.stage}: {self._count.now()}")

    def start(self, stage: str, total: int | None, finished: int) -> None:
        """Say that a stage begins."""
        self._count = _Count(stage=stage, total=total, done=finished, before=finished)
        self._last = time.monotonic()
        self._line(f"{stage}: begins" + (f", {finished} done before" if finished else ""))

    def outcome(self, reason: str | None, count: int = 1) -> None:
        """Count outcomes."""
        self._count.take(reason, count)
        self._now_and_then()

    def step(self, what: str, done: int, total: int | None) -> None:
        """Note how far a part of the stage is."""
        self._count.take_step(what, done, total)
        self._now_and_then()

    def tokens(self, completion_tokens: int) -> None:
        """Count tokens."""
        self._count.completion_tokens += completion_tokens
        self._now_and_then()

    def figures(self, values: Mapping[str, float | str]) -> None:
        """Note what the engine says of itself."""
        self._count.figures.update(values)
        self._now_and_then()

    def note(self, text: str) -> None:
        """Write a line."""
        self._line(text)

    def end(self, summary: str) -> None:
        """Say that the stage is complete."""
        seconds = time.monotonic() - self._count.started
        self._line(f"{self._count.stage}: {summary} in {duration(seconds)}")


class Panel:
    """A live panel on a terminal: complete stages above, the running one below.

    It is given to `rich.live.Live`, which draws it a few times a second from a thread of its own,
    however many outcomes there are: counting one draws nothing.
    """

    def __init__(self, console: "Console") -> None:
        """Print what stays on `console`, on which the panel is drawn."""
        self._console = console
        self._count: _Count | None = None

    def __rich__(self) -> "RenderableType":
        """Return what is drawn."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        count = self._count
        if count is None:
            return ""
        # A copy, as outcomes are counted meanwhile.
        top = sorted(count.reasons.copy().items(), key=lambda item: -item[1])[:4]
        rejected = ", ".join(f"{number} {reason}" for reason, number in top)
        whole = count.step_total if count.stepping else count.total
        done = count.step_done if count.stepping else count.done
        total = float(whole) if whole else None
        return Group(
            Text(f"{count.stage}: {count.now()}"),
            ProgressBar(total=total, completed=done, width=60),
            Text(f"rejected: {rejected}" if rejected else "", style="dim"),
        )

    def start(self, stage: str, total: int | None, finished: int) -> None:
        """Begin a stage."""
        self._count = _Count(stage=stage, total=total, done=finished, before=finished)

    def outcome(self, reason: str | None, count: int = 1) -> None:
        """Count outcomes."""
        if self._count is not None:
            self._count.take(reason, count)

    def step(self, what: str, done: int, total: int | None) -> None:
        """Note how far a part of the stage is."""
        if self._count is not None:
            self._count.take_step(what, done, total)

    def tokens(self, completion_tokens: int) -> None:
        """Count tokens."""
        if self._count is not None:
            self._count.completion_tokens += completion_tokens

    def figures(self, values: Mapping[str, float | str]) -> None:
        """Note what the engine says of itself."""
        if self._count is not None:
            self._count.figures.update(values)

    def note(self, text: str) -> None:
        """Print a line above the panel."""
        self._console.print(text, markup=False)

    def end(self, summary: str) -> None:
        """Print the stage's line above the panel."""
        if self._count is not None:
            seconds = time.monotonic() - self._count.started
            self.note(f"{self._count.stage}: {summary} in {duration(seconds)}")
        self._count = None


class Recorded:
    """Tells another progress, and writes how far the stage is to a file, whole or not at all.

    The file is a JSON object, written at the start and the end of a stage and at most once a
    second between: a run's `progress.json`. `kept`, `rejected` and `tokens` count what this
    process did, `before` what was on disk when it began the stage; `done` is all of it.
    """

    def __init__(self, inner: Progress, path: Path) -> None:
        """Write to `path`, whose folder must be there by the start of a stage."""
        self._inner = inner
        self._path = path
        self._count = _Count()
        self._started = ""
        self._last = 0.0
        self._failed = False

    def start(self, stage: str, total: int | None, finished: int) -> None:
        """Begin a stage."""
        self._count = _Count(stage=stage, total=total, done=finished, before=finished)
        self._started = _utc()
        self._inner.start(stage, total, finished)
        self._write()

    def outcome(self, reason: str | None, count: int = 1) -> None:
        """Count outcomes."""
        self._count.take(reason, count)
        self._inner.outcome(reason, count)
        self._now_and_then()

    def step(self, what: str, done: int, total: int | None) -> None:
        """Note how far a part of the stage is."""
        self._count.take_step(what, done, total)
        self._inner.step(what, done, total)
        self._now_and_then()

    def tokens(self, completion_tokens: int) -> None:
        """Count tokens."""
        self._count.completion_tokens += completion_tokens
        self._inner.tokens(completion_tokens)
        self._now_and_then()

    def figures(self, values: Mapping[str, float | str]) -> None:
        """Note what the engine says of itself."""
        self._count.figures.update(values)
        self._inner.figures(values)
        self._now_and_then()

    def note(self, text: str) -> None:
        """Pass it on."""
        self._inner.note(text)

    def end(self, summary: str) -> None:
        """Write the last of it."""
        self._inner.end(summary)
        self._write()

    def _now_and_then(self) -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_WRITES:
            self._write()

    def _write(self) -> None:
        self._last = time.monotonic()
        partial = self._path.with_name(self._path.name + ".partial")
        try:
            # Without fsync, which may take long: what a lost machine was doing is no news.
            partial.write_text(json.dumps(self._table(), indent=2) + "\n", encoding="utf-8")
            partial.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            if not self._failed:
                self._inner.note(
                    f"Cannot write {self._path}: {error.strerror}. The run goes on; "
                    f"`wavecoder status` does not see its rate until there is room or access."
                )
            self._failed = True

    def _table(self) -> dict[str, object]:
        count = self._count
        return {
            "stage": count.stage,
            "total": count.total,
            "done": count.done,
            "before": count.before,
            "kept": count.kept,
            "rejected": count.reasons,
            "tokens": count.completion_tokens,
            "step": count.step_words() if count.stepping else None,
            "rate": count.rate(),
            "seconds_left": count.seconds_left(),
            "figures": count.figures,
            "started": self._started,
            "updated": _utc(),
            "pid": os.getpid(),
        }


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield a panel where stderr is a terminal, else lines."""
    if not sys.stderr.isatty():
        yield Lines(sys.stderr)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    panel = Panel(console)
    with Live(panel, console=console, refresh_per_second=4, transient=True):
        yield panel
