"""What an endpoint says when it does not reply: its own words, and how long to wait."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["retry_after", "words_of"]


def words_of(content: bytes) -> str:
    """Return what the server says went wrong, in its own words."""
    text = content.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    for key in ("error", "message", "detail"):
        if isinstance(value, dict):
            value = value.get(key, value)
    words = value if isinstance(value, str) else text
    # Half a character, as of an emoji that was cut, can be written to no file.
    return " ".join(words.split()).encode("utf-8", "replace").decode() or "no words"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, a number or a date; None: nothing we can read.

    A date is read by the clock of the endpoint, where it tells the time: ours may be wrong.
    """
    value = headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        date, now = _date(value), _date(headers.get("Date", "")) or datetime.now(UTC)
        return None if date is None else max(0.0, (date - now).total_seconds())
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
