"""Proof by execution: what running an instance's code shows, before a judge is asked.

Each task is proved by what functions give back on the same inputs, observed in the sandbox
(`wavecoder.behaviour`):

| task          | proved when                                                                   |
|---------------|-------------------------------------------------------------------------------|
| generation    | the solution gives the results of the generator's test cases, written without |
|               | sight of it, and a stub that gives a constant does not                        |
| repair        | the wrong code gives another result than the right code on at least one input |
| translation   | both sides give the same results on all inputs                                |
| summarization | the function rewritten from the summary alone does                            |

Inputs are found by program; the generator is asked a second time for generation and summarization
only, and only where the recipe asks for proof. What runs and contradicts itself is refused whatever
the recipe asks for.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any, TypeVar

import yaml

from wavecoder.behaviour import (
    Outcome,
    Signature,
    Subject,
    Unrunnable,
    differ,
    find_calls,
    functions_in,
    observe,
    same,
    signature,
    stub,
    tolerance,
)
from wavecoder.generate.bugs import Bug, bugs
from wavecoder.generate.generator import Assignment
from wavecoder.generate.method import Desk
from wavecoder.generate.sections import fences
from wavecoder.generate.task import Prompt
from wavecoder.languages import language
from wavecoder.protocols import Sandbox
from wavecoder.records import Case, ChatRequest, Instance, Level, Message, Proof, Sampling

__all__ = ["Prover", "Refusal", "prompts"]

T = TypeVar("T")

_CALLS = 8
_LEAST = 3  # results on which two sides agree by more than chance
_MUTANTS = 12  # that are tried until one shows
_SECONDS = 2.0  # a call
_MOST_CASE = 400  # characters of a value that stand in the record
_CASES = re.compile(r"\[.*\]", re.DOTALL)


@dataclass(frozen=True)
class Refusal:
    """Why running the code speaks against an instance."""

    reason: str
    """A slug."""
    detail: str


@cache
def prompts() -> Mapping[str, Prompt]:
    """Return what the generator is asked a second time, by name."""
    text = files("wavecoder.generate").joinpath("proofs.yaml").read_text("utf-8")
    return {name: Prompt.model_validate(one) for name, one in yaml.safe_load(text).items()}


class Prover:
    """Runs the code of instances, a few at a time."""

    def __init__(self, sandbox: Sandbox, levels: Mapping[str, Level], *, threads: int) -> None:
        """Take a sandbox.

        Args:
            sandbox: Where code runs.
            levels: What each task needs; `parsed` where it is not named.
            threads: Programs that run at a time.
        """
        self.sandbox, self.levels = sandbox, levels
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="proof")

    def close(self) -> None:
        """Wait for what is running; idempotent."""
        self._pool.shutdown(cancel_futures=True)

    def needs(self, task: str) -> Level:
        """Return the level that an instance of the task needs."""
        return self.levels.get(task, Level.PARSED)

    async def assigned(
        self, desk: Desk, assignment: Assignment
    ) -> tuple[Assignment, Proof | None] | Refusal:
        """Run raw code before a model is asked about it: repairs are proved here.

        Returns:
            The assignment, of a repair with a bug that shows where one was found, and its proof.
        """
        if self.needs(assignment.task.name) == Level.PARSED or assignment.task.name == "generation":
            return assignment, None
        rng = desk.random(f"{desk.raw.id}/calls")
        return await self._run(lambda: self._assigned(assignment, rng))

    def _assigned(
        self, assignment: Assignment, rng: Random
    ) -> tuple[Assignment, Proof | None] | Refusal:
        raw = assignment.raw_code
        needed = self.needs(assignment.task.name)
        right = _subject(raw.code, raw.language, raw.name)
        if isinstance(right, Unrunnable):
            return _unproved(right.detail)
        calls = find_calls(self.sandbox, [right], rng, most=_CALLS)
        results = self._observed(right, calls)
        if isinstance(results, Unrunnable):
            return _unproved(results.detail)
        if sum(one.kind == "value" for one in results) < (_LEAST if needed == Level.PROVED else 1):
            return _unproved("no inputs were found on which the function gives results")
        if assignment.bug is None:
            return assignment, _ran(calls, results, "the raw code was run")
        for bug in bugs(raw.code, raw.language, rng, most=_MUTANTS):
            proof = self._shows(bug, right, calls, results)
            if proof is not None:
                return replace(assignment, bug=bug), proof
        if needed == Level.PROVED:
            return Refusal("bug_not_shown", f"no bug of {_MUTANTS} changes a result")
        return assignment, _ran(calls, results, "the right code was run; no bug changes a result")

    def _shows(
        self,
        bug: Bug,
        right: Subject,
        calls: Sequence[Any],
        results: Sequence[Outcome],
    ) -> Proof | None:
        wrong = self._observed(replace(right, code=bug.code), calls)
        if isinstance(wrong, Unrunnable):
            return None
        pairs = list(zip(calls, results, wrong, strict=True))
        tests = [one for one in pairs if one[1].kind == "value"]
        told = sum(differ(want, got, relative=tolerance(right)) for _, want, got in tests)
        if not told:
            return None
        cases = tuple(_case(*one) for one in tests)
        detail = f"the wrong code fails {told} of {len(cases)} tests, the right code none"
        return Proof(level=Level.PROVED, how="bug_shows", cases=cases, detail=detail)

    async def written(
        self, desk: Desk, instance: Instance, proof: Proof | None = None
    ) -> Proof | Refusal | None:
        """Run what the generator wrote.

        Args:
            desk: Asks the generator.
            instance: The draft; it passed the checks.
            proof: What `assigned` found.

        Returns:
            What running showed; None where nothing was to be run.
        """
        needed = self.needs(instance.task)
        if needed == Level.PARSED:
            return proof
        found: Proof | Refusal | None
        if instance.task == "translation":
            rng = desk.random(f"{desk.raw.id}/calls")
            found = await self._run(lambda: self._translated(instance, rng))
        elif instance.task == "summarization":
            found = await self._summarized(desk, instance, proof)
        elif instance.task == "repair":
            found = proof
        else:
            found = await self._generated(desk, instance)
        if isinstance(found, Proof) and not found.level.reaches(needed):
            return _unproved(found.detail)
        return found

    def _translated(self, instance: Instance, rng: Random) -> Proof | Refusal:
        raw = instance.raw_code
        source = _subject(raw.code, raw.language, raw.name)
        target = _subject(instance.solution, instance.target_language or raw.language, raw.name)
        for side in (source, target):
            if isinstance(side, Unrunnable):
                return _unproved(side.detail)
        assert isinstance(source, Subject) and isinstance(target, Subject)
        calls = find_calls(self.sandbox, [source, target], rng, most=_CALLS)
        return self._compared(source, target, calls, "same_results")

    def _compared(
        self, left: Subject, right: Subject, calls: Sequence[Any], how: str
    ) -> Proof | Refusal:
        """Say whether two sides give the same on all inputs."""
        first, second = self._observed(left, calls), self._observed(right, calls)
        for side in (first, second):
            if isinstance(side, Unrunnable):
                reason = "does_not_run" if side is second else "unproved"
                return Refusal(reason, side.detail)
        assert not isinstance(first, Unrunnable) and not isinstance(second, Unrunnable)
        relative = tolerance(left, right)
        triples = list(zip(calls, first, second, strict=True))
        for call, one, other in triples:
            # What the one side refuses need not mean anything to the other.
            if one.kind == "value" and differ(one, other, relative=relative):
                case = _case(call, one, other)
                return Refusal(
                    "not_same", f"on {case.call} one side gives {case.expected}, not {case.other}"
                )
        judged = [one for one in triples if same(one[1], one[2], relative=relative)]
        cases = tuple(_case(*one) for one in judged)
        valued = sum(one[1].kind == "value" for one in judged)
        if valued < _LEAST:
            detail = f"{valued} inputs with a result are too few"
            return Proof(level=Level.RAN, how=how, cases=cases, detail=detail)
        detail = f"both sides give the same results on {valued} inputs"
        return Proof(level=Level.PROVED, how=how, cases=cases, detail=detail)

    async def _summarized(
        self, desk: Desk, instance: Instance, proof: Proof | None
    ) -> Proof | Refusal | None:
        if self.needs("summarization") != Level.PROVED:
            return proof
        raw = instance.raw_code
        subject = _subject(raw.code, raw.language, raw.name)
        shape = None if isinstance(subject, Unrunnable) else signature(subject)
        if isinstance(subject, Unrunnable) or shape is None:
            return _unproved("the function's signature cannot be told")
        reply = await self._asked(
            desk,
            "rewrite",
            language=language(raw.language).title,
            tag=raw.language,
            name=subject.function,
            signature=_written(shape),
            summary=instance.solution,
        )
        blocks = fences(reply)
        rewritten = _subject(blocks[0].body if blocks else reply, raw.language, subject.function)
        if isinstance(rewritten, Unrunnable):
            return Refusal("does_not_run", f"the function rewritten from it: {rewritten.detail}")
        rng = desk.random(f"{desk.raw.id}/calls")
        calls = await self._run(lambda: find_calls(self.sandbox, [subject], rng, most=_CALLS))
        return await self._run(lambda: self._compared(subject, rewritten, calls, "round_trip"))

    async def again(self, instance: Instance, old: Proof, rng: Random) -> Proof | Refusal | None:
        """Run a solution that was written anew; no model is asked.

        Args:
            instance: With its new solution.
            old: What running the instance showed before.
            rng: Decides which inputs are tried.

        Returns:
            What running showed; None where only a model could tell: of a summary that a function
            was rewritten from.
        """
        if instance.task == "summarization":
            # What was run is the code that is summarized, and that is the same.
            return old if old.how == "ran" else None
        return await self._run(lambda: self._again(instance, old, rng))

    def _again(self, instance: Instance, old: Proof, rng: Random) -> Proof | Refusal:
        if instance.task == "translation":
            return self._translated(instance, rng)
        if instance.task == "repair":
            return self._repaired(instance, rng)
        subject = _asked_for(instance)
        if isinstance(subject, Refusal):
            return subject
        if old.how != "tests_pass_stub_fails":
            return self._ran(subject, rng)
        cases = list(_kept(old.cases))
        if len(cases) < _LEAST:
            return _unproved(f"{len(cases)} of its test cases are short enough to be in the record")
        return self._tested(subject, cases)

    def _repaired(self, instance: Instance, rng: Random) -> Proof | Refusal:
        """Say whether repaired code gives what the right code gives, and the wrong one not."""
        raw = instance.raw_code
        right = _subject(raw.code, raw.language, raw.name)
        if isinstance(right, Unrunnable):
            return _unproved(right.detail)
        own = _subject(instance.solution, raw.language, raw.name)
        if isinstance(own, Unrunnable):
            return Refusal("does_not_run", own.detail)
        calls = find_calls(self.sandbox, [right], rng, most=_CALLS)
        found = self._compared(right, own, calls, "ran")
        results = self._observed(right, calls)
        if isinstance(found, Refusal) or isinstance(results, Unrunnable):
            return found
        bug = Bug(kind=instance.bug or "", code=instance.information or "")
        shown = self._shows(bug, right, calls, results)
        if shown is not None and found.level == Level.PROVED:
            return shown
        detail = f"the right code and the solution were run: {found.detail}"
        return found.model_copy(update={"level": Level.RAN, "detail": detail})

    async def _generated(self, desk: Desk, instance: Instance) -> Proof | Refusal:
        subject = _asked_for(instance)
        if isinstance(subject, Refusal):
            return subject
        shape = signature(subject)
        if shape is None:
            return _unproved("the function's signature cannot be told")
        if self.needs("generation") == Level.RAN:
            rng = desk.random(f"{desk.raw.id}/calls")
            return await self._run(lambda: self._ran(subject, rng))
        reply = await self._asked(
            desk,
            "cases",
            instruction=instance.instruction,
            information=instance.information,
            signature=_written(shape),
            name=subject.function,
            count=len(shape.parameters),
        )
        cases = _cases(reply, len(shape.parameters))
        if len(cases) < _LEAST:
            return _unproved(f"the generator wrote {len(cases)} test cases that can be read")
        return await self._run(lambda: self._tested(subject, cases))

    def _ran(self, subject: Subject, rng: Random) -> Proof | Refusal:
        calls = find_calls(self.sandbox, [subject], rng, most=_CALLS)
        results = self._observed(subject, calls)
        if isinstance(results, Unrunnable):
            return Refusal("does_not_run", results.detail)
        if not any(one.kind == "value" for one in results):
            return Refusal("does_not_run", "it gives no result on any input that was found")
        return _ran(calls, results, "the solution was run")

    def _tested(self, subject: Subject, cases: Sequence[tuple[list[Any], Any]]) -> Proof | Refusal:
        """Say whether a function passes test cases that a stub fails."""
        calls = [call for call, _ in cases]
        wanted = [Outcome(kind="value", value=value, words="") for _, value in cases]
        results = self._observed(subject, calls)
        if isinstance(results, Unrunnable):
            return Refusal("does_not_run", results.detail)
        for call, want, got in zip(calls, wanted, results, strict=True):
            if not same(want, got, relative=tolerance(subject)):
                case = _case(call, want, got)
                return Refusal(
                    "tests_fail", f"on {case.call} it gives {case.other}, not {case.expected}"
                )
        if all(same(wanted[0], want) for want in wanted):
            shown = _told(wanted[0])
            return Refusal("stub_passes", f"a function that always gives {shown} passes the tests")
        empty = stub(subject)
        idle = None if empty is None else self._observed(empty, calls)
        if idle is None or isinstance(idle, Unrunnable):
            return _unproved("no stub can be made of the solution")
        triples = [_case(*one) for one in zip(calls, wanted, idle, strict=True)]
        failed = sum(not same(want, one) for want, one in zip(wanted, idle, strict=True))
        if not failed:
            return Refusal("stub_passes", "a function that always gives the same passes the tests")
        detail = f"the solution passes {len(calls)} tests, a stub fails {failed} of them"
        how = "tests_pass_stub_fails"
        return Proof(level=Level.PROVED, how=how, cases=tuple(triples), detail=detail)

    def _observed(self, subject: Subject, calls: Sequence[Any]) -> list[Outcome] | Unrunnable:
        if not calls:
            return Unrunnable("no_inputs", "no inputs were found that the function takes")
        return observe(self.sandbox, subject, calls, seconds=_SECONDS, twice=True)

    async def _asked(self, desk: Desk, which: str, /, **variables: Any) -> str:
        prompt = prompts()[which]
        messages = (
            Message(role="system", content=prompt.render("system", variables)),
            Message(role="user", content=prompt.render("turn", variables)),
        )
        sampling = Sampling(temperature=0.0, max_tokens=512)
        return (await desk.write(ChatRequest(messages=messages, sampling=sampling))).text

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _subject(code: str, name: str, wanted: str) -> Subject | Unrunnable:
    """Return the function of some code that is to be called: the one of a name, or the last."""
    names = functions_in(code, name)
    if not names:
        return Unrunnable("no_function", "there is no function that can be called by itself")
    own = wanted.rsplit(".", 1)[-1]
    alike = [one for one in names if _plain(one) == _plain(own)]
    return Subject(code=code, language=name, function=(alike or names)[0])


def _asked_for(instance: Instance) -> Subject | Refusal:
    """Return the function of a solution that the instruction asks for."""
    name = instance.target_language or instance.language
    names = functions_in(instance.solution, name)
    if not names:
        return Refusal("nothing_to_run", "the solution has no function that can be called")
    told = next((one for one in names if one in instance.instruction), names[0])
    return Subject(code=instance.solution, language=name, function=told)


def _kept(cases: Sequence[Case]) -> Iterator[tuple[list[Any], Any]]:
    """Yield the test cases of a record that are whole: a long value is cut there."""
    for case in cases:
        try:
            yield json.loads(case.call), json.loads(case.expected)
        except ValueError:
            continue


def _written(shape: Signature) -> str:
    """Return a signature as a prompt shows it, types as their language writes them."""
    parameters = (f"{name}: {kind}" if kind else name for name, kind in shape.parameters)
    returns = f" -> {shape.returns}" if shape.returns else ""
    return f"{shape.name}({', '.join(parameters)}){returns}"


def _plain(name: str) -> str:
    """Return a name without what languages write differently: `toTitle`, `to_title`."""
    return name.replace("_", "").lower()


def _unproved(detail: str) -> Refusal:
    return Refusal("unproved", detail)


def _ran(calls: Sequence[Any], results: Sequence[Outcome], detail: str) -> Proof:
    cases = tuple(
        _case(call, one, None)
        for call, one in zip(calls, results, strict=True)
        if one.kind == "value"
    )
    return Proof(level=Level.RAN, how="ran", cases=cases, detail=detail)


def _case(call: Any, expected: Outcome, other: Outcome | None) -> Case:
    return Case(
        call=_shown(call),
        expected=_told(expected),
        other=None if other is None else _told(other),
    )


def _told(outcome: Outcome) -> str:
    return _shown(outcome.value) if outcome.kind == "value" else f"{outcome.kind} {outcome.words}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_CASE else text[: _MOST_CASE - 1] + "…"


def _cases(reply: str, count: int) -> list[tuple[list[Any], Any]]:
    """Return the test cases of a reply that can be read and have so many arguments."""
    match = _CASES.search(reply)
    try:
        rows = json.loads(match[0]) if match else []
    except ValueError:
        return []
    found = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or row.keys() != {"input", "output"}:
            continue
        call = row["input"]
        if isinstance(call, list) and len(call) == count:
            found.append((call, row["output"]))
    return found
