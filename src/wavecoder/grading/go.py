"""Go: HumanEvalPack.

Published, program and tests are one file, compiled and run as `go test` does both, in two steps so
that a program that does not compile is told from one that fails. `go vet` is part of it. The 20 s
of the published rule are CPU time here, as a slow machine is not the program's fault.

Strict, the program is a package of its own, so it shadows nothing of the tests (`assert`,
`testing`, `main`, a `TestMain`), and the tests see no more of it than the function they call.
Helper functions that they call come from the problem's prompt. The program's package imports
`wavecoder/early` first, which takes the token from its descriptor and the tests from the folder
before any of the program's code runs; `main.go` gives the token back behind the last comparison.
The program may not import `unsafe` (nor, so, use `//go:linkname`), `syscall`, `runtime/debug` and
the like.

Tests and program share a process still. A program that looks for the token in this process's memory
by other ways (`reflect.NewAt`, a data race on an interface) could find it and forge a pass.

The order of maps is random in Go, and by it the benchmark's own solution of Go/95 fails one time in
four. Here small maps are walked in the order of insertion, in both modes: the runtime is compiled
with one line changed (a Go whose runtime does not have that line keeps its random order).
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from wavecoder.grading.prepared import harness, prepared, run
from wavecoder.grading.toolchain import Toolchain, find_command, missing
from wavecoder.records import Mode, Problem
from wavecoder.sandbox import Job, Limits, Rule, Step

__all__ = ["job", "toolchain"]

_SECONDS = 20.0  # of the published `go test -timeout=20s`
_COMPILE_SECONDS = 30.0
_LIMITS = Limits(memory=2 << 30, processes=256, disk=256 << 20)

_GOPATH = "/usr/share/gocode"
_TESTIFY = "github.com/stretchr/testify/assert"
_BOX = "/go"  # where the box shows the prepared folder
# What the published harness imports where a program uses it and does not import it.
_IMPORTED = (
    *("math", "strings", "fmt", "strconv", "time", "bytes", "regexp", "sort", "math/rand"),
    "crypto/md5",
)
# A name of each package that some tests import.
_NAMES = {
    "crypto/md5": "md5.New",
    "math": "math.Pi",
    "math/rand": "rand.Int",
    "strings": "strings.ToUpper",
    "time": "time.Now",
}
# Packages of the standard library that give a program more than the language does.
_REFUSED = re.compile(
    r"(unsafe|syscall|plugin|testing|cmd|log/syslog|runtime/.+|debug/.+|net/.+|go/.+|internal/.+"
    r"|vendor/.+|.*/internal(/.*)?|os/.+|embed|expvar|database/.+|image/.+|text/template.*|html/.+)$"
)
_TOKENS = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"(?:[^\"\\\n]|\\.)*\"?|`[^`]*`?|'(?:[^'\\\n]|\\.)*'?", re.DOTALL
)
_IMPORTS = re.compile(r"\bimport\s*(?:\([^)]*\)|(?:[\w.]+\s+)?(?:\"[^\"\n]*\"|`[^`\n]*`))")
_PATHS = re.compile(r"[\"`]([^\"`\n]*)[\"`]")
_PACKAGE = re.compile(r"^[ \t]*package[ \t]+\w+[ \t]*;?", re.MULTILINE)
_ENV = {
    "GO111MODULE": "off",
    "GOPATH": _GOPATH,
    "CGO_ENABLED": "0",
    "GOTOOLCHAIN": "local",
    "GOENV": "off",
    "GOPROXY": "off",
    "GOMAXPROCS": "2",
}
_ORDER = ("\t\tr = uintptr(fastrand())\n", "\t\tr = 0\n")


@cache
def toolchain() -> Toolchain:
    """Return the compiler and a folder of compiled packages, made at the first call (a minute).

    Raises:
        ConfigError: Something is not installed.
    """
    go = find_command("go", language="Go", package="golang-go")
    if not Path(_GOPATH, "src", _TESTIFY).is_dir():
        raise missing(
            "Go",
            "testify is not installed",
            "the Debian package golang-github-stretchr-testify-dev: "
            "apt-get install golang-github-stretchr-testify-dev",
        )
    env = json.loads(run([go, "env", "-json"], cwd=Path("/"), env=_ENV))
    texts = [harness("go", name) for name in ("early.go", "testing.go", "assert.go")]
    made_of = [env["GOVERSION"], env["GOARCH"], env["GOROOT"], *texts, _REFUSED.pattern, "2"]
    folder = prepared(
        "go", made_of, lambda folder: _Packages(go, Path(env["GOROOT"]), folder).make()
    )
    return Toolchain(
        name="go",
        commands={
            "go": go,
            "compile": f"{env['GOTOOLDIR']}/compile",
            "link": f"{env['GOTOOLDIR']}/link",
        },
        folders={_BOX: str(folder)},
    )


class _Packages:
    """Compiles what programs and tests import: a cache for `go test`, archives for strict mode."""

    def __init__(self, go: str, root: Path, folder: Path) -> None:
        self.go, self.folder = go, folder
        self.overlay = _fixed_order(root)
        # A cached package is found again by its text, wherever the folder is then.
        self._overlay("here.json", str(folder))
        self._overlay("overlay.json", _BOX)
        self.env = {
            **_ENV,
            "GOCACHE": str(folder / "build"),
            "GOFLAGS": f"-overlay={folder / 'here.json'}",
        }

    def _overlay(self, name: str, where: str) -> None:
        for file, text in self.overlay.values():
            (self.folder / file).write_text(text)
        replaced = {path: f"{where}/{file}" for path, (file, _) in self.overlay.items()}
        (self.folder / name).write_text(json.dumps({"Replace": replaced}))

    def make(self) -> None:
        """Fill the folder."""
        allowed = [name for name in self._go("list", "std").split() if not _REFUSED.match(name)]
        listed = self._go(
            *("list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}", *allowed, "testing")
        )
        pairs = [line.split(" ", 1) for line in listed.splitlines()]
        exports = {path: archive for path, archive in pairs if archive}
        self._archives("all.cfg", exports)
        own = {}
        for name in ("early", "testing", "assert"):
            path = f"wavecoder/{name}"
            archive, source = self.folder / f"{name}.a", self.folder / f"{name}.go"
            source.write_text(harness("go", f"{name}.go"))
            compiling = ("tool", "compile", "-importcfg", "all.cfg", "-p", path)
            self._go(*compiling, "-o", str(archive), str(source))
            own[path] = str(archive)
        program = {name: exports[name] for name in (*allowed, "testing")}
        self._archives(
            "program.cfg", {**program, "wavecoder/early": own["wavecoder/early"]}, box=True
        )
        own["program"] = "/tmp/program.a"
        self._archives("tests.cfg", {**program, **own}, box=True)
        self._archives("link.cfg", {**exports, **own}, box=True)
        self._warm()
        for name in ("all.cfg", "here.json"):
            (self.folder / name).unlink()

    def _warm(self) -> None:
        """Fill the cache of `go test` with what a file of tests is linked with."""
        imports = "".join(f'import _ "{name}"\n' for name in _IMPORTED)
        test = "func TestIt(t *testing.T) { assert.New(t).Equal(1, 1) }\n"
        file = self.folder / "main_test.go"
        file.write_text(f'package main\nimport ("testing"; "{_TESTIFY}")\n{imports}{test}')
        self._go("test", "-c", "-o", "unused", file.name)
        file.unlink()
        (self.folder / "unused").unlink()

    def _go(self, *argv: str) -> str:
        return run([self.go, *argv], cwd=self.folder, env=self.env)

    def _archives(self, name: str, archives: Mapping[str, str], *, box: bool = False) -> None:
        lines = [f"packagefile {path}={archive}\n" for path, archive in sorted(archives.items())]
        if name == "program.cfg":
            lines.append("importmap unsafe=refused\n")  # the compiler knows it without an archive
        text = "".join(lines)
        (self.folder / name).write_text(text.replace(str(self.folder), _BOX) if box else text)


def _fixed_order(root: Path) -> dict[str, tuple[str, str]]:
    """Return the runtime's file of maps with a fixed order: its path, a new name, the text."""
    path = root / "src" / "runtime" / "map.go"
    text = path.read_text("utf-8") if path.is_file() else ""
    if _ORDER[0] not in text:
        return {}
    return {str(path): ("map.go", text.replace(*_ORDER))}


def job(problem: Problem, program: str, mode: Mode) -> Job:
    """Return what runs a program against the problem's tests.

    Args:
        problem: Of HumanEvalPack in Go.
        program: The candidate program.
        mode: By which rule it passes.

    Raises:
        ConfigError: The toolchain is not installed.
    """
    tools = toolchain()
    program = _PACKAGE.sub("", program, count=1)
    if problem.imports:
        # The prompt's imports are not the program's choice; what it uses is imported again.
        program = program.replace(problem.imports.strip(), "", 1)
    if mode == Mode.STRICT:
        files, steps = _strict(problem, program, tools.commands)
    else:
        files, steps = _published(problem, program, tools.commands["go"])
    return Job(
        steps=steps, files=files, limits=_LIMITS, folders=tools.folders, proc=mode == Mode.PUBLISHED
    )


def _step(
    argv: Sequence[str], *, seconds: float, compiles: bool = False, rule: Rule = Rule.EXIT
) -> Step:
    return Step(
        argv=argv,
        rule=rule,
        compiles=compiles,
        wrong="" if compiles else r"(?m)Error Trace:|^assertion failed: not equal",
        cpu_seconds=seconds,
        wall_seconds=3 * seconds + 5,
        env={**_ENV, "GOCACHE": f"{_BOX}/build", "GOFLAGS": f"-overlay={_BOX}/overlay.json"},
    )


def _published(problem: Problem, program: str, go: str) -> tuple[dict[str, str], list[Step]]:
    """Return the file that the published harness makes, and the two halves of `go test`."""
    there = _imports(program)
    setup = "\n".join(
        line
        for line in problem.test_setup.splitlines()
        if line.strip().strip('"') not in there or not line.strip().startswith('"')
    )
    given = there | _imports(setup)
    more = _block(_used(f"{program}\n{problem.test}") - given)
    text = f"{setup}\n{more}{program}\n{problem.test}"
    # The box keeps the time, so that a slow machine is not the program's fault.
    test = ("./tests", "-test.paniconexit0", "-test.timeout=0")
    return {"main_test.go": text}, [
        _step(
            (go, "test", "-c", "-o", "tests", "main_test.go"),
            seconds=_COMPILE_SECONDS,
            compiles=True,
        ),
        _step(test, seconds=_SECONDS),
    ]


def _strict(
    problem: Problem, program: str, commands: Mapping[str, str]
) -> tuple[dict[str, str], list[Step]]:
    """Return the program and the tests as two packages, and the steps that make one binary."""
    there, used = _imports(program), _used(program)
    # What a prompt imports for the tests' sake is used in the published file, by the tests.
    idle = (there - used) & _imports(problem.test_setup) & _NAMES.keys()
    uses = "".join(f"var _ = {_NAMES[path]}\n" for path in sorted(idle))
    more = _block(used - there)
    files = {
        "program.go": f'package program\nimport _ "wavecoder/early"\n{more}{program}\n{uses}',
        "tests.go": _tests(problem),
        "main.go": harness("go", "main.go"),
    }
    compiling = (commands["compile"], "-dwarf=false", "-pack", "-c=2")
    program_cfg, tests_cfg, link_cfg = (f"{_BOX}/{one}.cfg" for one in ("program", "tests", "link"))
    return files, [
        _step(
            (
                *(*compiling, "-complete", "-p", "program", "-importcfg", program_cfg),
                *("-o", "program.a", "program.go"),
            ),
            seconds=_COMPILE_SECONDS,
            compiles=True,
        ),
        _step(
            (
                *compiling,
                "-p",
                "main",
                "-importcfg",
                tests_cfg,
                "-o",
                "main.a",
                "tests.go",
                "main.go",
            ),
            seconds=_COMPILE_SECONDS,
            compiles=True,
        ),
        _step(
            (commands["link"], "-s", "-w", "-importcfg", link_cfg, "-o", "tests", "main.a"),
            seconds=_COMPILE_SECONDS,
            compiles=True,
        ),
        _step(("./tests",), seconds=_SECONDS, rule=Rule.ANSWER),
    ]


@cache
def _tests(problem: Problem) -> str:
    """Return the tests as a package of their own, with the prompt's helper functions."""
    named = re.findall(r"^func (\w+)\(", problem.prompt, re.MULTILINE)
    start = _IMPORTS.sub("", problem.prompt)
    helpers = start[: start.rindex(f"func {problem.entry_point}(")] if len(named) > 1 else ""
    test = re.sub(r"^func Test\w+\(", "func tested(", problem.test, count=1, flags=re.MULTILINE)
    text = f"{helpers}\nvar {problem.entry_point} = program.{problem.entry_point}\n{test}"
    own = 'import (\n"program"\n"wavecoder/assert"\n"wavecoder/testing"\n)\n'
    return f"package main\n{own}{_block(_used(text))}{text}"


def _code(text: str) -> str:
    """Return a program without its comments and literals."""
    return _TOKENS.sub(" ", text)


def _used(text: str) -> set[str]:
    """Return the packages that a program names of those that the published harness imports."""
    code = _code(_IMPORTS.sub("", text))
    names = set(re.findall(r"(?<![\w.])(\w+)\s*\.\s*\w", code))
    return {path for path in _IMPORTED if path.rpartition("/")[2] in names}


def _imports(text: str) -> set[str]:
    """Return the packages that a program imports."""
    return {path for block in _IMPORTS.findall(text) for path in _PATHS.findall(block)}


def _block(paths: set[str]) -> str:
    return "".join(f'import "{path}"\n' for path in sorted(paths))
