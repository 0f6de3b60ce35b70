"""JavaScript, and TypeScript without its types, in Node."""

import json
import re
from functools import cache

from wavecoder.behaviour.drivers.plan import Plan, UnfitError, harness, resumed
from wavecoder.behaviour.drivers.untyped import without_types
from wavecoder.behaviour.subjects import Unrunnable
from wavecoder.grading import javascript
from wavecoder.sandbox import Job, Step

__all__ = ["job"]

_EXPORT = re.compile(r"^([ \t]*)export[ \t]+(?:default[ \t]+)?(?=[\w{(\[])", re.MULTILINE)
_EXPORTED = re.compile(r"^[ \t]*export[ \t]*(?:\{[^}]*\}|\*)[^\n]*$", re.MULTILINE)
_IMPORT = re.compile(
    r"^[ \t]*import[ \t]+(?:(?P<what>[^'\";]+?)[ \t\n]*from[ \t]+)?['\"]"
    r"(?P<module>[^'\"\n]+)['\"];?",
    re.MULTILINE,
)


@cache
def _text() -> str:
    return harness("driver.js")


def job(plan: Plan) -> Job:
    """Return what makes the calls of a plan.

    Raises:
        ConfigError: Node is not installed.
        UnfitError: Its types cannot be taken away.
    """
    node = javascript.toolchain().commands["node"]
    code = plan.subject.code
    if plan.subject.language == "typescript":
        stripped = without_types(code)
        if stripped is None:
            detail = "It uses what TypeScript makes code of: an enum, a namespace or a decorator."
            raise UnfitError(Unrunnable("needs_more", detail))
        code = stripped
    owner = plan.signature.owner
    name = f"{owner}.{plan.subject.function}" if owner else plan.subject.function
    command = f"{node} driver.js"
    argv = resumed(plan, command)
    argv[2] = argv[2].replace(
        f"{command} $first", f"{command} $first {plan.mark} {plan.room} {plan.seconds * 1000:.0f}"
    )
    lists = ",\n".join(f"() => [{', '.join(given)}]" for _, given in plan.calls)
    step = Step(
        argv=argv,
        cpu_seconds=10 + (plan.most_lost + 1) * plan.seconds,
        wall_seconds=20 + plan.most_lost * 4 * plan.seconds + len(plan.calls) * plan.seconds,
        env={"WAVECODER_FUNCTION": name, "WAVECODER_LOST": str(plan.most_lost)},
    )
    files = {
        "driver.js": _text(),
        "subject.js": _script(code),
        "calls.js": f"[{lists}]",
        "numbers": json.dumps([number for number, _ in plan.calls]),
    }
    return Job(steps=[step], files=files)


def _script(code: str) -> str:
    """Return a module as a script: what it exports is there by its name."""

    def required(found: re.Match[str]) -> str:
        module, what = json.dumps(found["module"].removeprefix("node:")), found["what"]
        if what is None:
            return f"require({module});"
        what = what.strip()
        if what.startswith("{"):
            what = re.sub(r"\bas\b", ":", what)
        else:  # a default export, or `* as it`
            what = re.sub(r"^\*\s*as\s+", "", what)
        return f"const {what} = require({module});"

    code = _IMPORT.sub(required, _EXPORTED.sub("", code))
    return _EXPORT.sub(r"\1", code)
