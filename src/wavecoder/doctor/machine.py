"""What this machine has: room, languages, tools."""

import os
import platform
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from wavecoder import __version__
from wavecoder.doctor.findings import BROKEN, Findings, fail, ok, tried, warn
from wavecoder.errors import ConfigError, SandboxError
from wavecoder.grading import LANGUAGES as RUN_LANGUAGES
from wavecoder.grading import module_of
from wavecoder.languages import LANGUAGES, syntax_errors
from wavecoder.machine import free_memory, network_file_system
from wavecoder.sandbox import Bubblewrap

__all__ = ["SAMPLES", "look_at_machine"]

_LITTLE_DISK = 2e9  # bytes; a run keeps every reply and every outcome
_NO_DISK = 1e8
_LITTLE_MEMORY = 1 << 30  # bytes; what `collect` lets a process take
SAMPLES = {
    "c": "int one(void) { return 1; }",
    "cpp": "template <class T> T one(T x) { return x; }",
    "csharp": "class A { int One() { return 1; } }",
    "go": "package a\n\nfunc one() int { return 1 }",
    "java": "class A { int one() { return 1; } }",
    "javascript": "function one() { return 1; }",
    "php": "<?php function one() { return 1; }",
    "python": "def one():\n    return 1\n",
    "ruby": "def one\n  1\nend",
    "rust": "fn one() -> i32 { 1 }",
    "typescript": "function one(): number { return 1; }",
}
"""By language, a text that its grammar reads without an error."""


def look_at_machine(folder: Path) -> Findings:
    """Yield what this machine has, with `folder` as the place where a run would be."""
    checks: dict[str, Callable[[], Findings]] = {
        "python": _python,
        "extras": _extras,
        "disk": partial(_disk, folder),
        "memory": _memory,
        "folder": partial(_folder, folder),
        "sqlite": partial(_sqlite, folder),
        "grammars": _grammars,
        "sandbox": _sandbox,
        "toolchains": _toolchains,
    }
    for what, check in checks.items():
        yield from tried(what, check)


def _python() -> Findings:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"{platform.system()} {platform.machine()}"
    yield ok("python", f"{platform.python_version()} on {system}, {cores} CPU cores")
    yield ok("wavecoder", __version__)


def _extras() -> Findings:
    try:
        package = distribution("wavecoder")
    except PackageNotFoundError:
        yield warn(
            "extras",
            "wavecoder is imported without being installed, so that its plugins are unknown",
            "Install it: pip install -e . in its folder.",
        )
        return
    here: dict[bool, list[str]] = {True: [], False: []}
    for extra in package.metadata.get_all("Provides-Extra") or ():
        if extra != "dev":
            here[_has_extra(package.requires or (), extra)].append(extra)
    missing = ", ".join(here[False])
    yield ok(
        "extras",
        f"installed: {', '.join(here[True]) or 'none'}; not installed: {missing or 'none'}",
        "Where a recipe needs one: pip install 'wavecoder[NAME]'." if missing else "",
    )


def _has_extra(requirements: Sequence[str], extra: str) -> bool:
    """Say whether all distributions that an extra names are installed."""
    for requirement in requirements:
        name, _, condition = requirement.partition(";")
        if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", condition):
            try:
                distribution(re.split(r"[^\w.-]", name.strip())[0])
            except PackageNotFoundError:
                return False
    return True


def _disk(folder: Path) -> Findings:
    free = shutil.disk_usage(folder).free
    level = ok if free >= _LITTLE_DISK else warn if free >= _NO_DISK else fail
    do = "" if level is ok else "Make room, or name a folder on another disk with -o."
    yield level("disk", f"{free / 1e9:.1f} GB free in {folder}", do)


def _memory() -> Findings:
    free = free_memory()
    if free is None:
        yield ok("memory", "the system does not tell how much is free")
    elif free < _LITTLE_MEMORY:
        do = "collect may take 1.1 GB a process: give --processes 1, or free some."
        yield warn("memory", f"{free / 1e9:.1f} GB free", do)
    else:
        yield ok("memory", f"{free / 1e9:.1f} GB free")


def _folder(folder: Path) -> Findings:
    kind = network_file_system(folder)
    if kind is None:
        yield ok("folder", f"{folder} is on a local disk")
    else:
        do = "Name a file on a local disk with --replies: SQLite can lose replies on this one."
        yield warn("folder", f"{folder} is on {kind}, a network file system", do)


def _sqlite(folder: Path) -> Findings:
    """See whether a ledger of replies could be kept in `folder`."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".wavecoder-") as place:
            db = sqlite3.connect(Path(place) / "replies.sqlite")
            try:
                (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
                db.execute("CREATE TABLE replies (key TEXT PRIMARY KEY)")
                db.commit()
            finally:
                db.close()
    except OSError as error:
        do = "Name a folder that can be written with -o."
        yield fail("sqlite", f"{folder} cannot be written ({error.strerror})", do)
        return
    if mode == "wal":
        yield ok("sqlite", f"{sqlite3.sqlite_version}, and a ledger of replies can be kept here")
    else:
        do = "Name a file on a local disk with --replies."
        yield fail("sqlite", f"write-ahead logging does not work in {folder}", do)


def _grammars() -> Findings:
    broken = []
    for name in LANGUAGES:
        try:
            if syntax_errors(SAMPLES[name], name):
                broken.append(f"{name} (it does not read its sample)")
        except BROKEN as error:
            broken.append(f"{name} ({type(error).__name__}: {error})")
    if broken:
        do = "Install them anew: pip install --force-reinstall wavecoder."
        yield fail("grammars", f"these do not work: {', '.join(broken)}", do)
    else:
        yield ok("grammars", f"all {len(LANGUAGES)} languages are read: {', '.join(LANGUAGES)}")


def _sandbox() -> Findings:
    try:
        with closing(Bubblewrap()) as box:
            weaknesses = list(box.weaknesses)
    except SandboxError as error:
        yield warn("sandbox", str(error), "Only running programs needs it.")
        return
    yield ok("sandbox", "bubblewrap works, and a program ran in a box")
    for weakness in weaknesses:
        yield warn("sandbox", weakness, "Programs are held all the same, less firmly.")


def _toolchains() -> Findings:
    """See for which languages programs can be run."""
    here, missing = [], []
    for name in RUN_LANGUAGES:
        try:
            module_of(name).toolchain()
            here.append(LANGUAGES[name].title)
        except (ConfigError, SandboxError) as error:
            missing.append(str(error))
    yield ok("toolchains", f"programs can be run in {', '.join(here)}")
    for sentence in missing:
        yield warn("toolchains", sentence, "Only benchmarks in that language need it.")
