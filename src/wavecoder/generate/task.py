"""A task as data: what is asked, by which rules it is judged, and our own examples of both kinds.

The four tasks of the paper (section 2.1) are `tasks/*.yaml`; a task of your own is one more such
file, named by its path in the recipe. Its templates put code and replies in by the filters of
`quoting.py`, so that nothing in these passes for a line of the prompt.
"""

import re
from collections.abc import Mapping
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, field_validator

from wavecoder.errors import ConfigError
from wavecoder.generate.quoting import FILTERS
from wavecoder.plugins import nearest, validate
from wavecoder.records import Case, Example, RuleVerdict, digest

__all__ = ["Prompt", "Rule", "Task", "built_in_tasks", "load_task"]

# Code is full of braces, so str.format would break on it; autoescape is for HTML, not for prompts.
_JINJA = SandboxedEnvironment(
    undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
)
_JINJA.filters |= FILTERS
_JINJA.globals.clear()  # copied at every rendering, and no prompt needs `range` or `lipsum`


@cache
def _template(text: str) -> Template:
    """Return a template, compiled once: that takes a hundred times as long as to fill it in."""
    return _JINJA.from_string(text)


# What the templates may use, as `generator.py` fills it in.
_DUMMY: Mapping[str, Any] = {
    "language": "x",
    "tag": "x",
    "target_language": "x",
    "target_tag": "x",
    "code": "x",
    "information": "x",
    "name": "x",
    "docstring": "x",
    "bug": {"before": "x", "after": "x"},
    "case": {"call": "x", "expected": "x", "other": "x"},
    "rules": (),
}
_DUMMY_BAD: Mapping[str, str] = dict.fromkeys(
    (
        "language",
        "target_language",
        "code",
        "instruction",
        "information",
        "solution",
        "analysis",
    ),
    "x",
)


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Rule(_Data):
    """One thing the discriminator decides."""

    slug: str
    text: str
    """A statement that is true of a good instance; it may name `{{ language }}`."""

    def render(self, variables: Mapping[str, Any]) -> "Rule":
        """Return the rule with the variables in its text filled in."""
        if "{" not in self.text:
            return self
        return self.model_copy(update={"text": _template(self.text).render(variables)})


class Prompt(_Data):
    """The two texts of a model's role; each is a jinja2 template."""

    system: str
    """What the model is to do, said once."""
    turn: str
    """One piece of work; examples are shown as turns of the same form."""

    @field_validator("system", "turn")
    @classmethod
    def _compiles(cls, text: str) -> str:
        try:
            _JINJA.from_string(text)
        except TemplateError as error:
            raise ValueError(f"the template does not compile ({error})") from error
        return text

    def render(self, part: Literal["system", "turn"], variables: Mapping[str, Any]) -> str:
        """Return the text of `part` with its variables filled in."""
        return _template(getattr(self, part)).render(variables).strip()


class _Shown(_Data):
    """An example as written in a task's file."""

    good: bool
    language: str
    target_language: str | None = None
    name: str
    docstring: str | None = None
    code: str
    instruction: str
    information: str | None = None
    solution: str
    rules: dict[str, str]
    """The discriminator's reason by rule slug; it begins with `yes`, or with `no`: failed."""
    analysis: str
    case: Case | None = None
    """A run that tells its two codes apart."""


class Task(_Data):
    """One kind of instruction: its prompts, its rules and its examples."""

    name: str
    """One word; the value of `Instance.task`."""
    title: str
    """As the prompts call it: `code repair`."""
    information: Literal["generator", "raw_code", "edited_code"]
    """Who fills the information: the generator, or the program with the raw code, as it is or with
    a bug put in."""
    solution: Literal["generator", "raw_code"]
    """Who fills the solution: the generator, or the program with the raw code."""
    solution_is: Literal["code", "prose"]
    changes_language: bool = False
    """The solution is in another language than the raw code."""
    self_contained: bool = False
    """Only raw code that names nothing outside itself will do."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Share of the task relative to the others; the built-in ones are paper table 1's counts."""
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    generator: Prompt
    discriminator: Prompt
    examples: tuple[_Shown, ...]

    @cached_property
    def turns(self) -> dict[tuple[str, str], str]:
        """Turns of examples as they were shown before, by role (or `reply`) and the example's id.

        An example is shown a hundred times, and is the same each time.
        """
        return {}

    @cached_property
    def own_examples(self) -> tuple[Example, ...]:
        """The file's own examples as records."""
        return tuple(
            Example(
                id=f"{self.name}-{digest(shown.code, shown.instruction, shown.solution)}",
                task=self.name,
                language=shown.language,
                target_language=shown.target_language,
                good=shown.good,
                name=shown.name,
                docstring=shown.docstring,
                code=shown.code.strip(),
                instruction=shown.instruction.strip(),
                information=shown.information.strip() if shown.information else None,
                solution=shown.solution.strip(),
                rules=tuple(
                    RuleVerdict(
                        rule=rule.slug,
                        passed=_judged(shown.rules[rule.slug])[0] == "yes",
                        reason=_judged(shown.rules[rule.slug])[1],
                    )
                    for rule in self.rules
                ),
                analysis=shown.analysis.strip(),
                case=shown.case,
            )
            for shown in self.examples
        )


def built_in_tasks() -> list[str]:
    """Return the names of the tasks that come with the package."""
    folder = files("wavecoder.generate").joinpath("tasks")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name[0] != "_")


def load_task(name: str) -> Task:
    """Return a built-in task by name, or the task in the YAML file at the path `name`.

    Raises:
        ConfigError: There is no such task or file, or the file does not fit.
    """
    known = built_in_tasks()
    if name in known:
        text = files("wavecoder.generate").joinpath("tasks", f"{name}.yaml").read_text("utf-8")
    else:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"There is no task {name!r}.{nearest(name, known)} Known: {', '.join(known)}; "
                f"or give the path of a task's YAML file."
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"The task file {name} is not UTF-8 ({error}). Save it so."
            ) from error
    try:
        table = yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = str(error).replace("\n", " ")
        raise ConfigError(f"The task file {name} is not YAML: {problem}. Mend it.") from error
    task = validate(Task, table, f"task {name}")
    for number, shown in enumerate(task.examples):
        if set(shown.rules) != {rule.slug for rule in task.rules}:
            raise ConfigError(
                f"task {name}, example {number}: it judges the rules {sorted(shown.rules)}, the "
                f"task has {sorted(rule.slug for rule in task.rules)}. Give a reason for each."
            )
        for slug, reason in shown.rules.items():
            if not _judged(reason)[0]:
                raise ConfigError(
                    f"task {name}, example {number}, rule {slug}: the reason {reason!r} begins "
                    f"with neither yes nor no. Begin it with one of the two words."
                )
    _refuse_unknown_variables(task, name)
    return task


def _judged(reason: str) -> tuple[str, str]:
    """Return the word a reason begins with, `yes`, `no` or nothing, and what follows it."""
    match = re.match(r"\s*(yes|no)\b[\s,;:.]*", reason, re.IGNORECASE)
    return (match[1].lower(), reason[match.end() :].strip()) if match else ("", reason.strip())


def _refuse_unknown_variables(task: Task, name: str) -> None:
    """Fill in each template of a task once, with and without what raw code may lack."""
    judged = {"instruction": "x", "solution": "x"}
    parts: tuple[tuple[str, Literal["system", "turn"], dict[str, Any]], ...] = (
        ("generator", "system", {"bad_examples": [_DUMMY_BAD]}),
        ("generator", "turn", {}),
        ("discriminator", "system", judged),
        ("discriminator", "turn", judged),
    )
    information = None if task.information == "generator" else "x"
    without = {"docstring": None, "case": None, "information": information}
    for role, part, more in parts:
        full = {**_DUMMY, **more, "rules": [rule.render(_DUMMY) for rule in task.rules]}
        for variables in (full, {**full, **without}):
            try:
                getattr(task, role).render(part, variables)
            except (TemplateError, TypeError, ValueError) as error:
                raise ConfigError(
                    f"task {name}.{role}.{part}: the template cannot be filled in ({error}). "
                    f"It may use {', '.join(sorted(full))}."
                ) from error
