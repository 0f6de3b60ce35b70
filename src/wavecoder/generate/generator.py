"""The generator: raw code and a task become a prompt, its reply becomes a draft of an instance.

What the program knows it puts in itself: the raw code, both languages, the bug and its repair. The
model is asked only for what it alone can give.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wavecoder.generate.bugs import Bug, changed_lines
from wavecoder.generate.examples import purpose
from wavecoder.generate.quoting import fenced, given, one_line
from wavecoder.generate.task import Rule, Task
from wavecoder.languages import language
from wavecoder.records import Case, ChatRequest, Example, Message, RawCode, Sampling

__all__ = [
    "Assignment",
    "example_reply",
    "example_turn",
    "example_variables",
    "generator_request",
    "prompt_variables",
    "raw_variables",
]


_TURNS_KEPT = 4_000  # of a task; some kilobytes each


@dataclass(frozen=True)
class Assignment:
    """What the program decides about an instance before any model is asked."""

    raw_code: RawCode
    task: Task
    target_language: str | None
    """Language of the solution where the task changes it."""
    bug: Bug | None
    """The edit that makes the information wrong, where the task needs one."""

    @property
    def solution_language(self) -> str:
        """Language the solution's code is in."""
        return self.target_language or self.raw_code.language

    @property
    def information(self) -> str | None:
        """What the program puts in as information; None where the generator writes it."""
        if self.task.information == "raw_code":
            return self.raw_code.code
        if self.task.information == "edited_code" and self.bug:
            return self.bug.code
        return None


def generator_request(
    assignment: Assignment,
    good: Sequence[Example],
    bad: Sequence[Example],
    sampling: Sampling,
) -> ChatRequest:
    """Return the request: the task, refused answers with the reason, good ones as turns."""
    raw, task = assignment.raw_code, assignment.task
    prompt = task.generator
    variables = raw_variables(
        task, raw, target=assignment.target_language, information=assignment.information
    )
    system = prompt.render("system", {**variables, "bad_examples": [_shown(one) for one in bad]})
    messages = [Message(role="system", content=system)]
    for example in good:
        messages.append(Message(role="user", content=example_turn(task, "generator", example)))
        messages.append(Message(role="assistant", content=example_reply(task, example)))
    messages.append(Message(role="user", content=prompt.render("turn", variables)))
    return ChatRequest(messages=tuple(messages), sampling=sampling)


def prompt_variables(
    task: Task,
    *,
    code: str,
    source: str,
    target: str | None,
    information: str | None,
    name: str,
    docstring: str | None,
    case: Case | None,
) -> dict[str, Any]:
    """Return what the templates of a task may use, of raw code or of an example."""
    into = language(target or source)
    edited = task.information == "edited_code" and information is not None
    before, after = changed_lines(code, information or "") if edited else ("", "")
    variables = {
        "language": language(source).title,
        "tag": source,
        "target_language": into.title,
        "target_tag": into.name,
        "code": code,
        "information": information,
        "name": name,
        "docstring": docstring,
        "bug": {"before": before, "after": after},
        "case": case,
    }
    return {**variables, "rules": _Rules(task.rules, variables)}


class _Rules(Sequence[Rule]):
    """The rules with their variables filled in, once somebody reads them: few templates do."""

    def __init__(self, rules: Sequence[Rule], variables: Mapping[str, Any]) -> None:
        self._rules = rules
        self._variables = variables

    def __len__(self) -> int:
        return len(self._rules)

    def __getitem__(self, index: Any) -> Any:
        return self._rules[index].render(self._variables)


def raw_variables(
    task: Task,
    raw: RawCode,
    *,
    target: str | None,
    information: str | None,
    case: Case | None = None,
) -> dict[str, Any]:
    """Return the template variables of raw code."""
    return prompt_variables(
        task,
        code=raw.code,
        source=raw.language,
        target=target,
        information=information,
        name=raw.name.rsplit(".", 1)[-1],
        docstring=purpose(raw.docstring),
        case=case,
    )


def example_variables(task: Task, example: Example) -> Mapping[str, Any]:
    """Return the template variables of an example."""
    variables = prompt_variables(
        task,
        code=example.code,
        source=example.language,
        target=example.target_language,
        information=example.information,
        name=example.name,
        docstring=example.docstring,
        case=example.case,
    )
    return {**variables, "instruction": example.instruction, "solution": example.solution}


def example_turn(task: Task, role: Literal["generator", "discriminator"], example: Example) -> str:
    """Return the turn in which a role is shown an example."""
    prompt = task.generator if role == "generator" else task.discriminator
    return _shown_before(
        task, (role, example.id), lambda: prompt.render("turn", example_variables(task, example))
    )


def example_reply(task: Task, example: Example) -> str:
    """Return the reply that a generator would have given to get `example`.

    `parse_sections` reads it back: the code as it is, prose on one line.
    """
    return _shown_before(task, ("reply", example.id), lambda: _reply(task, example))


def _reply(task: Task, example: Example) -> str:
    if task.solution == "raw_code":
        solution = "given"
    elif task.solution_is == "code":
        solution = "\n" + fenced(example.solution, example.target_language or example.language)
    else:
        solution = one_line(example.solution)
    information = (
        "given" if task.information != "generator" else given(example.information or "none")
    )
    return (
        f"task_name: {task.title}\n"
        f"instruction: {one_line(example.instruction)}\n"
        f"information: {information}\n"
        f"solution: {solution}"
    )


def _shown_before(task: Task, key: tuple[str, str], make: Callable[[], str]) -> str:
    turn = task.turns.get(key)
    if turn is None:
        if len(task.turns) >= _TURNS_KEPT:
            task.turns.clear()
        turn = task.turns[key] = make()
    return turn


def _shown(example: Example) -> dict[str, str | None]:
    """Return a bad example as the templates show it."""
    return {
        "language": language(example.language).title,
        "target_language": language(example.target_language or example.language).title,
        "code": example.code,
        "instruction": example.instruction,
        "information": example.information,
        "solution": example.solution,
        "analysis": example.analysis,
    }
