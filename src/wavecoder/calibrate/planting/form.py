"""Defects of the reply's form: prose beside code, several blocks, another instance again."""

from dataclasses import replace
from random import Random

from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.planting.pool import Defect, Pool
from wavecoder.calibrate.summaries import summary_words
from wavecoder.generate.quoting import fenced
from wavecoder.records import FinishReason

__all__ = ["DEFECTS"]

_AFTER = (
    "This function goes through the input once and returns the result.",
    "Explanation: the loop checks every element, so the complexity is linear.",
    "You can call it with any list, for example with an empty one.",
    "Note that this implementation does not validate its input.",
)
_INSTEAD = (
    "To solve this, go through the input, keep what is asked for and return it at the end. {0}",
    "I'm sorry, but I cannot write this function without more context.",
    "The function can be written with a loop. {0} Remember to handle empty inputs.",
)


def _prose_after(case: Case, pool: Pool, rng: Random) -> Case | None:
    return replace(case, solution=f"{case.solution}\n\n{rng.choice(_AFTER)}")


def _prose_instead(case: Case, pool: Pool, rng: Random) -> Case | None:
    words = summary_words(case.raw.docstring or "")
    return replace(case, solution=rng.choice(_INSTEAD).format(words).strip())


def _two_blocks(case: Case, pool: Pool, rng: Random) -> Case | None:
    other = pool.other(case, rng)
    if other is None:
        return None
    return replace(case, solution=f"{case.solution}\n\n{fenced(other.code, case.language)}")


def _mixed(case: Case, pool: Pool, rng: Random) -> Case | None:
    """Let a function in another language stand behind the own one, in one block."""
    side = pool.elsewhere(case, rng)
    return None if side is None else case.with_code(f"{case.code}\n\n{side.code}")


def _open_fence(case: Case, pool: Pool, rng: Random) -> Case | None:
    return replace(case, cut=True)


def _cut_off(case: Case, pool: Pool, rng: Random) -> Case | None:
    return replace(case, finish=FinishReason.LENGTH, cut=True)


def _near_copy(case: Case, pool: Pool, rng: Random) -> Case | None:
    """Let an accepted instance be there that differs in a word or two of the instruction."""
    words = case.instruction.split()
    if len(words) < 8:
        return None
    at = rng.randrange(len(words) // 2, len(words))
    varied = [*words[:at], "simply", *words[at:]]
    return replace(
        case,
        id=f"{case.id}+near_copy",
        instruction=" ".join(varied),
        beside=case.instance,
    )


DEFECTS = (
    Defect("prose_after_code", "an explanation stands behind the code", _prose_after, shown=False),
    Defect("prose_instead", "there are words where code should be", _prose_instead),
    Defect("two_blocks", "there are two blocks of code", _two_blocks),
    Defect("languages_mixed", "two languages stand in one block", _mixed),
    Defect("open_fence", "the last fence is never closed", _open_fence, shown=False),
    Defect("cut_off", "the reply reached its most tokens", _cut_off, shown=False),
    Defect(
        "near_copy",
        "an accepted instance with a word more",
        _near_copy,
        tasks=("generation", "summarization", "translation"),
        shown=False,
    ),
)
"""Those of the form."""
