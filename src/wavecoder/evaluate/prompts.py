r"""What a model is asked for a problem, and what it says about code it is to describe.

`prompt_for(problem, style=Style.CHAT)` gives messages, or a raw text that the model goes on from.
The words are in `prompts.yaml`. HumanEvalExplain has two turns: `describe_prompt` asks for a
description, `clean_description` takes out of the answer what would give the code away, and
`prompt_for` asks for the code with that description.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from wavecoder.errors import ConfigError
from wavecoder.languages import LANGUAGES
from wavecoder.records import Message, Problem

__all__ = [
    "Prompt",
    "Style",
    "clean_description",
    "describe_prompt",
    "is_explain",
    "prompt_for",
    "stop_words",
    "words",
]

_LONG_LINE = 20
"""Characters of a line that a description may repeat from the code; source: OctoPack's harness."""
_ENDS = ("<|endoftext|>", "<|im_end|>")


class Style(StrEnum):
    """How a model is asked."""

    ALPACA = "alpaca"
    """The template WaveCoder was trained in."""
    CHAT = "chat"
    """The model's own chat template."""
    COMPLETION = "completion"
    """The bare stub, to go on from: for base models."""


@dataclass(frozen=True)
class Prompt:
    """One question."""

    messages: tuple[Message, ...]
    """One message of the user where `raw`."""
    raw: bool
    """The message is the text itself: no chat template is put around it."""
    stop: tuple[str, ...]
    """What ends the answer."""
    max_new_tokens: int


def prompt_for(problem: Problem, *, style: Style, description: str | None = None) -> Prompt:
    """Return what a model is asked.

    Args:
        problem: Of a HumanEval, MBPP or HumanEvalPack benchmark; one of another is asked for like
            HumanEval's where its prompt holds the entry point, else like MBPP's.
        style: How.
        description: HumanEvalExplain only, and always there: what was answered to
            `describe_prompt`, cleaned.

    Raises:
        ConfigError: A description is given where none is asked for, or is missing.
    """
    if (description is not None) != is_explain(problem):
        has = "has no" if description is None else "was given a"
        raise ConfigError(
            f"{problem.id} of {problem.benchmark} {has} description; "
            f"humanevalexplain is asked with one, and nothing else is."
        )
    return _prompt(problem, _kind(problem), style=style, description=description)


def describe_prompt(problem: Problem, *, style: Style) -> Prompt:
    """Return the first question of HumanEvalExplain: what does this code do?

    Raises:
        ConfigError: The problem is of another benchmark.
    """
    if not is_explain(problem):
        raise ConfigError(
            f"{problem.id} of {problem.benchmark} is not asked for a description; "
            f"only humanevalexplain is."
        )
    return _prompt(problem, "describe", style=style)


def _prompt(problem: Problem, kind: str, *, style: Style, description: str | None = None) -> Prompt:
    if style == Style.CHAT:
        text = _chat(problem, kind, description)
    elif style == Style.ALPACA:
        instruction, stub = _instruction(problem, kind, description)
        text = words()["alpaca"].replace("{instruction}", instruction)
        # HumanEvalPack's answer goes on from the stub, and its prompts are stripped.
        text = (text + stub).rstrip() if stub else text
    else:
        text = _completion(problem, kind, description)
    limits = words()["max_new_tokens"]
    size = limits["default" if kind in ("write", "solve") else "humanevalpack"]
    stop = () if kind == "describe" else stop_words(problem, style=style)
    message = Message(role="user", content=text)
    return Prompt((message,), style != Style.CHAT, stop, size)


def stop_words(problem: Problem, *, style: Style) -> tuple[str, ...]:
    """Return what ends an answer; a chat ends itself."""
    stop = words()["stop"]
    if style == Style.CHAT:
        return ()
    if style == Style.ALPACA:
        return tuple(stop["alpaca"])
    if _kind(problem) == "solve":
        return tuple(stop["mbpp"])
    return tuple(stop["completion"].get(problem.language, ()))


def clean_description(problem: Problem, text: str) -> str:
    """Return a description as the second turn may see it.

    It is cut to the docstring's length and at the stop words of a completion; then every line of
    the canonical solution that is longer than 20 characters is taken out (source: OctoPack's
    harness). A description in which nothing is left is an empty text.

    Args:
        problem: What was described.
        text: The model's answer.
    """
    text = text.replace("\r\n", "\n").strip()[: len(problem.docstring)]
    for stop in (*stop_words(problem, style=Style.COMPLETION), *_ENDS):
        text = text.partition(stop)[0]
    text = text.rstrip()
    for line in problem.canonical_solution.splitlines():
        if len(line.strip()) > _LONG_LINE:
            text = text.replace(line.strip(), "")
    return text


def is_explain(problem: Problem) -> bool:
    """Say whether a problem is asked in two turns."""
    return problem.benchmark.startswith("humanevalexplain")


@cache
def words() -> Mapping[str, Any]:
    """Return all of `prompts.yaml`: it decides what is answered, so it is part of an identity."""
    text = files("wavecoder.evaluate").joinpath("prompts.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def _kind(problem: Problem) -> str:
    """Return which question asks for the code of a benchmark's problem."""
    name = problem.benchmark.partition("-")[0]
    kinds = {
        "humanevalexplain": "from_description",
        "humanevalfix": "fix_tests",
        "humanevalfixdocs": "fix",
        "humanevalsynthesize": "synthesize",
    }
    if name in kinds:
        return kinds[name]
    if name.startswith("mbpp"):
        return "solve"
    has_stub = re.search(rf"\b{re.escape(problem.entry_point)}\b", problem.prompt)
    return "write" if has_stub else "solve"


def _base(problem: Problem, kind: str) -> str:
    """Return the code that an answer goes on from: with the docstring or without it.

    C++ 38's declaration reaches into the body and can be no beginning; its prompt stands in.
    """
    if kind in ("write", "synthesize", "fix"):
        return problem.prompt
    stub = problem.declaration
    lines = len([line for line in stub.rstrip().splitlines() if line.strip()])
    if not stub or (problem.language == "cpp" and lines and not _ends_in_head(problem)):
        return problem.prompt
    main = "fn main(){}\n"
    return main + stub if problem.language == "rust" and "fn main()" not in stub else stub


def _ends_in_head(problem: Problem) -> bool:
    last = problem.declaration.rstrip().rsplit("\n", 1)[-1]
    return problem.entry_point in last


def _task(problem: Problem, kind: str, description: str | None) -> str:
    """Return the words of the question, without the code it is about."""
    row = LANGUAGES[problem.language]
    if kind == "synthesize":
        return problem.instruction.strip()
    key = "fix" if kind == "fix_tests" else kind
    text: str = words()["tasks"][key]
    values = {
        "language": row.title,
        "name": problem.entry_point,
        "problem": _problem_words(problem) if kind == "solve" else "",
        "tests": _shown_tests(problem) if kind == "solve" else "",
        "length": str(len(problem.docstring)),
        "description": (description or "").strip(),
    }
    return _filled(text, values)


def _problem_words(problem: Problem) -> str:
    """Return MBPP's task; MBPP+ has it in a docstring, with one of the asserts."""
    return "\n".join(line for line in _prompt_lines(problem) if not line.startswith("assert "))


def _shown_tests(problem: Problem) -> str:
    """Return the asserts that MBPP's question shows: all three, or the one in MBPP+'s prompt."""
    shown = [line for line in _prompt_lines(problem) if line.startswith("assert ")]
    return "\n".join(shown) or problem.test.strip()


def _prompt_lines(problem: Problem) -> list[str]:
    return problem.prompt.strip().removeprefix('"""').removesuffix('"""').strip().splitlines()


def _context(problem: Problem, kind: str) -> str:
    """Return the code that a question is about, tests behind it where they are shown."""
    base = _base(problem, kind)
    if kind in ("fix", "fix_tests"):
        code = base + problem.buggy_solution
        return f"{code}\n{problem.test}" if kind == "fix_tests" else code
    return base + problem.canonical_solution


def _instruction(problem: Problem, kind: str, description: str | None) -> tuple[str, str]:
    """Return Alpaca's instruction, and the stub that the answer goes on from."""
    task = _task(problem, kind, description)
    if kind == "solve":
        return task, ""
    if kind == "write":
        return f"{task}\n{problem.prompt.strip()}", ""
    if kind == "describe":
        return f"{task}\n{_context(problem, kind).strip()}", ""
    if kind in ("fix", "fix_tests"):
        task = f"{task}\n{_context(problem, kind).strip()}"
    return task, _base(problem, kind)


def _chat(problem: Problem, kind: str, description: str | None) -> str:
    shape = {"synthesize": "complete", "from_description": "complete"}.get(kind, kind)
    code = _base(problem, kind)
    if kind in ("fix", "fix_tests"):
        code += problem.buggy_solution
    elif kind == "describe":
        code = _context(problem, kind)
    row = LANGUAGES[problem.language]
    values = {
        "task": _task(problem, kind, description),
        "language": row.title,
        "tag": problem.language,
        "code": code.strip("\n"),
        "tests": problem.test.strip("\n"),
    }
    return _filled(words()["chat"][shape], values)


def _completion(problem: Problem, kind: str, description: str | None) -> str:
    """Return a text whose natural end is the answer: what is known first, the stub last."""
    if kind == "write":
        # As it is, its last line end too: without it two models lost half of their answers
        # (bigcode-evaluation-harness issues 159, 308, 311).
        return problem.prompt
    if kind == "solve":
        # The task and its first assert, as bigcode-evaluation-harness asks for MBPP.
        assert_line = _shown_tests(problem).partition("\n")[0].strip()
        return f'"""\n{_problem_words(problem)}\n{assert_line}\n"""\n'
    task = _task(problem, kind, description)
    if kind == "describe":
        return f"{_context(problem, kind).strip()}\n{task}\n"
    if kind in ("fix", "fix_tests"):
        task = f"{_context(problem, kind).strip()}\n{task}"
    return f"{task}\n\n{_base(problem, kind)}"


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Put values in, once: code has braces of its own."""
    pieces = text.split("{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, brace, rest = piece.partition("}")
        filled.append(values[name] + rest if brace and name in values else "{" + piece)
    return "".join(filled)
