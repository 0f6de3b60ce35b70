"""An instance's solution, written anew by a stronger model and held to what any draft is held to.

It is a method of the engine: the function it is given stands for the instance made of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from wavecoder.contamination import document_of_record, first_hit, told
from wavecoder.generate.bugs import Bug
from wavecoder.generate.checks import UNSHOWN, Draft, failures
from wavecoder.generate.generator import Assignment
from wavecoder.generate.method import Desk, Outcome
from wavecoder.generate.methods.labels import is_open
from wavecoder.generate.methods.unjudged import read_answer
from wavecoder.generate.proofs import Prover, Refusal
from wavecoder.generate.quoting import fenced
from wavecoder.generate.sections import Sections, fences
from wavecoder.generate.symptoms import symptom, telling, without_symptom
from wavecoder.generate.task import Prompt, Task
from wavecoder.languages import language, language_named, outside_names
from wavecoder.records import (
    ChatRequest,
    Example,
    FinishReason,
    Instance,
    Message,
    RawCode,
    Rejected,
    Sampling,
)

__all__ = ["REWRITTEN", "Rewriter", "words"]

REWRITTEN = "rewritten"
"""`Instance.regenerated` of one whose solution is the teacher's."""


@cache
def words() -> Mapping[str, Prompt]:
    """Return what the teacher is asked, by task."""
    text = files("wavecoder.generate").joinpath("regenerate.yaml").read_text("utf-8")
    return {name: Prompt.model_validate(one) for name, one in yaml.safe_load(text).items()}


class Rewriter:
    """One call an instance: the instruction in, another solution out."""

    own_examples: Sequence[Example] = ()

    def __init__(
        self,
        sampling: Sampling,
        tasks: Mapping[str, Task],
        wanted: Iterable[str] | None,
        *,
        prover: Prover | None,
        index: Path | None,
    ) -> None:
        """Take what decides a rewriting.

        Args:
            sampling: How the teacher's reply is drawn.
            tasks: The tasks that the instances were written for, by name; one that is not there is
                another method's, and its answers are read as that method reads them.
            wanted: Tasks whose solutions are written anew; None: all.
            prover: Runs code, where something ran before.
            index: Hashes of the benchmarks of which no instance may hold a problem.
        """
        self.sampling, self.tasks = sampling, tasks
        self.wanted = None if wanted is None else frozenset(wanted)
        self.prover, self.index = prover, index
        self.pending: dict[str, Instance] = {}
        """The instances on their way, by id; whoever takes an outcome takes its instance out."""

    def functions(self, instances: Iterable[Instance]) -> Iterator[RawCode]:
        """Yield what each instance was made of, under its id; the engine takes functions."""
        for instance in instances:
            self.pending[instance.id] = instance
            yield instance.raw_code.model_copy(update={"id": instance.id})

    def wants(self, instance: Instance) -> bool:
        """Say whether the solution of an instance is to be written anew."""
        return self.wanted is None or instance.task in self.wanted

    def identity(self) -> Mapping[str, Any]:
        """Return the prompts."""
        return {"words": {name: one.model_dump(mode="json") for name, one in words().items()}}

    async def attempt(self, desk: Desk) -> Outcome:
        """Ask for a solution, read, check and run it; an instance that is not wanted stays."""
        old = self.pending[desk.raw.id]
        if not self.wants(old):
            return old
        desk.task = old.task
        seed = self.sampling.seed ^ desk.rng().getrandbits(31)
        sampling = self.sampling.model_copy(update={"seed": seed})
        reply = await desk.write(ChatRequest(messages=self._messages(old), sampling=sampling))
        refused = partial(Rejected, id=old.id, task=old.task, reply=reply.text)
        if reply.finish_reason is FinishReason.LENGTH:
            detail = f"the reply was cut at {sampling.max_tokens} tokens"
            return refused(reason="cut_off", detail=detail)
        solution = self._solution(old, reply.text.strip())
        if isinstance(solution, Refusal):
            return refused(reason=solution.reason, detail=solution.detail)
        new = old.model_copy(
            update={
                "solution": solution,
                "reply": reply.text,
                "generator": desk.generator,
                # What was judged and run was the other solution.
                "discriminator": None,
                "verdict": None,
                "proof": None,
                "attempt": desk.attempt,
                "regenerated": REWRITTEN,
            }
        )
        found = await self._held(desk, old, new)
        if isinstance(found, Refusal):
            return refused(reason=found.reason, detail=found.detail, instance=new)
        return found

    def _messages(self, instance: Instance) -> tuple[Message, ...]:
        """Return the rule how to answer, then what a model tuned on the instance is asked."""
        task, prompts = self.tasks.get(instance.task), words()
        kind = "free" if task is None else task.solution_is
        prompt = prompts.get(instance.task, prompts[kind])
        information = instance.information
        if information and task is not None and task.information != "generator":
            information = fenced(information, instance.language)
        into = language(instance.target_language or instance.language)
        variables = {
            "language": language(instance.language).title,
            "tag": instance.language,
            "target_language": into.title,
            "target_tag": into.name,
            "instruction": instance.instruction,
            "information": information,
        }
        return (
            Message(role="system", content=prompt.render("system", variables)),
            Message(role="user", content=prompt.render("turn", variables)),
        )

    def _solution(self, old: Instance, text: str) -> str | Refusal:
        """Return the solution in a reply, or why there is none of use."""
        task = self.tasks.get(old.task)
        if not text:
            return Refusal("empty_answer", "there is nothing in the answer")
        if task is None:
            answer = read_answer(text, old.raw_code)
            return answer if isinstance(answer, str) else Refusal(*answer)
        if is_open(text):
            return Refusal("open_fence", "a code fence is not closed")
        wanted = old.target_language or old.language
        draft = _draft(old, task, _only_code(text, wanted) if task.solution_is == "code" else text)
        failed = {failure.slug: failure for failure in failures(draft)}
        if failed and task.solution == "raw_code":
            # An author's code may name what stands elsewhere in his file, and so may its repair.
            before = _draft(old, task, fenced(old.solution, wanted))
            for failure in failures(before):
                if failure.slug not in UNSHOWN and not _names_more(draft, before):
                    failed.pop(failure.slug, None)
        for failure in failed.values():
            return Refusal(failure.slug, failure.reason)
        return draft.solution

    async def _held(self, desk: Desk, old: Instance, new: Instance) -> Instance | Refusal:
        """Return the new instance with what running it showed, or what speaks against it."""
        hit = None if self.index is None else first_hit(document_of_record(new), self.index)
        if hit is not None:
            return Refusal("contaminated", told(hit))
        if self.prover is None or old.proof is None:
            return new
        found = await self.prover.again(new, old.proof, desk.random(f"{new.id}/calls"))
        if isinstance(found, Refusal) and found.reason != "unproved":
            return found
        # That nothing could be shown speaks against nobody; the instance says so by its level.
        proof = None if isinstance(found, Refusal) else found
        said = without_symptom(old) + symptom(telling(proof))
        return new.model_copy(update={"proof": proof, "instruction": said})


def _draft(instance: Instance, task: Task, solution: str) -> Draft:
    """Return an instance as its checks saw it, with a solution in its fence that a model wrote."""
    wrong = instance.information if task.information == "edited_code" else None
    assignment = Assignment(
        raw_code=instance.raw_code,
        task=task.model_copy(update={"solution": "generator"}),
        target_language=instance.target_language,
        bug=None if wrong is None else Bug(kind=instance.bug or "", code=wrong),
    )
    return Draft(
        assignment, Sections(without_symptom(instance), instance.information, solution), ()
    )


def _only_code(text: str, wanted: str) -> str:
    """Return the fenced block in the language that is asked for, without the words around it.

    A text without such a block, or with several, stays as it is: the checks know what to say of it.
    """
    blocks = fences(text)
    tagged = [one for one in blocks if (row := language_named(one.tag)) and row.name == wanted]
    found = tagged or blocks
    return text[found[0].start : found[0].end] if len(found) == 1 else text


def _names_more(draft: Draft, before: Draft) -> bool:
    """Say whether Python code names something that is nowhere and that the old code did not."""
    name = draft.assignment.solution_language
    if name != "python":
        return False
    return not set(outside_names(draft.solution, name)) <= set(outside_names(before.solution, name))
