"""Variables that begin with a literal, are changed in one statement, and are else only given back.

A number that is added up, a list that is filled, a flag that is set.
"""

from typing import NamedTuple

from wavecoder.languages.mutation.kinds import Variable
from wavecoder.languages.mutation.names import Function
from wavecoder.languages.mutation.statements import BLOCKS, block_of, plain, statements_of
from wavecoder.languages.mutation.tree import Part

__all__ = ["Total", "keeps_each", "total_in"]


class Total(NamedTuple):
    """Where a variable begins, where it is changed, and where it is read."""

    variable: Variable
    first: Part
    step: Part
    reads: list[Part]
    is_flag: bool


def total_in(function: Function, found: Variable) -> Total | None:
    """Return the total that a variable is, or None.

    The function's last statement reads it, and nothing does before its step. Whether it is given
    back where it is read is not looked at.
    """
    if found.doubtful or found.is_parameter or not found.writes or not found.reads:
        return None
    if function.count(found.name) != len(found.reads) + len(found.writes):
        return None
    first = found.writes[0]
    value = _written(first)
    if value is None or not _is_beginning(function, value) or not _at_top(function, first):
        return None
    adding = {id(read): one for read in found.reads if (one := _adds_to(function, read))}
    steps = [*found.writes[1:], *adding.values()]
    reads = [read for read in found.reads if id(read) not in adding]
    if len(steps) != 1 or steps[0].start < first.end:
        return None
    step = steps[0]
    if step in found.writes and not _is_step_of(function, value, step):
        return None
    last = plain(statements_of(function.body)[-1])
    is_last = any(last.start <= read.start < last.end for read in reads)
    if not is_last or any(read.start < step.start for read in reads):
        return None
    return Total(found, first, step, reads, value.role == "bool_")


def keeps_each(function: Function, step: Part) -> bool:
    """Say whether doing a step twice is another thing than doing it once."""
    if step.role == "call":
        return function.source.callee(step)[0] in ("append", "push", "push_back", "appendleft")
    return step.role == "unary" or function.source.operator(step) in ("+=", "-=", "*=", "/=", "<<=")


def _is_step_of(function: Function, value: Part, step: Part) -> bool:
    if value.role == "bool_":
        return _sets_opposite(function, value, step)
    plain_write = step.role != "unary" and function.source.operator(step) in ("=", "", ":=")
    return value.role != "list_" and not plain_write


def _written(write: Part) -> Part | None:
    value = write.first("value", "right", "default_value")
    if value is None and write.type == "variable_declarator" and len(write.inner) > 1:
        value = write.inner[-1]
    while value is not None and value.type == "expression_list" and len(value.inner) == 1:
        value = value.inner[0]
    return value


def _is_beginning(function: Function, value: Part) -> bool:
    if value.role in ("int_", "float_", "bool_"):
        return True
    if value.role == "string":
        return len(function.source.text(value)) == 2
    return value.role == "list_" and not value.inner


def _at_top(function: Function, write: Part) -> bool:
    """Say whether a declaration stands in the function's body itself."""
    for one in write.above():
        if one is function.body:
            return True
        if one.role in ("loop", "if_", "function", "try_") or one.type in BLOCKS:
            return one.type == "statement_list" and one.parent is function.body
    return False


def _adds_to(function: Function, read: Part) -> Part | None:
    """Return the call or assignment that puts something into what is read here, or None."""
    holder = read.parent
    if holder is None:
        return None
    if holder.role == "member" and holder.parent is not None and holder.parent.role == "call":
        call: Part | None = holder.parent
    elif holder.role == "call" and read.field in ("object", "receiver"):
        call = holder
    else:
        call = None
    if call is not None and call.parent is not None and block_of(call) is not None:
        name = function.source.callee(call)[0]
        given = call.one("arguments")
        adds = name in ("append", "push", "push_back", "add", "Add", "appendleft", "emplace_back")
        return call if adds and given is not None and given.inner else None
    is_element = holder.role == "index" and holder.inner[0] is read
    up = holder.parent
    if is_element and up is not None and up.role == "assign" and holder.field == "left":
        return up if block_of(up) is not None else None
    return None


def _sets_opposite(function: Function, value: Part, step: Part) -> bool:
    new = _written(step)
    return (
        step.role == "assign"
        and new is not None
        and new.role == "bool_"
        and function.source.text(new) != function.source.text(value)
    )
