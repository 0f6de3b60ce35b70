"""SPDX expressions: read, joined, judged; and the names that people write instead of them."""

import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any

__all__ = [
    "PERMISSIVE",
    "all_of",
    "allows",
    "any_of",
    "is_permissive",
    "known_licenses",
    "named_license",
    "spdx",
]

PERMISSIVE = frozenset(
    {
        *("0BSD", "AFL-3.0", "Apache-1.1", "Apache-2.0", "Artistic-2.0", "BlueOak-1.0.0"),
        *("BSD-1-Clause", "BSD-2-Clause", "BSD-2-Clause-Patent", "BSD-3-Clause"),
        *("BSD-3-Clause-Clear", "BSD-4-Clause", "BSD-Source-Code", "BSL-1.0", "CC0-1.0"),
        *("CNRI-Python", "curl", "HPND", "ICU", "ISC", "MIT", "MIT-0", "MIT-CMU", "MS-PL"),
        *("MulanPSL-2.0", "NCSA", "NTP", "OpenSSL", "PHP-3.01", "PostgreSQL", "PSF-2.0"),
        *("Python-2.0", "Python-2.0.1", "TCL", "Unicode-3.0", "Unicode-DFS-2016", "Unlicense"),
        *("UPL-1.0", "W3C", "WTFPL", "X11", "Zlib", "ZPL-2.1"),
    }
)
"""Licences that let code be used, changed and passed on under other terms, for the price of a
notice at most. Not here: copyleft, weak or strong (MPL, LGPL, GPL, EPL, CDDL), licences that limit
who may use the code or for what (JSON, SSPL, BUSL, CC-BY-NC), those for fonts and prose, and the
first Artistic License, whose terms are vague."""

# Names as they stand in package metadata and in notices, in words of lower case.
_NAMES = {
    "mit": "MIT",
    "mit license": "MIT",
    "the mit license": "MIT",
    "the mit license mit": "MIT",
    "mit license mit": "MIT",
    "expat": "MIT",
    "expat license": "MIT",
    "mit x11": "MIT",
    "isc license": "ISC",
    "isc license iscl": "ISC",
    "apache 2 0": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apache license 2 0": "Apache-2.0",
    "apache license v2 0": "Apache-2.0",
    "apache license version 2 0": "Apache-2.0",
    "the apache license version 2 0": "Apache-2.0",
    "the apache software license version 2 0": "Apache-2.0",
    "apache software license version 2 0": "Apache-2.0",
    "apache software license 2 0": "Apache-2.0",
    "apache 2 0 license": "Apache-2.0",
    "asl 2 0": "Apache-2.0",
    "bsd 2 clause": "BSD-2-Clause",
    "bsd 2 clause license": "BSD-2-Clause",
    "2 clause bsd license": "BSD-2-Clause",
    "simplified bsd license": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "bsd 3 clause license": "BSD-3-Clause",
    "bsd 3 clause new or revised license": "BSD-3-Clause",
    "3 clause bsd license": "BSD-3-Clause",
    "3 clause bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd license": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "revised bsd license": "BSD-3-Clause",
    "boost software license 1 0 bsl 1 0": "BSL-1.0",
    "boost software license 1 0": "BSL-1.0",
    "psf": "PSF-2.0",
    "psf license": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "mpl 2 0": "MPL-2.0",
    "mpl 2": "MPL-2.0",
    "mozilla public license 2 0": "MPL-2.0",
    "mozilla public license 2 0 mpl 2 0": "MPL-2.0",
    "mozilla public license version 2 0": "MPL-2.0",
    "mozilla public license 1 1 mpl 1 1": "MPL-1.1",
    "the unlicense": "Unlicense",
    "the unlicense unlicense": "Unlicense",
    "zlib": "Zlib",
    "zlib libpng license": "Zlib",
    "zope public license": "ZPL-2.1",
    "cc0 1 0 universal cc0 1 0 public domain dedication": "CC0-1.0",
    "cc0 1 0 universal": "CC0-1.0",
    "cc0": "CC0-1.0",
    "eclipse public license 1 0 epl 1 0": "EPL-1.0",
    "eclipse public license version 1 0": "EPL-1.0",
    "eclipse public license v1 0": "EPL-1.0",
    "eclipse public license 2 0 epl 2 0": "EPL-2.0",
    "eclipse public license version 2 0": "EPL-2.0",
    "eclipse public license v2 0": "EPL-2.0",
    "historical permission notice and disclaimer hpnd": "HPND",
    "cmu license mit cmu": "MIT-CMU",
    "perl": "Artistic-1.0-Perl OR GPL-1.0-or-later",
    "artistic": "Artistic-1.0-Perl",
    "artistic 2": "Artistic-2.0",
    "ruby s": "Ruby",
    "gnu general public license v2 gplv2": "GPL-2.0-only",
    "gnu general public license v2 or later gplv2": "GPL-2.0-or-later",
    "gnu general public license v3 gplv3": "GPL-3.0-only",
    "gnu general public license v3 or later gplv3": "GPL-3.0-or-later",
    "gnu general public license gpl": "GPL-1.0-or-later",
    "gnu lesser general public license v2 lgplv2": "LGPL-2.0-only",
    "gnu lesser general public license v2 or later lgplv2": "LGPL-2.0-or-later",
    "gnu lesser general public license v3 lgplv3": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later lgplv3": "LGPL-3.0-or-later",
    "gnu library or lesser general public license lgpl": "LGPL-2.0-or-later",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "gnu affero general public license v3 or later agplv3": "AGPL-3.0-or-later",
    "gpl": "GPL-1.0-or-later",
    "gplv2": "GPL-2.0-only",
    "gpl 2": "GPL-2.0-only",
    "gplv2 or later": "GPL-2.0-or-later",
    "gplv3": "GPL-3.0-only",
    "gpl 3": "GPL-3.0-only",
    "gplv3 or later": "GPL-3.0-or-later",
    "lgpl": "LGPL-2.0-or-later",
    "lgplv2 1": "LGPL-2.1-only",
    "lgplv3": "LGPL-3.0-only",
    "lgpl 3": "LGPL-3.0-only",
    "agplv3": "AGPL-3.0-only",
}
_PLUS = re.compile(r"^(a|l)?gpl ?-?v?(\d)(?:\.(\d))?(\.\d)?(\+)?$", re.IGNORECASE)


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing  # type: ignore[import-untyped]  # 30 ms, and only where code is collected

    return get_spdx_licensing()


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    """Return the tree of an expression, or None where it is none."""
    from license_expression import ExpressionError

    # LicenseRef-… is any name that its author gave; the library knows only a list of them.
    if "LicenseRef-" in text and "LicenseRef-scancode-" not in text:
        return None
    try:
        found = _licensing().parse(text, validate=True, strict=True)
        return _licensing().dedup(found)
    except (ExpressionError, AttributeError, TypeError):  # the library trips over some text
        return None


@lru_cache(maxsize=4096)
def spdx(text: str) -> str | None:
    """Return an SPDX expression as SPDX writes it, or None where it is none.

    `gpl-2.0+` becomes `GPL-2.0-or-later`, `MIT AND MIT` becomes `MIT`.
    """
    found = _parsed(text) if 0 < len(text) <= 300 else None
    return None if found is None else str(found)


@lru_cache(maxsize=4096)
def named_license(text: str) -> str | None:
    """Return the expression for what package metadata calls its licence; None where it is vague.

    `BSD` alone is vague: SPDX knows some twenty licences of that name.
    """
    text = " ".join(text.split()).strip(" .,;\"'")
    if not text or len(text) > 300:
        return None
    if found := spdx(text):
        return found
    words = re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()
    if words in _NAMES and "+" not in text:
        return _NAMES[words]
    if gnu := _PLUS.match(text.replace(" ", "")):
        number = f"{gnu[2]}.{gnu[3] or 0}"
        return spdx(f"{(gnu[1] or '').upper()}GPL-{number}-{'or-later' if gnu[5] else 'only'}")
    # Cargo's old way, and people's: MIT/Apache-2.0, "MIT or Apache 2.0".
    for between, join in ((r"\s*/\s*|\s+or\s+|\s*\|\|?\s*", any_of), (r"\s+and\s+", all_of)):
        parts = re.split(between, text, flags=re.IGNORECASE)
        if len(parts) > 1:
            names = [named_license(part.strip("() ")) for part in parts]
            return join([name for name in names if name]) if all(names) else None
    return None


def all_of(expressions: Iterable[str]) -> str | None:
    """Return the expression that all of them hold; None where there is none."""
    return _joined(list(dict.fromkeys(expressions)), " AND ")


def any_of(expressions: Iterable[str]) -> str | None:
    """Return the expression that any of them may be chosen; None where there is none."""
    return _joined(list(dict.fromkeys(expressions)), " OR ")


def _joined(expressions: list[str], word: str) -> str | None:
    if len(expressions) < 2:
        return expressions[0] if expressions else None
    parts = [f"({one})" if " AND " in one or " OR " in one else one for one in expressions]
    return spdx(word.join(parts))


@lru_cache(maxsize=4096)
def is_permissive(expression: str) -> bool:
    """Say whether the terms of an SPDX expression are those of licences in `PERMISSIVE`.

    One side of an OR is enough, both of an AND are needed. An exception (`WITH`) only permits more,
    so the licence before it decides. What is no SPDX expression is not permissive.
    """
    return allows(expression, PERMISSIVE)


def allows(expression: str, allowed: frozenset[str]) -> bool:
    """Say whether an expression can be met by licences in `allowed` alone.

    Args:
        expression: An SPDX expression.
        allowed: SPDX ids, or ids `WITH` an exception.
    """
    tree = _parsed(expression)
    return tree is not None and _met(tree, allowed)


def _met(node: Any, allowed: frozenset[str]) -> bool:
    joined: Callable[[Iterable[bool]], bool] | None
    joined = {"AND": all, "OR": any}.get(type(node).__name__)
    if joined is not None:
        return joined(_met(part, allowed) for part in node.args)
    alone = getattr(node, "license_symbol", node)
    return str(node) in allowed or str(alone) in allowed


@cache
def known_licenses() -> dict[str, str]:
    """Return every SPDX id by itself in lower case, without the library's own `LicenseRef-`."""
    symbols = _licensing().known_symbols
    return {name.lower(): name for name in symbols if not name.startswith("LicenseRef-")}
