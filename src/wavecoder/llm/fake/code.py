"""Small functions that the fake endpoint writes: one in every language, with other numbers."""

import re
from random import Random
from typing import NamedTuple

__all__ = ["NOUNS", "TITLES", "VERBS", "Made", "function"]

# As `wavecoder.languages` has them; that package is no layer below this one.
TITLES = {
    "python": "Python", "java": "Java", "javascript": "JavaScript", "typescript": "TypeScript",
    "php": "PHP", "go": "Go", "ruby": "Ruby", "c": "C", "cpp": "C++", "rust": "Rust",
    "csharp": "C#",
}  # fmt: skip
"""How a language is called, by its name."""
VERBS = ("scale", "limit", "shift", "weigh", "grade", "price", "score", "adjust")
NOUNS = ("total", "level", "amount", "reading", "points", "rate", "depth", "count")

# NAME, and three numbers that make it another function.
_IF = "{\n    if (%snumber > A) {\n        return %snumber * B;\n    }\n    return %snumber - C;\n}"
_BRACED = f"%s {_IF}"
_FUNCTIONS = {
    "python": "def NAME(number):\n    if number > A:\n        return number * B\n"
    "    return number - C",
    "ruby": "def NAME(number)\n  if number > A\n    return number * B\n  end\n  number - C\nend",
    "go": "func NAME(number int) int {\n\tif number > A {\n\t\treturn number * B\n\t}\n"
    "\treturn number - C\n}",
    "rust": "fn NAME(number: i64) -> i64 {\n    if number > A {\n        return number * B;\n"
    "    }\n    number - C\n}",
    "javascript": _BRACED % ("function NAME(number)", "", "", ""),
    "typescript": _BRACED % ("function NAME(number: number): number", "", "", ""),
    "php": _BRACED % ("function NAME($number)", "$", "$", "$"),
    "java": _BRACED % ("public static int NAME(int number)", "", "", ""),
    "csharp": _BRACED % ("public static int NAME(int number)", "", "", ""),
    "c": _BRACED % ("int NAME(int number)", "", "", ""),
    "cpp": _BRACED % ("int NAME(int number)", "", "", ""),
}
_PLACES = re.compile(r"\b(?:NAME|[ABC])\b")


class Made(NamedTuple):
    """A function, and what it does: what is `above` is taken `times`, all else `less`."""

    code: str
    above: int
    times: int
    less: int

    def of(self, number: int) -> int:
        """Return what it returns."""
        return number * self.times if number > self.above else number - self.less


def function(tag: str, name: str, rng: Random) -> Made:
    """Return a function of that name in a language; Python's where the language is none of ours."""
    above, times, less = (rng.randrange(2, 10_000) for _ in range(3))
    parts = {"NAME": name, "A": str(above), "B": str(times), "C": str(less)}
    code = _FUNCTIONS.get(tag, _FUNCTIONS["python"])
    return Made(_PLACES.sub(lambda match: parts[match[0]], code), above, times, less)
