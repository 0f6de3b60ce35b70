"""A function of a text: its parameters and variables, where each is written and read."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wavecoder.languages.mutation.kinds import Variable, kind_of, value_kind
from wavecoder.languages.mutation.tree import Part, Source, word_set

if TYPE_CHECKING:
    from wavecoder.languages.mutation.totals import Total

__all__ = ["Function", "functions_of", "kind_of_value"]

_EQUALITIES = frozenset({"==", "!=", "===", "!==", "is", "is not"})
_WORD = re.compile(r"\w+")
_NAME_FIELDS = frozenset({"name", "pattern", "declarator", "left", "parameter"})
_NESTED = word_set(
    "pattern_list tuple_pattern list_pattern expression_list tuple array_pattern object_pattern "
    "left_assignment_list list_literal pair reference_declarator pointer_declarator "
    "array_declarator as_pattern_target list_splat_pattern dictionary_splat_pattern "
    "rest_pattern destructured_parameter"
)


@dataclass(eq=False)
class Function:
    """A function that stands in no other."""

    source: Source
    part: Part
    body: Part
    returns: str
    """Kind of what it returns, as a variable's."""
    variables: dict[str, Variable]
    totals: "dict[str, Total | None]" = field(default_factory=dict)
    """Kept for `certain.py`, by name."""

    def __post_init__(self) -> None:
        """Count the words and the calls."""
        self._words: Counter[str] = Counter()
        self._calls: dict[tuple[str, int], dict[str, None]] = {}
        self._compared: set[frozenset[str]] = set()
        self.is_odd = False
        """Its returns do not give back its results: a generator's, or those inside `finally`."""
        source = self.source
        for part in self.body.walk():
            if not part.kids and part.named:
                self._words.update(_WORD.findall(source.text(part)))
            if part.role == "call":
                name = source.callee(part)[0]
                self._calls.setdefault(self._call(part), {})[name] = None
            if part.role == "binary" and source.operator(part) in _EQUALITIES:
                self._compared.add(frozenset(source.text(one) for one in part.inner))
            if "finally" in part.type or "ensure" in part.type:
                self.is_odd = self.is_odd or any(one.role == "return_" for one in part.walk())

    def _call(self, part: Part) -> tuple[str, int]:
        _, at = self.source.callee(part)
        given = part.one("arguments")
        before = self.source.data[part.start : at.start].decode("utf-8", "replace") if at else ""
        return before, len(given.inner) if given else -1

    def siblings(self, call: Part, name: str) -> list[str]:
        """Return other functions that are called on the same object with as many arguments."""
        known = self._calls.get(self._call(call), {})
        return [one for one in known if one != name and one not in self.variables]

    def compares(self, one: str, other: str) -> bool:
        """Say whether the function asks if two variables are equal: there both are one."""
        return frozenset((one, other)) in self._compared

    def leaves_unused(self, part: Part) -> bool:
        """Say whether without a part a variable would be read nowhere, which is no Go."""
        if self.source.row.name != "go":
            return False
        for one in self.variables.values():
            inside = [read for read in one.reads if part.start <= read.start < part.end]
            if inside and len(inside) == len(one.reads) and not one.is_parameter:
                return True
        return False

    def count(self, name: str) -> int:
        """Return how often a word is in the body, texts and macros included."""
        return self._words[name.lstrip("$")]

    def owns(self, part: Part) -> bool:
        """Say whether `part` is run by this function itself and not by one inside it."""
        return next((one for one in part.above() if one.role == "function"), None) is self.part

    def unread(self) -> Iterator[Part]:
        """Yield what is written to a variable whose value nothing rests on, and calls nothing."""
        for one in self.variables.values():
            known = not (one.is_parameter or one.doubtful)
            known = known and self.count(one.name) == len(one.writes) + len(one.reads)
            if known and all(_is_idle(one, read) for read in one.reads):
                yield from (write for write in one.writes if _is_quiet(write))


def _is_idle(one: Variable, read: Part) -> bool:
    """Say whether a read only decides about the variable's own writes, or is given up."""
    below = read
    for part in read.above():
        if part.type in ("sequence_expression", "comma_expression"):
            return part.inner[-1] is not below
        if any(part is write for write in one.writes):
            return _is_quiet(part)
        if part.role == "if_":
            return _only_writes(one, part)
        if part.role in ("function", "loop", "call", "macro"):
            return False
        below = part
    return False


def _only_writes(one: Variable, decision: Part) -> bool:
    """Say whether an `if` without more branches does no more than write the variable."""
    way = decision.first("consequence", "body")
    if way is None or decision.one("alternative") is not None:
        return False
    return all(any(_inside(write, kid) for write in one.writes) for kid in way.inner or [way])


def _is_quiet(write: Part) -> bool:
    return write.role != "loop" and not any(one.role in ("call", "macro") for one in write.walk())


def _inside(write: Part, statement: Part) -> bool:
    """Say whether a statement is that write and nothing else."""
    while statement.type == "expression_statement" and len(statement.inner) == 1:
        statement = statement.inner[0]
    return statement is write


def functions_of(source: Source) -> Iterator[Function]:
    """Yield the outermost functions of a text that have a body, in order."""
    row = source.row
    pending = [source.root]
    while pending:
        part = pending.pop()
        kind = row.assigned.get(part.type)
        value = part.one(kind[1]) if kind else part
        if value and (part.type in row.functions or (kind and value.role == "function")):
            body = value.one("body")
            if body is not None:
                yield _function(source, value, body)
                continue
        pending.extend(reversed(part.kids))


def _function(source: Source, part: Part, body: Part) -> Function:
    variables: dict[str, Variable] = {}
    for parameter in _parameters(part):
        for name in _declared(parameter):
            kind = _kind_of_type(source, parameter)
            text = source.text(name)
            variables.setdefault(text, Variable(text, kind, body, body.start, True))
    for one in body.walk():
        _local(source, one, body, variables)
    _uses(source, part, body, variables)
    for variable in variables.values():
        if not variable.kind and not variable.is_parameter:
            variable.kind = _kind_of_writes(source, variable, variables)
    named = part.first("return_type", "type", "result")
    text = source.text(named) if named else ""
    if source.row.name in ("c", "cpp"):
        declarator = part.one("declarator")
        if declarator is not None and declarator.type != "function_declarator":
            text += " *"
    return Function(source, part, body, kind_of(text), variables)


def _parameters(part: Part) -> list[Part]:
    held = part.one("parameters")
    if held is None and (alone := part.one("parameter")):
        return [alone]
    head = part.one("declarator")
    while held is None and head is not None:
        held = head.one("parameters")
        head = head.one("declarator") or next(
            (kid for kid in head.kids if kid.type.endswith("declarator")), None
        )
    return held.inner if held else []


def _declared(part: Part) -> list[Part]:
    """Return the names that a parameter, a pattern or a declarator declares."""
    if part.role == "name" or part.type == "shorthand_property_identifier_pattern":
        return [part]
    held = [kid for kid in part.kids if kid.field in _NAME_FIELDS]
    if not held and (part.type in _NESTED or part.type.endswith(("parameter", "pattern"))):
        held = part.inner
    return [name for kid in held for name in _declared(kid)]


def _kind_of_type(source: Source, part: Part) -> str:
    held = part.one("type")
    if held is None:
        return ""
    text = source.text(held)
    declarator = part.first("declarator", "pattern")
    if declarator is not None and declarator.type.endswith("_declarator"):
        text += re.sub(r"\w+|\s|=.*", "", source.text(declarator))
    return kind_of(text)


def _local(source: Source, part: Part, body: Part, variables: dict[str, Variable]) -> None:
    """Add what `part` declares."""
    names, kind = _declaration(source, part)
    for name in names:
        text = source.text(name)
        if text != "_":
            # In `for x in y` the names are known from the body on, in a declaration behind it.
            place = name.end if part.role == "loop" else part.end
            scope = _scope(part, body)
            variables.setdefault(text, Variable(text, kind, scope, place, False))


def _declaration(source: Source, part: Part) -> tuple[list[Part], str]:
    """Return the names that a part declares, and their kind where it tells."""
    left = part.first("name", "pattern", "left", "declarator")
    if part.role == "declare" and left is not None:
        typed = part if part.one("type") else part.parent
        kind = _kind_of_type(source, typed) if typed else ""
        if part.type == "var_spec":
            return [kid for kid in part.kids if kid.field == "name"], kind
        if part.type == "init_declarator" and left.type.endswith("_declarator") and kind:
            kind += " " + re.sub(r"\w+|\s", "", source.text(left))
        return _declared(left), kind
    if part.type == "declaration":  # int x;
        names = [kid for kid in part.kids if kid.field == "declarator" and kid.role == "name"]
        return names, _kind_of_type(source, part) if names else ""
    if part.type == "as_pattern_target":
        return _declared(part), ""
    writes = part.role == "assign" and source.row.name in ("python", "ruby", "php")
    if left is None or left.role in ("member", "index"):
        return [], ""
    if writes or part.role == "loop" or part.type in ("range_clause", "for_in_clause"):
        return _declared(left), _kind_of_type(source, part) if part.role == "loop" else ""
    return [], ""


def _scope(part: Part, body: Part) -> Part:
    """Return the part in which what is declared in `part` is known."""
    if part.role == "loop":
        return part
    for one in part.above():
        if one is body or one.role in ("loop", "function", "each", "list_"):
            return one
        if re.search(r"block|compound|statement_list|then|else|body|case", one.type):
            return one
    return body


def _uses(source: Source, part: Part, body: Part, variables: dict[str, Variable]) -> None:
    for one in part.walk():
        if one.role != "name" or not (found := variables.get(source.text(one))):
            continue
        holder = one.parent
        if holder is None or _is_label(one, holder) or one.start < body.start:
            continue
        inside = next((up for up in one.above() if up.role == "function"), part)
        if inside is not part or holder.type in ("global_statement", "nonlocal_statement"):
            found.doubtful = True
        written = _written_by(one, holder)
        if written is None:
            found.reads.append(one)
        else:
            found.writes.append(written)


def _is_label(one: Part, holder: Part) -> bool:
    """Say whether a name is no variable: a member's, an argument's, a function's own."""
    if holder.role == "member":
        return one.field in ("attribute", "property", "field", "name")
    if holder.role == "call":
        return one.field in ("name", "method")
    if holder.role == "function":
        return one.field == "name"
    return holder.type in (
        "keyword_argument",
        "labeled_statement",
        "pair",
        "qualified_identifier",
    ) and (one.field in ("name", "key", "scope"))


def _written_by(one: Part, holder: Part) -> Part | None:
    """Return what writes the name, or None where it is only read."""
    top, up = one, holder
    while up.type in _NESTED and up.parent is not None:
        top, up = up, up.parent
    if top.field in ("left", "name", "pattern", "declarator", "alias") and (
        up.role in ("assign", "declare", "loop")
        or up.type in ("declaration", "range_clause", "for_in_clause", "as_pattern")
    ):
        return up
    is_step = up.role == "unary" and any(kid.type in ("++", "--") for kid in up.kids)
    return up if is_step else None


def _kind_of_writes(source: Source, one: Variable, variables: dict[str, Variable]) -> str:
    """Return the kind that all values written to a variable have, or nothing."""
    kinds = set()
    for write in one.writes:
        if write.role == "unary" or (
            write.role == "assign" and source.operator(write) not in ("=", ":=", "")
        ):
            continue
        value = write.first("value", "right", "default_value")
        if value is None and write.type == "variable_declarator":
            value = write.inner[-1] if len(write.inner) > 1 else None
        if write.role == "loop" or value is None:
            return ""
        if value.type == "expression_list" and len(value.inner) == 1:
            value = value.inner[0]
        kinds.add(value_kind(source, value, variables))
    if kinds <= {"int", "float"} and kinds:
        return "int" if kinds == {"int"} else "float"
    return kinds.pop() if len(kinds) == 1 else ""


def kind_of_value(function: Function, part: Part) -> str:
    """Return the kind of an expression as far as the function itself tells, or nothing."""
    return value_kind(function.source, part, function.variables)
