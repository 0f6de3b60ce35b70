"""An instance as a generator would have written it, and what is known of it."""

from dataclasses import dataclass, field, replace
from functools import cached_property

from wavecoder.generate.bugs import Bug
from wavecoder.generate.checks import Draft
from wavecoder.generate.generator import Assignment
from wavecoder.generate.methods.labels import is_open
from wavecoder.generate.quoting import fenced, one_line
from wavecoder.generate.sections import fences, parse_sections
from wavecoder.generate.symptoms import without_symptom
from wavecoder.generate.task import Task
from wavecoder.records import FinishReason, Instance, Problem, RawCode

__all__ = ["Case", "Reference", "Side", "Unreadable", "case_of"]


@dataclass(frozen=True)
class Side:
    """A function in a text that is known to do what it should."""

    code: str
    language: str
    function: str


@dataclass(frozen=True)
class Reference:
    """What the right answer is known by; it stays with a case when a defect is planted."""

    sides: tuple[Side, ...] = ()
    """Functions that do the same; the first one gives the results that count."""
    problem: Problem | None = None
    """A benchmark's problem whose tests the solution must pass."""
    wrong: str | None = None
    """The solution with a bug that a person put in and tests show."""


@dataclass(frozen=True)
class Unreadable:
    """Why a reply is no draft: what `generate` would refuse it for."""

    slug: str
    reason: str


@dataclass(frozen=True)
class Case:
    """One instance to be graded. The solution is the section of the reply: a fence, or prose."""

    id: str
    raw: RawCode
    task: Task
    instruction: str
    solution: str
    target: str | None = None
    """Language of the solution where it is not the raw code's."""
    bug: Bug | None = None
    information: str | None = None
    """What the generator wrote; None where the program knows it or there is none."""
    good: bool = True
    defect: str = ""
    """Slug of what was planted; empty where nothing is wrong."""
    finish: FinishReason = FinishReason.STOP
    cut: bool = False
    """The reply ends inside its last fence."""
    beside: Instance | None = None
    """An instance that was accepted before it."""
    reference: Reference = field(default_factory=Reference)
    group: str = ""
    """Cases of one group are of the same problem, in other tasks and languages."""

    @property
    def language(self) -> str:
        """Language of the code that is judged."""
        return self.target or self.raw.language

    @property
    def code(self) -> str:
        """The solution's code without its fence; of a repair the right side."""
        if self.task.solution == "raw_code":
            return self.raw.code
        blocks = fences(self.solution)
        return blocks[0].body if blocks else self.solution

    @cached_property
    def reply(self) -> str:
        """What the generator would have replied."""
        given = self.task.information != "generator"
        information = "given" if given else self.information or "none"
        solution = self.solution
        if self.task.solution == "raw_code":
            solution = "given"
        elif self.task.solution_is == "code":
            solution = "\n" + solution
        text = (
            f"task_name: {self.task.title}\n"
            f"instruction: {one_line(self.instruction)}\n"
            f"information: {information}\n"
            f"solution: {solution}"
        )
        return text.removesuffix("```").rstrip() if self.cut else text

    @property
    def assignment(self) -> Assignment:
        """What the program decided before."""
        return Assignment(
            raw_code=self.raw, task=self.task, target_language=self.target, bug=self.bug
        )

    @cached_property
    def draft(self) -> Draft | Unreadable:
        """What `generate` reads the reply as."""
        if self.finish is FinishReason.LENGTH:
            return Unreadable("cut_off", "the reply was cut at its most tokens")
        sections = parse_sections(self.reply)
        if isinstance(sections, str):
            slug = "open_fence" if is_open(self.reply) else "no_sections"
            return Unreadable(slug, sections)
        return Draft(self.assignment, sections, ())

    @cached_property
    def instance(self) -> Instance:
        """The instance as its judge would see it, also where the reply cannot be read."""
        draft = self.draft if isinstance(self.draft, Draft) else None
        return Instance(
            id=self.id,
            task=self.task.name,
            language=self.raw.language,
            target_language=self.target,
            instruction=draft.sections.instruction if draft else self.instruction,
            information=draft.information if draft else self.assignment.information,
            solution=draft.solution if draft else self.code,
            raw_code=self.raw,
            bug=self.bug.kind if self.bug else None,
            reply=self.reply,
            verdict=None,
            generator="calibrate",
            discriminator=None,
            round=0,
            attempt=0,
            example_ids=(),
        )

    def with_code(self, code: str) -> "Case":
        """Return the same with another solution's code, in a fence of the asked language."""
        return replace(self, solution=fenced(code, self.language))

    def planted(self, slug: str) -> "Case":
        """Return the same as one that is known to be bad."""
        return replace(self, id=f"{self.id}+{slug}", good=False, defect=slug)


def case_of(instance: Instance, task: Task, *, good: bool, defect: str = "") -> Case:
    """Return a dataset's instance as a case."""
    raw, target = instance.raw_code, instance.target_language
    bug = None
    if task.information == "edited_code" and instance.information is not None:
        bug = Bug(kind=instance.bug or "unknown", code=instance.information)
    solution = instance.solution
    if task.solution_is == "code" and task.solution == "generator":
        solution = fenced(solution, target or raw.language)
    own = task.information == "generator"
    return Case(
        id=instance.id,
        raw=raw,
        task=task,
        instruction=without_symptom(instance),
        solution=solution,
        target=target,
        bug=bug,
        information=instance.information if own else None,
        good=good,
        defect=defect,
        reference=_reference(instance, task) if good else Reference(),
    )


def _reference(instance: Instance, task: Task) -> Reference:
    """Return the functions that must do the same, where there is code to run."""
    raw, name = instance.raw_code, instance.raw_code.name.rsplit(".", 1)[-1]
    own = Side(raw.code, raw.language, name)
    if task.solution == "raw_code":
        return Reference((own,))
    if task.solution_is != "code":
        return Reference()
    written = Side(instance.solution, instance.target_language or raw.language, name)
    return Reference((own, written) if instance.target_language else (written,))
