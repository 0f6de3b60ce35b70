"""Statements: where they stand, whether they leave, how they are cut out."""

import re
from collections.abc import Iterator

from wavecoder.languages.mutation.names import Function
from wavecoder.languages.mutation.tree import Part, Source, word_set

__all__ = [
    "BLOCKS",
    "alone_in_loop",
    "block_of",
    "cut",
    "first_line",
    "following",
    "indent",
    "is_statement",
    "leaves",
    "plain",
    "statements_of",
    "unreached",
]

BLOCKS = word_set(
    "block statement_block compound_statement statement_list body_statement then else do "
    "block_body constructor_body program"
)
_END_OF_LINE = re.compile(rb"[ \t]*;?[ \t]*(?:(?:#|//)[^\n]*)?(?:\n|$)")
_LEAVING = frozenset({"return_", "raise_", "break_", "continue_"})


def plain(part: Part) -> Part:
    """Return a statement without the node that only says that it is one."""
    while part.type == "expression_statement" and len(part.inner) == 1:
        part = part.inner[0]
    return part


def block_of(part: Part) -> Part | None:
    """Return the block that a statement stands in, or None: it is no statement of a block."""
    if part.parent is not None and part.parent.type == "expression_statement":
        part = part.parent
    holder = part.parent
    return holder if holder is not None and holder.type in BLOCKS and part.named else None


def statements_of(block: Part) -> list[Part]:
    """Return the statements of a block."""
    if len(block.inner) == 1 and block.inner[0].type == "statement_list":
        block = block.inner[0]
    return [one for one in block.inner if one.type not in ("empty_statement", "statement_label")]


def leaves(source: Source, part: Part) -> bool:
    """Say whether what stands behind a statement is never reached from it."""
    part = plain(part)
    if part.role in _LEAVING or source.raises(part):
        return True
    if part.type in BLOCKS:
        inside = statements_of(part)
        return bool(inside) and leaves(source, inside[-1])
    if part.role == "if_" and part.type not in ("if_modifier", "unless_modifier"):
        ways = [kid for kid in part.kids if kid.field in ("consequence", "body", "alternative")]
        last = ways[-1] if len(ways) > 1 else None
        if last is None or last.field != "alternative":
            return False
        return all(_way_leaves(source, way) for way in ways) and _is_else(last)
    return False


def _way_leaves(source: Source, way: Part) -> bool:
    if way.type in ("else_clause", "elif_clause", "elsif", "else_if_clause"):
        held = way.first("body", "consequence") or (way.inner[-1] if way.inner else None)
        return held is not None and leaves(source, held)
    return leaves(source, way)


def _is_else(way: Part) -> bool:
    return way.type not in ("elif_clause", "elsif", "else_if_clause")


def unreached(source: Source, body: Part) -> Iterator[Part]:
    """Yield statements behind one that leaves, and what no condition lets in."""
    for part in body.walk():
        if part.type in BLOCKS:
            gone = False
            for one in part.inner:
                if gone and "label" not in one.type and "case" not in one.type:
                    yield one
                gone = gone or leaves(source, one)
        elif part.role in ("if_", "loop"):
            asked = part.one("condition")
            if asked is not None and source.text(asked).strip("() ") in ("0", "false", "False"):
                yield part


def following(part: Part) -> Iterator[Part]:
    """Yield the statements that come behind one, in its block and in the blocks around it."""
    for one in (part, *part.above()):
        if one.role == "function":
            return
        if one.parent is not None and one.parent.type in BLOCKS:
            kids = one.parent.inner
            yield from kids[kids.index(one) + 1 :]


def alone_in_loop(part: Part) -> bool:
    """Say whether a statement is the last thing a round of its loop does."""
    for one in (part, *part.above()):
        if one.role == "loop":
            return True
        holder = one.parent
        if holder is not None and holder.type in BLOCKS and holder.inner[-1] is not one:
            return False
    return True


def indent(source: Source, at: int) -> str:
    """Return the white space that begins the line of a byte."""
    start = source.data.rfind(b"\n", 0, at) + 1
    found = re.match(rb"[ \t]*", source.data[start:])
    return found[0].decode() if found else ""


def cut(function: Function, part: Part) -> tuple[int, int, str] | None:
    """Return the bytes to take away with a statement and what to put there, or None.

    The whole line goes where nothing else is in it.
    """
    source = function.source
    if part.parent is not None and part.parent.type == "expression_statement":
        part = part.parent
    block = block_of(part)
    if block is None:
        return None
    data = source.data
    start, end = part.start, part.end
    if len(statements_of(block)) == 1:
        return (start, end, "pass") if source.row.name == "python" else (start, end, "")
    line = data.rfind(b"\n", 0, start) + 1
    rest = _END_OF_LINE.match(data, end)
    if not data[line:start].strip() and rest is not None:
        return line, rest.end(), ""
    semicolon = re.compile(rb"[ \t]*;[ \t]*").match(data, end)
    return start, semicolon.end() if semicolon else end, ""


def is_statement(function: Function, part: Part) -> bool:
    """Say whether a call is made for what it does, not for what it gives back."""
    if part.parent is not None and part.parent.type == "expression_statement":
        return True
    if function.source.row.name != "ruby":
        return False
    block = block_of(part)
    return block is not None and block.inner[-1] is not part  # else it may be the value


def first_line(function: Function, part: Part) -> str:
    """Return the first line of a part's text, cut where it is long."""
    line = function.source.text(part).split("\n", 1)[0].rstrip(" {:;")
    return line if len(line) <= 60 else f"{line[:57]}…"
