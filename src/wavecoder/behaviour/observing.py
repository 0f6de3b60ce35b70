"""What a function gives back on given arguments, seen in the sandbox."""

import re
import secrets
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from wavecoder.behaviour.drivers.plan import MOST_LOST, Plan, UnfitError, shapes_of
from wavecoder.behaviour.literals import UntypedError, literal
from wavecoder.behaviour.signatures import Found, of_subject
from wavecoder.behaviour.subjects import Outcome, Subject, Unrunnable
from wavecoder.behaviour.wire import read_lines
from wavecoder.errors import ConfigError
from wavecoder.languages import SlowParseError, parses
from wavecoder.protocols import Sandbox
from wavecoder.records import Status
from wavecoder.sandbox import Job, Report, execution

__all__ = ["DRIVERS", "FLAKY", "observe", "observe_each"]

DRIVERS = ("python", "javascript", "typescript", "java", "go", "cpp", "c", "rust", "php", "ruby")
"""Languages that functions can be called in; each may still lack its toolchain."""
FLAKY = "its results differ from one run to the next"
"""The words of a call that was observed twice and is opaque therefore."""

_MOST_JOBS = 3  # for the calls of one subject: each that ends a whole box takes one
_KEPT = 56_000  # bytes of results that a report surely has: it keeps 64 KiB
_AT_ONCE = 64  # calls of one job
# What a run says of a name that is not there, or a module.
_WANTING = re.compile(
    r"^(?:NameError|ModuleNotFoundError|ImportError|ReferenceError: \S+ is not defined|LoadError"
    r"|Error: (?:Call to undefined function|Class \S+ not found|Cannot find module)|NoMethodError)"
)
# What a compiler says of that.
_UNDECLARED = re.compile(
    r"cannot find symbol|package \S+ does not exist|undefined: |could not import|undeclared name"
    r"|was not declared|has not been declared|No such file or directory|does not name a type"
    r"|unresolved import|cannot find (?:\w+ )*`|failed to resolve|use of (?:undeclared|unresolved)"
    r"|can't find crate|is not in (?:GOROOT|std)|undefined reference"
)


def observe(
    sandbox: Sandbox,
    subject: Subject,
    calls: Sequence[Sequence[Any]],
    *,
    seconds: float = 2.0,
    twice: bool = False,
) -> list[Outcome] | Unrunnable:
    """Return what a function gives back, call by call, or why it cannot be asked.

    Args:
        sandbox: Where it runs.
        subject: The function.
        calls: Argument lists of plain values: None, bools, numbers, texts, lists and dicts.
        seconds: CPU time that a call may take.
        twice: Run all calls again, in a new box; a call whose results differ is `opaque`, with
            the words `FLAKY`.

    Raises:
        SandboxError: The host is at its end.
    """
    found = observe_each(sandbox, subject, calls, seconds=seconds)
    if isinstance(found, Unrunnable):
        return found
    if any(one is None for one in found):
        at = next(at for at, one in enumerate(found) if one is None)
        words = f"The arguments {str(list(calls[at]))[:120]} are not of the types of "
        return Unrunnable("not_typed", f"{words}{subject.function}.")
    outcomes = [one for one in found if one is not None]
    if twice and outcomes:
        again = observe_each(sandbox, subject, calls, seconds=seconds)
        if isinstance(again, Unrunnable):
            return again
        outcomes = [
            left if right is not None and _stable(left, right) else Outcome("opaque", None, FLAKY)
            for left, right in zip(outcomes, again, strict=True)
        ]
    return outcomes


def _stable(left: Outcome, right: Outcome) -> bool:
    # The words may hold an address; a NaN is no reason either.
    return left.kind == right.kind and repr(left.value) == repr(right.value)


def observe_each(
    sandbox: Sandbox,
    subject: Subject,
    calls: Sequence[Sequence[Any]],
    *,
    seconds: float,
    most_lost: int = MOST_LOST,
    shared: bool = False,
) -> list[Outcome | None] | Unrunnable:
    """Return what `observe` does, with None for a call whose arguments are not of the types.

    Args:
        sandbox: Where it runs.
        subject: The function.
        calls: Argument lists.
        seconds: CPU time that a call may take.
        most_lost: After so many calls that did not end no more are run.
        shared: Calls may see what calls before them did to variables, which takes less time.
    """
    if subject.language not in DRIVERS:
        detail = f"Functions in {subject.language} cannot be run here: there is no driver for it."
        return Unrunnable("no_toolchain", detail)
    try:
        found = of_subject(subject)
    except SlowParseError as error:
        return Unrunnable("no_function", f"The text cannot be parsed: {error}.")
    why = _unfit(subject, found)
    if why is not None or found is None:
        return why or Unrunnable("no_function", "There is no function.")
    written = _written(subject, found, calls)
    if isinstance(written, Unrunnable):
        return written
    outcomes: list[Outcome | None] = [None] * len(calls)
    for start in range(0, len(written), _AT_ONCE):
        some = written[start : start + _AT_ONCE]
        room = min(_KEPT // max(len(some), 1) - 40, 8000)
        plan = Plan(subject, found, some, secrets.token_hex(8), room, seconds, most_lost, shared)
        seen = _seen(sandbox, plan)
        if isinstance(seen, Unrunnable):
            return seen
        for number, outcome in seen.items():
            outcomes[number] = outcome
    return _wanting(outcomes) or outcomes


def _unfit(subject: Subject, found: Found | None) -> Unrunnable | None:
    """Return why a function is not called, as far as its text says it."""
    name = subject.function
    if found is None:
        return Unrunnable("no_function", f"There is no function {name} in the text.")
    if found.depth:
        return Unrunnable("no_function", f"{name} stands inside another function.")
    if found.asynchronous:
        return Unrunnable("asynchronous", f"{name} is asynchronous.")
    if not found.told:
        return Unrunnable("not_typed", f"{name} has parameters that must be given by name.")
    owned = found.signature.owner and not found.signature.static
    # Java has no functions outside classes; its driver looks whether an object can be made.
    if owned and subject.language != "java":
        return Unrunnable(
            "method_of_a_class", f"{name} needs an object of {found.signature.owner}."
        )
    return None


def _written(
    subject: Subject, found: Found, calls: Sequence[Sequence[Any]]
) -> list[tuple[int, list[str]]] | Unrunnable:
    """Return the calls' arguments as expressions; those that do not fit are left out."""
    signature = found.signature
    shapes = shapes_of(signature, subject.language)
    unknown = [
        written
        for (_, written), one in zip(signature.parameters, shapes, strict=True)
        if one is None and subject.language in ("java", "go", "cpp", "c", "rust")
    ]
    if unknown:
        detail = f"No values are known for the type {unknown[0] or '(none)'}."
        return Unrunnable("not_typed", detail)
    made = []
    # Of compiled languages only C++ has defaults.
    least = signature.required
    for number, call in enumerate(calls):
        if not least <= len(call) <= len(shapes):
            continue
        try:
            given = [
                literal(value, one, subject.language)
                for value, one in zip(call, shapes, strict=False)
            ]
        except UntypedError:
            continue
        made.append((number, given))
    return made


def _seen(sandbox: Sandbox, plan: Plan) -> dict[int, Outcome] | Unrunnable:
    """Make the calls of a plan, in a new box where one ends with all that is in it."""
    outcomes: dict[int, Outcome] = {}
    driver = import_module(f"wavecoder.behaviour.drivers.{_module(plan.subject.language)}")
    for _ in range(_MOST_JOBS):
        try:
            job: Job = driver.job(plan)
        except ConfigError as error:
            return Unrunnable("no_toolchain", str(error))
        except UnfitError as error:
            return error.why
        report = sandbox.run(job)
        ran = len(report.steps) == len(job.steps)
        text = report.steps[-1].stderr if report.steps and ran else b""
        seen, failure = read_lines(text, plan.mark)
        outcomes.update(seen)
        if failure is not None:
            slug = "needs_more" if _WANTING.search(failure) else "does_not_load"
            return Unrunnable(slug, f"What stands beside the function fails: {failure}")
        missing = [call for call in plan.calls if call[0] not in outcomes]
        if not missing:
            break
        lost = _lost(plan, job, report, nothing=not outcomes)
        if isinstance(lost, Unrunnable):
            return lost
        outcomes[missing[0][0]] = lost
        missing = missing[1:]
        if not missing:
            break
        plan = plan._replace(calls=missing, mark=secrets.token_hex(8))
    for number, _ in plan.calls:
        outcomes.setdefault(
            number, Outcome("crashed", None, "not run: calls before it ended the box")
        )
    return outcomes


def _lost(plan: Plan, job: Job, report: Report, *, nothing: bool) -> Outcome | Unrunnable:
    """Return what became of the first call without a result."""
    verdict = execution(job, report)
    words = " ".join(verdict.detail.split())[:200] or str(verdict.status)
    if plan.mark in words:  # our own descriptor's
        words = f"its box ended with exit status {report.steps[-1].code}"
    if verdict.status == Status.HARNESS:
        return Unrunnable("broken_box", f"The box is at fault: {words}.")
    if verdict.status == Status.COMPILE_ERROR or (
        report.steps and len(report.steps) < len(job.steps)
    ):
        return _uncompiled(plan.subject, report)
    if verdict.status == Status.TIMEOUT:
        return Outcome("timeout", None, words)
    if nothing and verdict.status == Status.ERROR and report.steps and _loading(plan):
        said = report.steps[-1].stdout.decode("utf-8", "replace").strip()[-200:]
        return Unrunnable("does_not_load", f"It ended before any call: {said or words}")
    if verdict.status == Status.PASSED:
        words = "it ended its process without a result"
    return Outcome("crashed", None, words)


def _loading(plan: Plan) -> bool:
    return plan.subject.language not in ("cpp", "c", "go", "rust")


def _uncompiled(subject: Subject, report: Report) -> Unrunnable:
    went = report.steps[-1]
    text = (went.stderr + b"\n" + went.stdout).decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if re.search(r"error|\.go:\d", line)] or [text]
    first = " ".join(lines[0].split())[:300]
    if _UNDECLARED.search(first):
        return Unrunnable("needs_more", f"The compiler misses something: {first}")
    # Calls stand in a file of their own; what is not closed above them shows there, too.
    if "wavecoder" in first and parses(subject.code, subject.language):
        return Unrunnable("not_typed", f"The compiler refuses the calls: {first}")
    return Unrunnable("does_not_compile", f"The compiler refuses it: {first}")


def _wanting(outcomes: Sequence[Outcome | None]) -> Unrunnable | None:
    """Return that names are missing, where every call says so."""
    seen = [one for one in outcomes if one is not None]
    if not seen or not all(one.kind == "raised" and _WANTING.search(one.words) for one in seen):
        return None
    return Unrunnable("needs_more", f"It takes something from outside: {seen[0].words}")


def _module(language: str) -> str:
    return {"typescript": "javascript", "c": "cpp"}.get(language, language)
