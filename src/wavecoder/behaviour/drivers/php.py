"""PHP, each call in a process of its own."""

import re
from functools import cache

from wavecoder.behaviour.drivers.plan import Plan, harness
from wavecoder.grading.toolchain import find_command
from wavecoder.sandbox import Job, Step

__all__ = ["job"]

_EXTENSIONS = ("posix", "ctype", "iconv", "mbstring", "calendar")
# A name space of the subject's own would hide its functions.
_SPACE = re.compile(
    r"^\s*(?:namespace\s+[\w\\]+|declare\s*\(\s*strict_types\s*=\s*\d\s*\))\s*;", re.MULTILINE
)


@cache
def _text() -> str:
    return harness("driver.php")


def job(plan: Plan) -> Job:
    """Return what makes the calls of a plan.

    Raises:
        ConfigError: PHP is not installed.
    """
    php = find_command("php", language="PHP", package="php-cli")
    code = _SPACE.sub("", plan.subject.code)
    if "<?php" not in code:
        code = f"<?php\n{code}"
    owner = plan.signature.owner
    name = f"{owner}::{plan.subject.function}" if owner else plan.subject.function
    options = " ".join(f"-d extension={one}" for one in _EXTENSIONS)
    asked = f"{plan.mark} {plan.room} {plan.seconds:g} {plan.most_lost} '{name}'"
    command = f"exec {php} -n {options} driver.php {asked} 9>&2 2>&1"
    calls = "".join(f"[{number}, fn() => [{', '.join(given)}]],\n" for number, given in plan.calls)
    step = Step(
        argv=["/bin/sh", "-c", command],
        cpu_seconds=20 + 3 * plan.seconds,
        wall_seconds=20 + plan.most_lost * (3 * plan.seconds + 1) + len(plan.calls) * plan.seconds,
    )
    files = {"driver.php": _text(), "subject.php": code, "calls.php": f"<?php return [{calls}];"}
    return Job(steps=[step], files=files)
