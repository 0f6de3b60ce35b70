"""The generator: raw code and a task become a prompt, its reply becomes a draft of an instance.

What the program knows it puts in itself: the raw code, both languages, the bug and its repair. The
model is asked only for what it alone can give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavecoder.generate.bugs import Bug, changed_lines
from wavecoder.generate.examples import purpose
from wavecoder.generate.task import Task
from wavecoder.languages import language
from wavecoder.records import ChatRequest, Example, Message, RawCode, Sampling

__all__ = [
    "Assignment",
    "example_reply",
    "example_variables",
    "generator_request",
    "prompt_variables",
    "raw_variables",
]


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
        turn = prompt.render("turn", example_variables(task, example))
        messages.append(Message(role="user", content=turn))
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
) -> dict[str, Any]:
    """Return what the templates of a task may use, of raw code or of an example."""
    into = language(target or source)
    before, after = changed_lines(code, information) if information else ("", "")
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
    }
    return {**variables, "rules": [rule.render(variables) for rule in task.rules]}


def raw_variables(
    task: Task, raw: RawCode, *, target: str | None, information: str | None
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
    )
    return {**variables, "instruction": example.instruction, "solution": example.solution}


def example_reply(task: Task, example: Example) -> str:
    """Return the reply that a generator would have given to get `example`."""
    if task.solution == "raw_code":
        solution = "given"
    elif task.solution_is == "code":
        solution = f"\n```{example.target_language or example.language}\n{example.solution}\n```"
    else:
        solution = example.solution
    information = "given" if task.information != "generator" else example.information or "none"
    return (
        f"task_name: {task.title}\n"
        f"instruction: {example.instruction}\n"
        f"information: {information}\n"
        f"solution: {solution}"
    )


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
