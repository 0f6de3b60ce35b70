"""C++, and C that is C++: the subject is included by the driver, and run once for every call.

The library's own assertions are on, so that an index out of range is a refusal and no guess.
"""

from functools import cache
from pathlib import Path

from wavecoder.behaviour.drivers.edits import other_main
from wavecoder.behaviour.drivers.plan import Plan, harness, one_by_one, shapes_of
from wavecoder.grading.prepared import prepared, run
from wavecoder.grading.toolchain import Toolchain, find_command
from wavecoder.sandbox import Job, Step

__all__ = ["job", "toolchain"]

_SECONDS = 60.0  # of the compiler
_OPTIONS = ("-std=gnu++17", "-D_GLIBCXX_ASSERTIONS", "-fno-diagnostics-show-caret")
_FOLDER, _HEADER = "/wavecoder", "wavecoder_driver.hpp"


@cache
def toolchain() -> Toolchain:
    """Return g++ and the compiled header, which more than halves the time of a compilation.

    Raises:
        ConfigError: g++ is not installed, or the cache cannot be written.
    """
    compiler = find_command("g++", language="C++", package="g++")
    text = harness("driver.hpp")

    def make(folder: Path) -> None:
        (folder / _HEADER).write_text(text, "utf-8")
        argv = [compiler, *_OPTIONS, "-x", "c++-header", _HEADER, "-o", f"{_HEADER}.gch"]
        run(argv, cwd=folder)

    made_of = [run([compiler, "--version"], cwd=Path("/")), text, *_OPTIONS]
    folder = prepared("cpp-behaviour", made_of, make)
    return Toolchain(name="cpp", commands={"g++": compiler}, folders={_FOLDER: str(folder)})


def job(plan: Plan) -> Job:
    """Return what makes the calls of a plan.

    Raises:
        ConfigError: g++ is not installed.
    """
    tools = toolchain()
    given = [f"-I{_FOLDER}", "-Iheader", "-include", _HEADER]
    compiling = [
        tools.commands["g++"],
        *_OPTIONS,
        *given,
        "wavecoder.cpp",
        "-lcrypto",
        "-o",
        "subject",
    ]
    steps = [
        Step(argv=compiling, compiles=True, cpu_seconds=_SECONDS, wall_seconds=3 * _SECONDS),
        Step(
            argv=one_by_one(plan, "./subject"),
            cpu_seconds=20 + plan.most_lost * plan.seconds,
            wall_seconds=30 + plan.most_lost * 4 * plan.seconds + len(plan.calls) * plan.seconds,
        ),
    ]
    files = {
        "subject.cpp": plan.subject.code,
        "wavecoder.cpp": _calls(plan),
        # For where the folder is not shown, outside a box.
        f"header/{_HEADER}": harness("driver.hpp"),
    }
    return Job(steps=steps, files=files, folders=tools.folders)


def _calls(plan: Plan) -> str:
    """Return a `main` that makes the call whose place it is given."""
    arms = []
    nothing = plan.signature.returns.split()[-1:] == ["void"]
    shapes = shapes_of(plan.signature, plan.subject.language)
    for place, (_, given) in enumerate(plan.calls):
        names = [f"wavecoder_{one}" for one in range(len(given))]
        lets = "".join(
            f"{'const char *' if one is not None and one.text == 'const char*' else 'auto '}"
            f"{name} = {text};\n"
            for name, text, one in zip(names, given, shapes, strict=False)
        )
        handed = ", ".join(
            f"std::move({name})" if "&&" in written else name
            for name, (_, written) in zip(names, plan.signature.parameters, strict=False)
        )
        call = f"::{plan.subject.function}({handed})"
        listed = ", ".join(names)
        if nothing:
            made = (
                f"auto before = wavecoder::all({listed});\n{call};\n"
                f"auto after = wavecoder::all({listed});\n"
                'wavecoder::value(after == before ? "null" : after);'
            )
        else:
            made = f"auto &&result = {call};\nwavecoder::value(wavecoder::encode(result));"
        arms.append(f"case {place}: {{ {lets}{made} break; }}\n")
    numbers = ", ".join(str(number) for number, _ in plan.calls)
    return (
        f'#define main {other_main}\n#include "subject.cpp"\n#undef main\n'
        f"static const int wavecoder_numbers[] = {{{numbers}}};\n"
        "int main(int, char **words) {\n"
        "int place = std::atoi(words[1]);\n"
        f'wavecoder::mark = "{plan.mark}"; wavecoder::room = {plan.room};\n'
        f"wavecoder::number = wavecoder_numbers[place]; wavecoder::arm({plan.seconds:g});\n"
        "wavecoder::guarded([&] { switch (place) {\n"
        f"{''.join(arms)}}} }});\n}}\n"
    )
