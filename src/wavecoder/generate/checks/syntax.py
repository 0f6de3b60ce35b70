"""Is a text code of a language, of another, of two, or of none?"""

import re
import warnings

from tree_sitter import Node

from wavecoder.languages import LANGUAGES, language, syntax_errors
from wavecoder.languages.syntax import read
from wavecoder.languages.telling import foreign_sign

__all__ = ["other_language", "syntax_issue", "syntax_problem", "two_languages"]

_MOST_OTHERS = 3

_JAVASCRIPT_FUNCTIONS = {
    "arrow_function",
    "class_static_block",
    "function_declaration",
    "function_expression",
    "generator_function",
    "generator_function_declaration",
    "method_definition",
}

_TYPEID = re.compile(r"(\btypeid\s*\()([\w :*&]+)(?=\))")

Found = tuple[str, int]
"""What is wrong, and on which line."""


def syntax_problem(code: str, name: str) -> str | None:
    """Return why a solution is no code of the language `name`, in a sentence; None where it is."""
    found = other_language(code, name)
    if found is None:
        found = syntax_issue(code, name)
        if found is None:
            return None
        found = f"the solution is no {language(name).title}: {found[0]}", found[1]
    return f"{found[0]} (line {found[1]})"


def syntax_issue(code: str, name: str) -> Found | None:
    """Return the first place where code breaks the rules of the language `name`, or None."""
    if name == "cpp":  # the grammar has no `typeid(int)`
        code = _TYPEID.sub(lambda match: match[1] + "_" * len(match[2]), code)
    issues = syntax_errors(code, name)
    if issues:
        return issues[0].what, issues[0].line
    # The grammar takes `print 'x'`, an argument twice and a bad indent; the compiler does not.
    if name == "python":
        return _compile_error(code)
    return _misplaced(code, name) if name in ("javascript", "typescript") else None


def other_language(code: str, name: str) -> Found | None:
    """Return which language code is in where that is not `name`; None where it is, or in none.

    Code that `name` does not take is in another language where that takes it without a sign against
    it. Code that `name` takes is in another one where there is a sign that it is.
    """
    wanted = language(name).title
    if syntax_issue(code, name) is None:
        sign = foreign_sign(code, name)
        return (f"the solution is no {wanted}: {sign.what}", sign.line) if sign else None
    others = _readable(code, besides=name)
    # `return 1` is code of many languages, and `print 'x'` Python that was not finished.
    if not others or len(others) > _MOST_OTHERS or len(code.strip().split("\n")) < 2:
        return None
    return f"the solution is {' or '.join(others)}; {wanted} is asked for", 1


# Halves of fewer lines fit too many languages.
_FEWEST_LINES = 3


def two_languages(code: str, name: str) -> Found | None:
    """Return where another language begins or ends in code, none of which takes all of it, or None.

    It is cut before lines that stand at the left edge; one side must be code of `name`, the other
    of another language and not of this one.
    """
    if syntax_issue(code, name) is None or _readable(code, besides=name):
        return None
    lines = code.split("\n")
    cuts = [
        at for at in range(1, len(lines)) if lines[at][:1].strip() and lines[at][:1] not in ")}]"
    ]
    for at in cuts[:40]:
        halves = "\n".join(lines[:at]).strip("\n"), "\n".join(lines[at:]).strip("\n")
        if min(len(half.split("\n")) for half in halves) < _FEWEST_LINES:
            continue
        for own, other in (halves, halves[::-1]):
            if syntax_issue(own, name) is None and syntax_issue(other, name) is not None:
                found = _readable(other, besides=name)
                if found:
                    wanted = language(name).title
                    line = at + 1 if own is halves[0] else 1
                    return f"the solution is {wanted} and {' or '.join(found)} in one", line
    return None


def _readable(code: str, *, besides: str) -> list[str]:
    """Return the titles of the languages that take code without a sign against it."""
    return [
        row.title
        for row in LANGUAGES.values()
        if row.name != besides
        and syntax_issue(code, row.name) is None
        and foreign_sign(code, row.name) is None
    ]


def _misplaced(code: str, name: str) -> Found | None:
    """Return the first `yield`, `await` or `return` that stands where it may not, or None.

    The grammar takes them anywhere; JavaScript takes `yield` in a `function*` only, `await` in an
    `async` function or outside of all, and `return` in a function.
    """
    reading = read(code, name)
    # (node, the nearest function around it: its node, or None)
    pending: list[tuple[Node, Node | None]] = [(reading.tree.root_node, None)]
    while pending:
        node, around = pending.pop()
        marks = {child.type for child in around.children} if around is not None else set()
        wrong = {
            "yield_expression": "*" not in marks,
            "await_expression": around is not None and "async" not in marks,
            "return_statement": around is None,
        }
        if wrong.get(node.type, False):
            word = node.type.partition("_")[0]
            inside = "outside of a function" if word == "return" else "in a function that has none"
            return f"{word} {inside}", node.start_point.row + 1
        inner = node if node.type in _JAVASCRIPT_FUNCTIONS else around
        pending.extend((child, inner) for child in reversed(node.children))
    return None


def _compile_error(code: str) -> Found | None:
    with warnings.catch_warnings(action="ignore"):
        try:
            compile(code, "solution", "exec", dont_inherit=True)
        except SyntaxError as error:
            return error.msg, error.lineno or 1
        except (ValueError, RecursionError, MemoryError) as error:
            return f"it does not compile, {type(error).__name__}", 1
    return None
