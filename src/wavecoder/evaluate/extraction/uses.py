"""Imports that may be said once only: Go's, Rust's, and the names that JavaScript binds."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from wavecoder.evaluate.extraction.items import Item, Kind

__all__ = ["go_imports", "imported", "rust_uses"]

_GO_SPEC = re.compile(r'(?:(?P<alias>[\w.]{1,64}+)[ \t]+)?["`](?P<path>[^"`\n]+)["`]')
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_PACKAGE = re.compile(r"\b([A-Za-z_]\w*)\s*\.")
_RUST_PIECE = re.compile(r"::|[{},;*]|\bas\b|[\w#]+")
_USE = re.compile(r"\s*(?P<front>(?:pub(?:\([^)\n]{0,40}\))?\s+)?use\s+)")

_DEEPEST = 32
"""Steps of a path, and braces around it; more is no code of a person."""


def go_imports(given: Iterable[str], added: Iterable[str], *, program: str, whole: str) -> str:
    """Return one import block; Go refuses an import that is said twice, or is not used.

    One of the prompt's is kept if the program uses it. One of the answer's is left out only where
    what used it was left out.

    Args:
        given: The prompt's import declarations.
        added: The answer's.
        program: The code that is kept, without comments and strings.
        whole: All code that the answer held.
    """
    used, used_by_all = set(_PACKAGE.findall(program)), set(_PACKAGE.findall(whole))
    theirs = [spec for text in given for spec in _GO_SPEC.finditer(text)]
    # An answer that says the prompt again has its unused imports, too.
    free = {spec["path"] for spec in theirs}
    kept: dict[str, str] = {}
    for spec in [spec for text in added for spec in _GO_SPEC.finditer(text)] + theirs:
        alias = "" if spec["alias"] in (None, "import") else spec["alias"]
        name = alias or spec["path"].rsplit("/", 1)[-1]
        is_fault = spec["path"] not in free and name not in used_by_all
        if name in used or alias in ("_", ".") or is_fault:
            key = alias + spec["path"] if alias in ("_", ".") else name
            kept.setdefault(key, f'{alias} "{spec["path"]}"')
    if not kept:
        return ""
    lines = "\n".join(f"\t{line.strip()}" for line in kept.values())
    return f"import (\n{lines}\n)"


def imported(text: str) -> set[str]:
    """Return the names that a JavaScript declaration binds, `{ a, b: c }` among them."""
    return set(_WORD.findall(text.partition("=")[0])) - {"const", "let", "var", "export"}


def rust_uses(head: Sequence[Item], answer: Sequence[Item]) -> list[Item]:
    """Return the prompt's items without the names in its `use` lines that the answer defines.

    Rust refuses a name that is brought in twice, even as the same thing.
    """
    names = {item.name for item in answer if item.name}
    for item in answer:
        if item.kind is Kind.IMPORT:
            names |= {name for _, name in _leaves(item.code)}
    found = []
    for item in head:
        leaves = _leaves(item.code) if item.kind is Kind.IMPORT else []
        if any(name in names for _, name in leaves):
            front = _USE.match(item.code)
            word = front["front"] if front else "use "
            lines = [f"{word}{path};" for path, name in leaves if name not in names]
            item = replace(item, text="\n".join(lines), code="\n".join(lines))
        found.append(item)
    return found


def _leaves(use: str) -> list[tuple[str, str]]:
    """Return the paths that a `use` line brings in, each with the name it gives them.

    `use std::{cmp::{max, self}, fmt as f};` has `std::cmp::max`, `std::cmp`, `std::fmt as f`.
    """
    front = _USE.match(use)
    found: list[tuple[str, str]] = []
    prefixes: list[list[str]] = [[]]
    path: list[str] = []
    renamed: list[str] = []
    for piece in [*_RUST_PIECE.findall(use, front.end() if front else 0), ";"]:
        if max(len(path), len(prefixes)) > _DEEPEST:
            break
        if piece == "{":
            prefixes.append([*prefixes[-1], *path])
            path = []
        elif piece in ",};":
            if path:
                found.append(_leaf([*prefixes[-1], *path], renamed[1:]))
            path, renamed = [], []
            if piece == "}" and len(prefixes) > 1:
                prefixes.pop()
        elif piece == "as" or renamed:
            renamed.append(piece)
        elif piece != "::":
            path.append(piece)
    return found


def _leaf(steps: list[str], renamed: list[str]) -> tuple[str, str]:
    """Return one path of a `use` line with the name it brings in."""
    if steps[-1] == "self" and len(steps) > 1:
        steps = steps[:-1]
    path = "::".join(steps)
    return (f"{path} as {renamed[0]}", renamed[0]) if renamed else (path, steps[-1])
