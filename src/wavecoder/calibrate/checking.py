"""The checks by program as a grader: what `generate` refuses before anything is run or asked."""

from wavecoder.calibrate.cases import Case, Unreadable
from wavecoder.calibrate.grades import Grade
from wavecoder.generate.checks import failures
from wavecoder.generate.duplicates import AcceptedInstances

__all__ = ["checked"]


def checked(case: Case, accepted: AcceptedInstances | None = None) -> Grade:
    """Return what the checks say of a case.

    Args:
        case: Any.
        accepted: The known-good instances before it, which a known-good one must not repeat; a
            planted case is compared with `case.beside` alone.
    """
    draft = case.draft
    if isinstance(draft, Unreadable):
        return Grade(refused=True, rules=(draft.slug,), reason=draft.reason)
    found = failures(draft)
    if found:
        rules = tuple(dict.fromkeys(one.slug for one in found))
        return Grade(refused=True, rules=rules, reason=found[0].reason)
    if case.beside is not None:
        accepted = AcceptedInstances()
        accepted.add(case.beside)
    repeated = None if accepted is None else accepted.add_new(case.instance)
    if repeated is not None:
        other, similarity = repeated
        reason = f"it is {similarity:.2f} similar to {other}"
        return Grade(refused=True, rules=("near_duplicate",), reason=reason)
    return Grade(refused=False)
