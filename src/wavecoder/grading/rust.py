"""Rust: HumanEvalPack.

Published, the program gets an empty `main` and the lines of its declaration that it lacks, and has
the tests behind it. The published harness runs `cargo check` and `cargo test`; here the compiler is
called as those two call it for one file (`--emit=metadata`, then `--test`, edition 2021, the dev
profile) with crates that were compiled before, then the test binary. The verdicts are the same:
cargo adds debug information and nothing that decides. It gives each command 300 s of wall time;
here it is 60 s of CPU time, of which a right program needs less than one.

`rand` is our own crate with the calls of 0.4, which the tests are written for (Rust/32 and 50 call
`gen_range` with two arguments); its numbers are the same in every run. `regex` and `md5` are
Debian's.

Strict, the tests stand before the program, so that no macro of it shadows theirs, and name all they
use of the standard library, which wins over the program's names. What the program's functions give
back must be of the standard library's types (`harness/rust/plain.rs`), and helper functions come
from the problem. Our `main.rs` is another crate: it takes the token from its descriptor and its own
right to open files before it calls the program, and answers when the tests are through. The program
is compiled without `unsafe`, which would let it look for the token: one that uses it does not pass.

Tests and program share a process still. A program that uses a hole in the compiler's proof of
safety could look for the token in its memory, and forge a pass.
"""

import os
import re
import shutil
from functools import cache
from pathlib import Path

from wavecoder.grading.calls import wrap_calls
from wavecoder.grading.prepared import harness, prepared, run
from wavecoder.grading.toolchain import Toolchain, find_command, missing
from wavecoder.records import Mode, Problem
from wavecoder.sandbox import Job, Limits, Rule, Step

__all__ = ["job", "toolchain"]

_SECONDS = 60.0
_COMPILE_SECONDS = 30.0
_LIMITS = Limits(memory=2 << 30, processes=256, disk=256 << 20)

_REGISTRY = Path("/usr/share/cargo/registry")
_BOX, _COMPILER = "/rust", "/rust-compiler"
_UNICODE = ("age", "bool", "case", "gencat", "perl", "script", "segment")
# Crates of Debian: the features they are compiled with, and what they need.
_CRATES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "regex-syntax": (("unicode", *(f"unicode-{one}" for one in _UNICODE)), ()),
    "regex": (
        (
            *("std", "perf-cache", "perf-dfa", "perf-inline", "unicode"),
            *(f"unicode-{one}" for one in _UNICODE),
        ),
        ("regex-syntax",),
    ),
    "md5": (("std",), ()),
}
_OWN = ("rand", "plain")
_PRIMITIVES = (
    *("bool", "char", "str", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize"),
    *("u8", "u16", "u32", "u64", "u128", "usize"),
)
# Said singly, so that nothing that a program calls so stands for it.
_TRUSTED = (
    "use ::std::{assert, assert_eq, assert_ne, format, matches, panic, println, unreachable};\n"
    "use ::std::{boxed::Box, option::Option::{self, None, Some}, vec};\n"
    "use ::std::result::Result::{self, Err, Ok};\n"
    "use ::std::{collections::{HashMap, HashSet}, string::{String, ToString}, vec::Vec};\n"
    f"use ::std::primitive::{{{', '.join(_PRIMITIVES)}}};\n"
    "use ::rand::{self, Rng};\n"
    "use ::plain::plain as plain_value;\n"
)
_TEST = re.compile(r"#\[test\](\s*(?://[^\n]*\n)?\s*)fn (\w+)")
_INNER = re.compile(r"\A(?:\s*#!\[[^\]\n]*\])+")


@cache
def toolchain() -> Toolchain:
    """Return the compiler and a folder of compiled crates, made at the first call (half a minute).

    Raises:
        ConfigError: Something is not installed.
    """
    find_command("cc", language="Rust", package="gcc")
    rustc = shutil.which("rustc")
    if rustc is None:
        raise missing(
            "Rust", "rustc is not installed", "rustup's stable toolchain, or Debian's rustc"
        )
    version = run([rustc, "-vV"], cwd=Path("/"))
    sysroot = Path(run([rustc, "--print", "sysroot"], cwd=Path("/")).strip())
    sources = {name: _source(name) for name in _CRATES}
    texts = {name: harness("rust", f"{name}.rs") for name in _OWN}

    def make(folder: Path) -> None:
        for name, (features, needed) in _CRATES.items():
            _compile(rustc, folder, name, sources[name] / "src" / "lib.rs", features, needed)
        for name, text in texts.items():
            source = folder / f"{name}.rs"
            source.write_text(text, "utf-8")
            _compile(rustc, folder, name, source, (), ())

    made_of = [version, *(path.name for path in sources.values()), *texts.values(), repr(_CRATES)]
    folders = {_BOX: str(prepared("rust", made_of, make))}
    inside = sysroot / "bin" / "rustc"
    if not os.path.realpath(sysroot).startswith("/usr/"):
        folders[_COMPILER] = str(sysroot)
        inside = Path(_COMPILER, "bin", "rustc")
    return Toolchain(name="rust", commands={"rustc": str(inside)}, folders=folders)


def _source(name: str) -> Path:
    found = sorted(_REGISTRY.glob(f"{name}-[0-9]*"))
    if not found:
        package = f"librust-{name}-dev"
        raise missing(
            "Rust",
            f"the crate {name} is not installed",
            f"the Debian package {package}: apt-get install {package}",
        )
    return found[-1]


def _compile(
    rustc: str,
    folder: Path,
    name: str,
    source: Path,
    features: tuple[str, ...],
    needed: tuple[str, ...],
) -> None:
    """Compile a crate into a folder."""
    own = name in _OWN
    argv = [rustc, "--crate-type", "rlib", "--crate-name", name.replace("-", "_")]
    argv += ["--edition", "2021" if own else "2018", "-O", "--cap-lints", "allow"]
    argv += ["-L", f"dependency={folder}", "--out-dir", str(folder)]
    for feature in features:
        argv += ["--cfg", f'feature="{feature}"']
    for one in needed:
        crate = one.replace("-", "_")
        argv += ["--extern", f"{crate}={folder / f'lib{crate}.rlib'}"]
    run([*argv, str(source)], cwd=folder)


def job(problem: Problem, program: str, mode: Mode) -> Job:
    """Return what runs a program against the problem's tests.

    Args:
        problem: Of HumanEvalPack in Rust.
        program: The candidate program.
        mode: By which rule it passes.

    Raises:
        ConfigError: The toolchain is not installed.
    """
    tools = toolchain()
    rustc = tools.commands["rustc"]
    if mode == Mode.STRICT:
        files = {
            "candidate.rs": _strict_text(problem, program),
            "main.rs": harness("rust", "main.rs"),
        }
        build = [
            [
                rustc,
                "--crate-type",
                "rlib",
                "-F",
                "unsafe_code",
                *_externs("plain"),
                "candidate.rs",
            ],
            [
                rustc,
                "-o",
                "tests",
                "--extern",
                "candidate=libcandidate.rlib",
                *_externs(),
                "main.rs",
            ],
        ]
    else:
        files = {"test.rs": _published_text(problem, program)}
        build = [
            [rustc, "--emit=metadata", "-o", "checked", *_externs(), "test.rs"],
            [rustc, "--test", "-o", "tests", *_externs(), "test.rs"],
        ]
    rule = Rule.ANSWER if mode == Mode.STRICT else Rule.EXIT
    steps = [_step(argv, _COMPILE_SECONDS, compiles=True) for argv in build]
    steps.append(_step(["./tests"], _SECONDS, rule=rule))
    return Job(steps=steps, files=files, limits=_LIMITS, folders=tools.folders, proc=True)


def _step(
    argv: list[str], seconds: float, *, compiles: bool = False, rule: Rule = Rule.EXIT
) -> Step:
    return Step(
        argv=argv,
        rule=rule,
        compiles=compiles,
        wrong="" if compiles else r"assertion .*failed",
        cpu_seconds=seconds,
        wall_seconds=3 * seconds + 5,
    )


def _externs(*more: str) -> list[str]:
    """Return the compiler's arguments for the edition and the crates."""
    argv = ["--edition", "2021", "-A", "warnings", "--error-format=short"]
    argv += ["-L", f"dependency={_BOX}"]
    for name in ("rand", "regex", "md5", *more):
        argv += ["--extern", f"{name}={_BOX}/lib{name}.rlib"]
    return argv


def _published_text(problem: Problem, program: str) -> str:
    """Return the file that the published harness makes."""
    lines = [] if "fn main()" in program else ["fn main(){}"]
    declared = (line.strip() for line in problem.declaration.split("\n"))
    lines += [line for line in declared if line not in program]
    program = "fn main()".join(program.split("fn main()")[:2])
    return "\n".join([*lines, program]) + "\n" + problem.test


def _strict_text(problem: Problem, program: str) -> str:
    """Return the program behind the tests, a crate of its own."""
    uses = [line for line in problem.declaration.split("\n") if line.startswith("use ")]
    # In a module, from which the program takes what it does not import itself.
    declared = "\n".join(f"    pub {line}" for line in uses)
    program = _INNER.sub("", program)
    return (
        f"{_tests(problem)}\n#[allow(unused_imports)]\nmod declared {{\n{declared}\n}}\n"
        f"#[allow(unused_imports)]\nuse declared::*;\n{program}\n"
    )


@cache
def _tests(problem: Problem) -> str:
    """Return the tests as a module that the program can neither shadow nor end well."""
    functions = list(re.finditer(r"^\s*(?:pub )?fn (\w+)", problem.declaration, re.MULTILINE))
    helpers = problem.declaration[functions[0].start() : functions[-1].start()]
    called = functions[-1][1]  # nine entry points are spelled otherwise
    text = problem.test.replace("#[cfg(test)]\nmod tests", "#[allow(unused)]\npub mod tests", 1)
    test = _TEST.search(text)
    if test is None:
        raise ValueError(f"{problem.id} has no test")
    text = f"{text[: test.start()]}{test[1]}pub fn {test[2]}{text[test.end() :]}"
    if "RtnType" in problem.declaration:
        # A type of the program's own: its equality is not asked.
        text = re.sub(
            rf"assert_eq!\(({called}\(.*?\)), RtnType::(\w+)\((.*)\)\);",
            r"match \1 { RtnType::\2(found) => assert_eq!(plain_value(found), \3), "
            r'_ => panic!("assertion failed: another variant") }',
            text,
        )
    else:
        text = wrap_calls(text, called, "plain_value")
    tested = f"pub const TESTED: fn() = {test[2]};\n"
    return text.replace("use super::*;", f"use super::*;\n{_TRUSTED}{tested}{helpers}", 1)
