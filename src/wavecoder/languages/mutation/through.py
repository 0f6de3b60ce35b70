"""What a changed part does to the expression around it."""

from typing import NamedTuple

from wavecoder.languages.mutation.names import Function
from wavecoder.languages.mutation.tree import Part, word_set
from wavecoder.languages.mutation.words import Effect

__all__ = ["Change", "calls_nothing", "through"]

# Functions that give other things for other things, and those that do so of lists as wholes.
_KEEPERS = word_set("list tuple sorted reversed str repr Some Ok Err String Box to_string")
_COUNTERS = word_set("sum len any all list tuple sorted set max min join dict")
_CHOSEN = frozenset({"consequence", "alternative", "body"})


class Change(NamedTuple):
    """How an expression's value changes with a part of it."""

    effect: Effect
    sometimes: bool = False
    """On some inputs only, where the part changed on more."""


def through(
    function: Function, part: Part, holder: Part, effect: Effect, origin: Part
) -> Change | None:
    """Return what a changed part does to the expression around it, or None: it may hide it.

    Args:
        function: The function both are in.
        part: What changes its value.
        holder: Its parent.
        effect: How it changes.
        origin: The part in it that was edited.
    """
    if holder.role in ("unary", "binary", "ternary"):
        through_one = {"unary": _unary, "binary": _binary, "ternary": _choice}[holder.role]
        return through_one(function, part, holder, effect)
    if holder.role == "each" or holder.type in ("if_clause", "pair"):
        return _each(part, holder, effect)
    if holder.role == "list_" and holder.type not in ("set", "set_comprehension"):
        some = effect in (Effect.SOME, Effect.MIX)
        return Change(Effect.SOME, True) if some else Change(Effect.OTHER)
    if holder.type in ("argument_list", "arguments") and len(holder.inner) == 1:
        return _call(function, part, holder.parent, effect, origin)
    if holder.role == "call":
        passed = part.type in ("argument_list", "arguments")
        return Change(effect) if passed else _call(function, part, holder, effect, origin)
    return _place(part, holder) if effect in (Effect.OTHER, Effect.SOME) else None


def _place(part: Part, holder: Part) -> Change | None:
    """Return what another index or bound does, or another value before a cast."""
    if holder.role == "index" and len(holder.inner) == 2 and part is holder.inner[1]:
        return Change(Effect.SOME, True)
    if holder.type == "slice":
        return Change(Effect.SOME, True)
    return Change(Effect.OTHER, True) if holder.type == "type_cast_expression" else None


def _unary(function: Function, part: Part, holder: Part, effect: Effect) -> Change | None:
    sign = function.source.operator(holder)
    turned = effect in (Effect.FLIP, Effect.MIX)
    kept = turned if sign in ("!", "not") else not turned and sign == "-"
    return Change(effect) if kept else None


def _call(
    function: Function, part: Part, call: Part | None, effect: Effect, origin: Part
) -> Change | None:
    """Return what a changed argument does to what a function that keeps differences gives."""
    if call is None or call.role != "call" or part.field in ("function", "object", "receiver"):
        return None
    name = function.source.callee(call)[0]
    if part.role != "each":
        if name not in _KEEPERS:
            return None
        return Change(Effect.OTHER if effect is Effect.FLIP else effect)
    # `len` of a list only tells how many passed its condition.
    filters = [kid for kid in part.kids if kid.type == "if_clause"]
    chosen = any(one.start <= origin.start < one.end for one in filters)
    known = name in _COUNTERS and (chosen or name not in ("len", "set", "min", "max"))
    return Change(Effect.SOME, True) if known else None


def _binary(function: Function, part: Part, holder: Part, effect: Effect) -> Change | None:
    sign = function.source.operator(holder)
    sides = [kid for kid in holder.inner if kid.field not in ("operator", "operators")]
    if len(sides) != 2:
        return None
    if sign in ("and", "or", "&&", "||"):
        return Change(effect, True) if effect is Effect.FLIP else None
    if effect not in (Effect.OTHER, Effect.SOME):
        return None
    if sign in ("+", "-"):
        return Change(effect)
    other = sides[0] if sides[1] is part else sides[1]
    product = sign == "*" and function.source.text(other) != "0"
    equal = sign in ("==", "!=", "===", "!==") and effect is Effect.OTHER
    return Change(Effect.SOME, True) if product or equal else None


def _choice(function: Function, part: Part, holder: Part, effect: Effect) -> Change | None:
    named = [kid for kid in holder.kids if kid.field in _CHOSEN]
    asked = holder.one("condition")
    if asked is None and len(holder.inner) == 3:  # Python's: a if c else b
        named, asked = [holder.inner[0], holder.inner[2]], holder.inner[1]
    if part is not asked:
        return Change(Effect.OTHER if effect is Effect.FLIP else effect, True)
    if effect is not Effect.FLIP or len(named) != 2:
        return None
    if function.source.text(named[0]) == function.source.text(named[1]):
        return None
    literals = all(one.role in ("int_", "float_", "string", "bool_") for one in named)
    # Where both call, one may only be the faster way to the same.
    apart = any(calls_nothing(one) for one in named)
    return Change(Effect.OTHER) if literals else Change(Effect.SOME, True) if apart else None


def _each(part: Part, holder: Part, effect: Effect) -> Change | None:
    if holder.type == "pair":
        return Change(effect) if part.field == "value" else None
    if holder.type == "if_clause":
        return Change(effect, True) if effect is Effect.FLIP else None
    chosen = part.type == "if_clause" and effect is Effect.FLIP
    return Change(Effect.SOME, True) if chosen or part.field == "body" else None


def calls_nothing(part: Part) -> bool:
    """Say whether an expression or statement calls no function and makes no object."""
    return not any(one.role in ("call", "macro") or "new" in one.type for one in part.walk())
