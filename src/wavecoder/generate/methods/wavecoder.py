"""The paper's method: generator, checks, discriminator (section 2.2.2)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from wavecoder.errors import ConfigError
from wavecoder.generate.assign import assign
from wavecoder.generate.checks import UNSHOWN, Draft, first_failure
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.discriminator import discriminator_request, parse_verdict, verdict_schema
from wavecoder.generate.generator import Assignment, generator_request
from wavecoder.generate.method import Desk, Outcome
from wavecoder.generate.methods.labels import is_open
from wavecoder.generate.proofs import Refusal
from wavecoder.generate.quoting import marker
from wavecoder.generate.sections import parse_sections
from wavecoder.generate.symptoms import symptom, telling
from wavecoder.generate.task import load_task
from wavecoder.languages import language
from wavecoder.records import Example, FinishReason, Instance, Proof, Rejected

__all__ = ["WaveCoder"]


class WaveCoder:
    """Four tasks; one call writes, programs check, one call judges rule by rule."""

    def __init__(self, config: GenerateConfig) -> None:
        """Load the tasks.

        Raises:
            ConfigError: A task or language is unknown.
        """
        self.config = config
        if not config.tasks:
            raise ConfigError("generate.tasks is empty. Name a task, or leave the key out.")
        # Sorted, so that the order in the recipe, which no fingerprint sees, decides nothing.
        loaded = [(load_task(name), config.tasks[name]) for name in sorted(config.tasks)]
        self.tasks = {task.name: task for task, _ in loaded}
        self.weights = {task.name: weight or task.weight for task, weight in loaded}
        self.targets = tuple(language(name).name for name in config.target_languages)
        self.own_examples: Sequence[Example] = tuple(
            example for task in self.tasks.values() for example in task.own_examples
        )

    def identity(self) -> Mapping[str, Any]:
        """Return the tasks, by content."""
        return {
            "weights": self.weights,
            "tasks": {name: task.model_dump(mode="json") for name, task in self.tasks.items()},
        }

    async def attempt(self, desk: Desk) -> Outcome:
        """Ask the generator, check its reply, ask the discriminator."""
        raw = desk.raw
        assignment = assign(
            raw, desk.place, self.weights, self.tasks, self.targets, desk.rng(every_attempt=True)
        )
        if assignment is None:
            detail = f"none of the tasks {', '.join(self.tasks)} suits it"
            return Rejected(id=raw.id, reason="no_task", detail=detail)
        desk.task = assignment.task.name
        proof = None
        if desk.prover is not None:
            begun = await desk.prover.assigned(desk, assignment)
            if isinstance(begun, Refusal):
                return Rejected(id=raw.id, task=desk.task, reason=begun.reason, detail=begun.detail)
            assignment, proof = begun
        written = await self._write(desk, assignment, proof)
        if isinstance(written, Rejected):
            return written
        draft, judged = written
        outcome = await self._judge(desk, draft, judged)
        if isinstance(outcome, Instance):
            # What the program knows needs no judge.
            said = outcome.instruction + symptom(telling(outcome.proof))
            return outcome.model_copy(update={"instruction": said})
        return outcome

    async def _write(
        self, desk: Desk, assignment: Assignment, proof: Proof | None
    ) -> tuple[Instance, Sequence[Example]] | Rejected:
        """Return a draft that passed checks and proof, and the examples for its judge."""
        raw, task, config = desk.raw, assignment.task, self.config
        rng = desk.rng()
        draw = partial(desk.examples.draw, task.name, (raw.language, assignment.target_language))
        good = draw(rng, good=True, count=config.good_examples)
        bad = draw(rng, good=False, count=config.bad_examples)
        sampling = config.generator_sampling
        sampling = sampling.model_copy(update={"seed": sampling.seed ^ rng.getrandbits(31)})
        reply = await desk.write(generator_request(assignment, good, bad, sampling))
        refused = partial(Rejected, id=raw.id, task=task.name, reply=reply.text)
        if reply.finish_reason is FinishReason.LENGTH:
            return refused(
                reason="cut_off", detail=f"the reply was cut at {sampling.max_tokens} tokens"
            )
        sections = parse_sections(reply.text)
        if isinstance(sections, str):
            reason = "open_fence" if is_open(reply.text) else "no_sections"
            return refused(reason=reason, detail=sections)
        draft = Draft(assignment, sections, good)
        judged = [*draw(rng, good=False, count=1, judged=True), *draw(rng, good=True, count=1)]
        instance = desk.draft = Instance(
            id=raw.id,
            task=task.name,
            language=raw.language,
            target_language=assignment.target_language,
            instruction=sections.instruction,
            information=draft.information,
            solution=draft.solution,
            raw_code=raw,
            bug=assignment.bug.kind if assignment.bug else None,
            reply=reply.text,
            verdict=None,
            generator=desk.generator,
            discriminator=None,
            round=desk.round,
            attempt=desk.attempt,
            example_ids=tuple(dict.fromkeys(one.id for one in (*good, *bad, *judged))),
        )
        failure = first_failure(draft)
        if failure is not None:
            shown = None if failure.slug in UNSHOWN else instance
            return refused(reason=failure.slug, detail=failure.reason, instance=shown)
        if desk.prover is not None:
            found = await desk.prover.written(desk, instance, proof)
            if isinstance(found, Refusal):
                return refused(reason=found.reason, detail=found.detail, instance=instance)
            instance = desk.draft = instance.model_copy(update={"proof": found})
        return instance, judged

    async def _judge(self, desk: Desk, draft: Instance, examples: Sequence[Example]) -> Outcome:
        """Return the instance with its verdict, or the rule that refused it."""
        task = self.tasks[draft.task]
        request = discriminator_request(
            task,
            draft,
            examples,
            self.config.discriminator_sampling,
            mark=marker(desk.random(f"{draft.id}/{desk.attempt}/marker")),
        )
        if self.config.structured_verdicts:
            request = request.model_copy(update={"reply_schema": verdict_schema(task.rules)})
        reply = await desk.judge(request)
        refused = partial(Rejected, id=draft.id, task=draft.task, reply=reply.text)
        if reply.finish_reason is FinishReason.LENGTH:  # a "no" may have been about to follow
            most = self.config.discriminator_sampling.max_tokens
            detail = f"the verdict was cut at {most} tokens"
            return refused(reason="no_verdict", detail=detail, instance=draft)
        verdict = parse_verdict(reply.text, task.rules)
        if isinstance(verdict, str):
            return refused(reason="no_verdict", detail=verdict, instance=draft)
        instance = draft.model_copy(
            update={"verdict": verdict, "discriminator": desk.discriminator}
        )
        if verdict.passed:
            return instance
        failed = next((rule for rule in verdict.rules if not rule.passed), None)
        if failed is None:
            detail = "every rule is yes and the overall answer is no"
            return refused(reason="overall_no", detail=detail, instance=instance)
        detail = failed.reason or "the discriminator gives no reason"
        return refused(reason=f"rule_{failed.rule}", detail=detail, instance=instance)
