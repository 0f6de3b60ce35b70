"""A bug put into real code by an edit, so that the right code is known: it is the original."""

from collections import defaultdict
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice, zip_longest
from random import Random

from wavecoder.languages import Mutant, mutants

__all__ = ["Bug", "bugs", "changed_lines", "put_bug"]


@dataclass(frozen=True)
class Bug:
    """An edit that makes right code wrong."""

    kind: str
    """A class of HumanEvalPack: `operator misuse`."""
    code: str
    """The wrong code."""


def changed_lines(right: str, wrong: str) -> tuple[str, str]:
    """Return the lines that differ, as they are in `right` and as they are in `wrong`.

    Several stand on one line. Empty: nothing was there, or nothing is left.
    """
    before, after = right.splitlines(), wrong.splitlines()
    lines: tuple[list[str], list[str]] = ([], [])
    for what, left, left_end, at, end in SequenceMatcher(None, before, after, False).get_opcodes():
        if what != "equal":
            lines[0].extend(before[left:left_end])
            lines[1].extend(after[at:end])
    first, second = (" ".join(line.strip() for line in some) for some in lines)
    return first, second


def bugs(code: str, language: str, rng: Random, *, most: int) -> list[Bug]:
    """Return up to `most` edits that may well change nothing; tests decide which of them do.

    Args:
        code: A function that parses in `language`.
        language: A name from `wavecoder.languages`.
        rng: Decides which, and in which order; classes that fit take turns.
        most: How many.
    """
    found: dict[str, list[Bug]] = defaultdict(list)
    for mutant in mutants(code, language):
        found[mutant.kind].append(Bug(kind=mutant.kind, code=mutant.code))
    turns = [found[kind] for kind in sorted(found)]
    rng.shuffle(turns)
    for some in turns:
        rng.shuffle(some)
    in_turn = (bug for row in zip_longest(*turns) for bug in row if bug is not None)
    return [*islice(in_turn, most)]


def put_bug(code: str, language: str, rng: Random) -> Bug | None:
    """Return `code` with an edit that is certain to change what it does, or None: there is none.

    Each class of bugs that fits is as likely as the others.

    Args:
        code: A function that parses in `language`.
        language: A name from `wavecoder.languages`.
        rng: Decides which of the possible edits is made.
    """
    found: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants(code, language, certain=True):
        found[mutant.kind].append(mutant)
    if not found:
        return None
    chosen = rng.choice(found[rng.choice(sorted(found))])
    return Bug(kind=chosen.kind, code=chosen.code)
