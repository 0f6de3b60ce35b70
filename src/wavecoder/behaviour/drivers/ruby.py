"""Ruby, each call in a process of its own."""

from functools import cache

from wavecoder.behaviour.drivers.plan import Plan, harness
from wavecoder.grading.toolchain import find_command
from wavecoder.sandbox import Job, Step

__all__ = ["job"]


@cache
def _text() -> str:
    return harness("driver.rb")


def job(plan: Plan) -> Job:
    """Return what makes the calls of a plan.

    Raises:
        ConfigError: Ruby is not installed.
    """
    ruby = find_command("ruby", language="Ruby", package="ruby")
    owner = plan.signature.owner
    name = f"{owner}.{plan.subject.function}" if owner else plan.subject.function
    asked = f"{plan.mark} {plan.room} {plan.seconds:g} {plan.most_lost} '{name}'"
    command = f"exec {ruby} --disable-gems driver.rb {asked} 9>&2 2>&1"
    calls = "".join(
        f"[{number}, proc {{ [{', '.join(given)}] }}],\n" for number, given in plan.calls
    )
    step = Step(
        argv=["/bin/sh", "-c", command],
        cpu_seconds=20 + 3 * plan.seconds,
        wall_seconds=20 + plan.most_lost * (3 * plan.seconds + 1) + len(plan.calls) * plan.seconds,
    )
    files = {"driver.rb": _text(), "subject.rb": plan.subject.code, "calls.rb": f"[{calls}]"}
    return Job(steps=[step], files=files)
