"""Go: subject and driver are one package, so that no name of the subject is out of reach."""

import re
from functools import cache

from wavecoder.behaviour.drivers.edits import renamed_main
from wavecoder.behaviour.drivers.plan import Plan, UnfitError, harness, one_by_one
from wavecoder.behaviour.shapes import top_level
from wavecoder.behaviour.subjects import Unrunnable
from wavecoder.grading import go
from wavecoder.sandbox import Job, Limits, Step

__all__ = ["job", "with_imports"]

_LIMITS = Limits(memory=2 << 30, processes=256, disk=256 << 20)
_SECONDS = 30.0  # of the compiler
_PACKAGE = re.compile(r"^[ \t]*package[ \t]+\w+[ \t]*;?", re.MULTILINE)
_IMPORTS = re.compile(r"^\s*import\s*(?:\(([^)]*)\)|((?:[\w.]+\s+)?(?:\"[^\"\n]*\"|`[^`\n]*`)))",
                      re.MULTILINE)  # fmt: skip
_ONE = re.compile(r"(?:([\w.]+)\s+)?[\"`]([^\"`\n]+)[\"`]")
_TOKENS = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"(?:[^\"\\\n]|\\.)*\"?|`[^`]*`?|'(?:[^'\\\n]|\\.)*'?", re.DOTALL
)
# What a lone function is taken to import where it says `strings.`.
_KNOWN = (
    *("bytes", "errors", "fmt", "math", "os", "regexp", "sort", "strconv", "strings", "time"),
    *("unicode", "math/big", "math/bits", "math/rand", "unicode/utf8", "container/heap"),
    *("container/list", "crypto/md5", "crypto/sha1", "crypto/sha256", "encoding/base64"),
    *("encoding/binary", "encoding/hex", "encoding/json", "path", "path/filepath", "bufio", "io"),
    *("net/url", "hash/crc32", "sync", "reflect"),
)


@cache
def _text() -> str:
    return harness("driver.go")


def job(plan: Plan) -> Job:
    """Return what makes the calls of a plan.

    Raises:
        ConfigError: Go is not installed.
        UnfitError: The function gives back what cannot be told.
    """
    tools = go.toolchain()
    code = renamed_main(_PACKAGE.sub("", plan.subject.code, count=1), "go")
    compiling = (tools.commands["compile"], "-dwarf=false", "-pack", "-c=2")
    env = {"GOMAXPROCS": "2"}
    build = [
        (*compiling, "-p", "main", "-importcfg", "/go/program.cfg", "-o", "main.a",
         "subject.go", "driver.go", "wavecoder_calls.go"),
        (tools.commands["link"], "-s", "-w", "-importcfg", "/go/link.cfg", "-o", "subject",
         "main.a"),
    ]  # fmt: skip
    steps = [
        Step(argv=argv, compiles=True, cpu_seconds=_SECONDS, wall_seconds=3 * _SECONDS, env=env)
        for argv in build
    ]
    steps.append(
        Step(
            argv=one_by_one(plan, "./subject"),
            cpu_seconds=20 + plan.most_lost * plan.seconds,
            wall_seconds=30 + plan.most_lost * 4 * plan.seconds + len(plan.calls) * plan.seconds,
            env=env,
        )
    )
    files = {
        "subject.go": f"package main\n{with_imports(code)}",
        "driver.go": _text(),
        "wavecoder_calls.go": _calls(plan),
    }
    return Job(steps=steps, files=files, limits=_LIMITS, folders=tools.folders)


def with_imports(code: str) -> str:
    """Return a file without its package, that imports what it uses: no more, which Go forbids."""
    named: dict[str, str] = {}
    for block, single in _IMPORTS.findall(_blank_comments(code)):
        for name, path in _ONE.findall(block or single):
            named[path] = name
    rest = _IMPORTS.sub("", _blank_comments(code)) if named else code
    bare = _TOKENS.sub(" ", rest)
    used = set(re.findall(r"(?<![\w.])(\w+)\s*\.\s*\w", bare))
    kept = {
        path: name
        for path, name in named.items()
        if name in ("_", ".") or (name or _name(path)) in used
    }
    there = {name or _name(path) for path, name in named.items()}
    defined = set(re.findall(r"\b(?:var|const|func|type)\s+(\w+)|(\w+)\s*(?:,\s*\w+\s*)*:=", bare))
    own = {name for pair in defined for name in pair if name}
    for path in _KNOWN:
        if _name(path) in used - there - own:
            kept[path] = ""
    lines = "".join(f'import {name} "{path}"\n' for path, name in sorted(kept.items()))
    return lines + rest


def _name(path: str) -> str:
    last = path.rpartition("/")[2]
    return path.split("/")[-2] if re.fullmatch(r"v\d+", last) and "/" in path else last


def _blank_comments(code: str) -> str:
    return _TOKENS.sub(
        lambda one: "\n" * one[0].count("\n") if one[0][:2] in ("//", "/*") else one[0], code
    )


def _calls(plan: Plan) -> str:
    """Return the calls as functions, each with arguments made anew."""
    results, fails = _results(plan.signature.returns)
    made = []
    for _, given in plan.calls:
        names = [f"a{place}" for place in range(len(given))]
        lets = "".join(f"var {name} = {text}\n" for name, text in zip(names, given, strict=True))
        call = f"{plan.subject.function}({', '.join(names)})"
        if results:
            kept = [f"r{place}" for place in range(results)]
            run = f"{', '.join(kept)} := {call}\nreturn []interface{{}}{{{', '.join(kept)}}}"
        else:
            run = f"{call}\nreturn nil"
        made.append(
            "func() ([]interface{}, func() []interface{}) {\n"
            f"{lets}return []interface{{}}{{{', '.join(names)}}}, "
            f"func() []interface{{}} {{\n{run}\n}}\n}},\n"
        )
    numbers = ", ".join(str(number) for number, _ in plan.calls)
    return (
        f'package main\nconst wavecoderMark = "{plan.mark}"\n'
        f"const wavecoderRoom = {plan.room}\n"
        f"const wavecoderWait = {3000 * plan.seconds + 1000:.0f}\n"
        # A rune and an int32 are one type to reflection.
        f"const wavecoderLetters = {str('rune' in plan.signature.returns).lower()}\n"
        f"const wavecoderIsError = {str(fails).lower()}\n"
        f"var wavecoderNumbers = []int{{{numbers}}}\n"
        "var wavecoderCalls = []func() ([]interface{}, func() []interface{}){\n"
        f"{''.join(made)}}}\n"
    )


def _results(returns: str) -> tuple[int, bool]:
    """Return how many results a function has, and whether the last is an error.

    Raises:
        UnfitError: They cannot be counted.
    """
    text = " ".join(returns.split())
    if not text:
        return 0, False
    if not text.startswith("("):
        return 1, text == "error"
    parts = top_level(text[1:-1])
    if not all(parts):
        raise UnfitError(Unrunnable("not_typed", f"Its results {text} cannot be counted."))
    last = parts[-1].split()[-1]
    return len(parts), last == "error"
