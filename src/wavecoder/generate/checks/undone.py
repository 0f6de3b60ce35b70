"""Rules on work left undone: placeholders, empty bodies, nothing that runs."""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise

from wavecoder.generate.checks.draft import (
    Check,
    Draft,
    Problem,
    quoted,
    read_leaves,
    read_signatures,
)
from wavecoder.generate.checks.syntax import syntax_issue
from wavecoder.languages import LANGUAGES, Leaf, parse

__all__ = ["CHECKS"]

_PLACEHOLDER = re.compile(
    r"\b(?i:(?:your|rest of the|remaining) (?:code|implementation|logic))\b|"
    r"\b(?:TODO|FIXME)\b|"
    r"\b(?i:not (?:yet )?implemented)\b|"
    r"\b(?i:(?:code|implementation|logic) (?:goes|comes) here)\b|"
    r"\b(?i:(?:implement|complete|fill in) (?:this|me|here|the (?:function|method|rest|logic)))\b|"
    r"^[\s/#*]*\.\.\.[\s/*]*$"
)
_SAYS_UNDONE = re.compile(
    r"not (?:yet )?(?:been )?(?:implemented|supported yet)|unimplemented|\A.todo\b|implement me",
    re.IGNORECASE,
)
# What makes a program stop with a message.
_STOPS = frozenset({"throw", "panic", "raise", "die", "abort", "fail", "Error", "Exception"})
_UNDONE_TYPES = frozenset(
    {"NotImplementedError", "NotImplementedException", "UnsupportedOperationException"}
)
_THROWS = frozenset({"raise", "throw", "new", "return"})
_BEGINS = frozenset({"{", ":", ")", "begin", "=>"})
# One case of several, or a class that leaves a method to those that inherit.
_CASES = frozenset(
    {"if", "else", "elif", "case", "default", "switch", "unless", "when", "except", "catch",
     "match", "abstract", "interface", "trait"}
)  # fmt: skip
_CLASSES = frozenset({"class", "module", "struct", "impl"})
# A program's own machinery, and functions that are there to do nothing.
_MAY_BE_EMPTY = re.compile(
    r"(?i:main|init|constructor|initialize|no_?op|ignore\w*|drop|set_?up|tear_?down)|~\w+|__\w+__"
)


def _placeholder(draft: Draft) -> Problem | None:
    if not draft.writes_code:
        return None
    code, name = draft.solution, draft.assignment.solution_language
    found = next(_left_undone(code, name), None)
    if found is None:
        return None
    return Problem(f"the solution leaves work undone: {quoted(found[0])}", "solution", found[1])


def _left_undone(code: str, name: str) -> Iterator[tuple[str, int]]:
    """Yield what stands where code should, and its line."""
    found = read_leaves(code, name)
    for leaf in found:
        match = _PLACEHOLDER.search(leaf.text) if leaf.is_comment else None
        if match:
            yield match[0].strip(), leaf.line + leaf.text.count("\n", 0, match.start())
    plain = [leaf for leaf in found if not leaf.is_comment]
    if name == "rust":
        for leaf, after in pairwise(plain):
            if leaf.text in ("unimplemented", "todo") and after.text == "!":
                yield f"{leaf.text}!", leaf.line
    yield from _stops_at_once(plain, alone=len(read_signatures(code, name)) == 1)
    if name == "python":
        yield from _empty_python(code)
    elif syntax_issue(code, name) is None:
        yield from _empty(code, name)


def _stops_at_once(found: Sequence[Leaf], *, alone: bool) -> Iterator[tuple[str, int]]:
    """Yield what is thrown only to say that there is nothing yet.

    Args:
        found: The tokens.
        alone: There is one function, so that a class leaves nothing to others.
    """
    several = {one.text for one in found} & (_CASES if alone else _CASES | _CLASSES)
    for at, leaf in enumerate(found):
        said = found[max(at - 4, 0) : at]
        if leaf.text[:1] in "\"'`" and _SAYS_UNDONE.search(leaf.text):
            if any(one.text in _STOPS or one.text[-5:] in ("Error", "ption") for one in said):
                yield leaf.text, leaf.line
        elif leaf.text in _UNDONE_TYPES:
            # As a whole body: right behind its beginning. Deeper, it refuses one case of several.
            # A doc comment may stand between.
            before = [one.text for one in said if one.text not in _THROWS and one.text[0] != '"']
            begins = (before[-1:] and before[-1] in _BEGINS) or before[-2:-1] == ["def"]
            if begins and not several:
                yield leaf.text, leaf.line


def _empty_python(code: str) -> Iterator[tuple[str, int]]:
    """Yield functions that do nothing. In a class, or under a decorator, there may be a reason."""
    with warnings.catch_warnings(action="ignore"):
        try:
            module = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
    for function in module.body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        if not function.decorator_list and all(_does_nothing(line) for line in body):
            yield f"{function.name} has an empty body", function.lineno


def _does_nothing(line: ast.stmt) -> bool:
    dots = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
    return dots or isinstance(line, ast.Pass)


def _empty(code: str, name: str) -> Iterator[tuple[str, int]]:
    for one in read_signatures(code, name):
        if one.empty and one.outer and not one.member and not _MAY_BE_EMPTY.fullmatch(one.name):
            yield f"{one.name} has an empty body", one.line


# Node types, in any grammar, of what happens when code runs.
_RUNS = re.compile(
    r"call|invocation|macro|if_|for_|foreach|while|loop|match_|switch|return|throw|raise|binary|"
    r"object_creation|new_expression|comprehension|command|yield|unary|augmented|update_expression"
)


def _nothing_to_run(draft: Draft) -> Problem | None:
    if not draft.writes_code:
        return None
    code, name = draft.solution, draft.assignment.solution_language
    if syntax_issue(code, name) is not None or read_signatures(code, name):
        return None
    row = LANGUAGES[name]
    pending = [parse(code, name).root_node]
    while pending:
        node = pending.pop()
        if node.type in row.functions or _RUNS.search(node.type) or node.type == "lambda":
            return None
        pending.extend(node.named_children)
    what = "the solution has nothing that runs: no function, no call and no statement that decides"
    return Problem(what, "solution", 1)


CHECKS = (
    Check("placeholder", _placeholder),
    Check("nothing_to_run", _nothing_to_run),
)
