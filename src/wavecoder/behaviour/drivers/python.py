"""Python: the subject is loaded in the box's interpreter, and every call forked from it."""

from functools import cache

from wavecoder.behaviour.drivers.plan import Plan, harness
from wavecoder.sandbox import Exam, Job

__all__ = ["job"]


@cache
def _text() -> str:
    return harness("python.py")


def job(plan: Plan) -> Job:
    """Return what makes the calls of a plan."""
    calls = [(number, f"({''.join(one + ', ' for one in given)})") for number, given in plan.calls]
    owner = plan.signature.owner
    name = f"{owner}.{plan.subject.function}" if owner else plan.subject.function
    asked = (plan.mark, plan.room, plan.seconds, plan.most_lost, plan.shared)
    arguments = (plan.subject.code, name, calls, *asked)
    exam = Exam(
        program=f"{_text()}\nmain{arguments!r}\n",
        tests="",
        strict=False,
        # Of the process that loads the subject and waits; each call has its own.
        cpu_seconds=plan.seconds + 2,
        wall_seconds=20 + plan.most_lost * (3 * plan.seconds + 1) + len(calls) * plan.seconds,
    )
    return Job(steps=[exam])
