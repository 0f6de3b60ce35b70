"""Filters by who wrote code: a tool, or somebody whose code was copied here.

Files that say so in their header never get here (`files.py`); these filters see what a header does
not show, and the rows of datasets, which carry a path but no file.
"""

import re
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.collect.filters.functions import NoOptions
from wavecoder.records import RawCode

__all__ = ["Generated", "Minified", "Vendored"]

# A source yields a file's functions one after the other.
_PATHS = 256

_GENERATED_FILE = re.compile(
    r"""
    (?: _pb2(?:_grpc)?\.pyi? | _pb\.(?:js|ts|rb|php) | \.pb(?:\.\w+)?\.(?:go|cc|h|dart|swift)
      | [.-]min\.[cm]?js | [.-]bundle\.[cm]?js
      | \.g(?:\.i)?\.(?:cs|dart) | \.designer\.cs
      | [._-]generated\.\w+ | (?:^|/)zz_generated[^/]* | [._]gen\.(?:go|ts|cs|rs)
      | (?:^|/)(?:moc_|qrc_|ui_)[^/]*\.(?:cpp|cc|h) | (?:^|/)lex\.yy\.c | \.tab\.[ch]
      | _wrap\.c(?:xx|pp)? | (?:^|/)bindata\.go
      | (?:^|/)(?:__generated__|_?generated|generated-src|autogen|auto_generated)/.*
    ) \Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Characters at the beginning of a function in which a mark counts: further down it may be in a text
# that the function writes.
_HEAD = 400
# At the start of a line: prose about generated things is no mark.
_GENERATED_MARK = re.compile(
    r"""
    ^ [\s/*\#;-]* (?:
        @generated\b
      | (?:code|file|class|method|function) [ ] generated [ ] (?:by|from)\b
      | this [ ] (?:file|code|class|method|function) [ ] (?:is|was|has [ ] been) [ ]
        (?:auto-?|automatically[ ]|machine[- ])? generated\b
      | (?:auto|automatically|machine)[- ]?generated [ ]
        (?:by|from|code|file|class|do [ ] not)\b
      | generated [ ] by [ ] (?:the [ ])?
        (?:protocol [ ] buffer | protoc | swig | thrift | antlr | bison | flex)\b
      | \[ (?:global::)? [\w.:]* (?:GeneratedCode|CompilerGenerated)\b
      | @ [\w.]*Generated\s*\(
    )
    | do [ ] not [ ] modify [\s/]+ the [ ] contents [ ] of [ ] this [ ] method
    | \#\[automatically_derived\]
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)

_VENDORED = re.compile(
    r"(?:^|/)(_?vendor(?:s|ed)?|third[-_]?party|3rd[-_]?party|node_modules|bower_components|"
    r"jspm_packages|site-packages|dist-packages|godeps|carthage|pods)/",
    re.IGNORECASE,
)


class Generated:
    """Rejects what a tool wrote, by the file's name or folder and by marks at the function.

    On by default: such code teaches the tool's habits, in thousands of near copies. Marks count at
    the start of a line, near the function's own.

    Source: GitHub linguist's lib/linguist/generated.rb for the names; Go's `Code generated … DO
    NOT EDIT` (go.dev/s/generatedcode), Java's `@Generated`, .NET's `GeneratedCode` for the marks.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `generated`."""
        if name := _generated_name(raw.path):
            return "generated", f"its path says so, {name}"
        for text in (raw.code, raw.docstring):
            if text and _may_be_marked(text) and (mark := _GENERATED_MARK.search(text, 0, _HEAD)):
                return "generated", f"its mark {mark[0].strip()[:60]!r} says so"
        return None


def _may_be_marked(text: str) -> bool:
    return "enerated" in text or "do not modify" in text or "automatically_der" in text


@lru_cache(maxsize=_PATHS)
def _generated_name(path: str) -> str | None:
    found = _GENERATED_FILE.search(path)
    return found[0].strip("/") if found else None


class Vendored:
    """Rejects what is somebody else's code in a copy, by its folder: `vendor`, `node_modules`.

    On by default: the same files stand in thousands of repositories, under licences of their own.
    A folder that a recipe names as a source is not looked at, only the path below it.

    Source: GitHub linguist's lib/linguist/vendor.yml, without its names that mean other things
    elsewhere (`dist`, `deps`, `cache`, `external`).
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `vendored`."""
        folder = _vendored_folder(raw.path)
        return ("vendored", f"it lies in a folder {folder}") if folder else None


@lru_cache(maxsize=_PATHS)
def _vendored_folder(path: str) -> str | None:
    found = _VENDORED.search(path)
    return found[1] if found else None


class Minified:
    """Rejects code that was made small for machines, or that holds data in one endless line.

    On by default. Two signs: a line longer than people write; or long lines with hardly a space.
    The second alone would refuse ordinary code with long names, the first alone misses minifiers
    that wrap their lines.
    """

    class Config(BaseModel):
        """From where on code counts as minified."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        longest_line: Annotated[int, Field(gt=0)] = 400
        """Most characters of a line. StarCoder (arXiv 2305.06161) drops files with a line of more
        than 1,000; a function of 800 characters never has one."""
        mean_line: Annotated[int, Field(gt=0)] = 120
        """Mean characters of a line from which on white space is looked at; GitHub linguist takes
        JavaScript for minified from 110 on."""
        least_space: Annotated[float, Field(ge=0, le=1)] = 0.12
        """Least share of white space in code with such lines. Minifiers leave 2 to 9 %, people 15
        to 40."""

    def __init__(self, config: Config) -> None:
        """Take the bounds."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `minified`."""
        bounds, code = self.config, raw.code
        if len(code) < bounds.mean_line:
            return None
        lines = code.split("\n")
        longest = max(map(len, lines))
        if longest > bounds.longest_line:
            most = f"the most is {bounds.longest_line:,}"
            return "minified", f"it has a line of {longest:,} characters, {most}"
        mean = len(code) / len(lines)
        if mean < bounds.mean_line:
            return None
        space = (code.count(" ") + code.count("\t") + len(lines) - 1) / len(code)
        if space >= bounds.least_space:
            return None
        signs = f"{mean:.0f} characters a line and {space:.1%} white space"
        return "minified", f"it has {signs}, the least is {bounds.least_space:.1%}"
