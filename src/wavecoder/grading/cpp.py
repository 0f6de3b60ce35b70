"""C++: HumanEvalPack, compiled by g++.

Published, program and tests are one text, which must compile and end with status 0. So a program
that exits early passes, and one that redefines `assert`, `bool` or a comparison. So does anything
for CPP/23: the header declares the library's `strlen`, and that is what its tests call.

Strict, they are two programs in two processes. Of the problem's declaration the tests get a
function of the same signature that sends its arguments through a pipe and reads the result, as
plain numbers, strings and containers of them made anew; the program gets a `main` that answers. A
result that is not a number fails: no test wants one, and tests that look for a difference above a
limit find none. The tests are compiled when the program is, and run before its first instruction;
their text was never in a file and their binary is gone by then. The program can send what it likes
through the pipe, kill the examiner or write in the box's folder: none of it tells it what the tests
want. Its function may differ from the declaration as far as C++ converts the one to the other.

The header that comes before every program is compiled once and kept in the user's cache folder,
which more than halves the time of a compilation.
"""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from wavecoder.grading.prepared import harness, prepared, run
from wavecoder.grading.toolchain import Toolchain, find_command, missing
from wavecoder.records import Mode, Problem
from wavecoder.sandbox import Job, Rule, Step

__all__ = ["job", "toolchain"]

_SECONDS = 60.0  # bigcode's code_eval_octopack, for the compiler and for the program
_WALL_SECONDS = 3 * _SECONDS + 5
_STANDARD = "-std=c++11"
_LIBRARIES = ("-lcrypto", "-lssl")
_HEADER = "wavecoder.h"
_FOLDER = "/precompiled"  # in the box
_NEEDED = {"boost/any.hpp": "libboost-dev", "openssl/md5.h": "libssl-dev"}
_FAILED = r"Assertion `.*' failed"
_HEAD = re.compile(r"^(\S.*?[\s>])(\w+)\s*\(([^()]*)\)\s*\{", re.MULTILINE)
_COMMA = re.compile(r",(?![^<>]*>)")
_MAIN = re.compile(r"\bint\s+main\s*\(\s*\)")
# The program begins when the examiner says so: it can no longer be read then.
_GATE = 'read go <&5 && exec "$0"'
_FROM_ARGUMENT = 'text="$1"; shift; printf "%s" "$text" | "$@"'


class _Function(NamedTuple):
    """The function that tests call, as its declaration has it."""

    before: str
    """Includes and helper functions."""
    result: str
    name: str
    types: tuple[str, ...]

    @property
    def arguments(self) -> str:
        return ", ".join(f"wavecoder_{number}" for number in range(len(self.types)))

    @property
    def parameters(self) -> str:
        return ", ".join(f"{kind} wavecoder_{n}" for n, kind in enumerate(self.types))


@cache
def toolchain() -> Toolchain:
    """Return g++ and the compiled header, having made sure that the libraries are there.

    Raises:
        ConfigError: One of them is not installed, or the cache cannot be written.
    """
    compiler = find_command("g++", language="C++", package="g++")
    for header, package in _NEEDED.items():
        argv = [compiler, "-E", "-x", "c++", "-"]
        probe = f"#if !__has_include(<{header}>)\n#error\n#endif\n"
        if subprocess.run(argv, input=probe.encode(), capture_output=True, check=False).returncode:
            what = f"the header {header} is not installed"
            raise missing("C++", what, f"the Debian package {package}: apt-get install {package}")
    return Toolchain(
        name="cpp",
        commands={"g++": compiler},
        folders={_FOLDER: str(_precompiled(compiler))},
    )


def job(problem: Problem, program: str, mode: Mode) -> Job:
    """Return what compiles and runs a program with the problem's tests.

    Args:
        problem: Of HumanEvalPack in C++.
        program: The candidate program, a whole one. What stands behind a `main` of its own is
            left out, as by the published harness.
        mode: By which rule it passes.

    Raises:
        ConfigError: The compiler or a library is not installed.
    """
    tools = toolchain()
    program = program.partition("int main")[0]
    # The second folder is for where the first is not shown, outside a box.
    compiler = [tools.commands["g++"], _STANDARD, f"-I{_FOLDER}", "-Iheader", "-include", _HEADER]
    header = {f"header/{_HEADER}": harness("cpp", _HEADER)}
    if mode == Mode.PUBLISHED:
        steps = [
            _compile([*compiler, "test.cpp", *_LIBRARIES]),
            Step(argv=["./a.out"], wrong=_FAILED, cpu_seconds=_SECONDS, wall_seconds=_WALL_SECONDS),
        ]
        text = {"test.cpp": f"{program}\n{problem.test}"}
    else:
        function = _function(problem.declaration)
        from_argument = ["/bin/sh", "-c", _FROM_ARGUMENT, "sh", _tests(problem, function)]
        steps = [
            _compile([*compiler, "-o", "program", "program.cpp", *_LIBRARIES]),
            Step(
                argv=[*from_argument, *compiler, "-pipe", "-o", "examiner", "-x", "c++", "-"],
                trusted=True,
                cpu_seconds=_SECONDS,
                wall_seconds=_WALL_SECONDS,
            ),
            Step(
                argv=["/bin/sh", "-c", _GATE, "./program"],
                rule=Rule.ANSWER,
                examiner=["./examiner"],
                cpu_seconds=_SECONDS,
                wall_seconds=_WALL_SECONDS,
            ),
        ]
        text = {"program.cpp": f"{program}\n{_main(function)}"}
    return Job(steps=steps, files={**header, **text}, folders=tools.folders)


def _compile(argv: list[str]) -> Step:
    return Step(argv=argv, compiles=True, cpu_seconds=_SECONDS, wall_seconds=_WALL_SECONDS)


@cache
def _function(declaration: str) -> _Function:
    # Its name in the text: in CPP/121 and CPP/156 `entry_point` is spelled otherwise.
    *_, head = _HEAD.finditer(declaration)
    result, name, parameters = head.groups()
    # Types end where the parameter's name begins.
    types = [re.sub(r"\w+\s*$", "", one).strip() for one in _COMMA.split(parameters)]
    return _Function(declaration[: head.start()], result.strip(), name, tuple(types))


def _main(function: _Function) -> str:
    """Return the `main` of a program that calls its function as it is asked to."""
    call = f"{function.name}({function.arguments})"
    return (
        f"int main() {{ return ::wavecoder::serve(+[]({function.parameters}) -> {function.result} "
        f"{{ return {call}; }}); }}\n"
    )


def _tests(problem: Problem, function: _Function) -> str:
    """Return the examiner: what the tests need of the prompt, a stand-in, the tests, a `main`."""
    # Under its own name `strlen("x")` (CPP/23) would be the library's, which fits better.
    stand_in = (
        f"#define {function.name} wavecoder_function\n"
        f"{function.result} {function.name}({function.parameters}) "
        f"{{ return ::wavecoder::ask<{function.result}>({function.arguments}); }}"
    )
    tests = _MAIN.sub("void wavecoder_tests()", problem.test)
    return "\n".join([function.before, stand_in, tests, harness("cpp", "examiner.cpp")])


def _precompiled(compiler: str) -> Path:
    """Return a folder with the header and its compiled form, which g++ looks for beside it."""
    text = harness("cpp", _HEADER)

    def make(folder: Path) -> None:
        (folder / _HEADER).write_text(text, "utf-8")
        argv = [compiler, _STANDARD, "-x", "c++-header", _HEADER, "-o", f"{_HEADER}.gch"]
        run(argv, cwd=folder)

    return prepared("cpp", [run([compiler, "--version"], cwd=Path("/")), text], make)
