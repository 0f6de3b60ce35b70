"""Logic taken away from a function: statements, operands, negations, branches, calls."""

from collections.abc import Iterator

from wavecoder.languages.mutation.names import Function, kind_of_value
from wavecoder.languages.mutation.statements import (
    alone_in_loop,
    block_of,
    cut,
    first_line,
    indent,
    is_statement,
    leaves,
    statements_of,
)
from wavecoder.languages.mutation.tree import Part, word_set
from wavecoder.languages.mutation.words import Edit, Effect, Kind

__all__ = ["missing"]

_WRAPPERS = frozenset({"abs", "sorted", "set", "reversed", "round", "floor", "ceil", "fabs"})
_METHODS = word_set(
    "lower upper strip lstrip rstrip trim toLowerCase toUpperCase reverse abs downcase upcase "
    "ToLower ToUpper Trim sort uniq casefold title"
)
# A function of these that ends without a return is not compiled.
_TYPED = frozenset({"java", "c", "cpp", "go", "rust", "csharp", "typescript"})


def missing(function: Function, part: Part) -> Iterator[Edit]:
    """Yield what takes something away: a statement, an operand, a negation, a branch, a call."""
    if part.role == "unary":
        yield from _without_sign(function, part)
    elif part.role == "binary":
        yield from _without_operand(function, part)
    elif part.role == "call":
        yield from _without_call(function, part)
    elif part.role == "index":
        yield from _without_slice(function, part)
    elif part.role == "if_":
        yield from _without_condition(function, part)
    if _may_go(function, part):
        place = cut(function, part)
        if place is not None and not function.leaves_unused(part):
            what = f"{first_line(function, part)} is missing"
            yield Edit(Kind.MISSING, what, *place, part, Effect.DROPPED)
    if part.role == "return_":
        yield from _without_return(function, part)


def _without_sign(function: Function, part: Part) -> Iterator[Edit]:
    sign = function.source.operator(part)
    inside = part.inner[-1] if part.inner else None
    if inside is None or sign not in ("!", "not", "-"):
        return
    effect = Effect.FLIP
    if sign == "-":
        literal = inside.role in ("int_", "float_")
        if literal and not function.source.text(inside).strip("0.fFdDlL"):
            return
        effect = Effect.OTHER if literal else Effect.SOME
    elif inside.role == "unary" and function.source.operator(inside) == sign:
        return  # !!x
    new = function.source.text(inside)
    yield Edit(Kind.MISSING, f"{sign} is missing", part.start, part.end, new, part, effect)


def _without_operand(function: Function, part: Part) -> Iterator[Edit]:
    source, sign = function.source, function.source.operator(part)
    sides = [kid for kid in part.inner if kid.field not in ("operator", "operators")]
    if len(sides) != 2:
        return
    left, right = sides
    kept: list[tuple[Part, Part, Effect]] = []
    if sign in ("and", "or", "&&", "||"):
        kept = [(left, right, Effect.UNKNOWN), (right, left, Effect.UNKNOWN)]
    elif sign in ("+", "-", "*", "/", "//", "%", "**"):
        if source.text(right) in ("0", "1") and (source.text(right) == "0") == (sign in "+-"):
            return
        kinds = [kind_of_value(function, side) for side in sides]
        if source.row.name in _TYPED and "string" in kinds and kinds[0] != kinds[1]:
            stays = sides[kinds.index("string")]
            kept = [(stays, right if stays is left else left, Effect.UNKNOWN)]
        elif sign == "%" and kinds[0] == "string":
            return
        else:
            kept = [(left, right, _lost(function, right, sign, kinds))]
            if sign in ("+", "*"):
                kept.append((right, left, _lost(function, left, sign, kinds)))
    for stays, goes, effect in kept:
        if function.leaves_unused(goes):
            continue
        new = source.text(stays)
        what = f"{sign} {first_line(function, goes)} is missing"
        yield Edit(Kind.MISSING, what, part.start, part.end, new, part, effect)


def _lost(function: Function, goes: Part, sign: str, kinds: list[str]) -> Effect:
    """Return what a term's loss does to a sum or product."""
    if not set(kinds) & {"int", "float"} and function.returns not in ("int", "float"):
        is_text = goes.role == "string" and len(function.source.text(goes)) > 2
        return Effect.OTHER if is_text and sign == "+" else Effect.UNKNOWN
    if sign in "+-":
        return Effect.OTHER if goes.role == "int_" else Effect.SOME
    return Effect.SOME if sign in ("*", "/", "//", "**") else Effect.UNKNOWN


def _without_call(function: Function, part: Part) -> Iterator[Edit]:
    name, at = function.source.callee(part)
    given = part.one("arguments")
    words = [kid for kid in given.inner] if given else []
    inside: Part | None = None
    if name in _WRAPPERS and len(words) == 1 and words[0].role != "each":
        inside = words[0]
    elif name in _METHODS and not words and at is not None:
        around = part.first("object", "receiver") or (at.parent.inner[0] if at.parent else None)
        inside = around if around is not at and around is not part else None
    if inside is None or block_of(part) is not None or _is_spread(inside):
        return
    if function.source.row.name == "rust" and name != "abs":
        return  # another type
    # What callers give is of any kind; other things may well be sorted or positive already.
    found = function.variables.get(function.source.text(inside))
    given_so = found is not None and found.is_parameter and not found.writes
    effect = Effect.SOME if given_so else Effect.UNKNOWN
    new = function.source.text(inside)
    yield Edit(Kind.MISSING, f"{name} is missing", part.start, part.end, new, part, effect)


def _is_spread(part: Part) -> bool:
    return "splat" in part.type or "spread" in part.type or part.type == "keyword_argument"


def _without_slice(function: Function, part: Part) -> Iterator[Edit]:
    asked = part.one("subscript")
    held = part.one("value")
    if asked is None or held is None or asked.type != "slice":
        return
    bounds = [function.source.text(kid) for kid in asked.inner]
    if bounds and bounds != ["0"]:
        new = function.source.text(held)
        what = f"[{function.source.text(asked)}] is missing"
        yield Edit(Kind.MISSING, what, part.start, part.end, new, part, Effect.SOME)


def _without_condition(function: Function, part: Part) -> Iterator[Edit]:
    source = function.source
    asked, held = part.one("condition"), part.first("consequence", "body")
    if asked is None or held is None:
        return
    if part.type == "unless":
        at = part.kids[0]
        yield Edit(
            Kind.MISSING, "a negation is missing", at.start, at.end, "if", asked, Effect.FLIP
        )
    others = [kid for kid in part.kids if kid.field == "alternative"]
    if others:
        last = others[-1]
        before = part.kids[part.kids.index(last) - 1]
        start = before.start if before.type == "else" else last.start
        start = len(source.data[:start].rstrip())
        ends = function.source.row.name in _TYPED and leaves(source, last)
        if not ends and block_of(part) is not None:
            what = "the last branch is missing"
            end = last.end
            yield Edit(Kind.MISSING, what, start, end, "", part, Effect.UNKNOWN)
    elif block_of(part) is not None and not leaves(source, held) and not part.one("initializer"):
        new = _body_alone(function, part, held)
        if new is not None:
            what = f"the condition {first_line(function, asked)} is missing"
            yield Edit(Kind.MISSING, what, part.start, part.end, new, part, Effect.UNKNOWN)


def _body_alone(function: Function, part: Part, held: Part) -> str | None:
    """Return the text of a branch as it stands without its condition, or None."""
    source = function.source
    text = source.text(held)
    if held.type in ("block", "statement_block", "compound_statement") and text.startswith("{"):
        return text
    if part.type.endswith("_modifier"):
        return text
    if source.row.name not in ("python", "ruby") or any(
        one.role == "string" and b"\n" in source.data[one.start : one.end] for one in held.walk()
    ):
        return None
    inside = statements_of(held)
    if not inside:
        return None
    text = source.data[inside[0].start : inside[-1].end].decode("utf-8", "replace")
    less = len(indent(source, inside[0].start)) - len(indent(source, part.start))
    if less <= 0:
        return None
    first, *rest = text.split("\n")
    return "\n".join([first, *(line[min(less, len(line) - len(line.lstrip())) :] for line in rest)])


def _may_go(function: Function, part: Part) -> bool:
    """Say whether a statement can be taken away as a whole."""
    if block_of(part) is None or part.field in ("condition", "value"):
        return False
    role, sign = part.role, function.source.operator(part)
    if role == "call":
        return is_statement(function, part)
    if role == "assign":
        left = part.first("left")
        while left is not None and left.type == "expression_list" and len(left.inner) == 1:
            left = left.inner[0]
        if left is None:
            return False
        if sign not in ("=", "", ":=") or left.role in ("member", "index"):
            return True
        found = function.variables.get(function.source.text(left))
        return found is not None and (found.is_parameter or found.writes[:1] != [part])
    if role == "if_":
        return not any(kid.field == "alternative" for kid in part.kids)
    if role in ("break_", "continue_"):
        return not alone_in_loop(part) or role == "break_"
    return role == "unary" and sign in ("++", "--")


def _without_return(function: Function, part: Part) -> Iterator[Edit]:
    """Yield the loss of the last statement, where that is legal."""
    last = statements_of(function.body)[-1:]
    if last != [part] or not part.inner or len(statements_of(function.body)) < 2:
        return
    row = function.source.row.name
    if row != "python" and (row not in ("javascript", "php") or function.returns):
        return
    place = cut(function, part)
    if place is not None:
        value = part.inner[0]
        known = kind_of_value(function, value) in ("int", "float", "bool", "string", "list")
        # Nobody names or makes a thing to give back nothing always.
        made = value.role in ("name", "member", "index", "string", "binary") or "new" in value.type
        effect = Effect.OTHER if known else Effect.SOME if made else Effect.UNKNOWN
        what = f"{first_line(function, part)} is missing"
        yield Edit(Kind.MISSING, what, *place, part.inner[0], effect)
