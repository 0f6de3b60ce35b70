"""Rules on the function as such: its length, its kind, whether it parses.

To add a filter: a class of the shape of `protocols.Filter` under an entry point in the group
`wavecoder.filters`; a recipe names it under `collect.filters`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.languages import (
    is_self_contained,
    language,
    outside_names,
    statements,
    syntax_errors,
)
from wavecoder.records import RawCode

__all__ = [
    "BUILT_IN",
    "Constructor",
    "Documented",
    "Length",
    "NoOptions",
    "Parses",
    "SelfContained",
    "Test",
    "Trivial",
    "Undocumented",
]

BUILT_IN: Mapping[str, bool] = MappingProxyType(
    {
        "length": True,
        "licenses": False,
        "documented": False,
        "undocumented": False,
        "vendored": True,
        "generated": True,
        "constructor": True,
        "test": True,
        "minified": True,
        "encoding": True,
        "comments": True,
        "secrets": True,
        "natural_language": False,
        "words": False,
        "parses": True,
        "trivial": True,
        "self_contained": False,
        "contaminated": True,
    }
)
"""The names of the filters of this package in the order they run, cheap ones first, and whether
each runs unless a recipe says otherwise."""

# camelCase, ABCWord and snake_case come apart.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TOKENS = re.compile(r"[^\W\d]\w*|\d\w*(?:\.\d\w*)?|[^\w\s]")
# A source yields a file's functions one after the other.
_PATHS = 256


class NoOptions(BaseModel):
    """The table of a filter that has no options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Length:
    """Rejects what is too short to say anything, or too long for a prompt and its answer.

    On by default, by characters; by tokens where a recipe says so.
    """

    class Config(BaseModel):
        """Bounds on the number of characters (Unicode code points) of the code, and of tokens.

        WaveCoder (arXiv 2312.14187, version 5) says "neither too long nor too short"; 50 and 800
        are what readers of its first version report, and characters the only unit they name. Tokens
        are names, numbers and single marks of punctuation, also those inside strings and comments;
        a model's tokenizer counts others.
        """

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        least: Annotated[int, Field(ge=0)] = 50
        """Fewest characters that are kept."""
        most: Annotated[int, Field(ge=0)] = 800
        """Most characters that are kept."""
        least_tokens: Annotated[int, Field(ge=0)] | None = None
        """Fewest tokens that are kept; not counted unless given."""
        most_tokens: Annotated[int, Field(ge=0)] | None = None
        """Most tokens that are kept; not counted unless given."""

    def __init__(self, config: Config) -> None:
        """Take the bounds."""
        self.config = config
        self._counts_tokens = config.least_tokens is not None or config.most_tokens is not None

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `too_short` or `too_long`."""
        bounds, length = self.config, len(raw.code)
        if length < bounds.least:
            return "too_short", f"{length} characters, the fewest kept are {bounds.least}"
        if length > bounds.most:
            return "too_long", f"{length} characters, the most kept are {bounds.most}"
        if not self._counts_tokens:
            return None
        count = len(_TOKENS.findall(raw.code))
        if bounds.least_tokens is not None and count < bounds.least_tokens:
            return "too_short", f"{count} tokens, the fewest kept are {bounds.least_tokens}"
        if bounds.most_tokens is not None and count > bounds.most_tokens:
            return "too_long", f"{count} tokens, the most kept are {bounds.most_tokens}"
        return None


class Constructor:
    """Rejects constructors and the methods a language calls by itself: `__init__`, `toString`.

    On by default. CodeSearchNet (arXiv 1909.09436) leaves both out: they say little without their
    class.
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
        is_cpp = name.startswith(("~", "operator")) and re.match(r"~|operator\b", name)
        if is_cpp or name in _SPECIAL.get(raw.language, ()):
            return "special_method", f"{name} is called by the language itself"
        if raw.language in ("python", "php") and name.startswith("__") and classes:
            ends = raw.language == "php" or name.endswith("__")
            return ("special_method", f"{name} is called by the language itself") if ends else None
        return None


_NAMED_LIKE_CLASS = frozenset({"java", "csharp", "cpp", "php"})
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

    On by default: a test says little without what it tests. CodeSearchNet (arXiv 1909.09436) leaves
    out functions with `test` in their names; here it must be a word, so that `latest` and
    `attestation` stay.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `test`."""
        name = raw.name.rsplit(".", 1)[-1]
        if ("est" in name or "EST" in name) and not {"test", "tests"}.isdisjoint(_words(name)):
            return "test", f"the name {name} says so"
        if mark := _TEST_MARK.match(raw.code):
            return "test", f"its mark {mark[0].strip()} says so"
        place = _test_place(raw.path)
        return ("test", f"{place} says so") if place else None


@lru_cache(maxsize=_PATHS)
def _test_place(path: str) -> str | None:
    """Return the part of a path that says that tests are there, or None."""
    *folders, file = path.split("/")
    stem = file.rsplit(".", 1)[0]
    if {"test", "tests"} & {*_words(stem)} or stem.endswith((".spec", "_spec", "Spec")):
        return f"the file {file}"
    folder = next((folder for folder in folders if folder.lower() in _TEST_FOLDERS), None)
    return f"the folder {folder}" if folder else None


_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs", "testdata"})
# Rust's attributes, Java's annotations, C#'s attributes; on lines of their own or before the name.
_TEST_MARK = re.compile(
    r"\A\s*(?:#\[(?:\w+::)?test\b|@(?:\w*Test\b|Before|After)|\[(?:Test|Fact|Theory|TestMethod)\b)"
)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]


class Parses:
    """Rejects functions whose text by itself is no code of their language.

    On by default. What was cut out of a file that parses may fail alone: a piece between two
    `#ifdef`, a method of a class that another macro opens. Rows of datasets may be cut off, or in
    another language than they say. Source: CodeXGLUE (arXiv 2102.04664) drops what does not parse.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `syntax_error`."""
        found = syntax_errors(raw.code, raw.language)
        if not found:
            return None
        title = language(raw.language).title
        return "syntax_error", f"by itself it is no {title}, line {found[0].line}, {found[0].what}"


class Trivial:
    """Rejects functions that do nothing one could be asked to write.

    That is: no statement at all, or a single one that says `pass`, that it is not implemented, or
    that gives back a constant or an attribute. On by default. CodeSearchNet (arXiv 1909.09436)
    leaves out functions of fewer than three lines instead, which loses one-line functions that
    compute something.
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
    """Rejects functions without a doc comment; off by default.

    A small model explains what it is told better than what it has to find out. CodeSearchNet (arXiv
    1909.09436) keeps only such functions for its pairs of text and code.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `undocumented`."""
        return None if raw.docstring else ("undocumented", "it has no doc comment")


class Undocumented:
    """Rejects functions with a doc comment, the opposite of `documented`; off by default.

    For code that nobody has explained yet, the larger part of what there is.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `documented`."""
        return ("documented", "it has a doc comment") if raw.docstring else None


class SelfContained:
    """Rejects functions that need their class or module; off by default.

    In Python: those that use names which are neither their own nor built in. In other languages:
    those that speak of the object they belong to.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `not_self_contained`."""
        if is_self_contained(raw.code, raw.language):
            return None
        names = outside_names(raw.code, raw.language)
        needs = ", ".join(names[:5]) if names else "its object"
        return "not_self_contained", f"it needs {needs}"
