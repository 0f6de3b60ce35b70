"""The candidate program in Python.

It is what the prompt gives in front of the stub (imports, helpers), and the answer's imports,
functions, classes and values; or the stub with the answer as its body. Examples of use, asserts and
prints at the outermost level are left out, and so is prose.

The text is read by lines, strings and brackets, not parsed: that takes time in proportion to its
length whatever it is, and finds code in the middle of prose.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from wavecoder.evaluate.extraction.blocks import Block, is_buggy, is_prose
from wavecoder.records import Problem

__all__ = ["program"]

_TOKEN = re.compile(
    r'"""|\'\'\'|"(?:[^"\\\n]|\\.)*+"?|\'(?:[^\'\\\n]|\\.)*+\'?|#[^\n]*|\\\n|[()\[\]{}]|\n',
    re.DOTALL,
)
_QUOTES = {
    mark: re.compile(rf"(?:[^{mark[0]}\\]|\\.|{mark[0]}(?!{mark[1:]}))*+(?:{mark})?", re.DOTALL)
    for mark in ('"""', "'''")
}
_ANEW = re.compile(r"(?:def|class|import|from|async def) \w|@\w|return\b|```")
_NAME = r"[A-Za-z_]\w*"
_DEFINITION = re.compile(
    rf"(?:async[ \t]+)?def[ \t]+(?P<def>{_NAME})|class[ \t]+(?P<class>{_NAME})\s*[(:]"
)
_IMPORT = re.compile(
    r"import[ \t]+[\w.]+(?:[ \t]*,|[ \t]+as\b|[ \t]*(?:[#;]|$))|from[ \t]+[\w.]+[ \t]+import\b"
)
_TARGETS = re.compile(
    rf"(?P<name>{_NAME})[ \t]*(?::[^=]{{1,200}})?=(?!=)"
    rf"|[(\[]?{_NAME}[\w.,\[\]()'\" \t*-]*(?:[-+*/%&|^@]|//|\*\*|<<|>>)?=(?!=)"
)
_COMPOUND = re.compile(
    r"(?:if|for|while|try|with|match|async[ \t]+(?:for|with)|elif|else|except|finally)\b"
    r".*:[ \t]*(?:#.*)?\Z",
    re.DOTALL,
)
_SHORT_COMPOUND = re.compile(r"(?:if|for|while|with)\b[^:]*:[ \t]*[\w(]")
_GOES_ON = re.compile(r"(?:elif|else|except|finally)\b")
_CALL = re.compile(r"(?P<called>[A-Za-z_][\w.]*)[ \t]*\(")
_WORDS = re.compile(r"(?:del|global|pass|raise|return|yield|await|assert|nonlocal)\b")
_STRING = re.compile(r"[rRbBuUfF]{0,2}[\"']")
_GUARD = re.compile(r"if[ \t]*\(?[ \t]*(?:__name__|[\"']__main__)")
_USAGE = re.compile(
    r"assert\b|(?:print|input|exit|quit|main|check|display|run_tests?|tests?(?:_\w+)?)[ \t]*\("
    r"|sys\.(?:exit|stdout|stderr|stdin)|unittest\.main|doctest\.|pytest\.|>>>|\.\.\. "
)
_READS = re.compile(r"(?<![\w.])(?:input[ \t]*\(|sys\.stdin|sys\.argv)")
_NOTHING = re.compile(
    r"(?:pass|\.\.\.|raise[ \t]+NotImplementedError\b.*|import .*|[rRbBuUfF]{0,2}\"\")?\Z",
    re.DOTALL,
)


@dataclass(frozen=True)
class _Line:
    """A logical line: one statement, or the head of a compound one."""

    start: int
    end: int
    """Behind its end of line."""
    indent: str
    text: str
    """Without its indent and its end of line."""
    code: str
    """Like `text`, with strings emptied and without comments."""


@dataclass(frozen=True)
class _Statement:
    """A statement at the outermost level, with all its lines."""

    text: str
    lines: tuple[_Line, ...]
    kind: str
    """`import`, `definition`, `value`, `statement`, `usage` or `prose`."""
    name: str

    @property
    def has_body(self) -> bool:
        """Whether a definition does anything."""
        head = next(at for at, line in enumerate(self.lines) if _DEFINITION.match(line.text))
        if not self.lines[head].code.rstrip().endswith(":"):
            return True
        rest = [line.code.strip() for line in self.lines[head + 1 :]]
        return any(not _NOTHING.match(code) for code in rest)


def program(problem: Problem, found: Sequence[Block], *, continued: bool) -> str:
    """Return the candidate program.

    Args:
        problem: A problem in Python.
        found: The texts of the answer that may be code.
        continued: The answer goes on where the prompt ended.
    """
    texts = [_at_edge(block.text, problem.entry_point) for block in found]
    parts = [list(_statements(text, problem.entry_point)) for text in texts]
    stub = _stub_at(problem)
    main = _main(parts, problem)
    if main is None and stub is None:
        # MBPP under another name, or words only: the tests will tell.
        main = next((at for at, part in enumerate(parts) if _solid(part)), 0)
    if main is not None:
        kept = _kept(parts[main], problem)
        helpers = _helpers(kept, (part for at, part in enumerate(parts) if at != main), problem)
        head = problem.prompt[:stub] if stub is not None else ""
        return _assembled(head, helpers + kept)
    own = next((at for at, block in enumerate(found) if block.language == "python"), 0)
    prose = not continued and not found[own].fenced
    body, tail = _body(texts[own] if prose else found[own].text, prose=prose)
    below = _kept(list(_statements(tail, problem.entry_point)), problem)
    indent = _stub_indent(problem.prompt, stub or 0)
    return _assembled(problem.prompt.rstrip() + "\n" + _indented(body, indent), below)


def _main(parts: Sequence[Sequence[_Statement]], problem: Problem) -> int | None:
    """Return which text has the function: the first with a body that is not the buggy one."""
    ranks = []
    for at, part in enumerate(parts):
        for one in part:
            is_one = one.kind == "definition" or (
                # f = other_name; a local variable of a body may bear the function's name, too
                one.kind == "value" and ("lambda" in one.text or _solid(part))
            )
            if is_one and one.name == problem.entry_point:
                has_body = one.kind == "value" or one.has_body
                ranks.append(
                    (has_body, has_body and not is_buggy(one.text, problem, one.name), -at)
                )
    best = max(ranks, default=(False, False, 0))
    return -best[2] if best[0] else None


def _solid(part: Iterable[_Statement]) -> bool:
    return any(one.kind == "definition" for one in part)


def _kept(part: Sequence[_Statement], problem: Problem) -> list[_Statement]:
    """Return the statements of a program which is only called."""
    stub = _stub_at(problem)
    given = set() if stub is None else set(re.findall(r"(?m)^def (\w+)", problem.prompt[:stub]))
    solid = {one.name for one in part if one.kind == "definition" and one.has_body and one.name}
    found = []
    for one in part:
        if one.kind in ("usage", "prose"):
            continue
        # A stub of what stands elsewhere: the function again, or a helper of the prompt.
        is_stub = one.kind == "definition" and not one.has_body
        elsewhere = one.name in solid or one.name in given
        if not (is_stub and elsewhere):
            found.append(one)
    return found


def _helpers(
    kept: Sequence[_Statement], others: Iterable[Sequence[_Statement]], problem: Problem
) -> list[_Statement]:
    """Return what other texts define that the program needs: a helper shown on its own."""
    found: list[_Statement] = []
    there = {one.name for one in kept}
    used = set().union(*(_words(one) for one in kept)) if kept else set()
    for part in others:
        offered = {
            one.name: one
            for one in part
            if one.kind in ("definition", "value") and one.name not in {"", problem.entry_point}
        }
        wanted: set[str] = set()
        pending = [used]
        while pending:
            new = (pending.pop() & offered.keys()) - wanted - there
            wanted |= new
            pending.extend(_words(offered[name]) for name in new)
        if wanted:
            found += [
                one
                for one in part
                if one.kind == "import" or (one.name in wanted and offered.get(one.name) is one)
            ]
            there |= wanted
    return found


def _words(one: _Statement) -> set[str]:
    return set(re.findall(_NAME, " ".join(line.code for line in one.lines)))


def _assembled(head: str, kept: Sequence[_Statement]) -> str:
    """Return the program's text; what Python wants on top goes there."""
    first = [one.text for one in kept if one.text.startswith("from __future__")]
    rest = [one for one in kept if not one.text.startswith("from __future__")]
    texts = [one.text.rstrip() for one in rest]
    # An answer that says the prompt again has its helpers, too.
    if head.strip() and head.strip() not in "\n".join(one.text for one in rest):
        first.append(head.strip("\n"))
    pieces = first[:1] + [f"\n{text}" for text in first[1:]]
    for one, text in zip(rest, texts, strict=True):
        pieces += ["\n\n\n" if one.kind == "definition" else "\n"] if pieces else []
        pieces.append(text)
    return "".join(pieces).rstrip("\n") + "\n"


def _stub_at(problem: Problem) -> int | None:
    """Return where the stub of the function begins in the prompt, or None if it has none."""
    pattern = rf"^(?:async )?def {re.escape(problem.entry_point)}\b"
    found = list(re.finditer(pattern, problem.prompt, re.MULTILINE))
    return found[-1].start() if found else None


def _stub_indent(prompt: str, stub: int) -> str:
    """Return the indent of the body that the stub begins, four spaces where it begins none."""
    lines = list(_logical(prompt[stub:]))
    indented = next((line.indent for line in lines[1:] if line.text.strip() and line.indent), "")
    return indented or "    "


def _at_edge(text: str, entry_point: str) -> str:
    """Return a text whose function stands at the left edge, if it is only further in."""
    own = rf"(?:async )?def[ \t]+{re.escape(entry_point)}\b"
    if re.search(rf"^{own}", text, re.MULTILINE):
        return text
    found = re.search(rf"^(?P<indent>[ \t]+){own}", text, re.MULTILINE)
    if found is None or re.search(r"^class\b", text, re.MULTILINE):
        return text
    lines = text.split("\n")
    return "\n".join(line.removeprefix(found["indent"]) for line in lines)


def _logical(text: str) -> Iterator[_Line]:
    """Yield the logical lines of a text, empty ones left out.

    Brackets that are never closed hold it up only as far as a line that can stand in none.
    """
    depth = 0
    start = at = 0
    code: list[str] = []
    copied = 0
    while at < len(text):
        match = _TOKEN.search(text, at)
        token = match[0] if match else "\n"
        here, at = (match.start(), match.end()) if match else (len(text), len(text))
        if token in _QUOTES:
            inner = _QUOTES[token].match(text, at)
            at = inner.end() if inner else len(text)
        if token[0] in "\"'":
            code += [text[copied:here], '""']
            copied = at
        elif token[0] == "#" or token[0] == "\\":
            code += [text[copied:here], " "]
            copied = at
        elif token in "([{":
            depth += 1
        elif token in ")]}":
            depth = max(0, depth - 1)
        elif token == "\n" and (not depth or _ANEW.match(text, at)):
            code.append(text[copied:here])
            yield from _line(text, start, at, "".join(code))
            start = copied = at
            code, depth = [], 0
    if start < len(text):
        code.append(text[copied:])
        yield from _line(text, start, len(text), "".join(code))


def _line(text: str, start: int, end: int, code: str) -> Iterator[_Line]:
    whole = text[start:end].rstrip("\n")
    bare = whole.lstrip(" \t\f")
    if bare.strip():
        yield _Line(start, end, whole[: len(whole) - len(bare)], bare, code.lstrip(" \t\f"))


def _statements(text: str, entry_point: str) -> Iterator[_Statement]:
    """Yield the statements at the outermost level; prose comes line by line."""
    group: list[_Line] = []
    comments: list[_Line] = []
    """At the edge, perhaps inside the group's body."""
    leads = decorated = False
    """The group has only decorators and comments so far; it has a decorator."""
    called = re.compile(rf"(?<![\w.]){re.escape(entry_point)}[ \t]*\(")
    for line in _logical(text):
        goes_on = bool(line.indent) or bool(_GOES_ON.match(line.text) and group)
        if group and not leads and not line.indent and line.text[0] == "#":
            comments.append(line)
            continue
        if goes_on:
            group += comments
        elif comments:
            yield _statement(text, group, called)
            group, leads, decorated = comments, True, False
        comments = []
        may_lead = leads and (decorated or _leads_to(group[-1], line))
        if group and not goes_on and not may_lead:
            yield _statement(text, group, called)
            group = []
        first = not group
        group.append(line)
        leads = (first or leads) and not line.indent and line.text[0] in "@#"
        decorated = leads and ((decorated and not first) or line.text[0] == "@")
    if group:
        yield _statement(text, group, called)
    if comments:
        yield _statement(text, comments, called)


def _leads_to(comment: _Line, line: _Line) -> bool:
    """Say whether a comment right above a line belongs to it."""
    leads = line.text[0] in "@#" or bool(_DEFINITION.match(line.text))
    return comment.end == line.start and leads


def _statement(text: str, group: Sequence[_Line], called: re.Pattern[str]) -> _Statement:
    kind, name = _judge(group, called)
    return _Statement(text[group[0].start : group[-1].end].rstrip("\n"), tuple(group), kind, name)


def _judge(group: Sequence[_Line], called: re.Pattern[str]) -> tuple[str, str]:
    """Return the kind of a statement, and the name that it defines."""
    for line in group:
        found = _DEFINITION.match(line.text)
        if found and not line.indent:
            return "definition", found["def"] or found["class"]
        if line.text[0] not in "@#":
            break
    first = next((line for line in group if line.text[0] not in "@#"), group[0])
    if first.indent:
        return "prose", ""  # a body without its head
    head = first.code
    if _IMPORT.match(head):
        return "import", ""
    if _GUARD.match(first.text) or _USAGE.match(head):
        return "usage", ""
    target = _TARGETS.match(head)
    known = target or _COMPOUND.match(head) or _SHORT_COMPOUND.match(head) or _WORDS.match(head)
    if not known and not _is_call(head) and not _is_string(first) and head[:1].strip():
        return "prose", ""
    name = (target["name"] or "") if target else ""
    makes = bool(target) and ("lambda" in head)
    if not makes and any(called.search(line.code) or _READS.search(line.code) for line in group):
        return "usage", ""
    return ("value" if target else "statement"), name


def _is_call(head: str) -> bool:
    return bool(_CALL.match(head)) and head.rstrip(" \t;")[-1:] in (")", "]")


def _is_string(line: _Line) -> bool:
    """Say whether a line is a string on its own, as a module's docstring."""
    return bool(_STRING.match(line.text)) and not line.code.strip('rRbBuUfF" \t')


def _body(text: str, *, prose: bool) -> tuple[list[_Line], str]:
    """Return the lines of a function's body, moved to no edge, and the text behind it."""
    lines = list(_logical(text))
    if prose:
        lines = _without_prose(lines)
    if not lines:
        return [], ""
    inner = [at for at, line in enumerate(lines) if line.indent]
    whole = any(_depth(lines[at].indent) for at in inner) and _first_is_cut(lines)
    if not lines[0].indent and not whole:
        # At the left edge as a whole: up to what can be in no body.
        return _up_to_definition(lines, text)
    behind = next((at for at, line in enumerate(lines) if at and not line.indent), len(lines))
    return lines[:behind], text[lines[behind].start :] if behind < len(lines) else ""


def _up_to_definition(lines: list[_Line], text: str) -> tuple[list[_Line], str]:
    for at, line in enumerate(lines):
        if _GUARD.match(line.text) and not line.indent:
            return lines[:at], text[line.start :]
    return lines, ""


def _depth(indent: str) -> int:
    return len(indent.expandtabs(8))


def _first_is_cut(lines: Sequence[_Line]) -> bool:
    """Say whether the first line alone has lost its indent, as it does where answers are stripped.

    Its next line is then deeper without a reason, or by two steps.
    """
    if len(lines) < 2 or not lines[1].indent:
        return False
    if not lines[0].code.rstrip().endswith(":"):
        return True
    following = [_depth(line.indent) for line in lines[1:] if line.indent]
    least = min(following)
    return _depth(lines[1].indent) > least or (
        _depth(lines[1].indent) == 8 and all(line.indent for line in lines[1:])
    )


def _without_prose(lines: Sequence[_Line]) -> list[_Line]:
    """Return the lines from the first that is no prose to the last."""
    code = [at for at, line in enumerate(lines) if line.indent or not is_prose(line.text)]
    return list(lines[code[0] : code[-1] + 1]) if code else []


def _indented(body: Sequence[_Line], indent: str) -> str:
    """Return a body at the stub's indent; lines inside strings and brackets stay as they are."""
    if not body:
        return ""
    base = body[0].indent
    rest = [line.indent for line in body[1:]]
    if len(body) > 1:
        opens = body[0].code.rstrip().endswith(":")
        if not opens and rest[0] != base and len(rest[0]) > len(base):
            base = rest[0]  # the first line has lost its own, or a part of it
        elif opens and (_first_is_cut(body) or any(len(one) > len(base) for one in rest)):
            shallow = min(rest, key=len)
            base = shallow if len(base) < len(shallow) < len(rest[0]) else base
            if base == body[0].indent and _first_is_cut(body):
                base = indent
    moved = [indent + body[0].text]
    for line in body[1:]:
        inner = line.indent[len(base) :] if line.indent.startswith(base) else ""
        moved.append(indent + inner + line.text)
    return "\n".join(moved)
