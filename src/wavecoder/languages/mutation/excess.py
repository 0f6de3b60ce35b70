"""Logic put into a function that is too much: terms, negations, conditions, statements."""

from collections.abc import Iterator

from wavecoder.languages.mutation.kinds import COMPARISONS
from wavecoder.languages.mutation.names import Function, kind_of_value
from wavecoder.languages.mutation.statements import (
    block_of,
    first_line,
    indent,
    is_statement,
    leaves,
    plain,
    statements_of,
)
from wavecoder.languages.mutation.tree import ADDERS, Part
from wavecoder.languages.mutation.words import Edit, Effect, Kind

__all__ = ["excess"]

_TYPED = frozenset({"java", "c", "cpp", "go", "rust", "csharp", "typescript"})
_LOGICAL = frozenset({"and", "or", "&&", "||"})
_SIMPLE = frozenset({"name", "member", "call", "index", "paren"})
_LOOP_BODIES = frozenset({"block", "statement_block", "compound_statement", "do"})


def excess(function: Function, part: Part) -> Iterator[Edit]:
    """Yield what puts in too much: a term, a negation, a condition, a statement."""
    if part.role == "return_" and part.inner and part.inner[0].type != "expression_list":
        yield from _one_more(function, part.inner[0], Effect.OTHER, ("+",))
    elif part.role == "index" and len(part.inner) == 2 and part.inner[1].role in _SIMPLE:
        yield from _one_more(function, part.inner[1], Effect.UNKNOWN, ("+",))
    elif part.role == "binary" and function.source.operator(part) in ("<", "<=", ">", ">="):
        yield from _one_more(function, part.inner[-1], Effect.UNKNOWN, ("-", "+"))
    elif part.role == "loop":
        yield from _only_once(function, part)
    elif part.role == "call" and function.source.callee(part)[0] == "range":
        given = part.one("arguments")
        if given is not None and 1 <= len(given.inner) <= 2:
            yield from _one_more(function, given.inner[-1], Effect.UNKNOWN, ("-", "+"))
    yield from _negated(function, part)
    yield from _and_more(function, part)
    yield from _twice(function, part)


def _one_more(
    function: Function, part: Part, effect: Effect, signs: tuple[str, ...]
) -> Iterator[Edit]:
    """Yield a term of 1 too much, or of -1, where the whole is a whole number."""
    kind = kind_of_value(function, part)
    is_return = part.parent is not None and part.parent.role == "return_"
    if is_return and function.returns not in ("int", "float", ""):
        return
    integer = kind == "int" or (is_return and function.returns == "int")
    floating = kind == "float" and effect is Effect.OTHER and part.role != "float_"
    inside = part.inner[-1] if part.role == "unary" and part.inner else part
    if inside.role in ("int_", "float_") or not (integer or floating):
        return
    for sign in signs:
        text = function.source.text(part)
        new = f"{text} {sign} 1" if part.role in _SIMPLE else f"({text}) {sign} 1"
        if floating and function.source.row.name in ("rust",):
            continue
        yield Edit(Kind.EXCESS, f"{sign} 1 too much", part.start, part.end, new, part, effect)


def _negated(function: Function, part: Part) -> Iterator[Edit]:
    holder = part.parent
    while holder is not None and holder.role == "paren":
        holder = holder.parent
    if holder is None or part.role not in ("name", "member", "call", "index") or not part.named:
        return
    row = function.source.row.name
    decides = (part.field == "condition" or _in_condition(part, holder)) and holder.role in (
        "if_",
        "loop",
        "ternary",
    )
    logical = holder.role == "binary" and function.source.operator(holder) in (
        *("and", "or", "&&", "||"),
    )
    logical = logical and (row != "ruby" and _is_asked(function, holder))
    returned = holder.role == "return_" and (
        kind_of_value(function, part) == "bool" or function.returns == "bool"
    )
    if not (decides or logical or returned):
        return
    new = ("not " if row == "python" else "!") + function.source.text(part)
    what = "a negation too much"
    yield Edit(Kind.EXCESS, what, part.start, part.end, new, part, Effect.FLIP)


def _in_condition(part: Part, holder: Part) -> bool:
    asked = holder.one("condition")
    return asked is not None and asked.start <= part.start and part.end <= asked.end


def _is_asked(function: Function, part: Part) -> bool:
    """Say whether an `and` or `or` is a condition, and not a value to choose."""
    holder = part.parent
    while holder is not None and (
        holder.role == "paren"
        or (
            holder.role == "binary"
            and function.source.operator(holder) in ("and", "or", "&&", "||")
        )
    ):
        part, holder = holder, holder.parent
    return holder is not None and (
        (holder.role in ("if_", "loop", "ternary") and _in_condition(part, holder))
        or (holder.role == "return_" and function.returns == "bool")
    )


def _and_more(function: Function, part: Part) -> Iterator[Edit]:
    """Yield a second condition beside one, made of a variable that is known there."""
    holder = part.parent
    while holder is not None and holder.role == "paren":
        holder = holder.parent
    if holder is None or holder.role != "if_" or not _in_condition(part, holder):
        return
    sign = function.source.operator(part)
    if part.role not in ("name", "member", "call", "index") and not (
        part.role == "binary" and sign in COMPARISONS
    ):
        return
    row = function.source.row.name
    text = function.source.text(part)
    above = list(part.above())
    for other in reversed(function.variables.values()):
        known = other.place <= part.start and other.scope in above and other.name not in text
        fits = other.kind == "bool" or (not other.kind and row not in _TYPED)
        if known and fits and other.name not in ("self", "cls"):
            new = f"{text} {'and' if row == 'python' else '&&'} {other.name}"
            what = f"the condition {other.name} too much"
            yield Edit(Kind.EXCESS, what, part.start, part.end, new, part, Effect.UNKNOWN)
            return


def _twice(function: Function, part: Part) -> Iterator[Edit]:
    """Yield a step that is done twice."""
    if block_of(part) is None:
        return
    sign = function.source.operator(part)
    steps = (part.role == "assign" and sign not in ("=", "", ":=")) or (
        part.role == "unary" and sign in ("++", "--")
    )
    adds = part.role == "call" and function.source.callee(part)[0] in ADDERS
    if not (steps or (adds and is_statement(function, part))):
        return
    whole = part
    if part.parent is not None and part.parent.type == "expression_statement":
        whole = part.parent
    text = function.source.text(whole)
    new = f"\n{indent(function.source, whole.start)}{text}"
    what = f"{first_line(function, part)} is done twice"
    yield Edit(Kind.EXCESS, what, whole.end, whole.end, new, part, Effect.REPEATED)


def _only_once(function: Function, part: Part) -> Iterator[Edit]:
    """Yield an end of a loop behind its first round: `break`, or the function's last return."""
    body = part.one("body")
    inside = statements_of(body) if body is not None and body.type in _LOOP_BODIES else []
    if not inside or leaves(function.source, inside[-1]) or not function.owns(part):
        return
    at = inside[-1].end
    row = function.source.row.name
    stop = "" if row in ("python", "go", "ruby") else ";"
    news = [f"break{stop}"]
    last = plain(statements_of(function.body)[-1])
    if last.role == "return_" and last.inner and last.inner[0].role == "name" and row != "java":
        news.append(function.source.text(last).rstrip(";") + stop)
    before = indent(function.source, inside[0].start)
    for word in news:
        what = f"{word.rstrip(';')} at the end of a loop"
        yield Edit(Kind.EXCESS, what, at, at, f"\n{before}{word}", part, Effect.ONCE)
