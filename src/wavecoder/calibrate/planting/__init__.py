"""Defects that are planted into known-good instances, so that it is known what is wrong.

To add one: write a function from a case, the pool of all cases and a random generator to the case
with something wrong, or None where it does not suit, and put it into the tuple of its file with a
slug and whether a program can decide it. A defect is what a person would call wrong; it is not made
to fit a rule.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from types import MappingProxyType

from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.planting import code, form, hostile, words
from wavecoder.calibrate.planting.pool import Defect, Pool

__all__ = ["DEFECTS", "Defect", "Pool", "plant"]

DEFECTS: Mapping[str, Defect] = MappingProxyType(
    {one.slug: one for group in (code, form, words, hostile) for one in group.DEFECTS}
)
"""Every defect by its slug."""


def plant(
    cases: Sequence[Case], pool: Pool, defects: Sequence[str], *, most: int | None, seed: int
) -> Iterator[Case]:
    """Yield cases with each of the defects, spread over tasks and languages.

    Args:
        cases: Known-good ones.
        pool: What defects may take from.
        defects: Slugs.
        most: So many of each defect; None: one in every case that it suits.
        seed: Decides which cases, and what is planted.
    """
    for slug in defects:
        left = most
        for case in _spread(cases, Random(f"{seed}/{slug}")):
            if left == 0:
                break
            made = DEFECTS[slug].planted(case, pool, Random(f"{seed}/{slug}/{case.id}"))
            if made is not None:
                left = None if left is None else left - 1
                yield made


def _spread(cases: Sequence[Case], rng: Random) -> Iterator[Case]:
    """Yield all cases, one of every task and language in turn."""
    kinds: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        kinds.setdefault((case.task.name, case.language), []).append(case)
    for some in kinds.values():
        rng.shuffle(some)
    while kinds:
        for key in list(kinds):
            yield kinds[key].pop()
            if not kinds[key]:
                del kinds[key]
