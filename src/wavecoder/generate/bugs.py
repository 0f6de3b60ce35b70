"""A bug put into real code by an edit, so that the right code is known: it is the original.

Each edit replaces one token by one that means something else; the classes are those of
HumanEvalPack's bugs (OctoPack, arXiv 2308.07124, table 5) that a single token can make. Edits are
tried in random order until one gives code that still parses in its language.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from wavecoder.languages import Leaf, leaves, parses

__all__ = ["Bug", "changed_lines", "put_bug"]

_OPPOSITES = {
    "operator": (
        ("==", "!="), ("===", "!=="), ("<", ">"), ("<=", ">="), ("and", "or"), ("&&", "||"),
        ("+", "-"), ("+=", "-="), ("*", "/"), ("in", "not in"), ("is", "is not"), ("++", "--"),
    ),
    "value": (
        ("True", "False"), ("true", "false"), ("0", "1"), ("1", "2"),
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
# Every (kind, opposite) of a token.
_SWAPS: dict[str, list[tuple[str, str]]] = defaultdict(list)
for _kind, _pairs in _OPPOSITES.items():
    for _left, _right in _pairs:
        _SWAPS[_left].append((_kind, _right))
        _SWAPS[_right].append((_kind, _left))
_MEMBER = frozenset({".", "->", "::", "?.", "?->", "&."})
_DEFINERS = frozenset({"def", "func", "function", "fn"})


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
    found = _joined([leaf for leaf in leaves(code, language) if not leaf.is_comment])
    renamable = _uses(found)
    for at, leaf in enumerate(found):
        # Rust's `println!` and TypeScript's `b!.c` are no negations.
        if leaf.text in _NEGATIONS and leaf.in_expression:
            yield "missing", leaf.start, leaf.end, ""
        for kind, new in _SWAPS.get(leaf.text, ()):
            fits = {"operator": leaf.in_expression, "function": at in renamable}.get(kind, True)
            if fits:
                yield kind, leaf.start, leaf.end, new


def _joined(found: Sequence[Leaf]) -> list[Leaf]:
    """Return the leaves with Python's two-word operators as one leaf each."""
    joined: list[Leaf] = []
    for leaf in found:
        pair = f"{joined[-1].text} {leaf.text}" if joined else ""
        if pair in ("not in", "is not") and not leaf.in_expression:
            joined[-1] = joined[-1]._replace(text=pair, end=leaf.end, in_expression=True)
        else:
            joined.append(leaf)
    return joined


def _uses(found: Sequence[Leaf]) -> set[int]:
    """Return the places of names that stand for somebody else's function: calls and members.

    The function's own name, its parameters and its variables are left out.
    """
    texts = [leaf.text for leaf in found]
    calls, members, own = set(), set(), set()
    defined = False
    for at, leaf in enumerate(found):
        if not leaf.is_named:
            continue
        before = texts[max(at - 3, 0) : at]
        is_call = texts[at + 1 : at + 2] == ["("]
        # The first name before a bracket is the one defined: `int f(`, `func (b Box) f(`.
        first = is_call and not defined and before[-1:] != ["@"] and "=>" not in texts[:at]
        if first or (before[-1:] and before[-1] in _DEFINERS) or before[::2] == ["def", "."]:
            defined = True
            own.add(leaf.text)
        elif before[-1:] and before[-1] in _MEMBER:
            members.add(at)
        elif is_call:
            calls.add(at)
        else:
            own.add(leaf.text)
    return members | {at for at in calls if texts[at] not in own}
