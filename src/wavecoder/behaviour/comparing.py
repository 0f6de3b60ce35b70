"""When two functions, of one language or of two, are said to have done the same."""

import math
import re
from typing import Any

from wavecoder.behaviour.signatures import signature
from wavecoder.behaviour.subjects import Outcome, Subject

__all__ = ["differ", "same", "tolerance"]

# Sums of floats in another order, and the digits that languages write, differ in the last places:
# of the sixteen digits of a double nine have to be equal.
_RELATIVE = 1e-9
# A float of four bytes has seven digits, and loses one or two in a few operations.
_SHORT_RELATIVE = 1e-5
_SHORT = {
    "java": r"\b[fF]loat\b", "cpp": r"\bfloat\b", "c": r"\bfloat\b", "go": r"\bfloat32\b",
    "rust": r"\bf32\b",
}  # fmt: skip


def same(left: Any, right: Any, *, relative: float = _RELATIVE) -> bool:
    """Say whether two outcomes, or two plain values, are surely the same.

    Lists are compared in order, and a tuple is one; maps by key, whatever their order, and an empty
    map is an empty list, as PHP has one kind for both. An int equals a float of its value; two
    floats differ by no more than `relative`; NaN equals NaN; a bool is no number. What was raised
    equals what was raised, whatever its kind: languages name errors otherwise. Outcomes that tell
    nothing (opaque, crashed, timeout) are the same as none.

    Args:
        left: An `Outcome`, or a plain value.
        right: The same.
        relative: What floats may differ by, as a share of the larger.
    """
    if isinstance(left, Outcome) or isinstance(right, Outcome):
        one, other = _outcome(left), _outcome(right)
        if one.kind == "raised" and other.kind == "raised":
            return True
        valued = one.kind == "value" and other.kind == "value"
        return valued and _same(one.value, other.value, relative)
    return _same(left, right, relative)


def differ(left: Any, right: Any, *, relative: float = _RELATIVE) -> bool:
    """Say whether two outcomes are surely not the same; of an opaque one that is never sure.

    A call that did not end, or crashed, differs from one that gave something back or raised.

    Args:
        left: An `Outcome`, or a plain value.
        right: The same.
        relative: What floats may differ by, as a share of the larger.
    """
    one, other = _outcome(left), _outcome(right)
    if "opaque" in (one.kind, other.kind):
        return False
    told = {"value", "raised"}
    if one.kind not in told and other.kind not in told:
        return False
    return not same(one, other, relative=relative)


def tolerance(*subjects: Subject) -> float:
    """Return what floats may differ by: more where a subject has floats of four bytes."""
    for subject in subjects:
        told = signature(subject)
        pattern = _SHORT.get(subject.language)
        if told is None or pattern is None:
            continue
        if re.search(pattern, " ".join((told.returns, *(one for _, one in told.parameters)))):
            return _SHORT_RELATIVE
    return _RELATIVE


def _outcome(value: Any) -> Outcome:
    return value if isinstance(value, Outcome) else Outcome("value", value)


def _same(left: Any, right: Any, relative: float) -> bool:
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _numbers(left, right, relative)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(
            _same(one, other, relative) for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            _same(one, right[key], relative) for key, one in left.items()
        )
    if isinstance(left, list | dict) and isinstance(right, list | dict):
        return not left and not right
    return isinstance(left, str) and isinstance(right, str) and left == right


def _numbers(left: float, right: float, relative: float) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    try:
        one, other = float(left), float(right)
    except OverflowError:  # an int beyond all floats
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    # What is a rounding error of zero is near it by no share of it.
    return math.isclose(one, other, rel_tol=relative, abs_tol=relative * 1e-3)
