"""What a package's own papers say of its licence: package.json, pyproject.toml, debian/copyright.

Each is read for its licence alone; what cannot be read says nothing.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from email.parser import HeaderParser
from fnmatch import translate
from functools import lru_cache
from typing import Any, NamedTuple

from wavecoder.collect.licenses.names import all_of, any_of, named_license

__all__ = ["DebianCopyright", "is_metadata", "license_of_metadata"]


class DebianCopyright(NamedTuple):
    """A machine-readable debian/copyright: which files are under which licence."""

    stanzas: tuple[tuple[re.Pattern[str], str | None], ...]
    """In order; of those that match, the last counts."""
    general: str | None
    """The licence of the stanza `Files: *`."""

    @classmethod
    def read(cls, text: str) -> "DebianCopyright | None":
        """Return what the text says; None where it is prose."""
        stanzas: list[tuple[re.Pattern[str], str | None]] = []
        general = None
        for stanza in re.split(r"\n[ \t]*\n", text):
            fields = HeaderParser().parsestr(stanza.strip("\n") + "\n\n")
            files, named = fields.get("Files"), fields.get("License")
            if not files or named is None:
                continue
            license = _debian_name(named.split("\n", 1)[0])
            if files.split() == ["*"]:
                general = license
            else:
                arms = "|".join(translate(name.removeprefix("./")) for name in files.split())
                stanzas.append((re.compile(arms), license))
        return cls(tuple(stanzas), general) if stanzas or general else None

    def of(self, path: str) -> tuple[str | None] | None:
        """Return (the licence,) that is given for a path by itself; None where none is."""
        found = [license for pattern, license in self.stanzas if pattern.match(path)]
        return (found[-1],) if found else None


def is_metadata(name: str) -> bool:
    """Say whether a file's name is that of a package's metadata."""
    return name in _READERS or name.endswith(".gemspec")


@lru_cache(maxsize=1024)
def license_of_metadata(name: str, text: str) -> str | None:
    """Return the expression that a metadata file gives; None where it gives none.

    `""` where npm's, Composer's or Cargo's names one that is not known: `UNLICENSED`, `BSD`.

    Args:
        name: The file's name.
        text: Its content.
    """
    reader = _READERS.get(name, _gemspec)
    try:
        return reader(text)
    except (ValueError, TypeError, AttributeError, RecursionError):  # not the shape it promises
        return None


def _package_json(text: str) -> str | None:
    table = json.loads(text)
    given = table.get("license") or table.get("licenses")
    return _choice(given)


def _choice(given: Any) -> str | None:
    """Return the licence of npm's and Composer's fields; in a list, any may be chosen."""
    if isinstance(given, str) and given.strip():
        elsewhere = given.lower().startswith("see licen")
        return None if elsewhere else named_license(given) or ""
    if isinstance(given, Mapping):
        return _choice(given.get("type"))
    if isinstance(given, list) and given:
        names = [_choice(one) for one in given]
        return any_of([name for name in names if name]) if all(names) else ""
    return None


def _cargo(text: str) -> str | None:
    table = tomllib.loads(text)
    package = table.get("package") or table.get("workspace", {}).get("package", {})
    return _choice(package.get("license"))


def _pyproject(text: str) -> str | None:
    table = tomllib.loads(text)
    project = table.get("project", {})
    given = project.get("license", table.get("tool", {}).get("poetry", {}).get("license"))
    if isinstance(given, Mapping):
        given = given.get("text")  # what stands in `file` is found as a LICENSE file
    named = named_license(given) if isinstance(given, str) else None
    return named or _classified(project.get("classifiers", ()))


def _classified(lines: Any) -> str | None:
    """Return the licence that trove classifiers name; several hold together."""
    prefix = "License :: "
    given = [str(line).strip() for line in lines if str(line).strip().startswith(prefix)]
    given = [line for line in given if line != "License :: OSI Approved"]
    names = [named_license(line.rpartition(" :: ")[2]) for line in given]
    return all_of([name for name in names if name]) if names and all(names) else None


def _setup_cfg(text: str) -> str | None:
    metadata = re.search(r"^\[metadata\]\s*$(.*?)(?=^\[|\Z)", text, re.DOTALL | re.MULTILINE)
    if metadata is None:
        return None
    named = re.search(r"^license\s*[=:][ \t]*(\S.*)$", metadata[1], re.MULTILINE)
    classifiers = re.findall(r"^\s+(License :: .*)$", metadata[1], re.MULTILINE)
    return (named_license(named[1]) if named else None) or _classified(classifiers)


def _setup_py(text: str) -> str | None:
    named = re.search(r"""\blicense\s*=\s*(["'])([^"'\n]+)\1""", text)
    classifiers = re.findall(r"""["'](License :: [^"'\n]+)["']""", text)
    return (named_license(named[2]) if named else None) or _classified(classifiers)


def _core_metadata(text: str) -> str | None:
    """Return the licence of PKG-INFO or METADATA; its header ends at the first empty line."""
    fields = HeaderParser().parsestr(text)
    for field in ("License-Expression", "License"):
        if named := named_license(fields.get(field) or ""):
            return named
    return _classified(fields.get_all("Classifier", ()))


def _gemspec(text: str) -> str | None:
    found = re.search(r"\.licenses?\s*=\s*(\[[^\]\n]*\]|\S+.*)", text)
    names = re.findall(r"""["']([^"']+)["']""", found[1]) if found else []
    known = [named_license(name) for name in names]
    return all_of([name for name in known if name]) if names and all(known) else None


def _pom(text: str) -> str | None:
    """Return the licence of a Maven project; of several, Maven lets the user choose."""
    # As text: an XML parser would have to be kept from the bombs that XML can hold.
    _, _, after = text.partition("<licenses>")
    block, closed, _ = after.partition("</licenses>")
    names = re.findall(r"<name>([^<]{0,300})</name>", block) if closed else []
    known = [named_license(name) for name in names]
    return any_of([name for name in known if name]) if names and all(known) else None


_READERS: Mapping[str, Callable[[str], str | None]] = {
    "package.json": _package_json,
    "composer.json": _package_json,
    "Cargo.toml": _cargo,
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "setup.py": _setup_py,
    "PKG-INFO": _core_metadata,
    "METADATA": _core_metadata,
    "pom.xml": _pom,
}

_DEBIAN = {
    "expat": "MIT",
    "apache-2": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "zlib/libpng": "Zlib",
    "boost-1.0": "BSL-1.0",
    "psf-2": "PSF-2.0",
    "cc0": "CC0-1.0",
    "artistic": "Artistic-1.0-Perl",
    "perl": "Artistic-1.0-Perl OR GPL-1.0-or-later",
    "mit/x11": "MIT",
}


def _debian_name(text: str) -> str | None:
    """Return the expression for a `License:` line: `GPL-2+ or Expat`, `Apache-2.0, and MIT`."""
    text = " ".join(text.replace(",", " ").split())
    if " with " in text.lower():
        return None  # an exception in Debian's words
    for between, join in ((r"\s+and\s+", all_of), (r"\s+or\s+", any_of)):
        # `or` binds looser than `and`, unless a comma says otherwise: those are left unknown.
        parts = re.split(between, text, flags=re.IGNORECASE)
        if len(parts) > 1 and not any(" or " in part.lower() for part in parts):
            names = [_debian_name(part) for part in parts]
            return join([name for name in names if name]) if all(names) else None
    return _DEBIAN.get(text.lower()) or (named_license(text) if " " not in text else None)
