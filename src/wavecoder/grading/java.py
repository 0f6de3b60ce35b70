"""Java: HumanEvalPack.

Published, program and tests are one file, `Main.java`, compiled and run; exit status 0 passes.

Strict, the tests are a file of their own, in which every class of the standard library that they
name is imported singly, so that the program's classes (`Arrays`, `AssertionError`) do not stand for
it. What the program's methods give back becomes plain values of the standard library
(`wavecoder/Plain.java`), and helper methods that the tests call come from the problem. A launcher
takes the token from its descriptor and the classes from the folder before any of the program's code
runs, gives the token back after `Main.main` returned, and halts without hooks or other threads.

Tests and program share a process still. A program that looks for the token in this process's memory
(`/proc/self/mem`, a heap dump, native code) could find it and forge a pass.
"""

import re
from functools import cache
from pathlib import Path

from wavecoder.grading.calls import wrap_calls
from wavecoder.grading.prepared import harness, prepared, run
from wavecoder.grading.toolchain import Toolchain, find_command
from wavecoder.records import Mode, Problem
from wavecoder.sandbox import Job, Limits, Rule, Step

__all__ = ["job", "toolchain"]

_SECONDS = 10.0
_COMPILE_SECONDS = 25.0  # the published harness tries five times, five seconds each
_LIMITS = Limits(memory=3 << 30, processes=256)
_BOX = "/java"
_OWN = ("Launcher", "Plain")

# They change how fast it goes and how much a machine of many cores or much memory would take.
_FRUGAL = ("-XX:+UseSerialGC", "-XX:ActiveProcessorCount=2", "-XX:-UsePerfData", "-Xshare:auto")
_QUICK = (*_FRUGAL, "-XX:TieredStopAtLevel=1", "-Xmx512m")
_EMPTY_MAIN = re.compile(r"(?:public\s+)?class\s+Main\s*\{\s*\}")
# Where the classes are that tests name; what is not here they have from the program's imports.
_PACKAGES = {
    "java.lang": (
        *("AssertionError", "Boolean", "Character", "Double", "Exception", "Integer", "Long"),
        *("Math", "Object", "String", "StringBuilder", "System"),
    ),
    "java.util": (
        *("ArrayList", "Arrays", "Collections", "HashMap", "HashSet", "List", "Map", "Objects"),
        *("Optional", "Random", "Set"),
    ),
    "java.security": ("NoSuchAlgorithmException",),
}
_STRINGS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")


@cache
def toolchain() -> Toolchain:
    """Return the compiler, the machine and the folder of our compiled classes.

    Raises:
        ConfigError: Something is not installed.
    """
    package = "default-jdk-headless"
    java = find_command("java", language="Java", package=package)
    javac = find_command("javac", language="Java", package=package)
    texts = {name: harness("java", "wavecoder", f"{name}.java") for name in _OWN}

    def make(folder: Path) -> None:
        for name, text in texts.items():
            (folder / f"{name}.java").write_text(text, "utf-8")
        files = [f"{name}.java" for name in texts]
        run([javac, "-proc:none", "-d", ".", *files], cwd=folder)

    version = run([javac, "-version"], cwd=Path("/"))
    folder = prepared("java", [version, *texts.values()], make)
    return Toolchain(
        name="java", commands={"java": java, "javac": javac}, folders={_BOX: str(folder)}
    )


def job(problem: Problem, program: str, mode: Mode) -> Job:
    """Return what runs a program against the problem's tests.

    Args:
        problem: Of HumanEvalPack in Java.
        program: The candidate program.
        mode: By which rule it passes.

    Raises:
        ConfigError: The toolchain is not installed.
    """
    tools = toolchain()
    strict = mode == Mode.STRICT
    program = _EMPTY_MAIN.sub("", program)
    if strict:
        files = {"Program.java": program, "Main.java": _tests(problem)}
        options = ["-proc:none", "-cp", f"{_BOX}:.", "Program.java"]
        run_it = ["-cp", _BOX, "wavecoder.Launcher"]
    else:
        files = {"Main.java": f"{program}\n{problem.test}"}
        options, run_it = [], ["-cp", ".", "Main"]
    compiling = Step(
        argv=[tools.commands["javac"], *(f"-J{one}" for one in _QUICK), *options, "Main.java"],
        compiles=True,
        cpu_seconds=_COMPILE_SECONDS,
        wall_seconds=3 * _COMPILE_SECONDS + 5,
        env={"MALLOC_ARENA_MAX": "2"},
    )
    running = Step(
        argv=[tools.commands["java"], *_FRUGAL, "-Xmx2g", *run_it],
        rule=Rule.ANSWER if strict else Rule.EXIT,
        wrong=r'(?m)in thread "main" java\.lang\.AssertionError|^a test\'s assertion failed',
        cpu_seconds=_SECONDS,
        wall_seconds=3 * _SECONDS + 5,
        env={"MALLOC_ARENA_MAX": "2"},
    )
    return Job(
        steps=[compiling, running], files=files, limits=_LIMITS, folders=tools.folders, proc=True
    )


@cache
def _tests(problem: Problem) -> str:
    """Return the tests as a file of their own."""
    own = _helpers(problem)
    text = problem.test
    for name in re.findall(r"^    public .*?(\w+)\(", own, re.MULTILINE):
        text = re.sub(rf"\bs\.{name}\(", f"new Helpers().{name}(", text)
    text = wrap_calls(text, r"s\.\w+", "Plain.of")
    if own:
        text += f"\nclass Helpers {{\n{own}\n}}\n"
    theirs = re.findall(r"^import .*;", problem.declaration, re.MULTILINE)
    named = set(re.findall(r"\b[A-Z]\w*", _STRINGS.sub('""', text)))
    single = [
        f"import {package}.{name};"
        for package, names in _PACKAGES.items()
        for name in names
        if name in named
    ]
    return "\n".join([*theirs, *single, "import wavecoder.Plain;", text])


def _helpers(problem: Problem) -> str:
    """Return the methods of the declaration that stand before the one to be written."""
    body = problem.declaration.partition("class Solution {")[2]
    last = max(one.start() for one in re.finditer(r"^    public ", body, re.MULTILINE))
    return body[:last] if re.search(r"^    public ", body[:last], re.MULTILINE) else ""
