"""What goes wrong in wrong code, said by the program: models make it up, or copy it with a slip.

Of 17 accepted reports by a 0.5B model ten had a symptom that was made up or garbled, the same with
and without the run that shows it in the prompt.
"""

import json

from wavecoder.behaviour import differ
from wavecoder.records import Case, Instance, Proof

__all__ = ["symptom", "telling", "without_symptom"]

_MOST = 200
"""Characters of an input and two results that a sentence holds."""


def telling(proof: Proof | None) -> Case | None:
    """Return the shortest case of a proof in which right and wrong code give different results.

    None where there is no proof that a bug shows, or no case that a sentence can hold.
    """
    if proof is None or proof.how != "bug_shows":
        return None
    found = [one for one in proof.cases if len(_texts(one)) <= _MOST and _is_plain(one)]
    return min(found, key=lambda one: len(_texts(one)), default=None)


def symptom(case: Case | None) -> str:
    """Return the sentence that a report ends with, a space before it; empty without a case."""
    if case is None:
        return ""
    what, _, words = (case.other or "").partition(" ")
    raised = what == "raised"
    got = f"raises `{' '.join(words.split())}`" if raised else f"gives `{case.other}`"
    arguments = case.call[1:-1]
    given = f" with the arguments `{arguments}`" if arguments else ""
    return f" For example,{given} it should give `{case.expected}`, but it {got} (values in JSON)."


def without_symptom(instance: Instance) -> str:
    """Return an instance's instruction as its generator wrote it."""
    return instance.instruction.removesuffix(symptom(telling(instance.proof)))


def _texts(case: Case) -> str:
    return f"{case.call}{case.expected}{case.other}"


def _is_plain(case: Case) -> bool:
    """Whether the sentence is true of the case as it stands, and nothing in it is cut off."""
    other = case.other or ""
    raised = other.startswith("raised ")
    try:
        arguments, expected = json.loads(case.call), json.loads(case.expected)
        results = [expected] if raised else [expected, json.loads(other)]
    except ValueError:
        return False
    if "`" in _texts(case) or not (raised or differ(*results)):
        return False
    # Of a function that gives nothing back the result is its arguments as it left them.
    return not any(isinstance(one, list) and len(one) == len(arguments) for one in results)
