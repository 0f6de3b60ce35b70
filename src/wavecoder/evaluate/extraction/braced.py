"""The candidate program in JavaScript, Java, Go, C++ and Rust.

It is what the prompt gives (imports, helpers, the stub) and what the answer adds. Where both define
a name the answer's stands, as most of these languages refuse a name that is defined twice. What the
answer holds is never altered, only left out: another program's frame (`package main`, `func main`),
tests of its own, examples of use, prose.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from wavecoder.evaluate.extraction.blocks import Block, is_buggy, is_prose
from wavecoder.evaluate.extraction.items import Item, Kind, bare, items, open_braces
from wavecoder.evaluate.extraction.uses import go_imports, imported, rust_uses
from wavecoder.records import Problem

__all__ = ["program"]

_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_FUNCTION = re.compile(r"=>|\bfunc(?:tion)?\b")
_GO_TEST = re.compile(r"(?:Test|Example|Benchmark|Fuzz)(?:[A-Z_]\w*)?$")
_RUST_TEST = re.compile(r"#\[(?:cfg\(test\)|test)\]")
_JS_USAGE = re.compile(
    r"\bconsole\s*\.|\bprocess\s*\.|\brequire\.main\b|^\s*(?:describe|test|it)\s*\(", re.MULTILINE
)
_JS_EXPORTS = re.compile(
    r"^\s*(?:module\.exports|exports\.|export\s*(?:\{|default\s+\w+\s*;?\s*$))"
)
_EXPORT = re.compile(r"^export\s+(?:default\s+)?", re.MULTILINE)


def program(problem: Problem, found: Sequence[Block], *, continued: bool) -> str:
    """Return the candidate program.

    Args:
        problem: A problem in one of the five languages.
        found: The texts of the answer that may be code.
        continued: The answer goes on where the prompt ended.
    """
    if not continued or any(_defines(block.text, problem) for block in found):
        ranked = _ranked(problem, found)
        if ranked is not None:
            main, others = ranked
            answer = _kept(_items(main, problem), problem, fenced=main.fenced)
            head = _head(problem)
            # In front: C++ wants a function declared before it is called.
            answer = _from_others(head, answer, others, problem) + answer
            return _assembled(head, answer, problem, main.text)
    return _with_body(problem, found, continued=continued)


def _with_body(problem: Problem, found: Sequence[Block], *, continued: bool) -> str:
    """Return the prompt with the answer as its function's body, and what the answer has behind it.

    Braces that are missing at the function's end are put there.
    """
    language = problem.language
    block = next((one for one in found if one.language == language), found[0])
    body = block.text if block.fenced or continued else _without_prose(block.text)
    text = problem.prompt + "\n" * (problem.prompt[-1:] != "\n") + body
    listed = items(text, language)
    own = next((at for at, item in enumerate(listed) if _holds(item, problem)), len(listed) - 1)
    function, tail = listed[own], listed[own + 1 :]
    end = "" if function.closed else "\n" + "}\n" * open_braces(text, language)
    tail = _kept(tail, problem, fenced=block.fenced and not continued)
    tail = _new(listed[: own + 1], _needed([function], tail) if continued else tail)
    if language == "go":
        closed = replace(function, text=function.text + end, code=function.code + end)
        head = [item for item in listed[:own] if item.kind is not Kind.OTHER]
        return _assembled([*head, closed], tail, problem, body)
    return _joined([text[: function.end] + end, *(item.text for item in tail)])


def _name(problem: Problem) -> str:
    """Return the function's name; a dozen of HumanEvalPack's rows give another as entry point."""
    return _stub_name(problem.prompt, problem.language) or problem.entry_point


@lru_cache(maxsize=64)
def _stub_name(prompt: str, language: str) -> str:
    """Return what the prompt's last function is called, which has no body yet."""
    last = next(reversed(items(prompt, language)), None)
    if last is not None and language == "java" and last.kind is Kind.TYPE:
        last = next(reversed(_members(last)), None)
    return last.name if last is not None and not last.closed else ""


def _defines(text: str, problem: Problem) -> bool:
    """Say whether a text defines the problem's function."""
    return any(_holds(item, problem) for item in items(text, problem.language))


def _holds(item: Item, problem: Problem) -> bool:
    """Say whether an item is the problem's function, or the class with it."""
    return _own(item, problem) is not None


def _own(item: Item, problem: Problem) -> Item | None:
    """Return the problem's function in an item: itself, or a method of the class that it is."""
    is_one = item.kind is Kind.FUNCTION or (item.kind is Kind.VALUE and _FUNCTION.search(item.code))
    if is_one and item.name == _name(problem):
        return item
    if problem.language == "java" and item.kind is Kind.TYPE:
        return next((one for one in _members(item) if one.name == _name(problem)), None)
    return None


def _members(item: Item) -> list[Item]:
    """Return what a Java class holds."""
    if item.body is None:
        return []
    inner = item.code[item.body + 1 :]
    if item.closed:
        inner = inner[: inner.rfind("}")]
    return items(inner, "java")


def _items(block: Block, problem: Problem) -> list[Item]:
    """Return a block's items, without a stub of the function where it is there whole."""
    listed = items(block.text, problem.language)
    own = [item for item in listed if _holds(item, problem)]
    if len(own) < 2:
        return listed
    best = max(own, key=lambda item: _worth(item, problem))
    return [item for item in listed if item is best or not _holds(item, problem)]


def _worth(item: Item, problem: Problem) -> tuple[bool, bool, bool]:
    """Say how much of a solution an item is: it has a body, not the buggy one, to the end."""
    own = _own(item, problem)
    if own is None:
        return False, False, False
    has_body = own.has_body(problem.language)
    return has_body, has_body and not is_buggy(own.code, problem, own.name), has_body and own.closed


def _ranked(problem: Problem, found: Sequence[Block]) -> tuple[Block, list[Block]] | None:
    """Return the block with the function and the others, or None where no block has it."""
    worths = []
    for at, block in enumerate(found):
        own = [one for item in items(block.text, problem.language) if (one := _own(item, problem))]
        if own:
            has_body, right, closed = max(_worth(item, problem) for item in own)
            # The fault may be in a helper behind the function.
            right = right and (len(own) > 1 or not is_buggy(block.text, problem, own[0].name))
            worths.append(((has_body, right, closed), -at))
    if not worths or not max(worths)[0][0]:
        return None
    best = -max(worths)[1]
    return found[best], [block for at, block in enumerate(found) if at != best]


def _kept(listed: Iterable[Item], problem: Problem, *, fenced: bool) -> list[Item]:
    """Return the items that belong to a program which is only called."""
    return [item for item in listed if not _is_left_out(item, problem, fenced=fenced)]


def _is_left_out(item: Item, problem: Problem, *, fenced: bool) -> bool:
    language = problem.language
    if item.kind is Kind.PACKAGE:
        return True
    if item.kind is Kind.OTHER and not fenced:
        return True
    if language == "java":
        is_frame = item.name == "Main" and not _holds(item, problem)
        return item.kind is Kind.TYPE and (is_frame or "@Test" in item.text)
    if item.kind is Kind.FUNCTION and item.name == "main" and _name(problem) != "main":
        return language != "javascript"
    if language == "go":
        return item.kind is Kind.FUNCTION and _GO_TEST.match(item.name) is not None
    if language == "rust":
        lead = item.text[: len(item.text) - len(item.code)]
        return item.name == "tests" or _RUST_TEST.search(lead) is not None
    if language == "javascript" and item.kind in (Kind.OTHER, Kind.VALUE):
        if item.name == _name(problem):
            return False
        code = bare(item.code, language)
        called = re.search(rf"(?<![\w$.]){re.escape(_name(problem))}\s*\(", code)
        return bool(called or _JS_USAGE.search(code) or _JS_EXPORTS.match(code))
    return False


def _from_others(
    head: Sequence[Item], answer: Sequence[Item], others: Iterable[Block], problem: Problem
) -> list[Item]:
    """Return what other blocks define that the answer needs: a helper shown on its own."""
    found: list[Item] = []
    for block in others:
        listed = [item for item in items(block.text, problem.language) if item.closed]
        kept = _kept(listed, problem, fenced=False)
        kept = [item for item in kept if not _holds(item, problem)]
        needed = _needed(answer, [item for item in kept if item.kind is not Kind.IMPORT])
        needed = _new([*head, *answer, *found], needed)
        if needed:
            found += [item for item in kept if item.kind is Kind.IMPORT]
        found += needed
    return found


def _needed(using: Iterable[Item], offered: Sequence[Item]) -> list[Item]:
    """Return those of the offered items that the others name, directly or through one another."""
    named = {item.name: item for item in offered if item.name}
    wanted: set[str] = set()
    pending = [item.code for item in using]
    while pending:
        new = (set(_WORD.findall(pending.pop())) & named.keys()) - wanted
        wanted |= new
        pending.extend(named[name].code for name in new)
    return [item for item in offered if item.name in wanted and named[item.name] is item]


def _new(there: Iterable[Item], more: Iterable[Item]) -> list[Item]:
    """Return those of `more` whose names are not defined yet."""
    names = {item.name for item in there}
    return [item for item in more if not item.name or item.name not in names]


def _head(problem: Problem) -> list[Item]:
    """Return what the prompt gives in front of the stub; in Java the stub's class, too."""
    listed = items(problem.prompt, problem.language)
    return [item for item in listed if item.kind is not Kind.OTHER and not _is_stub(item, problem)]


def _is_stub(item: Item, problem: Problem) -> bool:
    return item.name == _name(problem) and item.kind is Kind.FUNCTION


def _assembled(head: Sequence[Item], answer: Sequence[Item], problem: Problem, whole: str) -> str:
    """Return the program's text: imports, what the prompt gives, what the answer adds.

    Args:
        head: The prompt's items.
        answer: The answer's items that are kept.
        problem: Its language decides what may be said twice.
        whole: All that the answer held.
    """
    language = problem.language
    if language == "java":
        return _java(head, answer, problem)
    given = {item.name for item in head if item.kind is Kind.FUNCTION}
    answer = [
        item
        for item in answer
        if item.name not in given or item.name == _name(problem) or item.has_body(language)
    ]
    names = {item.name for item in answer if item.name}
    if language == "javascript":
        names |= {
            name for item in answer if item.kind is Kind.VALUE for name in imported(item.code)
        }
        answer = [replace(item, text=_EXPORT.sub("", item.text, count=1)) for item in answer]
    head = [item for item in head if not (item.name and item.name in names)]
    if language == "go":
        code = [item for item in (*head, *answer) if item.kind is not Kind.IMPORT]
        first = go_imports(
            [item.code for item in head if item.kind is Kind.IMPORT],
            [item.code for item in answer if item.kind is Kind.IMPORT],
            program=bare("\n".join(item.code for item in code), language),
            whole=bare(whole, language),
        )
        return _joined([first, *(item.text for item in code)])
    if language == "rust":
        head = rust_uses(head, answer)
        inner = [item.text for item in answer if item.text.lstrip().startswith("#![")]
        if inner:
            lines = [line for text in inner for line in text.split("\n") if line.startswith("#![")]
            rest = [
                "\n".join(line for line in item.text.split("\n") if not line.startswith("#!["))
                for item in answer
            ]
            return _joined([*lines, *(item.text for item in head), *rest])
    return _joined(item.text for item in (*head, *answer))


def _joined(texts: Iterable[str]) -> str:
    """Return texts with an empty line between them, none between directives of one line."""
    pieces: list[str] = []
    for text in texts:
        text = text.strip("\n")
        if not text.strip():
            continue
        if pieces:
            short = "\n" not in text and "\n" not in pieces[-1] and "{" not in text
            pieces.append("\n" if short else "\n\n")
        pieces.append(text)
    return "".join(pieces) + "\n"


def _java(head: Sequence[Item], answer: Sequence[Item], problem: Problem) -> str:
    """Return a Java program: the prompt's class with the answer's members, other classes behind."""
    given = next((item for item in head if item.kind is Kind.TYPE), None)
    name = given.name if given else "Solution"
    theirs = next((item for item in answer if _holds(item, problem) and _is_type(item)), None)
    members = [item for item in answer if not _is_outermost(item)]
    others = [item for item in answer if _is_type(item) and item is not theirs]
    if theirs is None and members:
        # Methods alone; a class among them belongs to them.
        frame = f"class {name} {{", "}"
    elif theirs is not None and theirs.body is not None:
        opening = _unpublic(theirs.code[: theirs.body + 1])
        inner = theirs.code[theirs.body + 1 :]
        frame = opening, inner
        if theirs.name != name:
            renamed = re.compile(rf"\b{re.escape(theirs.name)}\b")
            frame = renamed.sub(name, opening), renamed.sub(name, inner)
    else:
        return _joined(item.text for item in (*head, *answer))
    own = members if theirs is None else _members(theirs)
    names = {item.name for item in own if item.name and item.has_body("java")}
    helpers = [] if given is None or given is theirs else _members(given)
    helpers = [
        item
        for item in helpers
        if item.kind is not Kind.OTHER and item.name not in names | {_name(problem)}
    ]
    inside = [item.text.strip("\n") for item in helpers]
    if theirs is None:
        inside += [item.text.strip("\n") for item in members]
    body = "\n\n".join(inside)
    text = f"{frame[0]}\n{body}\n{frame[1]}" if body else f"{frame[0]}{frame[1]}"
    imports = [item.code for item in (*head, *answer) if item.kind is Kind.IMPORT]
    outside = [_unpublic(item.text) for item in others if item.name != name]
    return _joined([*dict.fromkeys(one.strip() for one in imports), text, *outside])


def _is_type(item: Item) -> bool:
    return item.kind is Kind.TYPE


def _is_outermost(item: Item) -> bool:
    """Say whether an item may stand outside a Java class."""
    return item.kind in (Kind.TYPE, Kind.IMPORT, Kind.PACKAGE)


def _unpublic(text: str) -> str:
    """Return a class that may stand in the tests' file, which has its public class."""
    return re.sub(
        r"^(\s*(?:@\w+\s+)*)public\s+(?=(?:(?:final|abstract|static)\s+)*(?:class|interface|enum|record)\b)",
        r"\1",
        text,
        count=1,
        flags=re.MULTILINE,
    )


def _without_prose(text: str) -> str:
    """Return an answer without fences from its first line that is no prose to its last."""
    lines = text.split("\n")
    code = [at for at, line in enumerate(lines) if line.strip() and not is_prose(line)]
    return "\n".join(lines[code[0] : code[-1] + 1]) if code else ""
