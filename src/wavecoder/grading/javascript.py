"""JavaScript: HumanEvalPack, run by Node.

Published, program and tests are one file, and the tests have passed where nothing at all was
printed: a failed `console.assert` prints, and changes no exit status. So a program that ends early
passes, and a right one that prints does not.

Strict, the program is loaded in one process and the tests in another (`harness/javascript/`). They
call the program's function through a pipe; what comes back is made of strings, numbers, booleans,
lists and plain objects, made anew, and anything else equals itself alone. The program may print. It
sees neither the tests nor the token, as the box shows it no other process; the examiner is ready
before the program is loaded, so that none of its files or signals comes in between.
"""

import re
import sys
from functools import cache
from pathlib import Path

from wavecoder.grading.prepared import harness
from wavecoder.grading.toolchain import Toolchain, find_command, missing
from wavecoder.records import Mode, Problem
from wavecoder.sandbox import Job, Rule, Step

__all__ = ["job", "toolchain"]

_CPU_SECONDS = 10.0  # bigcode's code_eval_octopack
_WALL_SECONDS = 3 * _CPU_SECONDS + 5
# JavaScript/162 asks for this library by its name.
_LIBRARY = "js-md5"
_LIBRARY_VERSION = "0.7.3"
_MODULES = (
    Path(sys.prefix, "node", "node_modules"),
    Path("/usr/local/lib/node_modules"),
    Path("/usr/lib/node_modules"),
    Path("/usr/share/nodejs"),
)
_FUNCTION = re.compile(r"^(?:const|let|var|function)\s+(\w+)", re.MULTILINE)


@cache
def toolchain() -> Toolchain:
    """Return Node, having made sure that the one library is there.

    Raises:
        ConfigError: One of them is not installed.
    """
    node = find_command("node", language="JavaScript", package="nodejs")
    _library()
    return Toolchain(name="javascript", commands={"node": node})


def job(problem: Problem, program: str, mode: Mode) -> Job:
    """Return what runs a program against the problem's tests.

    Args:
        problem: Of HumanEvalPack in JavaScript.
        program: The candidate program, a whole one.
        mode: By which rule it passes.

    Raises:
        ConfigError: Node or its library is not installed.
    """
    node = toolchain().commands["node"]
    own = {f"node_modules/{_LIBRARY}/index.js": _library()} if _LIBRARY in program else {}
    if mode == Mode.PUBLISHED:
        step = Step(
            argv=[node, "test.js"],
            rule=Rule.SILENT,
            wrong=r"(?m)^Assertion failed",
            cpu_seconds=_CPU_SECONDS,
            wall_seconds=_WALL_SECONDS,
        )
        return Job(steps=[step], files={**own, "test.js": f"{program}\n{problem.test}"})
    run = [node, "--input-type=commonjs", "-e"]
    step = Step(
        argv=[*run, _harness("candidate"), "program.js"],
        rule=Rule.ANSWER,
        examiner=[*run, _harness("examiner"), _tests(problem)],
        cpu_seconds=_CPU_SECONDS,
        wall_seconds=_WALL_SECONDS,
    )
    return Job(steps=[step], files={**own, "program.js": program})


def _tests(problem: Problem) -> str:
    """Return the tests, with the prompt's helper functions and a stand-in for the function."""
    # Its name in the declaration: in JavaScript/114 `entry_point` is spelled otherwise.
    *_, function = _FUNCTION.finditer(problem.declaration)
    name = function[1]
    stand_in = f'const {name} = (...given) => wavecoderCall("{name}", given);'
    return f"{problem.declaration[: function.start()]}\n{stand_in}\n{problem.test}\n"


@cache
def _harness(name: str) -> str:
    """Return one of the two processes' own code; its names are hidden from the program."""
    texts = [harness("javascript", f"{one}.js") for one in ("link", name)]
    return "\n".join(["(() => {'use strict';", *texts, "})()"])


@cache
def _library() -> str:
    for folder in _MODULES:
        for path in ("src/md5.js", "index.js"):
            found = folder / _LIBRARY / path
            if found.is_file():
                return found.read_text("utf-8")
    raise missing(
        "JavaScript",
        f"the library {_LIBRARY} is not installed",
        f"it: npm install --prefix {sys.prefix}/node {_LIBRARY}@{_LIBRARY_VERSION}",
    )
