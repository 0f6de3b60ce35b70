"""Fetch a few dozen large source packages: a corpus of real code in eleven languages.

Run: `nice .venv/bin/python benchmarks/corpus.py [FOLDER]`; FOLDER is `runs/corpus` unless given.
It needs apt-get with Debian's archive, npm, and pip, each as it is set up on the machine, and
fetches just the packages named below. A second call fetches what is missing. In FOLDER then are

- `archives/NAME-VERSION/`: each package as it came; `trees/NAME-VERSION/`: the same, unpacked.
- `packages.tsv`: a row an archive, with its size, its SHA-256 and the licence its registry states.

Debian's versions are the newest of the machine's release that its mirror holds; the others are
written here. Of the packages' own code pip runs one part: a Python package's build, as far as to
ask it for its name and version. The machine's apt is left as it is: its sources are read only.
"""

import csv
import email
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path

from wavecoder.languages import LANGUAGES

DEBIAN = (
    # C
    *("git", "openssl", "postgresql-15", "redis", "vim"),
    # C++
    *("godot", "rocksdb"),
    # C#, and other languages beside it
    *("keepass2", "protobuf", "thrift"),
    # Go
    *("golang-1.19", "rclone", "syncthing"),
    # Java
    *("antlr4", "hsqldb", "tomcat10"),
    # PHP
    *("phpmyadmin", "phpunit", "roundcube", "symfony", "wordpress"),
    # Ruby
    *("rails", "redmine"),
    # Rust; most of it the crates that cargo carries
    "cargo",
)
"""Names of Debian's source packages; each stands by the language it was taken for."""

NPM = {
    # JavaScript
    "@cesium/engine": "26.3.0",
    "@tensorflow/tfjs-core": "4.22.0",
    "mathjs": "15.2.0",
    "ol": "10.11.0",
    "three": "0.187.0",
    "webpack": "5.112.2",
    # TypeScript
    "@deck.gl/core": "9.4.0",
    "effect": "4.1.0",
    "ethers": "6.17.0",
    "maplibre-gl": "6.17.0",
    "matrix-js-sdk": "43.0.0",
    "rxjs": "7.8.2",
    "viem": "2.57.20",
}
"""Names of npm's packages, and their versions."""

PYPI = {
    "jax": "0.10.2",
    "keras": "3.15.1",
    "networkx": "3.6.1",
    "nltk": "3.10.4",
    "sympy": "1.14.0",
}
"""Names of the Python package index's source packages, and their versions."""

LONGEST = 900
"""Seconds a client may take over one package."""

Fetch = Callable[[str, Path], tuple[str, str]]
"""Bring the archives of the package of this name to this folder; return its version and licence."""


class Missing(Exception):
    """A package is not to be had; the words say why."""


@dataclass(frozen=True)
class Row:
    """An archive, as `packages.tsv` tells of it."""

    name: str
    version: str
    registry: str
    archive: str
    """Its path below `archives`."""
    bytes: int
    sha256: str
    licence: str


def main() -> None:
    """Fetch what is missing, and print what is there."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/corpus")
    for name in ("archives", "trees"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    known = _read(folder / "packages.tsv")
    with tempfile.TemporaryDirectory() as scratch:
        if any(not _is_there(folder, known.get(("debian", name), ())) for name in DEBIAN):
            options = _private_apt(Path(scratch))
        else:
            options = ()
        wanted: list[tuple[str, str, Fetch]] = [
            *(("debian", name, partial(_debian, options)) for name in DEBIAN),
            *(("npm", name, _npm) for name in NPM),
            *(("pypi", name, _pypi) for name in PYPI),
        ]
        for registry, name, fetch in wanted:
            rows = known.get((registry, name), ())
            try:
                if not _is_there(folder, rows):
                    print(f"fetching {name} from {registry}", flush=True)
                    rows = known[registry, name] = _fetch(folder, registry, name, fetch)
                    _write(folder / "packages.tsv", (known[key] for key in sorted(known)))
                _unpack(folder, rows)
            except Missing as error:
                print(f"{name} of {registry} is left out: {error}", flush=True)
    _print(folder, (known[key] for key in sorted(known)))


def _is_there(folder: Path, rows: Iterable[Row]) -> bool:
    rows = tuple(rows)
    paths = [folder / "archives" / row.archive for row in rows]
    return bool(rows) and all(
        path.is_file() and path.stat().st_size == row.bytes
        for path, row in zip(paths, rows, strict=True)
    )


def _fetch(folder: Path, registry: str, name: str, fetch: Fetch) -> tuple[Row, ...]:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
        into = Path(part) / "archives"
        into.mkdir()
        version, licence = fetch(name, into)
        place = folder / "archives" / f"{name.lstrip('@').replace('/', '-')}-{version}"
        if place.exists():  # not whole, or it would not have been fetched again
            shutil.rmtree(place)
        into.rename(place)
    return tuple(
        Row(
            name=name,
            version=version,
            registry=registry,
            archive=f"{place.name}/{path.name}",
            bytes=path.stat().st_size,
            sha256=_sha256(path),
            licence=licence,
        )
        for path in sorted(place.iterdir())
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# The three registries.


def _run(*command: str, folder: Path) -> str:
    """Return what a client prints.

    Raises:
        Missing: It is not there, or fails.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST,
            check=True,
        )
    except FileNotFoundError as error:
        raise Missing(f"there is no {command[0]} on this machine.") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{command[0]} took longer than {LONGEST} seconds.") from error
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in error.stderr.splitlines() if line.strip()]
        # The first error tells more than the last line, where there is one.
        told = [line for line in said if re.match(r"E:|ERROR:|npm (?:error|ERR!)", line)]
        last = (told or said[-1:] or [f"exit {error.returncode}"])[0]
        raise Missing(f"{Path(command[0]).name} says {last!r}.") from error
    return done.stdout


def _private_apt(scratch: Path) -> tuple[str, ...]:
    """Return the options with which apt reads the machine's sources as sources of source code."""
    parts = scratch / "sources"
    lists = scratch / "lists"
    cache = scratch / "cache"
    for place in (parts, lists / "partial", cache / "archives" / "partial"):
        place.mkdir(parents=True)
    options = (
        *("-o", "Dir::Etc::sourcelist=/dev/null"),
        *("-o", f"Dir::Etc::sourceparts={parts}"),
        *("-o", f"Dir::State::lists={lists}"),
        *("-o", f"Dir::Cache={cache}"),
    )
    try:
        asked = ("Dir::Etc::sourcelist/f", "Dir::Etc::sourceparts/d")
        told = _run("apt-config", "shell", "LIST", asked[0], "PARTS", asked[1], folder=scratch)
        at = dict(part.split("=", 1) for part in shlex.split(told))
        for path in (Path(at["LIST"]), *sorted(Path(at["PARTS"]).iterdir())):
            if path.suffix in {".list", ".sources"} and path.is_file():
                text = re.sub(r"(?m)^deb(?=[ \t])", "deb-src", path.read_text("utf-8"))
                text = re.sub(r"(?mi)^Types:.*", "Types: deb-src", text)
                (parts / path.name).write_text(text, "utf-8")
        _run("apt-get", *options, "update", folder=scratch)
    except (Missing, OSError, KeyError) as error:
        # One source of several may have failed: each package tells for itself.
        print(f"Debian's list of source packages did not come whole: {error}", flush=True)
    return options


def _debian(options: tuple[str, ...], name: str, into: Path) -> tuple[str, str]:
    told = _run("apt-cache", *options, "showsrc", "--only-source", name, folder=into)
    versions = dict.fromkeys(re.findall(r"(?m)^Version: (\S+)", told))
    get = ("apt-get", *options, "source", "--download-only", "--only-source")
    try:
        _run(*get, name, folder=into)
    except Missing:
        # A mirror may list the newest version and no longer, or not yet, hold it.
        if len(versions) < 2 or not _any_of(get, name, versions, into):
            raise
    described = next(into.glob("*.dsc")).read_text("utf-8")
    found = re.search(r"(?m)^Version: (?:\d+:)?(\S+)", described)
    version = found[1] if found else "unknown"
    own = sorted(into.glob("*.debian.tar.*")) or sorted(into.glob("*.tar.*"))
    return version, _debian_licence(_member(own[0], r"(?:[^/]+/)?debian/copyright"))


def _any_of(get: tuple[str, ...], name: str, versions: Iterable[str], into: Path) -> bool:
    """Fetch the first of a package's versions that is to be had, and tell if there was one."""
    for version in versions:
        for path in into.iterdir():
            path.unlink()
        try:
            _run(*get, f"{name}={version}", folder=into)
        except Missing:
            continue
        return True
    return False


def _debian_licence(text: str) -> str:
    """Return the licence of all files without one of their own, where the text has Debian's form.

    Some packages name no files so; of those it is the first licence.
    """
    stanzas = re.split(r"\n\s*\n", text)
    rest = [stanza for stanza in stanzas if re.search(r"(?m)^Files:\s*\*\s*$", stanza)]
    found = re.search(r"(?m)^Files:[^\0]*?^License:[ \t]*(\S.*)", "\n\n".join(rest or stanzas))
    return found[1].strip() if found else "as its debian/copyright says"


def _npm(name: str, into: Path) -> tuple[str, str]:
    _run("npm", "pack", "--ignore-scripts", f"{name}@{NPM[name]}", folder=into)
    told = json.loads(_member(next(into.glob("*.tgz")), r"[^/]+/package\.json"))
    return told["version"], str(told.get("license", "none stated"))


def _pypi(name: str, into: Path) -> tuple[str, str]:
    flags = ("--quiet", "--no-deps", "--disable-pip-version-check", "--no-binary", name)
    _run(sys.executable, "-m", "pip", "download", *flags, f"{name}=={PYPI[name]}", folder=into)
    told = email.message_from_string(_member(next(into.glob("*.tar.gz")), r"[^/]+/PKG-INFO"))
    classes = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier", [])
        if line.startswith("License ::")
    ]
    licence = told["License-Expression"] or " AND ".join(classes) or told["License"]
    return told["Version"], (licence or "none stated").strip().splitlines()[0]


# Archives, and the table.


def _member(archive: Path, pattern: str) -> str:
    """Return the text of the first file in an archive whose name matches whole.

    Raises:
        Missing: There is none.
    """
    with tarfile.open(archive) as tar:
        for info in tar:
            if info.isfile() and re.fullmatch(pattern, info.name.removeprefix("./")):
                file = tar.extractfile(info)
                assert file is not None
                return file.read().decode("utf-8", "replace")
    raise Missing(f"{archive.name} holds no {pattern!r}.")


def _unpack(folder: Path, rows: tuple[Row, ...]) -> None:
    """Unpack a package's archives, all but Debian's own additions, if that was not done."""
    tree = folder / "trees" / Path(rows[0].archive).parent
    if tree.exists():
        return
    refused: list[str] = []

    def safe(info: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        try:
            return tarfile.data_filter(info, path)
        except tarfile.FilterError:  # a link that leads outside, a device
            refused.append(info.name)
            return None

    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
        into = Path(part) / "tree"
        for row in rows:
            archive = folder / "archives" / row.archive
            if not re.search(r"\.tar\.\w+$|\.tgz$", archive.name) or ".debian.tar." in archive.name:
                continue
            # A second upstream archive of Debian's lies in a folder named after it.
            component = re.search(r"\.orig-([\w-]+)\.tar", archive.name)
            place = into / component[1] if component else into
            with tarfile.open(archive) as tar:
                tar.extractall(place, filter=safe)
        into.rename(tree)
    if refused:
        print(f"{tree.name}: {len(refused)} members were not safe to unpack, as {refused[0]!r}")


def _read(path: Path) -> dict[tuple[str, str], tuple[Row, ...]]:
    known: dict[tuple[str, str], tuple[Row, ...]] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            for told in csv.DictReader(file, delimiter="\t"):
                row = Row(**{**told, "bytes": int(told["bytes"])})
                key = (row.registry, row.name)
                known[key] = (*known.get(key, ()), row)
    return known


def _write(path: Path, packages: Iterable[tuple[Row, ...]]) -> None:
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(field.name for field in fields(Row))
        table.writerows(astuple(row) for rows in packages for row in rows)
    part.replace(path)


def _print(folder: Path, packages: Iterable[tuple[Row, ...]]) -> None:
    """Print a row a package: megabytes packed and unpacked, and its files by suffix."""
    suffixes = {suffix for language in LANGUAGES.values() for suffix in language.suffixes}
    every: Counter[str] = Counter()
    packed_all = unpacked_all = 0
    print(f"\n{'package':<36} {'packed':>8} {'unpacked':>9}  files")
    for rows in packages:
        tree = folder / "trees" / Path(rows[0].archive).parent
        packed, unpacked = sum(row.bytes for row in rows), 0
        files: Counter[str] = Counter()
        for path in tree.rglob("*"):
            if path.is_file() and not path.is_symlink():
                unpacked += path.stat().st_size
                files[path.suffix.lower()] += path.suffix.lower() in suffixes
        packed_all, unpacked_all = packed_all + packed, unpacked_all + unpacked
        every += files
        _print_row(tree.name, packed, unpacked, files)
    _print_row("all", packed_all, unpacked_all, every)


def _print_row(name: str, packed: int, unpacked: int, files: Counter[str]) -> None:
    told = ", ".join(f"{suffix[1:]} {count}" for suffix, count in (+files).most_common())
    print(f"{name[:36]:<36} {packed / 1e6:>5.1f} MB {unpacked / 1e6:>6.1f} MB  {told}")


main()
