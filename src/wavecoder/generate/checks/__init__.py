"""Checks by program that a draft must pass before the discriminator is asked; they cost nothing.

A check says what is wrong in one sentence, in which part and on which line. To add one: write a
function from a draft to a `Problem` or None into the file of its group, and put it, with its slug,
into the tuple at the end of that file.
"""

from collections.abc import Mapping
from types import MappingProxyType

from wavecoder.generate.checks import asserts, form, names, pairs, safety, undone, wording
from wavecoder.generate.checks.draft import Check, Draft, Failure, Problem
from wavecoder.generate.checks.safety import UNSHOWN
from wavecoder.generate.checks.syntax import syntax_problem

__all__ = [
    "CHECKS",
    "UNSHOWN",
    "Check",
    "Draft",
    "Failure",
    "Problem",
    "failures",
    "first_failure",
    "syntax_problem",
]

# What no later prompt may show goes first, so that nothing else is said of it.
_GROUPS = (safety, wording, form, undone, asserts, names, pairs)

CHECKS: Mapping[str, Check] = MappingProxyType(
    {check.slug: check for group in _GROUPS for check in group.CHECKS}
)
"""Every check by its slug, in the order they run."""


def first_failure(draft: Draft) -> Failure | None:
    """Return the first check that a draft does not pass, or None."""
    for check in CHECKS.values():
        failure = check.failure(draft)
        if failure is not None:
            return failure
    return None


def failures(draft: Draft) -> list[Failure]:
    """Return every check that a draft does not pass, in the order they run."""
    found = (check.failure(draft) for check in CHECKS.values())
    return [failure for failure in found if failure is not None]
