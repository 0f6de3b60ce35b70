"""Which task a function gets, into which language, with which bug.

It is decided before any model is asked, and rests on the run's seed, the record and its place
alone, so that it is the same in every resumed or reordered run.
"""

from collections.abc import Mapping, Sequence
from random import Random

from wavecoder.generate.bugs import put_bug
from wavecoder.generate.generator import Assignment
from wavecoder.generate.task import Task
from wavecoder.languages import is_self_contained
from wavecoder.records import RawCode

__all__ = ["assign"]

_GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio, modulo 1, fill the unit interval evenly at every length (Weyl), so
that even a dozen functions are spread over the tasks by weight."""


def assign(
    raw: RawCode,
    place: int,
    weights: Mapping[str, float],
    tasks: Mapping[str, Task],
    targets: Sequence[str],
    rng: Random,
) -> Assignment | None:
    """Return what is to be made of `raw`, or None where no task suits it.

    Args:
        raw: The function.
        place: Its place in the coreset, from 0.
        weights: Share of each task.
        tasks: The tasks by name.
        targets: Languages a translation may go to.
        rng: The record's own generator.
    """
    left = dict(weights)
    point = ((place + 1) * _GOLDEN) % 1.0
    while left:
        name = _at(point, left)
        assignment = _suit(raw, tasks[name], targets, rng)
        if assignment is not None:
            return assignment
        del left[name]
        point = (point + _GOLDEN) % 1.0
    return None


def _at(point: float, weights: Mapping[str, float]) -> str:
    """Return the task whose share of the unit interval holds `point`."""
    reach = point * sum(weights.values())
    for name, weight in weights.items():
        reach -= weight
        if reach < 0:
            return name
    return list(weights)[-1]


def _suit(raw: RawCode, task: Task, targets: Sequence[str], rng: Random) -> Assignment | None:
    """Return the assignment of `task` to `raw`, or None where it does not suit."""
    if task.self_contained and not is_self_contained(raw.code, raw.language):
        return None
    target = None
    if task.changes_language:
        others = [name for name in targets if name != raw.language]
        if not others:
            return None
        target = rng.choice(others)
    bug = None
    if task.information == "edited_code":
        bug = put_bug(raw.code, raw.language, rng)
        if bug is None:
            return None
    return Assignment(raw_code=raw, task=task, target_language=target, bug=bug)
