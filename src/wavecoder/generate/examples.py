"""The example database: what was accepted and what was refused, shown to the models later.

It is a fold over the outcomes in record order and over nothing else (paper section 2.2.2: good and
bad instances go back, each whole and with its analysis), so a resumed run draws what an undisturbed
one would.
"""

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from wavecoder.generate.symptoms import telling, without_symptom
from wavecoder.records import (
    FAILED_REASONS,
    Example,
    Instance,
    Rejected,
    RuleVerdict,
    digest,
)

__all__ = ["ExampleDatabase", "as_example", "purpose"]

_MOST_PER_KIND = 100
"""Examples kept for each task, language and kind; the oldest of ours leave first."""
_MOST_CHARACTERS = 1_600
"""A longer example would crowd the raw code out of a small model's prompt."""
_DOCSTRING_CHARACTERS = 300
"""Most of a doc comment that a prompt shows."""


_Kind = tuple[str, bool, bool]
"""Task, good, and whether it was judged rule by rule."""
_Languages = tuple[str, str | None]


class ExampleDatabase:
    """All examples so far, by task, language pair and kind; equal ones are kept once."""

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        """Begin with the method's own examples."""
        # Values are never changed but replaced, so that a snapshot can share them.
        self._examples: dict[_Kind, dict[_Languages, tuple[Example, ...]]] = {}
        self._known: set[str] = set()
        for example in examples:
            self.add(example)

    def __len__(self) -> int:
        """Return the number of examples held."""
        return sum(len(kept) for kinds in self._examples.values() for kept in kinds.values())

    def snapshot(self) -> "ExampleDatabase":
        """Return what is held now; later additions do not show in it, and it takes none."""
        taken = ExampleDatabase()
        taken._examples = {kind: dict(kept) for kind, kept in self._examples.items()}
        return taken

    def add(self, example: Example) -> None:
        """Take one more example, unless an equal one was ever taken or it is too long."""
        content = digest(example.task, example.instruction, example.solution)
        if content in self._known or _characters(example) > _MOST_CHARACTERS:
            return
        self._known.add(content)
        kind = (example.task, example.good, bool(example.rules))
        languages = (example.language, example.target_language)
        by_language = self._examples.setdefault(kind, {})
        by_language[languages] = (*by_language.get(languages, ()), example)[-_MOST_PER_KIND:]

    def draw(
        self,
        task: str,
        languages: _Languages,
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
        kinds = [
            self._examples.get((task, good, rules), {})
            for rules in ((True,) if judged else (True, False))
        ]
        own = [example for kind in kinds for example in kind.get(languages, ())]
        drawn = rng.sample(own, min(count, len(own)))
        if len(drawn) == count:
            return drawn
        others = {
            key: [example for kind in kinds for example in kind.get(key, ())]
            for kind in kinds
            for key in kind
            if key != languages
        }
        while len(drawn) < count and others:
            key = rng.choice(sorted(others, key=str))
            drawn.append(others[key].pop(rng.randrange(len(others[key]))))
            if not others[key]:
                del others[key]
        return drawn

    def instructions(self, task: str) -> Iterator[str]:
        """Yield the instructions of all good examples of a task that are held."""
        for (name, good, _), by_language in self._examples.items():
            if name == task and good:
                for kept in by_language.values():
                    for example in kept:
                        yield example.instruction


def as_example(outcome: Instance | Rejected) -> Example | None:
    """Return the outcome as an example, or None where there is none to show to others.

    That is one without a whole instance, or one that was never judged: retried after its round, or
    failed.
    """
    instance = outcome if isinstance(outcome, Instance) else outcome.instance
    if instance is None or instance.retried:
        return None
    if isinstance(outcome, Rejected) and outcome.reason in FAILED_REASONS:
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
        instruction=without_symptom(instance),
        information=instance.information,
        solution=instance.solution,
        rules=rules,
        analysis=analysis,
        case=telling(instance.proof),
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
