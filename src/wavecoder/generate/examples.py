"""The example database: what was accepted and what was refused, shown to the models later.

It is a fold over the outcomes in record order and over nothing else (paper section 2.2.2: good and
bad instances go back, each whole and with its analysis), so a resumed run draws what an undisturbed
one would.
"""

from collections.abc import Iterable, Sequence
from random import Random

from wavecoder.records import Example, Instance, Rejected, RuleVerdict, digest

__all__ = ["ExampleDatabase", "as_example", "purpose"]

_MOST_PER_KIND = 100
"""Examples kept for each task, language and kind; the oldest of ours leave first."""
_MOST_CHARACTERS = 1_600
"""A longer example would crowd the raw code out of a small model's prompt."""
_DOCSTRING_CHARACTERS = 300
"""Most of a doc comment that a prompt shows."""


class ExampleDatabase:
    """All examples so far, by task, language pair and kind; equal ones are kept once."""

    def __init__(self, examples: Iterable[Example]) -> None:
        """Begin with the tasks' own examples."""
        self._examples: dict[tuple[str, bool], dict[tuple[str, str | None], list[Example]]] = {}
        self._known: set[str] = set()
        for example in examples:
            self.add(example)

    def __len__(self) -> int:
        """Return the number of examples held."""
        return sum(len(kept) for kinds in self._examples.values() for kept in kinds.values())

    def add(self, example: Example) -> None:
        """Take one more example, unless an equal one was ever taken or it is too long."""
        content = digest(example.task, example.instruction, example.solution)
        if content in self._known or _characters(example) > _MOST_CHARACTERS:
            return
        self._known.add(content)
        by_language = self._examples.setdefault((example.task, example.good), {})
        kept = by_language.setdefault((example.language, example.target_language), [])
        kept.append(example)
        if len(kept) > _MOST_PER_KIND:
            del kept[0]

    def draw(
        self,
        task: str,
        languages: tuple[str, str | None],
        rng: Random,
        *,
        good: bool,
        count: int,
        judged: bool = False,
    ) -> Sequence[Example]:
        """Return up to `count` different examples of a task, good or bad.

        Those in the same languages come first; where there are too few, languages are drawn evenly,
        so that no language crowds out the others. `judged` leaves out those that a check by program
        refused before they were judged rule by rule.
        """
        by_language = {
            key: [example for example in kept if example.rules or not judged]
            for key, kept in self._examples.get((task, good), {}).items()
        }
        own = by_language.pop(languages, [])
        drawn = rng.sample(own, min(count, len(own)))
        others = {key: kept for key, kept in by_language.items() if kept}
        while len(drawn) < count and others:
            key = rng.choice(sorted(others, key=str))
            drawn.append(others[key].pop(rng.randrange(len(others[key]))))
            if not others[key]:
                del others[key]
        return drawn


def as_example(outcome: Instance | Rejected) -> Example | None:
    """Return the outcome as an example, or None where there is no whole instance to show."""
    instance = outcome if isinstance(outcome, Instance) else outcome.instance
    if instance is None:
        return None
    rules: tuple[RuleVerdict, ...] = instance.verdict.rules if instance.verdict else ()
    if isinstance(outcome, Rejected):
        analysis = outcome.detail
    else:
        analysis = " ".join(rule.reason for rule in rules if rule.reason)
    return Example(
        id=f"{instance.task}-{instance.id}",
        task=instance.task,
        language=instance.language,
        target_language=instance.target_language,
        good=isinstance(outcome, Instance),
        name=instance.raw_code.name.rsplit(".", 1)[-1],
        docstring=purpose(instance.raw_code.docstring),
        code=instance.raw_code.code,
        instruction=instance.instruction,
        information=instance.information,
        solution=instance.solution,
        rules=rules,
        analysis=analysis,
    )


def purpose(docstring: str | None) -> str | None:
    """Return the first paragraph of a doc comment as one line; the rest is reference.

    A small model shown the rest copies it out instead of answering.
    """
    first = " ".join((docstring or "").strip().split("\n\n", 1)[0].split())
    return first[:_DOCSTRING_CHARACTERS] or None


def _characters(example: Example) -> int:
    return sum(
        len(text or "")
        for text in (example.code, example.instruction, example.information, example.solution)
    )
