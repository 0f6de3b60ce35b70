"""A benchmark's words of a problem, as an instruction's subject and as a summary of its solution.

The words of HumanEval ask ("Write a function that …", "You are given …"), a summary tells. Only
these turns of phrase are changed; examples and tables are left out, as prose has none.
"""

import re

__all__ = ["problem_words", "summary_words"]

# What begins the examples; nothing behind them is prose that matters.
_EXAMPLES = re.compile(
    r"^\s*(?:>>>|(?:for )?examples?\b|example \d|e\.g\.?:|constraints?:|input:|output:|"
    r"\w+\(.*\)\s*(?:=|➞|->|returns\b|should\b)|\[input/output\])",
    re.IGNORECASE,
)
_SAMPLE = re.compile(r"\s*\b(?:For example|Example|Examples|e\.g\.):?[^.]*\w+\([^)]*\)[^.]*\.?")
_ASKS = re.compile(
    r"^(?:task:?\s+)?(?:(?:please )?(?:write|create|implement|make|define|complete)\s+"
    r"(?:a |the |an )?(?:\w+ )?(?:function|method|program)"
    r"(?:,? (?:called |named )?`?\w+`?(?=\s))?\s*"
    r"(?:that|which|to|,)?\s*)",
    re.IGNORECASE,
)
_TURNS = (
    (
        r"\byou (?:have|need) to (?:write|create|implement) a (?:function|program)"
        r"(?: that| which| to)?\b",
        "the function does this:",
    ),
    (r"\byou(?:'re| are| will be) given\b", "it is given"),
    (r"\byour (?:task|goal|job) is to\b", "it has to"),
    (r"\byou (?:have|need) to\b", "it has to"),
    (r"\byou (?:should|must)\b", "it should"),
    (r"\byour function\b", "the function"),
    (
        r"\b(?:write|create|implement) a (?:function|program)(?: that| which| to)?\b",
        "it does this:",
    ),
    (r"\byou can(?:'t|not| not)\b", "it cannot"),
    (r"\byou\b", "it"),
    (r"\byour\b", "its"),
)
# A name in code keeps its case.
_BEGINNING = re.compile(r"(?:\A|(?<=[.!?] ))[a-z](?=[a-z]*(?![\w(]))")


def problem_words(docstring: str) -> str:
    """Return what a docstring says in prose, as one paragraph."""
    kept: list[str] = []
    for line in docstring.strip().strip('"').splitlines():
        if _EXAMPLES.match(line):
            break
        text = re.sub(r"^\s*[*\-]\s+", "", line).strip()
        if text:
            kept.append(text)
    prose = _SAMPLE.sub("", " ".join(" ".join(kept).split()))
    prose = re.sub(r"`{3,}", "", prose).strip().rstrip(":,;")
    return prose if not prose or prose[-1] in ".!?" else prose + "."


def summary_words(docstring: str) -> str:
    """Return the same prose as one who describes the function would say it."""
    prose = problem_words(docstring)
    asked = _ASKS.match(prose)
    if asked and asked.end() < len(prose):
        rest = prose[asked.end() :]
        prose = f"This function does the following: {rest}" if rest else prose
    for pattern, words in _TURNS:
        prose = re.sub(pattern, words, prose, flags=re.IGNORECASE)
    return re.sub(_BEGINNING, lambda match: match[0].upper(), prose)
