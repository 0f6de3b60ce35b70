"""Grading: known-good instances and planted defects through the checks, the sandbox and the judge.

```python
plan = Plan(stage=None, graders=("checks", "execution"), languages=("python",), sample=4)
found = calibrate(plan, Path("calibration"), progress=Silent(), stop=Event())
```

The same plan goes on where it was: replies are in `replies.sqlite` of the folder, what was run in
`grades.jsonl`; the checks are done again, as they take milliseconds.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Event

from wavecoder.artifact import writing
from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.checking import checked
from wavecoder.calibrate.grades import Grade, both
from wavecoder.calibrate.judging import Judge, Judged
from wavecoder.calibrate.known import LANGUAGES, known, thinned
from wavecoder.calibrate.planting import DEFECTS, Pool, plant
from wavecoder.calibrate.running import Runner
from wavecoder.errors import ConfigError, StoppedError
from wavecoder.generate.duplicates import AcceptedInstances
from wavecoder.generate.stage import Generate
from wavecoder.generate.task import Task, built_in_tasks, load_task
from wavecoder.languages import language
from wavecoder.llm import Budget, Ledger, Remembering
from wavecoder.plugins import nearest
from wavecoder.protocols import Limits, Progress
from wavecoder.sandbox import open_sandbox

__all__ = ["Graded", "Plan", "Result", "calibrate"]

_OWN = ("checks", "execution", "judge")


@dataclass(frozen=True)
class Plan:
    """What is graded, and by whom."""

    stage: Generate | None = None
    """Whose discriminator judges; None: no judge is asked."""
    source: Path | None = None
    """A run's folder or a file of labelled instances; None: HumanEvalPack."""
    graders: Sequence[str] = ("checks", "execution")
    """Of `checks`, `execution` and `judge`."""
    languages: Sequence[str] = LANGUAGES
    tasks: Sequence[str] = ()
    """Empty: all four."""
    defects: Sequence[str] = ()
    """Empty: all."""
    sample: int | None = 10
    """Known-good instances of each task and language; None: all."""
    planted: int | None = 24
    """Cases of each defect; None: as many as there are known-good instances that it suits."""
    repeats: int = 1
    seed: int = 0
    limits: Limits = field(default_factory=Limits)


@dataclass
class Graded:
    """A case with what each grader said of it; None: it was not asked."""

    case: Case
    checks: Grade | None = None
    execution: Grade | None = None
    judge: list[Grade] = field(default_factory=list)
    """By repeat."""

    def by(self, grader: str) -> Grade | None:
        """Return the grade of one of `GRADERS`; of the judge the first repeat counts."""
        judge = self.judge[0] if self.judge else None
        if grader == "checks+execution":
            return both(self.checks, self.execution)
        if grader == "all":
            # What no judge can see is not shown to it.
            asked = (self.checks, self.execution, judge)
            return both(*(one for one in asked if one is not None))
        return {"checks": self.checks, "execution": self.execution, "judge": judge}[grader]


@dataclass
class Result:
    """All grades of a calibration, and what they cost."""

    plan: Plan
    graded: list[Graded]
    notes: list[str]
    """What could not be graded, a sentence each."""
    used: Mapping[str, tuple[int, int, float | None]] = field(default_factory=dict)
    """Prompt tokens, completion tokens and USD of the first repeat, by the judge's identity."""


def calibrate(plan: Plan, out: Path | None, *, progress: Progress, stop: Event) -> Result:
    """Grade as the plan says.

    Args:
        plan: What is graded, and by whom.
        out: Where replies and grades are kept, to go on with; None: nowhere.
        progress: Told how far it is.
        stop: Set when the user asks to stop.

    Raises:
        ConfigError: Something the plan names is unknown, missing, or holds no instance.
        ModelError: The judge does not answer.
        BudgetError: Nothing more may be spent.
        SandboxError: Programs cannot be run as they must be.
        StoppedError: The user asked to stop.
    """
    cases, notes = _cases(plan)
    with ExitStack() as stack:
        if out is None:
            out = Path(stack.enter_context(TemporaryDirectory(prefix="wavecoder-")))
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        result = Result(plan, [Graded(case) for case in cases], notes)
        if "checks" in plan.graders:
            _check(result, progress, stop)
        if "execution" in plan.graders:
            _execute(result, out, progress, stop)
        if "judge" in plan.graders:
            _judge(result, out, progress, stop)
    return result


def _cases(plan: Plan) -> tuple[list[Case], list[str]]:
    """Return the known-good cases with the planted ones behind them, and what is to be said."""
    unknown = [one for one in plan.graders if one not in _OWN]
    if unknown or not plan.graders:
        raise ConfigError(f"There is no grader {' or '.join(unknown)!r}. Known: {', '.join(_OWN)}.")
    tasks = _tasks(plan)
    languages = [language(name).name for name in plan.languages]
    slugs = list(plan.defects) or list(DEFECTS)
    for slug in slugs:
        if slug not in DEFECTS:
            raise ConfigError(
                f"There is no defect {slug!r}.{nearest(slug, list(DEFECTS))} "
                f"Known: {', '.join(DEFECTS)}."
            )
    everything = known(plan.source, tasks, languages)
    if any(not one.good for one in everything):  # labelled pairs are graded as they are
        return everything, []
    good = thinned(everything, plan.sample, Random(plan.seed))
    notes = [
        f"There is no known-good instance of {name}."
        for name in tasks
        if not any(one.task.name == name for one in good)
    ]
    planted = list(plant(good, Pool(everything), slugs, most=plan.planted, seed=plan.seed))
    suited = {one.defect for one in planted}
    notes += [f"The defect {slug} suits none of them." for slug in slugs if slug not in suited]
    return [*good, *planted], notes


def _tasks(plan: Plan) -> dict[str, Task]:
    names = list(plan.tasks) or built_in_tasks()
    if plan.stage is not None:
        own = Judge(plan.stage, seed=plan.seed).tasks
        missing = [name for name in plan.tasks if name not in own]
        if missing:
            raise ConfigError(
                f"The recipe has no task {missing[0]!r}. It has {', '.join(own)}; name one of them."
            )
        return {name: task for name, task in own.items() if name in names or not plan.tasks}
    return {name: load_task(name) for name in names}


def _check(result: Result, progress: Progress, stop: Event) -> None:
    accepted = AcceptedInstances()
    progress.start("checks", len(result.graded), 0)
    for one in result.graded:
        _look(stop)
        one.checks = checked(one.case, accepted if one.case.good else None)
        progress.outcome(one.checks.rules[0] if one.checks.refused else None)
    progress.end(_refused(one.checks for one in result.graded))


def _execute(result: Result, out: Path, progress: Progress, stop: Event) -> None:
    limits = result.plan.limits
    workers = (os.cpu_count() or 1) + 1  # at its end a box leaves its core alone
    todo = [one for one in result.graded if one.case.task.solution_is == "code"]
    progress.start("execution", len(todo), 0)
    sandbox = open_sandbox(limits.sandbox, unsandboxed=limits.unsandboxed)
    with closing(sandbox), closing(Runner(sandbox, workers, out / "grades.jsonl")) as runner:
        for weakness in sandbox.weaknesses:
            progress.note(f"execution: {weakness}")

        def grade(one: Graded) -> Grade | None:
            return None if stop.is_set() else runner.grade(one.case)

        for one, found in zip(todo, runner.pool.map(grade, todo), strict=True):
            _look(stop)
            one.execution = found
            if found is not None:
                progress.outcome(found.rules[0] if found.refused and found.rules else None)
        result.notes += [
            f"What is written in {language(name).title} was not run: {why}"
            for name, why in sorted(runner.missing.items())
        ]
    for one in result.graded:
        if one.execution is None:
            one.execution = Grade(refused=None, reason="there is no code that was written")
    progress.end(_refused(one.execution for one in todo))


def _judge(result: Result, out: Path, progress: Progress, stop: Event) -> None:
    plan = result.plan
    stage = plan.stage
    if stage is None:
        raise ConfigError("No judge is named. Give a recipe, or --judge MODEL.")
    judge, model = Judge(stage, seed=plan.seed), stage.discriminator
    prices = stage.prices(plan.limits.prices)
    rows = {one.case.id: one for one in result.graded if _shown(one.case)}
    grades: dict[tuple[str, int], Grade] = {}
    progress.start("judge", len(rows) * plan.repeats, 0)

    def tell(judged: Judged) -> None:
        case, repeat, grade = judged
        grades[case.id, repeat] = grade
        progress.tokens(grade.completion_tokens or 0)
        progress.outcome(grade.rules[0] if grade.refused and grade.rules else None)

    limits = plan.limits
    with Ledger(out / "replies.sqlite") as ledger:
        budget = Budget(prices=prices, max_cost=limits.max_cost, max_tokens=limits.max_tokens)
        budget.begin(model.identity, *ledger.usage().get(model.identity, (0, 0)))
        drive = getattr(model, "drive", None)
        if drive is not None:
            drive(limits, progress.note)
        remembering = Remembering(model, ledger, budget)
        own = None if remembering.adapts else model.concurrency
        judge.grade_all(
            [one.case for one in rows.values()],
            remembering,
            repeats=plan.repeats,
            most=min(limits.concurrency, own or limits.concurrency),
            stop=stop,
            tell=tell,
        )
    for one in rows.values():
        one.judge = [grades[one.case.id, repeat] for repeat in range(plan.repeats)]
    first = [one.judge[0] for one in rows.values()]
    prompt = sum(one.prompt_tokens or 0 for one in first)
    completion = sum(one.completion_tokens or 0 for one in first)
    cost = prices.cost(model.identity, prompt, completion)
    result.used = {model.identity: (prompt, completion, cost)}
    progress.end(_refused(first))


def _shown(case: Case) -> bool:
    defect = DEFECTS.get(case.defect)
    return defect is None or defect.shown


def _refused(grades: Iterable[Grade | None]) -> str:
    told = [one for one in grades if one is not None]
    return f"{sum(one.refused is True for one in told):,} of {len(told):,} refused"


def _look(stop: Event) -> None:
    if stop.is_set():
        raise StoppedError("Stopped; what was graded is kept where a folder is named with -o.")
