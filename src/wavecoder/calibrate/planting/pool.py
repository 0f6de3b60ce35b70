"""A defect, and what it may take from other known-good instances."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from wavecoder.calibrate.cases import Case, Side

__all__ = ["Defect", "Plant", "Pool"]

Plant = Callable[[Case, "Pool", Random], Case | None]
"""Gives the same case with something wrong, or None where that cannot be."""


@dataclass(frozen=True)
class Defect:
    """One kind of wrong."""

    slug: str
    what: str
    """What is wrong, in a few words."""
    plant: Plant
    by_program: bool = True
    """Whether a program can decide it, by reading the instance or by running its code."""
    tasks: tuple[str, ...] = ("generation", "translation")
    shown: bool = True
    """Whether the instance that a judge is shown has it; some are lost when the reply is read."""

    def planted(self, case: Case, pool: "Pool", rng: Random) -> Case | None:
        """Return a known-good case with this defect, or None where it does not suit."""
        if case.task.name not in self.tasks:
            return None
        made = self.plant(case, pool, rng)
        if made is None or (made.reply, made.raw.code, made.bug, made.beside, made.finish) == (
            case.reply,
            case.raw.code,
            case.bug,
            case.beside,
            case.finish,
        ):
            return None
        return made.planted(self.slug)


class Pool:
    """All known-good cases, to take from."""

    def __init__(self, cases: Iterable[Case]) -> None:
        """Take the cases in their order, which decides what is drawn."""
        self._kinds: dict[tuple[str, str], list[Case]] = defaultdict(list)
        self._twins: dict[tuple[str, str], Side] = {}
        for case in cases:
            self._kinds[case.task.name, case.language].append(case)
            if case.group and case.reference.sides:
                self._twins[case.group, case.language] = case.reference.sides[-1]

    def other(self, case: Case, rng: Random) -> Case | None:
        """Return a case of the same task and language and another problem."""
        found = [
            one
            for one in self._kinds[case.task.name, case.language]
            if one.id != case.id and (not case.group or one.group != case.group)
        ]
        return rng.choice(found) if found else None

    def elsewhere(self, case: Case, rng: Random) -> Side | None:
        """Return the same function in another language than those of the case, or any function."""
        own = {case.language, case.raw.language}
        twins = [
            side
            for (group, name), side in self._twins.items()
            if group == case.group and name not in own
        ]
        if not twins:
            twins = [
                one.reference.sides[-1]
                for (_, name), some in self._kinds.items()
                for one in some
                if name not in own and one.reference.sides
            ]
        return rng.choice(twins) if twins else None
