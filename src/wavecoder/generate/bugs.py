"""A bug put into real code by an edit, so that the right code is known: it is the original.

Each edit replaces one token by one that means something else; the classes are those of
HumanEvalPack's bugs (OctoPack, arXiv 2308.07124, table 5) that a single token can make. Edits are
tried in random order until one gives code that still parses in its language.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from wavecoder.languages import leaves, parses

__all__ = ["Bug", "changed_lines", "put_bug"]

_OPPOSITES = {
    "operator": (
        ("==", "!="), ("===", "!=="), ("<", ">"), ("<=", ">="), ("and", "or"), ("&&", "||"),
        ("+", "-"), ("+=", "-="), ("*", "/"), ("in", "not in"), ("is", "is not"), ("++", "--"),
    ),
    "value": (
        ("True", "False"), ("true", "false"), ("0", "1"), ("-1", "1"), ("1", "2"),
        ("''", "' '"), ('""', '" "'),
    ),
    "function": (
        ("min", "max"), ("any", "all"), ("startswith", "endswith"), ("startsWith", "endsWith"),
        ("lstrip", "rstrip"), ("upper", "lower"), ("toUpperCase", "toLowerCase"),
        ("find", "rfind"), ("indexOf", "lastIndexOf"), ("split", "rsplit"), ("floor", "ceil"),
        ("push", "unshift"), ("pop", "shift"), ("ceil", "round"), ("HasPrefix", "HasSuffix"),
        ("keys", "values"), ("isdigit", "isalpha"), ("append", "remove"),
    ),
}  # fmt: skip
# `missing`: a negation taken away.
_NEGATIONS = frozenset({"not", "!"})
_SWAPS = {
    (old, kind): new
    for kind, pairs in _OPPOSITES.items()
    for left, right in pairs
    for old, new in ((left, right), (right, left))
}


@dataclass(frozen=True)
class Bug:
    """One wrong token in code that was right."""

    kind: str
    """`operator`, `value`, `function` or `missing`."""
    code: str
    """The wrong code."""


def changed_lines(right: str, wrong: str) -> tuple[str, str]:
    """Return the first line that differs, as it is in `right` and as it is in `wrong`."""
    for before, after in zip(right.splitlines(), wrong.splitlines(), strict=False):
        if before != after:
            return before.strip(), after.strip()
    return "", ""


def put_bug(code: str, language: str, rng: Random) -> Bug | None:
    """Return `code` with one wrong token, or None where no edit of ours fits.

    Args:
        code: A function that parses in `language`.
        language: A name from `wavecoder.languages`.
        rng: Decides which of the possible edits is made.
    """
    candidates = list(_edits(code, language))
    rng.shuffle(candidates)
    for kind, start, end, new in candidates:
        data = code.encode()
        wrong = (data[:start] + new.encode() + data[end:]).decode()
        if parses(wrong, language):
            return Bug(kind=kind, code=wrong)
    return None


def _edits(code: str, language: str) -> Iterator[tuple[str, int, int, str]]:
    """Yield (kind, first byte, byte after the last, new text) of every edit that is possible."""
    before = ""
    for leaf in leaves(code, language):
        text = leaf.text
        if leaf.is_comment or text == before == "":
            continue
        if text in _NEGATIONS:
            yield "missing", leaf.start, leaf.end, ""
        for kind in _OPPOSITES:
            new = _SWAPS.get((text, kind))
            if new is not None and not (kind == "operator" and not leaf.in_expression):
                yield kind, leaf.start, leaf.end, new
        before = text
