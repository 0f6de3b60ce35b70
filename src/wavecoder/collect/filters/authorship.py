"""Filters by who wrote code: a tool, or somebody whose code was copied here.

Files that say so in their header never get here (`sources/files.py`); these filters see what a
header does not show, and the rows of datasets, which carry a path but no file. The marks of both
are in `collect/authorship.py`.
"""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.collect.authorship import (
    generated_mark,
    generated_name,
    mean_line,
    vendored_folder,
)
from wavecoder.collect.filters.functions import NoOptions
from wavecoder.records import RawCode

__all__ = ["Generated", "Minified", "Vendored"]


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
        if name := generated_name(raw.path):
            return "generated", f"its path says so, {name}"
        for text in (raw.code, raw.docstring):
            if text and (mark := generated_mark(text)):
                return "generated", f"its mark {mark[:60]!r} says so"
        return None


class Vendored:
    """Rejects what is somebody else's code in a copy, by its folder: `vendor`, `node_modules`.

    On by default: the same files stand in thousands of repositories, under licences of their own.
    A folder that a recipe names as a source is not looked at, only the path below it.
    Sources of files do not even read such folders, unless they say `vendored: true`.

    Source: GitHub linguist's lib/linguist/vendor.yml, without its names that mean other things
    elsewhere.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `vendored`."""
        folder = vendored_folder(raw.path)
        return ("vendored", f"it lies in a folder {folder}") if folder else None


# A space that minifiers take away: beside an operator, a comma, a brace.
_SPACED = re.compile(r", |[\w)\]'\"] (?:=>?|={2,3}|&&|\|\||[-+*?:<>]) |[:;{] |\) \{")
# Characters to such a space. Of 990 functions in .min.js files that are minified by their lines and
# white space, 3 have one in 50 characters; of 73 that people wrote, in one line each, all have.
_SPACED_MOST = 50


class Minified:
    """Rejects code that was made small for machines, or that holds data in one endless line.

    On by default. Two signs: a line longer than people write; or long lines with hardly a space,
    none of it beside the marks where people put it: `a = b`, `f(a, b)`. The second alone would
    refuse ordinary code with long names, the first alone misses minifiers that wrap their lines.
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
        mean = mean_line(code)
        if mean < bounds.mean_line:
            return None
        space = (code.count(" ") + code.count("\t") + len(lines) - 1) / len(code)
        if space >= bounds.least_space or len(_SPACED.findall(code)) * _SPACED_MOST >= len(code):
            return None
        signs = f"{mean:.0f} characters a line and {space:.1%} white space"
        return "minified", f"it has {signs}, the least is {bounds.least_space:.1%}"
