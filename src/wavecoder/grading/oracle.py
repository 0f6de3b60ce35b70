"""Whether a result is the expected one, by the rule of HumanEval+ and MBPP+.

The rule is EvalPlus's, read in release 0.3.1 (`evalplus/eval/__init__.py` and
`evalplus/eval/_special_oracle.py`): equal, or else close where the task or the expected value
asks for it, and eleven ways of its own for tasks whose results have more than one right form.

It compares plain built-in values only, and imports nothing but `math`: its text is also executed
alone, in an interpreter that sees no package.

Where it differs from EvalPlus, on purpose:

- numpy broadcasts, so `[1.0, 1.0]` is close to `[[1.0, 1.0], [1.0, 1.0]]` there; here the shapes
  must be the same.
- There an input's atol stays raised for the inputs after it, once a float was expected; here each
  input stands alone. `tolerance` lets a caller do either.
- There HumanEval/32 never passes, its own reference included: the loop goes on to the next input
  without noting the one that passed. Here it does.
"""

import math

__all__ = ["NONE_OR_NOT", "same", "tolerance"]

NONE_OR_NOT = frozenset({"Mbpp/737", "Mbpp/787", "Mbpp/794"})
"""Tasks whose results are matches of a pattern, which are no plain values: it only counts whether
the result is None. True stands for any result but None."""

_AS_SETS = frozenset(
    {
        "Mbpp/2",
        "Mbpp/7",
        "Mbpp/111",
        "Mbpp/140",
        "Mbpp/232",
        "Mbpp/249",
        "Mbpp/579",
        "Mbpp/769",
    }
)
"""Tasks whose results are compared as sets: order and repetition do not count."""

_RTOL = 1e-7
_FLOAT_ATOL = 1e-6
"""The atol where the task has none and the expected value is made of floats."""


def same(
    task_id: str, *, inputs: tuple[object, ...], result: object, expected: object, atol: float
) -> bool:
    """Return whether `result` is right.

    Args:
        task_id: `HumanEval/32`, `Mbpp/2`; it decides which tasks have a rule of their own.
        inputs: The arguments, as they were before the call.
        result: What the program gave back, of plain built-in types.
        expected: What the reference gave back, of plain built-in types.
        atol: The task's absolute tolerance; 0 for most.
    """
    try:
        return _same(task_id, inputs, result, expected, atol)
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        # Of another type, a value no set holds, too large a number, nested too deeply.
        return False


def tolerance(expected: object, atol: float) -> float:
    """Return the atol for `expected`: 1e-6 for 0 if it is a float or a list or tuple of floats."""
    floats = isinstance(expected, float) or (
        isinstance(expected, list | tuple)
        and len(expected) > 0
        and all(isinstance(item, float) for item in expected)
    )
    return _FLOAT_ATOL if atol == 0 and floats else atol


def _same(
    task_id: str, inputs: tuple[object, ...], result: object, expected: object, atol: float
) -> bool:
    if task_id == "HumanEval/32":
        return abs(_polynomial(*inputs, result)) <= atol  # type: ignore[arg-type, call-arg]
    equal = _equal(task_id, inputs, result, expected, atol)
    atol = tolerance(expected, atol)
    if equal or atol == 0:
        return equal
    return type(result) is type(expected) and _close(result, expected, atol)


def _equal(
    task_id: str, inputs: tuple[object, ...], result: object, expected: object, atol: float
) -> bool:
    """Return whether `result` is right without a tolerance, which only Mbpp/581 uses here."""
    if task_id in _AS_SETS:
        return set(result) == set(expected)  # type: ignore[call-overload, no-any-return]
    if task_id in NONE_OR_NOT:
        return _is_there(result) == _is_there(expected)
    if result == expected:
        return True
    if task_id == "Mbpp/164":  # any result counts as right
        return True
    if task_id == "Mbpp/295":  # 0 counts as right for every input
        return result == 0
    if task_id == "Mbpp/558":
        return result == _digit_distance(*inputs)
    if task_id == "Mbpp/581":
        return abs(result - _pyramid_surface(*inputs)) <= atol  # type: ignore[operator, arg-type]
    return False


def _close(result: object, expected: object, atol: float) -> bool:
    """Return whether numbers of the same shape are close; a list may stand for a tuple inside."""
    if isinstance(expected, list | tuple):
        return (
            isinstance(result, list | tuple)
            and len(result) == len(expected)
            and all(
                _close(mine, wanted, atol) for mine, wanted in zip(result, expected, strict=True)
            )
        )
    if not (isinstance(result, _NUMBERS) and isinstance(expected, _NUMBERS)):
        return False
    # Infinities are close to themselves alone, and no difference with a NaN is small.
    return result == expected or abs(result - expected) <= atol + _RTOL * abs(expected) < math.inf


_NUMBERS = (int, float, complex)


def _is_there(value: object) -> bool:
    return value if isinstance(value, bool) else value is not None


def _polynomial(coefficients: list[float], x: float) -> float:
    """Return the polynomial's value at `x`; the constant term comes first."""
    return sum(factor * math.pow(x, power) for power, factor in enumerate(coefficients))


def _digit_distance(first: object, second: object) -> int:
    """Return the sum of the differences of the digits, the shorter number filled with zeros."""
    left, right = str(first), str(second)
    width = max(len(left), len(right))
    pairs = zip(left.zfill(width), right.zfill(width), strict=True)
    return sum(abs(int(one) - int(other)) for one, other in pairs)


def _pyramid_surface(base: float, height: float) -> int:
    """Return a square pyramid's surface, rounded, where `height` is not its slant height."""
    slant = math.sqrt((base / 2) ** 2 + height**2)
    return round(base**2 + 2 * base * slant)
