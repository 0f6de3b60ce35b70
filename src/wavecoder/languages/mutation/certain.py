"""Whether an edit is certain to change what a function does, and why.

It is where its change can be followed from the edited part to what the function gives back, throws,
stores or prints, through places that hide no difference. Taken for granted of code that a person
wrote: (a) every statement is reached on some input, and a call's `==` and `!=` are opposites;
(b) a condition decides something: its two ways differ on some input; (c) terms and elements vary
from input to input. These can be wrong of a given function; a reason says what was followed.

- **Value.** The part stands in what is returned or yielded, or is a text that is printed: alone, as
  a term (`+`, `-`, a sign), an element, an index, a branch of a conditional, an argument of a call
  that keeps differences (`str`, `sorted`, `Some`), or in a variable that is written once and read
  once, there. Through `*`, an index and `==` a change shows on some inputs only.
- **Way.** The condition of an `if` is turned round, and a branch leaves, writes or calls. Were both
  ways the same on all inputs, (b) would not hold. Where words such as `cache` or `debug` stand in
  it, one way may only be faster or say more: not certain. `and` that becomes `or`: only before a
  branch that throws outside any `try`, or returns what calls nothing, as there inputs with one of
  the two are turned away. Never the other way round: two guards often guard against one thing.
- **Entry.** The condition of a loop is turned round, whose body returns, calls, writes into objects
  or makes a total: where it should be entered it is not. A loop that only writes its own variables
  may tidy up what does no harm.
- **Total.** A variable that begins with a literal, is changed in one statement and is otherwise
  only returned, also by the last statement: without that statement, with it done twice, with
  another operator, step or beginning, with the loop around it ended early, another is returned.
  The same of a flag that begins as true or false and is set to the opposite.
- **Store.** What is written to a member of the function's own object, or of a parameter, is
  another or is missing, and nothing behind it writes the member or calls the object.

Followed through `and`, or a loop that may run no round, the change shows on the inputs that let it.
What no rule follows is not certain, though most such edits change behaviour, too: above all a lost
operand (people guard twice), a boundary (`<` and `<=`), and an argument of somebody's function.
"""

import re

from wavecoder.languages.mutation.kinds import Variable
from wavecoder.languages.mutation.names import Function
from wavecoder.languages.mutation.statements import (
    BLOCKS,
    alone_in_loop,
    block_of,
    following,
    plain,
    statements_of,
)
from wavecoder.languages.mutation.through import calls_nothing, through
from wavecoder.languages.mutation.totals import Total, keeps_each, total_in
from wavecoder.languages.mutation.tree import Part, word_set
from wavecoder.languages.mutation.words import Edit, Effect

__all__ = ["reason"]

# Where these are spoken of, a branch may only be faster than the other, or say more.
_SPEED = re.compile(
    r"(?i)cache|fast|slow|debug|verbos|quiet|trace|optimi|simd|avx|sse\d|neon|capacity|resize|grow|"
    r"buffer_size|chunk|threshold|likely|prefetch|warm|lazy|assert|profil|native|accel|parallel"
)
_PRINTERS = word_set("print puts printf println Println Printf Print WriteLine Write echo")
# A name that is no variable of the function is a field there.
_BARE_FIELDS = frozenset({"java", "csharp", "cpp"})
_OWNERS = frozenset({"self", "this", "$this"})
_TAILS = frozenset({"rust", "ruby"})


def reason(function: Function, edit: Edit) -> str | None:
    """Return why the edit changes behaviour on some input, or None where nobody can say."""
    if edit.effect is Effect.UNKNOWN or function.is_odd:
        return None
    if edit.effect in (Effect.DROPPED, Effect.REPEATED):
        return _of_step(function, edit.part, edit.effect)
    if edit.effect is Effect.ONCE:
        return _of_loop(function, edit.part)
    if edit.part.role in ("assign", "unary") and function.source.operator(edit.part) not in (
        *("!", "not", "-", "~", "&", "*"),
    ):
        return _of_step(function, edit.part, edit.effect)
    return _follow(function, edit.part, edit.effect)


def _follow(function: Function, part: Part, effect: Effect) -> str | None:
    """Follow a changed value upwards to where it shows."""
    origin = part
    some = effect in (Effect.SOME, Effect.MIX)
    for _ in range(60):
        holder = part.parent
        if holder is None or not holder.open:
            return None
        read = _read_once(function, holder) if effect is not Effect.MIX else None
        if part is function.body or _is_given_back(function, part, holder):
            return _returned(some) if function.owns(part) else None
        if _stands_beside_error(function, part, holder):
            return None
        if read is not None:
            part = read
        elif holder.role == "paren" or holder.type in ("expression_list", "argument"):
            part = holder
        elif change := through(function, part, holder, effect, origin):
            part, effect = holder, change.effect
            some = some or change.sometimes
        else:
            return _shown(function, part, holder, effect)
    return None


def _shown(function: Function, part: Part, holder: Part, effect: Effect) -> str | None:
    """Return why a changed value shows in a statement that does not give it back."""
    if _is_printed(function, part, holder):
        return "what is printed is another" if effect is Effect.OTHER else None
    if holder.role in ("declare", "assign"):
        return _of_write(function, holder, part, effect) or _of_store(function, holder)
    if not function.owns(part) or not _is_condition(part, holder):
        return None
    if holder.role == "if_":
        return _of_way(function, holder, part, effect)
    turned = holder.role == "loop" and effect is Effect.FLIP
    return _of_entry(function, holder) if turned else None


def _returned(some: bool) -> str:
    where = "on some inputs" if some else "whenever this is reached"
    return f"what the function gives back is another {where}"


def _stands_beside_error(function: Function, part: Part, holder: Part) -> bool:
    """Say whether a result is given back with an error, in Go: then nobody looks at it."""
    if function.source.row.name != "go" or holder.type != "expression_list":
        return False
    last = holder.inner[-1]
    return last is not part and function.source.text(last) not in ("nil", "true")


def _is_given_back(function: Function, part: Part, holder: Part) -> bool:
    if holder.role in ("return_", "yield_"):
        return True
    if holder.type == "argument_list" and holder.parent and holder.parent.role == "return_":
        return True  # Ruby's
    if function.source.row.name not in _TAILS:
        return False
    return _is_tail(function, part)


def _is_printed(function: Function, part: Part, holder: Part) -> bool:
    call = holder.parent
    return (
        holder.type in ("argument_list", "arguments")
        and call is not None
        and call.role == "call"
        and block_of(call) is not None
        and function.source.callee(call)[0] in _PRINTERS
        and part.role == "string"
    )


def _is_tail(function: Function, part: Part) -> bool:
    """Say whether a part is the value of the function's body, as the last thing in it."""
    if function.returns in ("", "void") and function.source.row.name == "rust":
        return False
    while part is not function.body:
        holder = part.parent
        if holder is None or not _is_last(function, part, holder):
            return False
        part = holder
    return True


def _is_last(function: Function, part: Part, holder: Part) -> bool:
    """Say whether the value of a part is that of its parent."""
    if holder.type in BLOCKS or holder is function.body:
        return holder.inner[-1:] == [part]
    if holder.type == "expression_statement":
        return function.source.data[holder.end - 1 : holder.end] != b";"
    if holder.role == "if_":
        ways = any(kid.field == "alternative" for kid in holder.kids)
        return ways and not _is_condition(part, holder)
    return holder.type in ("else_clause", "else", "elsif", "then")


def _is_condition(part: Part, holder: Part) -> bool:
    asked = holder.one("condition")
    return asked is not None and (asked is part or asked.start <= part.start < asked.end)


def _of_way(function: Function, holder: Part, part: Part, effect: Effect) -> str | None:
    """Return why another outcome of a condition shows, by the rule of ways."""
    held = holder.first("consequence", "body")
    if held is None or _SPEED.search(function.source.text(holder)):
        return None
    if effect is Effect.FLIP and (_does(function, held) or _does(function, _last_way(holder))):
        return "each input that decides here goes the other way"
    # Where one of two guards is enough, both are not missed.
    mixed = effect is Effect.MIX and function.source.operator(_bare(part)) in ("and", "&&")
    ends = _plainly_leaves(function, held) and _matters(function, holder, held)
    if mixed and ends:
        return "inputs that met one of the two conditions are turned away, too"
    return None


def _bare(part: Part) -> Part:
    while part.role == "paren" and part.inner:
        part = part.inner[0]
    return part


def _does(function: Function, way: Part | None) -> bool:
    """Say whether a branch does anything that shows: it leaves, writes, or calls."""
    if way is None:
        return False
    for one in way.walk():
        if one.open and _acts(one):
            return True
        if function.source.raises(one) and one.parent is not None:
            return not any(up.role == "try_" for up in one.above())
    return False


def _acts(one: Part) -> bool:
    """Say whether a statement leaves, writes or calls."""
    if one.role == "continue_":
        return not alone_in_loop(one)
    if one.role == "return_" and not one.inner:
        # At the end of a function it says nothing.
        return any(up.role == "loop" for up in one.above()) or any(following(one))
    if one.role in ("return_", "break_", "assign", "yield_"):
        return True
    return one.role in ("call", "unary") and block_of(one) is not None


def _last_way(holder: Part) -> Part | None:
    ways = [kid for kid in holder.kids if kid.field == "alternative"]
    if len(ways) != 1:
        return None
    way = ways[0]
    if way.type in ("else_clause", "else"):
        return way.one("body") or (way if way.type == "else" else way.inner[-1])
    return way if way.type in BLOCKS else None


def _plainly_leaves(function: Function, way: Part) -> bool:
    inside = statements_of(way) if way.type in BLOCKS else [way]
    if not inside:
        return False
    last = plain(inside[-1])
    if function.source.raises(last):
        return not any(one.role == "try_" for one in last.above())
    return len(inside) == 1 and last.role == "return_" and calls_nothing(last)


def _matters(function: Function, holder: Part, way: Part) -> bool:
    """Say whether the way past a branch is another than the branch itself, and does anything."""
    text = " ".join(function.source.text(way).strip("{} \n\t;").split())
    others = [
        kid
        for kid in holder.kids
        if kid.field in ("consequence", "body", "alternative") and kid is not way
    ]
    behind = [*others, *following(holder)]
    others_text = [
        " ".join(function.source.text(one).strip("{} \n\t;").split()) for one in behind[:1]
    ]
    alive = [one for one in behind if one.open]
    return bool(alive) and others_text != [text]


def _of_write(function: Function, holder: Part, part: Part, effect: Effect) -> str | None:
    """Return why another value written to a variable shows: it begins a total, or steps it."""
    found = _variable_of(function, holder)
    total = _total(function, found) if found is not None and effect is not Effect.MIX else None
    if total is None:
        return None
    if holder is total.step:
        return _of_step(function, holder, effect)
    if holder is not total.first:
        return None
    if total.is_flag:
        return "the variable is returned as it began"
    adds = function.source.operator(total.step) in ("+=", "-=", "++", "--", "*=")
    return "all that is added up begins elsewhere" if adds else None


def _of_store(function: Function, write: Part) -> str | None:
    """Return why another value in an object shows: nothing behind writes it or calls the object."""
    left = write.one("left")
    while left is not None and left.type == "expression_list" and len(left.inner) == 1:
        left = left.inner[0]
    if (
        left is None
        or function.source.operator(write) not in ("=", "")
        or (not function.owns(write))
    ):
        return None
    target = function.source.text(left)
    calls = [one for one in function.body.walk() if one.role == "call" and one.start >= write.end]
    if left.role == "name" and function.source.row.name in _BARE_FIELDS:
        field = target not in function.variables and function.count(target) == 1
        return "what is stored is another" if field and not calls else None
    holder = re.split(r"\.|->|(?<=@)", target)[0]
    if left.role != "member" or not _is_given(function, holder):
        return None
    again = any(
        one.role == "assign" and one is not write and _target(function, one) == target
        for one in function.body.walk()
    )
    told = any(holder == "@" or holder in function.source.text(one) for one in calls)
    return None if again or told else "what is stored in the object is another"


def _target(function: Function, write: Part) -> str:
    left = write.one("left")
    return function.source.text(left) if left is not None else ""


def _is_given(function: Function, name: str) -> bool:
    """Say whether a name stands for the function's own object, or one it was given."""
    found = function.variables.get(name)
    own = name in _OWNERS or name == "@"
    return own or (found is not None and found.is_parameter and not found.writes)


def _variable_of(function: Function, write: Part) -> Variable | None:
    """Return the one variable that is written, where no inner function uses it."""
    names = write.first("name", "left", "pattern", "declarator")
    while names is not None and names.type == "expression_list" and len(names.inner) == 1:
        names = names.inner[0]
    if names is None or names.role != "name":
        return None
    found = function.variables.get(function.source.text(names))
    return None if found is None or found.doubtful else found


def _read_once(function: Function, write: Part) -> Part | None:
    """Return where the variable written here is read, if both happen in one place only."""
    found = _variable_of(function, write)
    if found is None or found.is_parameter or found.writes != [write]:
        return None
    if len(found.reads) != 1 or function.count(found.name) != 2:
        return None
    read = found.reads[0]
    loops = [one for one in read.above() if one.role == "loop"]
    once = all(one.start <= write.start < one.end for one in loops)
    return read if once and read.start >= write.end else None


def _of_step(function: Function, step: Part, effect: Effect) -> str | None:
    """Return why another step of a total shows."""
    found = _total_of(function, step)
    if found is None and effect is Effect.DROPPED and step.role == "assign":
        return _of_store(function, step)
    if found is None or not function.owns(step):
        return None
    sign = function.source.operator(step)
    if effect is Effect.REPEATED and not keeps_each(function, step):
        return None
    if effect in (Effect.OTHER, Effect.SOME, Effect.FLIP) and (
        sign in ("%=", "&=", "|=", "//=")
        or (sign == "+=" and effect is Effect.SOME and found.kind not in ("int", "float"))
    ):
        return None
    return "the variable is changed nowhere else, and returned"


def _of_entry(function: Function, loop: Part) -> str | None:
    """Return why a loop that begins where it should not, and else does not, shows."""
    body = loop.one("body")
    if body is None or loop.type == "do_statement" or _SPEED.search(function.source.text(loop)):
        return None
    for one in body.walk():
        # One that only writes variables may tidy up what does no harm: zeros before a number.
        shows = one.role in ("return_", "yield_") or _writes_elsewhere(function, one)
        if one.open and (shows or (one.role == "call" and block_of(one) is not None)):
            return "the loop is not entered where it should be"
    return None


def _writes_elsewhere(function: Function, one: Part) -> bool:
    """Say whether a statement writes into an object or a list, or is the step of a total."""
    left = one.one("left") if one.role == "assign" else None
    if left is not None and left.role in ("member", "index"):
        return True
    return one.role in ("assign", "unary") and _total_of(function, one) is not None


def _of_loop(function: Function, loop: Part) -> str | None:
    """Return why a loop's end behind its first round shows: each round adds to a total."""
    body = loop.one("body")
    if body is None or loop.type == "do_statement" or not function.owns(loop):
        return None
    for found in function.variables.values():
        total = _total(function, found)
        if total is None or total.is_flag or not keeps_each(function, total.step):
            continue
        straight = block_of(total.step) in (body, *body.kids)
        if straight and function.source.operator(total.step) not in ("*=", "/="):
            return "later rounds add to what is returned"
    return None


def _total_of(function: Function, step: Part) -> Variable | None:
    """Return the variable that `step` is the only one to change, if it is a total or a flag."""
    for found in function.variables.values():
        total = _total(function, found)
        if total is not None and total.step is step:
            return found
    return None


def _total(function: Function, found: Variable) -> Total | None:
    """Return the total that a variable is, if it is given back wherever it is read."""
    key = found.name
    if key not in function.totals:
        function.totals[key] = None  # so long as it is looked for
        total = total_in(function, found)
        if total is not None:
            effect = Effect.FLIP if total.is_flag else Effect.OTHER
            if all(_follow(function, read, effect) for read in total.reads):
                function.totals[key] = total
    return function.totals[key]
