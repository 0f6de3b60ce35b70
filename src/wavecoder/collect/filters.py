"""Rules that keep or reject raw code; each looks at one function and nothing else.

To add one: a class of the shape of `protocols.Filter` under an entry point in the group
`wavecoder.filters`; a recipe names it under `collect.filters`.
"""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.languages import is_self_contained, outside_names, statements
from wavecoder.records import RawCode

__all__ = [
    "Constructor",
    "Documented",
    "Length",
    "NoOptions",
    "SelfContained",
    "Test",
    "Trivial",
]

# camelCase, ABCWord and snake_case come apart.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class NoOptions(BaseModel):
    """The table of a filter that has no options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Length:
    """Rejects what is too short to say anything, or too long for a prompt and its answer."""

    class Config(BaseModel):
        """Bounds on the number of characters (Unicode code points) of the code.

        WaveCoder (arXiv 2312.14187, version 5) says "neither too long nor too short"; 50 and 800
        are what readers of its first version report.
        """

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        least: Annotated[int, Field(ge=0)] = 50
        """Fewest characters that are kept."""
        most: Annotated[int, Field(ge=0)] = 800
        """Most characters that are kept."""

    def __init__(self, config: Config) -> None:
        """Take the bounds."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `too_short` or `too_long`."""
        length = len(raw.code)
        if length < self.config.least:
            return "too_short", f"{length} characters, the fewest kept are {self.config.least}"
        if length > self.config.most:
            return "too_long", f"{length} characters, the most kept are {self.config.most}"
        return None


class Constructor:
    """Rejects constructors and the methods a language calls by itself: `__init__`, `toString`.

    CodeSearchNet (arXiv 1909.09436) leaves both out: they say little without their class.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `constructor` or `special_method`."""
        *classes, name = raw.name.split(".")
        by_class = raw.language in _NAMED_LIKE_CLASS and classes and classes[-1] == name
        if by_class or name == _CONSTRUCTORS.get(raw.language):
            return "constructor", f"{name} makes the object"
        # ~Stack and `operator ==`: words that only C++ has in names.
        if name in _SPECIAL.get(raw.language, ()) or re.match(r"~|operator\b", name):
            return "special_method", f"{name} is called by the language itself"
        if raw.language in ("python", "php") and name.startswith("__") and classes:
            ends = raw.language == "php" or name.endswith("__")
            return ("special_method", f"{name} is called by the language itself") if ends else None
        return None


_NAMED_LIKE_CLASS = ("java", "csharp", "cpp", "php")
_CONSTRUCTORS = {
    "python": "__init__",
    "php": "__construct",
    "javascript": "constructor",
    "typescript": "constructor",
    "ruby": "initialize",
}
_SPECIAL = {
    "java": ("toString", "equals", "hashCode", "compareTo", "clone", "finalize"),
    "csharp": ("ToString", "Equals", "GetHashCode", "CompareTo", "Dispose"),
    "javascript": ("toString", "valueOf", "toJSON"),
    "typescript": ("toString", "valueOf", "toJSON"),
    "ruby": ("to_s", "inspect", "==", "eql?", "hash", "<=>", "method_missing"),
    "go": ("String", "Error"),
    "rust": ("fmt", "eq", "cmp", "partial_cmp", "hash", "clone", "drop", "default"),
}


class Test:
    """Rejects tests, by the word `test` in the function's name, its folder or its file's name.

    CodeSearchNet (arXiv 1909.09436) leaves out functions with `test` in their names; here it must
    be a word, so that `latest` and `attestation` stay.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `test`."""
        name = raw.name.rsplit(".", 1)[-1]
        *folders, file = raw.path.split("/")
        if "test" in _words(name) or "tests" in _words(name):
            return "test", f"the name {name} says so"
        if mark := _TEST_MARK.search(raw.code):
            return "test", f"its mark {mark[0].strip()} says so"
        stem = file.rsplit(".", 1)[0]
        if {"test", "tests"} & {*_words(stem)} or stem.endswith((".spec", "_spec", "Spec")):
            return "test", f"the file {file} says so"
        folder = next((folder for folder in folders if folder.lower() in _TEST_FOLDERS), None)
        return ("test", f"the folder {folder} says so") if folder else None


_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs", "testdata"})
# Rust's attributes, Java's annotations, C#'s attributes; on lines of their own or before the name.
_TEST_MARK = re.compile(
    r"\A\s*(?:#\[(?:\w+::)?test\b|@(?:\w*Test\b|Before|After)|\[(?:Test|Fact|Theory|TestMethod)\b)"
)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]


class Trivial:
    """Rejects functions that do nothing one could be asked to write.

    That is: no statement at all, or a single one that says `pass`, that it is not implemented, or
    that gives back a constant or an attribute.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `trivial`."""
        found = statements(raw.code, raw.language)
        if not found:
            return "trivial", "its body is empty"
        if len(found) == 1 and _TRIVIAL.fullmatch(found[0].strip()):
            return "trivial", f"all it does is {found[0].strip()[:60]!r}"
        return None


_ATOM = r"""
    [&*@$]* [\w$@]+ (?: (?: \. | -> | :: | \?\. ) [@\#$]* \w+ )* [!?]?  # a name, self.name, 12
    | -\s*[\d.]+ | :\w+ | "[^"\n\#$]*" | '[^'\n]*' | \[\s*\] | \{\s*\} | \(\s*\)
"""
_TRIVIAL = re.compile(
    rf"""
    pass | \.\.\. | ;
    | (?: => \s* )? (?: return \b )? \s* (?: {_ATOM} )? \s* ;?
    | (?: => \s* )? (?: raise | throw | panic | die ) \b .*
      (?: NotImplemented | NotSupported | Unsupported | \bnot\ (?:yet\ )? (?:implemented|supported)
      | must\ (?:be\ )? (?:implement|override|overrid) ) .*
    | (?: todo | unimplemented | unreachable ) ! .*
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


class Documented:
    """Rejects functions without a doc comment; off unless a recipe names it.

    A small model explains what it is told better than what it has to find out.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `undocumented`."""
        return None if raw.docstring else ("undocumented", "it has no doc comment")


class SelfContained:
    """Rejects functions that need their class or module; off unless a recipe names it."""

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `not_self_contained`."""
        if is_self_contained(raw.code, raw.language):
            return None
        names = outside_names(raw.code, raw.language)
        needs = ", ".join(names[:5]) if names else "its object"
        return "not_self_contained", f"it needs {needs}"
