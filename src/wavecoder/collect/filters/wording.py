"""Filters on the text of a function: its characters, its words, its comments, its language."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.collect.filters.functions import NoOptions
from wavecoder.records import RawCode

__all__ = ["CODE_ALPACA_WORDS", "Comments", "Encoding", "NaturalLanguage", "Words", "comments"]

CODE_ALPACA_WORDS = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps"),
    *("draw", "plot", "go to", "video", "audio", "music", "flowchart", "diagram"),
)
"""The word list of Code Alpaca (sahil280114/codealpaca, generate_instruction.py)."""


class Words:
    """Rejects functions with a word of a list in their code or doc comment; off by default.

    WaveCoder (arXiv 2312.14187, section 2.2.1) drops raw code with blacklisted words "following
    Code Alpaca", whose list is the default here, matched as there: whole words in any case. There
    it was made for instructions to a model that sees and hears nothing. On code it removes ordinary
    functions, whatever opens a `file` or calls `map`: of the functions of Python's standard library
    that pass the default filters 5.6 % have such a word in their code and 9.6 % in code or doc
    comment. Name it only to repeat the paper.
    """

    class Config(BaseModel):
        """Which words."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        words: tuple[str, ...] = Field(CODE_ALPACA_WORDS, min_length=1)
        """The words, in any case."""

    def __init__(self, config: Config) -> None:
        """Take the words."""
        self.config = config
        arms = "|".join(re.escape(word) for word in config.words)
        self._pattern = re.compile(rf"\b(?:{arms})\b", re.IGNORECASE)

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `word`."""
        for text, where in ((raw.code, "code"), (raw.docstring, "doc comment")):
            if text and (found := self._pattern.search(text)):
                return "word", f"its {where} has the word {found[0]!r}"
        return None


class Encoding:
    """Rejects text that was damaged, or that shows something else than it says.

    On by default; off the ASCII range only a few characters ever decide. Damaged: replacement
    characters, control characters, private-use characters, UTF-8 read as Latin-1 (`Ã©`). Hidden:
    marks that turn the direction of writing (Trojan Source, CVE-2021-42574), and characters without
    width inside words; between letters of scripts that need joiners, and in emoji, these stay.
    """

    Config = NoOptions

    def __init__(self, config: NoOptions) -> None:
        """Take no options."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `damaged_text` or `hidden_character`."""
        for text, where in ((raw.code, "code"), (raw.docstring, "doc comment")):
            if not text or _is_clean(text):
                continue
            if found := _HIDDEN.search(text):
                return "hidden_character", f"its {where} has U+{ord(found[0]):04X}"
            if found := _DAMAGED.search(text):
                shown = " ".join(f"U+{ord(character):04X}" for character in found[0])
                return "damaged_text", f"its {where} has {shown}"
        return None


def _is_clean(text: str) -> bool:
    """Say at once that most text has nothing to look for."""
    return text.isascii() and text.replace("\n", "").replace("\t", "").isprintable()


_HIDDEN = re.compile(
    "[\u202a-\u202e\u2066-\u2069]"  # embeddings, overrides and isolates
    "|[\u200b\u2060\ufeff]"
    # A joiner where nothing is to be joined.
    "|(?<=[\\x00-\\x7f])[\u200c\u200d]|[\u200c\u200d](?=[\\x00-\\x7f])|\\A[\u200c\u200d]"
)
_DAMAGED = re.compile(
    # A form feed parts the sections of old Python and C.
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd\ufffe\uffff\ue000-\uf8ff\U000f0000-\U0010ffff]"
    # The lead bytes of two and three in Latin-1 or Windows-1252, with a byte that follows them.
    "|[\u00c3\u00c2][\u00a0-\u00bf\u0080-\u009f]|\u00e2\u20ac[\u02dc\u2122\u0153\u009d\u00a6\u201c\u201d]"
)


class Comments:
    """Rejects code that is nearly all comments: code commented out, licences, lectures.

    On by default. Whole-line and block comments count, the doc comment does not (it is no part of
    the code). Source: SantaCoder (arXiv 2301.03988) drops files with more than 80 % of comments.
    Below that stand short functions whose comment says why, which are good ones.
    """

    class Config(BaseModel):
        """How much."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        most: Annotated[float, Field(ge=0, le=1)] = 0.8
        """Largest share of the characters, white space not counted, that are in comments."""

    def __init__(self, config: Config) -> None:
        """Take the bound."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `comments`."""
        found = comments(raw.code, raw.language)
        if not found:
            return None
        share = _ink(found) / max(1, _ink(raw.code))
        if share <= self.config.most:
            return None
        return "comments", f"{share:.0%} of it are comments, the most is {self.config.most:.0%}"


def comments(code: str, language: str) -> str:
    """Return the comments in code, with their marks: block comments, and those alone on lines.

    It reads lines and does not parse, so that a string may be taken for a comment where it looks
    like one. In Python and Ruby, comments behind code on its line are left out.
    """
    hash_marks = language in _HASH
    found: list[str] = []
    if (hash_marks or language == "php") and "#" in code:
        found = _HASH_LINES.findall(code)
    if not hash_marks and ("//" in code or "/*" in code):
        found += _SLASHES.findall(code)
    return "\n".join(found)


_HASH = frozenset({"python", "ruby"})
_HASH_LINES = re.compile(r"^[ \t]*(#(?!\[).*)", re.MULTILINE)
_SLASHES = re.compile(r"^[ \t]*(//.*|/\*(?s:.*?)\*/)", re.MULTILINE)


def _ink(text: str) -> int:
    return len("".join(text.split()))


class NaturalLanguage:
    """Rejects functions whose doc comment and comments are not in English; off by default.

    Two signs: letters beyond ASCII, which tell other scripts; and the small words of French,
    Spanish, Portuguese, Italian, German, Dutch, Polish or Indonesian, more than English ones. A
    function without prose is kept. Off because it removes functions that are good as code; name it
    where a model is to write English and would follow the language of the comments.

    Source: CodeXGLUE (arXiv 2102.04664) drops functions whose documents are not English from
    CodeSearchNet.
    """

    class Config(BaseModel):
        """How much."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        most_other_letters: Annotated[float, Field(ge=0, le=1)] = 0.2
        """Largest share of the letters that are not in ASCII."""
        least_other_words: Annotated[int, Field(ge=1)] = 3
        """Fewest different small words of other languages from which on they count."""

    def __init__(self, config: Config) -> None:
        """Take the bounds."""
        self.config = config

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `not_english`."""
        prose = f"{raw.docstring or ''}\n{comments(raw.code, raw.language)}"
        if not prose.isascii():
            letters = sum(map(str.isalpha, prose))
            other = sum(character > "\x7f" and character.isalpha() for character in prose)
            if letters and other / letters > self.config.most_other_letters:
                return "not_english", f"{other} of the {letters} letters of its prose are others"
        prose = prose.lower()
        foreign = _FOREIGN.findall(prose)
        different = sorted(set(foreign))  # `utf-16-le` three times is no French
        if len(different) < self.config.least_other_words:
            return None
        if len(foreign) <= len(_ENGLISH.findall(prose)):
            return None
        return "not_english", f"its prose has words like {', '.join(different[:5])}"


# Words that code has as names or abbreviations are left out of the second: a, as, den, die, es, is.
_ENGLISH = re.compile(
    r"\b(?:the|of|to|and|is|for|that|this|with|be|are|if|not|it|by|from|or|which|on|was|as|when|an|"
    r"will|has|can|returns?|should)\b"
)
_FOREIGN = re.compile(
    r"\b(?:"
    r"le|les|une|dans|est|pour|avec|sur|du|sont|cette|ou|aux|"  # French
    r"el|los|las|una|del|por|para|con|como|esta|este|se|"  # Spanish
    r"um|uma|dos|das|não|são|pelo|pela|os|ao|"  # Portuguese
    r"il|gli|di|che|della|nel|sono|questo|"  # Italian
    r"der|und|ist|nicht|mit|für|ein|eine|einen|wird|auf|dem|"  # German
    r"het|een|van|voor|niet|wordt|naar|"  # Dutch
    r"jest|nie|dla|oraz|który|przez|"  # Polish
    r"yang|dan|untuk|dengan|dari|adalah"  # Indonesian
    r")\b"
)
