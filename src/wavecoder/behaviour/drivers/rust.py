"""Rust: the driver is a module behind the subject, in one crate, and run once for every call."""

import re
from collections.abc import Sequence
from functools import cache

from wavecoder.behaviour.drivers.edits import renamed_main
from wavecoder.behaviour.drivers.plan import Plan, harness, one_by_one, shapes_of
from wavecoder.grading import rust
from wavecoder.sandbox import Job, Limits, Step

__all__ = ["job"]

_LIMITS = Limits(memory=2 << 30, processes=256, disk=256 << 20)
_SECONDS = 30.0  # of the compiler
_FOLDER = "/rust"
_CRATES = ("rand", "regex", "md5")


@cache
def _text() -> str:
    return harness("driver.rs")


def job(plan: Plan) -> Job:
    """Return what makes the calls of a plan.

    Raises:
        ConfigError: Rust is not installed.
    """
    tools = rust.toolchain()
    argv = [tools.commands["rustc"], "--edition", "2021", "-A", "warnings", "--error-format=short"]
    argv += ["-C", "debuginfo=0", "-C", "overflow-checks=on", "-L", f"dependency={_FOLDER}"]
    code = plan.subject.code
    for name in _CRATES:
        if re.search(rf"\b{name}\b", code):
            argv += ["--extern", f"{name}={_FOLDER}/lib{name}.rlib"]
    steps = [
        Step(
            argv=[*argv, "-o", "subject", "subject.rs"],
            compiles=True,
            cpu_seconds=_SECONDS,
            wall_seconds=3 * _SECONDS,
        ),
        Step(
            argv=one_by_one(plan, "./subject"),
            cpu_seconds=20 + plan.most_lost * plan.seconds,
            wall_seconds=30 + plan.most_lost * 4 * plan.seconds + len(plan.calls) * plan.seconds,
        ),
    ]
    text = f"{renamed_main(code, 'rust')}\n{_text()}\n{_main(plan)}"
    return Job(
        steps=steps, files={"subject.rs": text}, limits=_LIMITS, folders=tools.folders, proc=True
    )


def _main(plan: Plan) -> str:
    shapes = shapes_of(plan.signature, "rust")
    owner = plan.signature.owner
    name = f"{owner}::{plan.subject.function}" if owner else plan.subject.function
    returns = plan.signature.returns
    arms = []
    for place, (_, given) in enumerate(plan.calls):
        names = [f"wavecoder_{one}" for one in range(len(given))]
        lets, handed, changed = "", [], []
        for one, text, shape in zip(names, given, shapes, strict=False):
            mutable = shape is not None and shape.borrowed == "&mut "
            if mutable:
                text = text.removeprefix("&mut ")
                changed.append(one)
            lets += f"let {'mut ' if mutable else ''}{one} = {text};\n"
            handed.append(f"&mut {one}" if mutable else one)
        call = f"{name}({', '.join(handed)})"
        if returns in ("", "()") and changed:
            # What was lent to be changed; the others are as they were, or gone.
            listed = _listed(names, given, changed)
            made = (
                f"let before = {listed};\n{call};\nlet after = {listed};\n"
                'wavecoder::Said::Value(if before == after { "null".to_string() } else { after })'
            )
        else:
            made = f"let result = {call};\n(&&&wavecoder::Wrap(&result)).said()"
        arms.append(f"{place} => {{ {lets}{made} }}\n")
    numbers = ", ".join(str(number) for number, _ in plan.calls)
    return (
        f'const WAVECODER_MARK: &str = "{plan.mark}";\nconst WAVECODER_ROOM: usize = {plan.room};\n'
        "fn main() {\n"
        "#[allow(unused_imports)]\nuse wavecoder::{ByNothing, ByPlain, ByResult, Plain};\n"
        f"let numbers: [i64; {len(plan.calls)}] = [{numbers}];\nlet place = wavecoder::place();\n"
        f"wavecoder::arm({int(3 * plan.seconds) + 1});\n"
        "let found = ::std::panic::catch_unwind(|| match place {\n"
        f"{''.join(arms)}_ => ::std::process::exit(3),\n}});\n"
        "wavecoder::done(numbers[place], found);\n}\n"
    )


def _listed(names: list[str], given: Sequence[str], changed: list[str]) -> str:
    """Return an expression for the list of all arguments; those not lent are written anew."""
    made = [
        f"({name}).put()" if name in changed else f"({text}).put()"
        for name, text in zip(names, given, strict=False)
    ]
    holes = ",".join("{}" for _ in made)
    return f'format!("[{holes}]", {", ".join(made)})'
