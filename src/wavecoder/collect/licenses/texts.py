"""What a text says of its licence: a LICENSE file, or the comment a source file begins with.

Texts are compared as words in lower case with single spaces between, so that line ends, comment
marks and quotes do not matter. A text is known by sentences that its licence has and its near
relatives do not; what is not known for sure stays unknown.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from wavecoder.collect.licenses.names import (
    all_of,
    any_of,
    is_permissive,
    named_license,
    spdx,
)

__all__ = ["HEADER_LINES", "license_of_header", "license_of_text"]

HEADER_LINES = 120
"""Lines of a file among which a licence's words are looked for, and only in comments there. The
text of BSD-3-Clause has 28, that of Apache-2.0's notice 15; a changelog may stand before them."""

_NOT_WORDS = re.compile(r"[^a-z0-9]+")


class _Text(NamedTuple):
    """How a licence is known by its words."""

    license: str
    has: tuple[str, ...]
    """All of these."""
    lacks: tuple[str, ...] = ()
    """None of these."""


_MIT = "permission is hereby granted free of charge to any person obtaining a copy of this"
_NOTICE = "permission notice shall be included in all copies or substantial portions"
_ANY_PURPOSE = "permission to use copy modify and or distribute this software for any purpose with"
_ANY_PURPOSE_2 = "permission to use copy modify and distribute this software for any purpose with"
_PROVIDED = "provided that the above copyright notice"
_BEOPEN = "beopen python open source license agreement version 1"
_XCONSORTIUM = "except as contained in this notice the name"

_TEXTS = (
    _Text(
        "MIT",
        (_MIT, _NOTICE, "without restriction"),
        (_XCONSORTIUM, "for good not evil", "to deal with the software", "to deal in the font"),
    ),
    _Text("MIT-0", (_MIT, "without restriction"), (_NOTICE, "redistributions of", "font software")),
    _Text("X11", (_MIT, _NOTICE, _XCONSORTIUM)),
    _Text("JSON", (_MIT, "for good not evil")),
    _Text("NCSA", (_MIT, "to deal with the software without restriction", "redistributions of")),
    _Text("ISC", (_ANY_PURPOSE, _PROVIDED)),
    _Text("ISC", (_ANY_PURPOSE_2, _PROVIDED), (_XCONSORTIUM,)),
    _Text("curl", (_ANY_PURPOSE_2, _PROVIDED, _XCONSORTIUM)),
    _Text("0BSD", (_ANY_PURPOSE,), (_PROVIDED,)),
    _Text(
        "PostgreSQL",
        ("this software and its documentation for any purpose without fee and without a written",),
    ),
    _Text(
        "HPND",
        (
            "permission to use copy modify and distribute this software and its documentation for",
            "supporting documentation",
        ),
    ),
    _Text(
        "Zlib",
        (
            "permission is granted to anyone to use this software for any purpose including",
            "altered source versions must be plainly marked as such",
        ),
    ),
    _Text(
        "Apache-2.0",
        ("apache license version 2 0", "terms and conditions for use reproduction and distr"),
    ),
    _Text("Apache-1.1", ("apache software license version 1 1",)),
    _Text("BSL-1.0", ("boost software license version 1 0",)),
    _Text("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    _Text("CC0-1.0", ("cc0 1 0 universal", "statement of purpose")),
    _Text("WTFPL", ("do what the fuck you want to public license",)),
    _Text("BlueOak-1.0.0", ("blue oak model license",)),
    _Text("UPL-1.0", ("universal permissive license upl version 1 0",)),
    _Text("Beerware", ("the beer ware license",)),
    _Text("Python-2.0", (_BEOPEN,)),
    _Text(
        "PSF-2.0",
        ("python software foundation license version 2",),
        (_BEOPEN,),
    ),
    _Text("Ruby", ("ruby is copyrighted free software by yukihiro matsumoto",)),
    _Text("PHP-3.01", ("the php license version 3 01",)),
    _Text("OpenSSL", ("this product includes software developed by the openssl project",)),
    _Text("Artistic-2.0", ("the artistic license 2 0",)),
    _Text("Artistic-1.0-Perl", ("the artistic license preamble",)),
    _Text("AFL-3.0", ("academic free license afl version 3 0",)),
    _Text("AFL-3.0", ("academic free license version 3 0",)),
    _Text("OSL-3.0", ("open software license v 3 0",)),
    _Text("MS-PL", ("microsoft public license ms pl",)),
    _Text("Unicode-DFS-2016", ("unicode inc license agreement data files and software",)),
    _Text("Unicode-3.0", ("unicode license v3",)),
    _Text("OFL-1.1", ("sil open font license version 1 1", "permission conditions")),
    _Text("MPL-1.1", ("mozilla public license version 1 1", "1 definitions")),
    _Text("MPL-2.0", ("mozilla public license version 2 0", "1 definitions")),
    _Text("EPL-1.0", ("eclipse public license v 1 0", "1 definitions")),
    _Text("EPL-2.0", ("eclipse public license v 2 0", "1 definitions")),
    _Text("CDDL-1.0", ("common development and distribution license", "version 1 0", "cddl")),
    _Text("CDDL-1.1", ("common development and distribution license", "version 1 1", "cddl")),
    _Text("EUPL-1.2", ("european union public licence v 1 2",)),
    _Text("SSPL-1.0", ("server side public license version 1",)),
    _Text("BUSL-1.1", ("business source license 1 1",)),
    _Text("Elastic-2.0", ("elastic license 2 0", "limitations")),
    _Text("GFDL-1.1-only", ("gnu free documentation license version 1 1 march 2000",)),
    _Text("GFDL-1.2-only", ("gnu free documentation license version 1 2 november 2002",)),
    _Text("GFDL-1.3-only", ("gnu free documentation license version 1 3 3 november 2008",)),
    _Text("CC-BY-4.0", ("creative commons attribution 4 0 international public license",)),
    _Text("CC-BY-SA-4.0", ("creative commons attribution sharealike 4 0 international public",)),
    _Text("CC-BY-NC-4.0", ("creative commons attribution noncommercial 4 0 international public",)),
    # The title with its date: other licences name these, and only their own texts date them.
    _Text("GPL-1.0-only", ("gnu general public license version 1 february 1989",)),
    _Text("GPL-2.0-only", ("gnu general public license version 2 june 1991",)),
    _Text("GPL-3.0-only", ("gnu general public license version 3 29 june 2007",)),
    _Text("LGPL-2.0-only", ("gnu library general public license version 2 june 1991",)),
    _Text("LGPL-2.1-only", ("gnu lesser general public license version 2 1 february 1999",)),
    _Text("LGPL-3.0-only", ("gnu lesser general public license version 3 29 june 2007",)),
    _Text("AGPL-3.0-only", ("gnu affero general public license version 3 19 november 2007",)),
)
_GNU_TITLES = tuple(text.has[0] for text in _TEXTS if "GPL-" in text.license)

_BSD = "redistribution and use in source and binary forms with or without modification"
# Conditions that turn a free licence into another one, which has no name here.
_LIMITS = re.compile(
    r"(?<!commercial and )(?<!commercial or )\bnon ?commercial|\bcommons clause"
    r"|\bacademic (?:use|purposes) only|\blicen[cs]e (?:for )?internal use only"
    r"|\blicen[cs]e proprietary"
)
# Licences that ask for more than a notice, as people call them; which version is meant is seldom
# said, so that they, and what stands beside them, stay unknown. Those that have a version which is
# known by its name are in _SHORT.
_DEMANDING = re.compile(
    r"\b(?:mozilla public licen[cs]e(?! (?:version |v ?)?(?:1 1|2 0))"
    r"|eclipse public licen[cs]e(?! (?:version |v ?)?[12] 0)"
    r"|(?:common|netscape|q|sun|ibm|reciprocal|european union|server side) public licen[cs]e"
    r"|common development and distribution licen[cs]e|open software licen[cs]e"
    r"|under (?:the )?(?:eupl|osl|cddl|cpl)\b|(?:business source|elastic) licen[cs]e"
    r"|microsoft reciprocal licen[cs]e|cecill(?! b\b)|polyform|prosperity public licen[cs]e"
    r"|cc by (?:nc|nd|sa)\b|creativecommons org licenses by (?:nc|nd|sa)\b"
    r"|creative commons attribution (?:non ?commercial|no derivatives|share ?alike)\b)"
)
# Licences whose texts name no other one: another beside them holds, too.
_SILENT = frozenset({"MIT", "MIT-0", "ISC", "0BSD", "HPND", "Zlib", "X11", "Apache-2.0", "curl"})
_CHOICE = re.compile(
    r"\balternatively (?:this|the) (?:software|file|product|code|package|program|library) may be\b"
    r"|\bunder a choice of\b|\byour choice of\b|\bat your choice\b"
)
_CLOSED = re.compile(
    r"\bproprietary and confidential|\bconfidential and proprietary|\bunauthori[sz]ed copying"
    r"|\bmay not be (?:copied|reproduced|redistributed|disclosed)\b"
)

# A short notice: the licence by its name.
_SHORT = (
    ("Apache-2.0", re.compile(r"\bapache(?: software)? license,? (?:version |v )?2(?: 0)?\b")),
    (
        "MIT",
        re.compile(r"\b(?:under|with)(?: the)?(?: terms of)?(?: the)? mit (?:x11 )?licen[cs]e"),
    ),
    ("MIT", re.compile(r"^(?:the )?mit license\b|\bmit licensed\b")),
    ("MPL-2.0", re.compile(r"\bmozilla public license (?:version |v ?)?2 0\b")),
    ("BSL-1.0", re.compile(r"\bboost software license,? version 1 0\b")),
    ("MPL-1.1", re.compile(r"\bmozilla public license (?:version |v ?)?1 1\b")),
    ("EPL-2.0", re.compile(r"\beclipse public license (?:v|version)? ?2 0\b")),
    ("EPL-1.0", re.compile(r"\beclipse public license (?:v|version)? ?1 0\b")),
    ("ISC", re.compile(r"\bunder(?: the)? isc license\b")),
    (
        "BSD-3-Clause",
        re.compile(r"\b(?:3 clause|three clause|new|modified|revised) bsd licen|\bbsd 3 clause"),
    ),
    ("BSD-2-Clause", re.compile(r"\b(?:2 clause|two clause|simplified) bsd licen|\bbsd 2 clause")),
    ("CC0-1.0", re.compile(r"\bcc0 1 0\b|\bcreativecommons org publicdomain zero 1 0\b")),
    ("Unlicense", re.compile(r"\bunder(?: the)? unlicense\b")),
)
_TRI_LICENSE = "version mpl 1 1 gpl 2 0 lgpl 2 1"
_GNU = re.compile(r"\b(?:(lesser|library|affero) )?general public licen[cs]e\b|\b(a|l)?gpl ?v\d\b")
# Not `GPL-compatible`, nor what is `not under the GPL`.
_GNU_SHORT = re.compile(
    r"\bgnu public licen[cs]e\b|(?<!not )\b(?:under|of|org licenses|org copyleft)(?: the)?"
    r"(?: gnu)? ()([al])?gpl(?: ?\d)?\b(?! comp)"
)
_VERSION = re.compile(r"\b(?:version |v ?|[al]?gpl ?v?|license )(\d)(?: (\d)(?!\d))?\b")
_LATER = re.compile(r"\bany later version\b|\bor later\b|\bor newer\b|\bor any later\b")

# Bounded: the end of a line is looked for from each of its spaces.
_SPDX = re.compile(r"SPDX-License-Identifier:[ \t]{0,9}([^\n]{0,300})")
_SPDX_END = re.compile(r"\s*(?:\*+/|-->|\*\)|--\}\}|#\}|\"{3}|'{3}|\s#).*$|[\s*;]+$")
_LICENSE_LINE = re.compile(
    r"^[\s*#/;!.-]*@?licen[cs]e\s*[:=]?\s+([^\n]{2,80}?)[\s.;*/]*$", re.I | re.M
)


@lru_cache(maxsize=1024)
def license_of_text(text: str) -> str | None:
    """Return the SPDX expression of a LICENSE file's text; None where it is not known.

    The texts of several licences in one file are taken to hold together (`AND`).
    """
    if tags := _SPDX.findall(text):
        return _tagged(tags)
    if said := _of_words(_words(text)):
        return said[0]
    return named_license(next(iter(text.strip().splitlines()), ""))


def license_of_header(text: str) -> tuple[str | None] | None:
    """Return what the comment at a source file's beginning says of its licence.

    Returns:
        None where it says nothing; otherwise the SPDX expression, or (None,) where it names a
        licence that is not known, or says that the file is not to be copied.
    """
    # Most files say nothing, and one of these words is in all that do.
    head = text[:8_000].lower()
    if not any(word in head for word in ("licen", "permission", "proprietary", "gpl")):
        return None
    return _of_comment("\n".join(islice(_comment_lines(text[:8_000]), HEADER_LINES)))


@lru_cache(maxsize=4096)
def _of_comment(comment: str) -> tuple[str | None] | None:
    if tags := _SPDX.findall(comment):
        return (_tagged(tags),)
    words = _words(comment)
    if said := _of_words(words):
        return said
    if line := _LICENSE_LINE.search(comment):
        named = named_license(line[1])
        if named:
            return (named,)
    return (None,) if _CLOSED.search(words) else None


def _of_words(words: str) -> tuple[str | None] | None:
    """Return the licences whose texts are among the words, and those that they name.

    Returns:
        None where there is none; (None,) where one is not known, or is limited.
    """
    full = list(_full(words))
    if "Python-2.0" in full:  # a stack of four, the older ones in words of other licences
        full = [name for name in full if name not in ("HPND", "ISC", "0BSD")]
    if not all(name in _SILENT or name.startswith("BSD-") for name in full):
        return (all_of(full),)
    if _LIMITS.search(words) or _DEMANDING.search(words):
        return (None,)
    named = _short(words)
    if not full:
        return (all_of(named),) if named else None
    # A text is surer than a name beside it, which may be its title.
    more = [name for name in named if not is_permissive(name)]
    return (any_of((*full, *more)) if _CHOICE.search(words) else all_of((*full, *more)),)


def _words(text: str) -> str:
    return _NOT_WORDS.sub(" ", text.lower()).strip()


def _tagged(tags: list[str]) -> str | None:
    """Return the expression of a file's SPDX tags, all of which hold; None where one is unknown."""
    found = [spdx(_SPDX_END.sub("", tag).strip()) for tag in dict.fromkeys(tags)]
    return all_of([name for name in found if name]) if all(found) else None


def _full(words: str) -> Iterator[str]:
    """Yield the licences whose texts are among the words."""
    later = _gnu_notice(words)
    for text in _TEXTS:
        if all(part in words for part in text.has) and not any(p in words for p in text.lacks):
            name = text.license
            # A notice before the text says whether later versions will do.
            same = later is not None and later.split("-or-")[0] == name.removesuffix("-only")
            yield later if same and later else name
    if _BSD in words and "openssl project" not in words:
        yield _bsd(words)


def _bsd(words: str) -> str:
    if "all advertising materials mentioning features or use of this software" in words:
        return "BSD-4-Clause"
    if "to endorse or promote products" in words:
        clear = "no express or implied licenses to any party s patent rights" in words
        return "BSD-3-Clause-Clear" if clear else "BSD-3-Clause"
    binary = re.search(r"redistributions? in binary form must|in binary form must reproduce", words)
    return "BSD-2-Clause" if binary else "BSD-1-Clause"


def _gnu_notice(words: str) -> str | None:
    """Return what stands before the text of a GNU licence: its notice, with `or later` or not."""
    places = [place for title in _GNU_TITLES if (place := words.find(title)) > 0]
    return _gnu(words[: min(places)]) if places else None


def _short(words: str) -> list[str]:
    """Return the licences that a short notice names, which all hold."""
    if _TRI_LICENSE in words:
        return ["MPL-1.1 OR GPL-2.0-or-later OR LGPL-2.1-or-later"]
    found = [name for name, pattern in _SHORT if pattern.search(words)]
    if gnu := _gnu(words):
        found.append(gnu)
    return found


def _gnu(words: str) -> str | None:
    """Return the GNU licence that a notice names."""
    found = _GNU.search(words) or _GNU_SHORT.search(words)
    if found is None:
        return None
    kind = {"lesser": "LGPL", "library": "LGPL", "affero": "AGPL", "l": "LGPL", "a": "AGPL"}.get(
        found[1] or found[2] or "", "GPL"
    )
    around = words[max(0, found.start() - 120) : found.end() + 300]
    version = _VERSION.search(words, found.start(), found.end() + 300) or _VERSION.search(around)
    if version is None:
        # No version named: the licence itself says that any will do.
        first = {"GPL": "1.0", "LGPL": "2.0", "AGPL": "1.0"}[kind]
        return f"{kind}-{first}-or-later"
    number = f"{version[1]}.{version[2] or 0}"
    name = spdx(f"{kind}-{number}-{'or-later' if _LATER.search(around) else 'only'}")
    exceptions = {
        "classpath exception": "Classpath-exception-2.0",
        "gcc runtime library exception": "GCC-exception-3.1",
        "linking this library statically or dynamically": "Classpath-exception-2.0",
    }
    extra = next((short for words_, short in exceptions.items() if words_ in words), None)
    return f"{name} WITH {extra}" if name and extra else name


# What opens a comment of several lines, and what closes it.
_BLOCKS = (("/*", "*/"), ('"""', '"""'), ("'''", "'''"), ("<!--", "-->"), ("=begin", "=end"))
_LINE_MARKS = ("#", "//", ";", "--", "%", "*", "<?", "package ", "'use strict'", '"use strict"')


def _comment_lines(text: str) -> Iterator[str]:
    """Yield the lines before the first line of code: comments and a doc string.

    Preprocessor lines and `package` may stand among them; they say nothing of a licence.
    """
    close = None
    for line in text.split("\n"):
        bare = line.strip()
        if close is None:
            opened = bare.removeprefix("r").removeprefix("R")
            block = next((pair for pair in _BLOCKS if opened.startswith(pair[0])), None)
            if block is not None:
                rest = opened[len(block[0]) :]
                close = None if block[1] in rest else block[1]
            elif bare and not bare.startswith(_LINE_MARKS):
                return
        elif close in bare:
            close = None
        yield line
