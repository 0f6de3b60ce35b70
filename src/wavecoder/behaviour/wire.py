"""What the drivers in a box write, a line for each call: mark, number of the call, kind, content.

The mark is random for each job, so that nothing a function prints is taken for its result. Kinds:
`V` a value as JSON, `R` raised, `O` opaque, `T` out of time, `C` crashed, with words behind them;
`F` (of no call) what stands beside the function failed before any call. JSON holds more than JSON
is by itself, as Python reads it: NaN, Infinity, integers of any length. An object of one key stands
for what is none: `{"m": [[key, value], …]}` a map and `{"s": […]}` a set.
"""

import json
import math
from typing import Any

from wavecoder.behaviour.subjects import Kind, Outcome

__all__ = ["read_lines"]

_KINDS: dict[str, Kind] = {"R": "raised", "O": "opaque", "T": "timeout", "C": "crashed"}
_MOST_WORDS = 300


def read_lines(text: bytes, mark: str) -> tuple[dict[int, Outcome], str | None]:
    """Return the outcomes by the number of their call, and why nothing could be called, or None.

    Args:
        text: What came over the descriptor of results.
        mark: The job's.
    """
    found: dict[int, Outcome] = {}
    failure = None
    for line in text.decode("utf-8", "replace").split("\n"):
        parts = line.split(" ", 3)
        if parts[0] != mark or len(parts) < 3 or not parts[1].lstrip("-").isdecimal():
            continue
        number, kind, rest = int(parts[1]), parts[2], parts[3] if len(parts) > 3 else ""
        if kind == "F":
            failure = failure or rest[:_MOST_WORDS] or "it failed"
        elif number not in found and (kind == "V" or kind in _KINDS):
            found[number] = (
                _value(rest) if kind == "V" else Outcome(_KINDS[kind], None, rest[:_MOST_WORDS])
            )
    return found, failure


def _value(text: str) -> Outcome:
    try:
        return Outcome("value", _plain(json.loads(text)))
    except (ValueError, RecursionError):
        return Outcome("opaque", None, "its value was cut off or is too deep")


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        if "s" in value:
            return sorted((_plain(one) for one in value["s"]), key=_order)
        pairs = [(_plain(key), _plain(item)) for key, item in value["m"]]
        return {_key(key): item for key, item in pairs}
    return value


def _key(key: Any) -> str:
    """Return a map's key as text: other languages have no other keys."""
    if isinstance(key, str):
        return key
    if isinstance(key, float) and math.isfinite(key) and key == int(key):
        key = int(key)
    return json.dumps(key, sort_keys=True)


def _order(value: Any) -> tuple[int, float, str]:
    """Return by what a set's items are ordered: numbers by size, then all others as texts."""
    if isinstance(value, bool | int | float) and value == value and abs(value) < 1e300:
        return 0, float(value), ""
    return 1, 0.0, json.dumps(value, sort_keys=True)
