"""Inputs that tell something of a function, found by trial: no model is asked.

Types say what an argument may be where there are any; else a few kinds are tried, the likeliest by
the parameter's name first, and those are taken under which the function gives back the most
different results. Of many calls that were tried, some are kept whose results differ.
"""

import itertools
import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from wavecoder.behaviour.drivers.plan import shapes_of
from wavecoder.behaviour.examples import doctest_cases
from wavecoder.behaviour.inputs import Inputs, guesses
from wavecoder.behaviour.literals import UntypedError, literal
from wavecoder.behaviour.observing import observe_each
from wavecoder.behaviour.shapes import Shape, ShapeKind
from wavecoder.behaviour.signatures import signature
from wavecoder.behaviour.subjects import Outcome, Signature, Subject, Unrunnable
from wavecoder.protocols import Sandbox

__all__ = ["find_calls"]

_SECONDS = 0.3  # of CPU, that a trial may take
_MOST_LOST = 6
_TRIED = 48  # calls
_KINDS_TRIED, _CALLS_A_KIND = 20, 3
_TYPED = ("java", "go", "rust", "cpp", "c")
# Their texts are bytes: `length` counts other things than elsewhere.
_OF_BYTES = frozenset({"cpp", "c", "go", "php", "rust"})
# What a language says when it is given another kind of argument than the function is made for.
_MISFIT = re.compile(
    r"^(?:TypeError|AttributeError|NoMethodError|ArgumentCountError|NameError|UnboundLocalError"
    r"|ImportError|ModuleNotFoundError|ReferenceError|ClassCastException|RecursionError"
    r"|StackOverflowError|SystemStackError|RangeError: Maximum call|Error: Unsupported operand"
    r"|ArgumentError: (?:comparison of|wrong number|invalid value for))"
)


def find_calls(
    sandbox: Sandbox, subjects: Sequence[Subject], rng: random.Random, *, most: int = 8
) -> list[list[Any]]:
    """Return argument lists under which the first subject gives back different things.

    All subjects can be called with them, as far as their declared types say; only the first one is
    run. The list is empty where nothing can be found: the first cannot be run, or an argument must
    be an object. Some of the calls, a quarter at most, make it raise.

    Args:
        sandbox: Where calls are tried.
        subjects: Functions meant to do the same, perhaps in different languages.
        rng: All chance is drawn from it, so that equal ones find equal calls.
        most: How many calls, 1 or more.

    Raises:
        SandboxError: The host is at its end.
    """
    told = [signature(one) for one in subjects]
    signatures = [one for one in told if one is not None]
    if not subjects or len(signatures) < len(subjects):
        return []
    least = max(one.required for one in signatures)
    count = min(len(one.parameters) for one in signatures)
    if count < least:
        return []
    search = _Search(sandbox, subjects, signatures, rng)
    if count == 0:
        tried = search.tried([[]])
        return [call for call, outcome in tried if outcome.kind == "value"]
    shapes = search.shapes(count)
    pool = [call for call, _ in doctest_cases(subjects[0].code, subjects[0].language,
                                              subjects[0].function)]  # fmt: skip
    written = len(pool)
    for some in search.kinds(shapes, least):
        pool += search.inputs.calls(some, _TRIED * 2 // 3) if some else [[]]
    if len(pool) == written:
        return []
    # Arguments with a default may be left out.
    pool += [call[:least] for call in pool[written : written + 8] if 0 < least < len(call)]
    tried = search.tried(pool[: written + _TRIED])
    return _chosen(tried, rng, most)


class _Search:
    """Finds arguments of one set of subjects."""

    def __init__(
        self,
        sandbox: Sandbox,
        subjects: Sequence[Subject],
        signatures: Sequence[Signature],
        rng: random.Random,
    ) -> None:
        self.sandbox, self.subjects, self.signatures = sandbox, subjects, signatures
        languages = {one.language for one in subjects}
        codes = [(one.code, one.language) for one in subjects]
        wide = len(languages) == 1 or not languages & _OF_BYTES
        self.inputs = Inputs(codes, rng, wide=wide)
        self.declared = [
            shapes_of(one, subject.language)
            for one, subject in zip(signatures, subjects, strict=True)
        ]

    def shapes(self, count: int) -> list[Shape | None]:
        """Return what each parameter is, by the subject that says it most narrowly."""
        ranked = sorted(
            range(len(self.subjects)), key=lambda at: self.subjects[at].language not in _TYPED
        )
        found: list[Shape | None] = []
        for place in range(count):
            known = [self.declared[at][place] for at in ranked]
            plain = [one for one in known if one is not None and one.kind is not ShapeKind.ANY]
            found.append(plain[0] if plain else None)
        return found

    def kinds(self, shapes: Sequence[Shape | None], least: int) -> Iterator[list[Shape]]:
        """Yield what the parameters are taken to be: the best kinds, and the next best."""
        if all(one is not None for one in shapes):
            yield [one for one in shapes if one is not None]
            return
        names = [name for name, _ in self.signatures[0].parameters]
        code = self.subjects[0].code
        options = [
            [one] if one is not None else guesses(name, code)[: 9 if len(shapes) < 3 else 4]
            for one, name in zip(shapes, names, strict=False)
        ]
        ranked = sorted(
            itertools.product(*(list(enumerate(one)) for one in options)),
            key=lambda some: sum(place for place, _ in some),
        )[:_KINDS_TRIED]
        combined = [[one for _, one in some] for some in ranked]
        if least < len(shapes):
            combined += [some[:least] for some in combined[:6]]
        calls, of = [], []
        for number, some in enumerate(combined):
            made = self.inputs.calls(some, 6)[-_CALLS_A_KIND:] if some else [[]]
            calls += made
            of += [number] * len(made)
        scores = [0.0] * len(combined)
        seen: list[set[str]] = [set() for _ in combined]
        for (call, outcome), number in zip(self._run(calls), of, strict=True):
            del call
            if outcome is None or outcome.kind != "value":
                continue
            key = repr(outcome.value)
            scores[number] += (0.5 if _is_bare(outcome.value) else 1) + (key not in seen[number])
            seen[number].add(key)
        best = sorted(range(len(combined)), key=lambda at: -scores[at])[:2]
        for at in best:
            if scores[at] > 0 and scores[at] >= 0.7 * scores[best[0]]:
                yield combined[at]

    def tried(self, calls: Sequence[list[Any]]) -> list[tuple[list[Any], Outcome]]:
        """Return the calls that all subjects' types take, each once, with what came of them."""
        seen: set[str] = set()
        fitting = []
        for call in calls:
            key = repr(call)
            if key not in seen and all(self._fits(call, at) for at in range(len(self.subjects))):
                seen.add(key)
                fitting.append(call)
        return [(call, outcome) for call, outcome in self._run(fitting) if outcome is not None]

    def _fits(self, call: Sequence[Any], at: int) -> bool:
        language, declared = self.subjects[at].language, self.declared[at]
        if not self.signatures[at].required <= len(call) <= len(declared):
            return False
        try:
            for value, shape in zip(call, declared, strict=False):
                literal(value, shape, language)
        except UntypedError:
            return False
        return True

    def _run(self, calls: Sequence[list[Any]]) -> list[tuple[list[Any], Outcome | None]]:
        found = observe_each(
            self.sandbox, self.subjects[0], calls, seconds=_SECONDS, most_lost=_MOST_LOST,
            shared=True,
        )  # fmt: skip
        if isinstance(found, Unrunnable):
            return [(call, None) for call in calls]
        return list(zip(calls, found, strict=True))


def _is_bare(value: Any) -> bool:
    """Say whether a result looks as if the arguments were of the wrong kind."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if isinstance(value, str):
        return "undefined" in value or "[object" in value or "NaN" in value
    if isinstance(value, list):
        return bool(value) and all(_is_bare(one) for one in value)
    return False


def _chosen(
    tried: Sequence[tuple[list[Any], Outcome]], rng: random.Random, most: int
) -> list[list[Any]]:
    """Return calls with results as different as can be, and a few that raise."""
    groups: dict[str, list[list[Any]]] = {}
    raised: dict[str, list[Any]] = {}
    for call, outcome in tried:
        if outcome.kind == "value":
            groups.setdefault(repr(outcome.value), []).append(call)
        elif outcome.kind == "raised" and not _MISFIT.search(outcome.words):
            raised.setdefault(outcome.words.partition(":")[0], call)
    if not groups:
        return []
    few = list(raised.values())[: min(2, most // 4)]
    # Arguments with more in them reach more of the code.
    lists = [sorted(one, key=_weight, reverse=True) for one in groups.values()]
    rng.shuffle(lists)
    lists.sort(key=lambda one: -min(_weight(one[0]), 3))
    turns = itertools.zip_longest(*lists)
    flat = [call for turn in turns for call in turn if call is not None]
    chosen = flat[: max(1, most - len(few))]
    return [*chosen, *few][:most]


def _weight(call: Sequence[Any]) -> int:
    """Return roughly how much is in an argument list."""
    return len(json.dumps(call, default=str)) // 8
