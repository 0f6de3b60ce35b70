"""Checks by program that a draft must pass before the discriminator is asked; they cost nothing.

Each takes a draft and returns None, or one sentence that says what is wrong. To add one: write the
function and put it into `CHECKS` under its slug.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from wavecoder.generate.bugs import changed_lines
from wavecoder.generate.generator import Assignment
from wavecoder.generate.sections import Sections, fences
from wavecoder.languages import (
    language,
    language_named,
    leaves,
    names_language,
    outside_names,
    syntax_errors,
    tokens,
)
from wavecoder.records import Example

__all__ = ["CHECKS", "Draft", "first_failure", "syntax_problem"]


@dataclass(frozen=True)
class Draft:
    """What a generator wrote for an assignment, cut into sections."""

    assignment: Assignment
    sections: Sections
    shown: Sequence[Example]
    """The good examples that were in the prompt."""

    @property
    def solution(self) -> str:
        """The solution as it stands in the instance: the program's, or the model's unfenced."""
        task = self.assignment.task
        if task.solution == "raw_code":
            return self.assignment.raw_code.code
        blocks = fences(self.sections.solution)
        if task.solution_is == "code" and len(blocks) == 1:
            return blocks[0].body
        return self.sections.solution

    @property
    def information(self) -> str | None:
        """The information as it stands in the instance: the program's, or the model's."""
        if self.assignment.task.information == "generator":
            return self.sections.information
        return self.assignment.information


def _instruction_length(draft: Draft) -> str | None:
    # Code Alpaca's bounds on an instruction: more than 3 and at most 150 words.
    words = len(draft.sections.instruction.split())
    if 3 < words <= 150 and "\n\n" not in draft.sections.instruction:
        return None
    return f"the instruction has {words} words in one paragraph or more; 4 to 150 in one are right"


def _names_language(draft: Draft) -> str | None:
    wanted = [draft.assignment.raw_code.language]
    if draft.assignment.target_language:
        wanted.append(draft.assignment.target_language)
    titles = [
        language(name).title
        for name in wanted
        if not names_language(draft.sections.instruction, name)
    ]
    return f"the instruction does not name {' and '.join(titles)}" if titles else None


# "The given function" may well be a parameter; code that is above, below or shown cannot be one.
_LEANS = re.compile(
    r"\b(?:(?:function|code|method|class|snippet) (?:above|below|shown)|"
    r"(?:above|shown|following) (?:function|code|method|class|snippet)|"
    r"(?:given|provided|original|real) (?:code|snippet)|real function)\b"
    r"(?! (?:signature|header|prototype|name)s?\b)",
    re.IGNORECASE,
)


def _stands_alone(draft: Draft) -> str | None:
    if draft.information is not None:
        return None
    match = _LEANS.search(draft.sections.instruction)
    return f"the instruction leans on what the reader does not see: {match[0]!r}" if match else None


def _code_only(draft: Draft) -> str | None:
    if draft.assignment.task.solution != "generator" or draft.assignment.task.solution_is != "code":
        return None
    text = draft.sections.solution
    blocks = fences(text)
    if not blocks:
        return None  # bare code: `syntax` tells it from prose
    if len(blocks) > 1:
        return f"the solution has {len(blocks)} code blocks; one is right"
    outside = (text[: blocks[0].start] + text[blocks[0].end :]).strip()
    return f"the solution has prose outside its code: {_quoted(outside)}" if outside else None


def _fence_language(draft: Draft) -> str | None:
    blocks = fences(draft.sections.solution)
    if draft.assignment.task.solution_is != "code" or len(blocks) != 1 or not blocks[0].tag:
        return None
    tagged = language_named(blocks[0].tag)
    wanted = draft.assignment.solution_language
    if draft.assignment.task.solution == "raw_code" or tagged is None or tagged.name == wanted:
        return None
    return f"the solution is marked as {tagged.title}; {language(wanted).title} is asked for"


def _syntax(draft: Draft) -> str | None:
    if draft.assignment.task.solution_is != "code":
        return None
    return syntax_problem(draft.solution, draft.assignment.solution_language)


def syntax_problem(code: str, name: str) -> str | None:
    """Return why a solution is no code of the language `name`, in a sentence; None where it is."""
    issues = syntax_errors(code, name)
    if issues:
        return f"the solution is no {language(name).title}: line {issues[0].line}, {issues[0].what}"
    # The grammar takes `print 'x'`, an argument twice and a bad indent; the compiler does not.
    problem = _compile_error(code) if name == "python" else None
    return f"the solution is no Python: {problem}" if problem else None


def _compile_error(code: str) -> str | None:
    with warnings.catch_warnings(action="ignore"):
        try:
            compile(code, "solution", "exec", dont_inherit=True)
        except SyntaxError as error:
            return f"line {error.lineno}, {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            return f"it does not compile, {type(error).__name__}"
    return None


_LAYOUT = re.compile(
    r"^\s*(?:[-*+#]|\d+\.)\s|^\s*(?:Args|Arguments|Parameters|Returns|Raises|Notes?):", re.M
)
# What a chatty model says when it is done.
_PLEASANTRY = re.compile(
    r"(?:^|[.!?]\s+)(?:(?:please )?let me know\b|(?:please )?feel free to\b|"
    r"(?:i )?hope (?:this|that|it)\b|would you like\b|"
    r"if you (?:have any|need (?:any|more|further)|would like|want me)\b)",
    re.IGNORECASE | re.MULTILINE,
)


def _prose_only(draft: Draft) -> str | None:
    if draft.assignment.task.solution_is != "prose":
        return None
    if "```" in draft.solution:
        return "the solution holds a code block; prose is asked for"
    if _LAYOUT.search(draft.solution):
        return "the solution holds a list or a heading; plain sentences are asked for"
    match = _PLEASANTRY.search(draft.solution)
    if match:
        said = draft.solution[match.start() :].lstrip(".!? \n")
        return f"the solution speaks to its reader at the end: {_quoted(said)}"
    words = len(draft.solution.split())
    return None if 8 <= words <= 200 else f"the solution has {words} words; 8 to 200 are right"


# `else:` or `return x` may well stand in a sentence.
_TELLING = 12


_ASKS_FOR_REPAIR = re.compile(
    r"\b(?:bugs?|fix|repair|correct|wrong|errors?|mistakes?|faults?|fails?|problems?|defects?)\b",
    re.IGNORECASE,
)


def _asks(draft: Draft) -> str | None:
    if draft.assignment.bug is None or _ASKS_FOR_REPAIR.search(draft.sections.instruction):
        return None
    return "the instruction does not say that something is wrong with the code"


def _gives_away(draft: Draft) -> str | None:
    if draft.assignment.bug is None:
        return None
    right, wrong = changed_lines(draft.assignment.raw_code.code, draft.assignment.bug.code)
    for line in (right, wrong):
        told = "".join(line.split())
        if len(told) >= _TELLING and told in "".join(draft.sections.instruction.split()):
            return f"the instruction quotes the line to find: {_quoted(line)}"
    return None


def _undefined_name(draft: Draft) -> str | None:
    if draft.assignment.task.solution != "generator" or draft.assignment.task.solution_is != "code":
        return None
    if re.search(r"^\s*from\s+\S+\s+import\s*\*", draft.solution, re.MULTILINE):
        return None  # any name may come from there
    names = outside_names(draft.solution, draft.assignment.solution_language)
    if not names:
        return None
    return f"the solution uses {', '.join(names)} and never defines or imports it"


_PLACEHOLDER = re.compile(
    r"\b(?i:(?:your|rest of the|remaining) (?:code|implementation|logic))\b|"
    r"\b(?:TODO|FIXME)\b|"
    r"\b(?i:not (?:yet )?implemented)\b|"
    r"\b(?i:(?:code|implementation|logic) (?:goes|comes) here)\b|"
    r"^[\s/#*]*\.\.\.[\s/*]*$"
)


def _placeholder(draft: Draft) -> str | None:
    if draft.assignment.task.solution != "generator" or draft.assignment.task.solution_is != "code":
        return None
    match = next(_left_undone(draft.solution, draft.assignment.solution_language), None)
    return f"the solution leaves work undone: {_quoted(match)}" if match else None


def _left_undone(code: str, name: str) -> Iterator[str]:
    """Yield what stands where code should: said in a comment, or a body that does nothing."""
    found = list(leaves(code, name))
    for leaf in found:
        match = _PLACEHOLDER.search(leaf.text) if leaf.is_comment else None
        if match:
            yield match[0].strip()
    if name == "rust":
        for leaf, after in pairwise(found):
            if leaf.text in ("unimplemented", "todo") and after.text == "!":
                yield f"{leaf.text}!"
    if name == "python" and _compile_error(code) is None:
        yield from _empty_functions(ast.parse(code))


def _empty_functions(module: ast.Module) -> Iterator[str]:
    # Inside a class, and under a decorator, a body may be empty for a reason.
    for function in module.body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        if not function.decorator_list and all(_does_nothing(line) for line in body):
            yield f"{function.name} has an empty body"


def _does_nothing(line: ast.stmt) -> bool:
    dots = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
    return dots or isinstance(line, ast.Pass)


def _differs(draft: Draft) -> str | None:
    assignment = draft.assignment
    if assignment.task.information == "generator" or assignment.task.solution_is != "code":
        return None
    if draft.information is None or assignment.target_language:
        return None
    name = assignment.solution_language
    if tokens(draft.information, name) == tokens(draft.solution, name):
        return "the solution is the information again, but for comments and spaces"
    return None


# Turns of phrase are shared by chance ("takes a list of strings and returns a new list"): it takes
# half of a draft in runs of `_RUN` words, or `_LONG_RUN` words on end, to call it copied.
_RUN = 8
_LONG_RUN = 14


def _copied(draft: Draft) -> str | None:
    task = draft.assignment.task
    # Where the program gives both sides, the instruction is all that is new; in a summary it is the
    # solution, and "Summarize f" may well recur.
    told = task.information == "generator" or task.solution == "raw_code"
    prose = told or task.solution_is == "prose"
    if not prose:
        own = tokens(draft.solution, draft.assignment.solution_language)
    runs = _runs(_words(draft.sections.instruction if told else draft.solution), _RUN)
    for example in draft.shown:
        if not prose:
            # Loops and signatures recur in any code.
            name = example.target_language or example.language
            if name == draft.assignment.solution_language and own == tokens(example.solution, name):
                return f"the solution is that of the example {example.id}"
            continue
        theirs = set(_runs(_words(example.instruction if told else example.solution), _RUN))
        common = [run in theirs for run in runs]
        # Runs of eight that follow each other make a longer one.
        longest = max((len(list(same)) for shared, same in groupby(common) if shared), default=0)
        if longest and (2 * sum(common) >= len(common) or longest >= _LONG_RUN - _RUN + 1):
            first = " ".join(runs[common.index(True)])
            return f"it repeats the example {example.id}: {_quoted(first)}"
    return None


CHECKS: dict[str, Callable[[Draft], str | None]] = {
    "instruction_length": _instruction_length,
    "language_not_named": _names_language,
    "leans_on_unseen": _stands_alone,
    "prose_outside_code": _code_only,
    "wrong_language": _fence_language,
    "syntax_error": _syntax,
    "prose_expected": _prose_only,
    "placeholder": _placeholder,
    "undefined_name": _undefined_name,
    "asks_for_nothing": _asks,
    "gives_away": _gives_away,
    "no_difference": _differs,
    "copied": _copied,
}
"""Every check by the reason slug it gives, in the order they run: cheap ones first."""


def first_failure(draft: Draft) -> tuple[str, str] | None:
    """Return (slug, sentence) of the first check that fails, or None."""
    for slug, check in CHECKS.items():
        problem = check(draft)
        if problem:
            return slug, problem
    return None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _runs(words: list[str], length: int) -> list[tuple[str, ...]]:
    """Return every run of `length` words."""
    return [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
