"""How far a stage is: a live panel on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from wavecoder.protocols import Progress

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["Lines", "Panel", "Silent", "progress"]

_SECONDS_BETWEEN_LINES = 5.0


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
    started: float = field(default_factory=time.monotonic)
    rate_started: float = field(default_factory=time.monotonic)
    step: str = ""
    """What is done in the part of the stage that gives no outcomes yet: `embedded`."""
    step_done: int = 0
    step_total: int | None = None
    step_before: int = 0
    """What of it was done when this process began it."""
    step_started: float = field(default_factory=time.monotonic)

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
        self.step_done, self.step_total = done, total

    def now(self) -> str:
        """Return how far the stage is, as one line."""
        return self.words() if self.done > self.before or not self.step else self.step_words()

    def step_words(self) -> str:
        """Return how far the part of the stage is that gives no outcomes yet."""
        of = f" of {self.step_total:,}" if self.step_total is not None else ""
        words = f"{self.step_done:,}{of} {self.step}"
        here = self.step_done - self.step_before
        seconds = max(time.monotonic() - self.step_started, 1e-9)
        if here > 0:
            words += f", {here / seconds:,.0f} a second"
            if self.step_total is not None and self.step_done < self.step_total:
                words += f", {_duration((self.step_total - self.step_done) * seconds / here)} left"
        return words

    def words(self) -> str:
        """Return the figures as one line."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        here = self.done - self.before
        of = f" of {self.total}" if self.total is not None else ""
        parts = [f"{self.done}{of} done", f"{self.kept} kept", f"{here - self.kept} rejected"]
        if self.completion_tokens:
            parts.append(f"{self.completion_tokens / seconds:.0f} tokens/s")
        if self.total is not None and here > 0 and self.done < self.total:
            left = (self.total - self.done) * (time.monotonic() - self.rate_started) / here
            parts.append(f"{_duration(left)} left")
        return ", ".join(parts)


def _duration(seconds: float) -> str:
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

    def note(self, text: str) -> None:
        """Write a line."""
        self._line(text)

    def end(self, summary: str) -> None:
        """Say that the stage is complete."""
        seconds = time.monotonic() - self._count.started
        self._line(f"{self._count.stage}: {summary} in {_duration(seconds)}")


class Panel:
    """A live panel on a terminal: complete stages above, the running one below."""

    def __init__(self, live: "Live") -> None:
        """Draw on `live`."""
        self._live = live
        self._count = _Count()

    def start(self, stage: str, total: int | None, finished: int) -> None:
        """Begin a stage."""
        self._count = _Count(stage=stage, total=total, done=finished, before=finished)
        self._draw()

    def outcome(self, reason: str | None, count: int = 1) -> None:
        """Count outcomes."""
        self._count.take(reason, count)
        self._draw()

    def step(self, what: str, done: int, total: int | None) -> None:
        """Note how far a part of the stage is."""
        self._count.take_step(what, done, total)
        self._draw()

    def tokens(self, completion_tokens: int) -> None:
        """Count tokens."""
        self._count.completion_tokens += completion_tokens
        self._draw()

    def note(self, text: str) -> None:
        """Print a line above the panel."""
        self._live.console.print(text, markup=False)

    def end(self, summary: str) -> None:
        """Print the stage's line above the panel."""
        seconds = time.monotonic() - self._count.started
        text = f"{self._count.stage}: {summary} in {_duration(seconds)}"
        self._live.console.print(text, markup=False)
        self._live.update("")

    def _draw(self) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        count = self._count
        top = sorted(count.reasons.items(), key=lambda item: -item[1])[:4]
        rejected = ", ".join(f"{number} {reason}" for reason, number in top)
        stepping = count.step and count.done == count.before
        whole = count.step_total if stepping else count.total
        done = count.step_done if stepping else count.done
        total = float(whole) if whole else None
        self._live.update(
            Group(
                Text(f"{count.stage}: {count.now()}"),
                ProgressBar(total=total, completed=done, width=60),
                Text(f"rejected: {rejected}" if rejected else "", style="dim"),
            )
        )


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield a panel where stderr is a terminal, else lines."""
    if not sys.stderr.isatty():
        yield Lines(sys.stderr)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
        yield Panel(live)
