"""Rows whose code does what a benchmark asks: it passes the benchmark's own tests.

Running every function against every problem is out of reach, so few are tried: a function of the
row must take as many arguments as the problem's, and

- a problem's words are among the row's words, weighed by how rare they are among problems; or
- its body is made like the problem's, names left out. For short programs that is no proof, which is
  why the layer `ast` leaves them alone: `return a + b`.

Of each problem the likeliest rows are run, in the sandbox, by the strict rule, called by the name
that the tests know.
"""

import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from tree_sitter import Node

from wavecoder.contamination import Document
from wavecoder.contamination.documents import blocks
from wavecoder.contamination.structure import bodies
from wavecoder.contamination.tokens import runs, style_of, symbols
from wavecoder.decontaminate.references import Known
from wavecoder.errors import ConfigError
from wavecoder.grading import job_for
from wavecoder.grading.scoring import Scorer, Work
from wavecoder.languages import functions, parse
from wavecoder.protocols import Sandbox
from wavecoder.records import Mode, Problem, Status, Trial

__all__ = ["RUNNABLE", "Shortlist", "Suspect", "Suspects", "passing"]

RUNNABLE = ("python", "javascript")
"""Languages in which a function is called by another name with one line behind it. In the others a
program is a class or a package of the benchmark's own making."""

_ALIAS = {"python": "\n{entry} = {name}\n", "javascript": "\nconst {entry} = {name};\n"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_LEAST = 0.3
"""Least share of a problem's words, by weight."""
_TASKS = 3
"""Tasks that a row is tried for; HumanEval, HumanEval+ and HumanEvalPack have the same."""
_COMMON = 0.2
"""Words in more than this share of problems are `write` and `function`."""
_RUN = 3
"""Tokens in a run, of which the likeness of two bodies is counted."""
_ALIKE = 0.6
"""Least share of runs that two bodies have in common, of the runs of both."""
_TIMES, _BESIDE = 6, 30
"""A row with so many times the runs of a body, and so many for a signature and imports, is not
looked at for that body."""
_EXCERPT = 300
_LONGEST = 20_000
"""Bytes of a solution that is looked at; benchmarks' solutions have a few hundred."""


class Suspect(NamedTuple):
    """A function of a row, and the problem that it may solve."""

    problem: int
    """A place in the list of problems."""
    row: int
    id: str | None
    likeness: float
    made: bool
    """It is made like a solution; otherwise it has the problem's words."""
    program: str
    """With the function under the name that the tests call."""
    excerpt: str


class _Task(NamedTuple):
    """What one or several problems ask for."""

    language: str
    entry_point: str
    takes: int
    """Arguments of its function."""
    imports: str
    """What stands at the head of the prompt."""
    problems: list[int]
    bodies: list[frozenset[int]]
    """Of each solution the runs of its body."""


class _Function(NamedTuple):
    """A function of a row."""

    fewest: int
    """Arguments that it must be given."""
    most: int
    code: str


class Suspects:
    """Finds what is worth running; can be pickled."""

    def __init__(self, known: Known) -> None:
        """Weigh the words of the problems that can be run, and note how they are made."""
        self._tasks: list[_Task] = []
        places: dict[tuple[str, str, int], int] = {}
        found: list[set[str]] = []
        for place, (one, reference) in enumerate(
            zip(known.problems, known.references, strict=True)
        ):
            if one is None or one.language not in RUNNABLE:
                continue
            own = _functions(reference.programs[0], one.language).get(one.entry_point)
            if own is None:
                continue
            # HumanEval has two functions `add`.
            key = (one.language, one.entry_point, own.most)
            # What passes all inputs of an extended benchmark passes the base's few, and quicker.
            if one.inputs and key in places:
                continue
            if key not in places:
                places[key] = len(found)
                found.append(set())
                imports = _imports(one.prompt) if one.language == "python" else ""
                self._tasks.append(_Task(*key, imports, [], []))
            task = self._tasks[places[key]]
            task.problems.append(place)
            if (body := _body(own.code, one.language)) and body not in task.bodies:
                task.bodies.append(body)
            found[places[key]] |= _words(f"{reference.prompt} {one.entry_point}")
        self._weights = _weighed(found)
        self._made: dict[str, dict[int, list[tuple[int, int]]]] = {one: {} for one in RUNNABLE}
        """Of each run the tasks with a body that has it, and how many runs that body has."""
        for number, task in enumerate(self._tasks):
            for body in task.bodies:
                for run in body:
                    self._made[task.language].setdefault(run, []).append((number, len(body)))

    def of(self, document: Document, row: int) -> list[Suspect]:
        """Return the functions of a row that are worth running, with their problems."""
        if len(document.solution) > _LONGEST:
            return []
        likeness: defaultdict[int, float] = defaultdict(float)
        for word in _words(document.text):
            for number, weight in self._weights.get(word, ()):
                likeness[number] += weight
        best = heapq.nlargest(_TASKS, likeness.items(), key=lambda item: (item[1], -item[0]))
        said = {number: value for number, value in best if value >= _LEAST}
        made = self._made_like(document)
        return [
            suspect
            for number in sorted(said.keys() | made)
            for suspect in self._fitting(document, row, number, said.get(number, 0.0))
        ]

    def _made_like(self, document: Document) -> set[int]:
        """Return the tasks that a row without a parser's help may have the body of."""
        found: set[int] = set()
        for language in RUNNABLE:
            if document.language not in (None, language):
                continue
            own = _runs(document.solution, language)
            shared = Counter(one for run in own for one in self._made[language].get(run, ()))
            found |= {
                number
                for (number, length), count in shared.items()
                if count >= _ALIKE * length and len(own) <= _TIMES * length + _BESIDE
            }
        return found

    def _fitting(self, document: Document, row: int, number: int, said: float) -> Iterator[Suspect]:
        task = self._tasks[number]
        if document.language not in (None, task.language):
            return
        found = [code for code, tag in blocks(document.solution) if tag in (None, task.language)]
        for code in found or [document.solution]:
            for name, one in _functions(code, task.language).items():
                if not one.fewest <= task.takes <= one.most:
                    continue
                body = _body(one.code, task.language)
                made = max((len(body & own) / len(body | own) for own in task.bodies), default=0.0)
                likeness = max(said, made if made >= _ALIKE else 0.0)
                if not likeness:
                    continue
                alias = _ALIAS[task.language].format(entry=task.entry_point, name=name)
                program = f"{task.imports}{code}\n{alias if name != task.entry_point else ''}"
                for place in task.problems:
                    yield Suspect(
                        place, row, document.id, likeness, not said, program, code[:_EXCERPT]
                    )


class Shortlist:
    """The likeliest rows of each problem: so many by its words, and so many by how it is made."""

    def __init__(self, most: int) -> None:
        """Keep so many of each."""
        self._most = most
        self._kept: defaultdict[tuple[int, bool], list[tuple[float, int, int, Suspect]]] = (
            defaultdict(list)
        )
        self._alike: dict[tuple[int, str], list[Suspect]] = {}
        self._count = 0
        self.seen = 0

    def add(self, suspect: Suspect) -> None:
        """Take one; the least likely one goes where there are too many different programs."""
        self.seen += 1
        self._count += 1
        alike = self._alike.setdefault((suspect.problem, suspect.program), [])
        alike.append(suspect)
        if len(alike) > 1:
            return
        kept = self._kept[suspect.problem, suspect.made]
        heapq.heappush(kept, (suspect.likeness, -suspect.row, -self._count, suspect))
        if len(kept) > self._most:
            gone = heapq.heappop(kept)[3]
            del self._alike[gone.problem, gone.program]

    def suspects(self) -> list[Suspect]:
        """Return one of each program, problem by problem, the likeliest first."""
        return [entry[3] for key in sorted(self._kept) for entry in sorted(self._kept[key])[::-1]]

    def alike(self, suspect: Suspect) -> Sequence[Suspect]:
        """Return all with the program of one that was returned, itself first."""
        return self._alike[suspect.problem, suspect.program]


def passing(
    suspects: Sequence[Suspect],
    problems: Sequence[Problem | None],
    sandbox: Sandbox,
    *,
    workers: int,
    on_done: Callable[[int], None] = lambda count: None,
) -> Iterator[Suspect]:
    """Yield those whose function passes all tests of its problem.

    Raises:
        SandboxError: The sandbox cannot go on.
    """
    scorer = Scorer(sandbox, workers)
    works = []
    kept = []
    missing: set[str] = set()
    for one in suspects:
        problem = problems[one.problem]
        assert problem is not None  # `Suspects` names none that cannot be run
        if problem.language in missing:
            continue
        try:
            job_for(problem, one.program, Mode.STRICT)
        except ConfigError:  # no toolchain of that language here
            missing.add(problem.language)
            continue
        kept.append(one)
        works.append(Work(problem, _trial(problem, one)))
    try:
        scored = scorer.score(works, [Mode.STRICT])
        for count, (one, trial) in enumerate(zip(kept, scored, strict=True), 1):
            on_done(count)
            if trial.strict is not None and trial.strict.status == Status.PASSED:
                yield one
    finally:
        scorer.close()


def _trial(problem: Problem, suspect: Suspect) -> Trial:
    return Trial(
        id=f"{suspect.row}",
        benchmark=problem.benchmark,
        task_id=problem.id,
        language=problem.language,
        index=0,
        completion="",
        program=suspect.program,
    )


def _words(text: str) -> set[str]:
    """Return the words of a text, those inside names too."""
    return {word.lower() for word in _WORD.findall(text) if len(word) > 1}


def _imports(prompt: str) -> str:
    found = re.findall(r"^(?:import|from) .+$", prompt, re.MULTILINE)
    return "".join(f"{line}\n" for line in found)


def _weighed(found: Sequence[set[str]]) -> dict[str, list[tuple[int, float]]]:
    """Return of each word the tasks that have it, and what share of their words it weighs there."""
    counts = Counter(word for words in found for word in words)
    most = max(3.0, _COMMON * len(found))
    weights: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, words in enumerate(found):
        weight = {w: math.log(len(found) / counts[w]) ** 2 for w in words if counts[w] <= most}
        total = sum(weight.values())
        for word, value in weight.items():
            weights[word].append((number, value / total))
    return dict(weights)


def _runs(code: str, language: str) -> frozenset[int]:
    """Return the runs of code's tokens, names left out."""
    tokens = symbols(code.encode("utf-8", "replace"), style_of(language)[0])
    return frozenset(runs(tokens, _RUN, blind=True).tolist())


# A row is looked at for several problems, one after the other.
@lru_cache(maxsize=64)
def _body(code: str, language: str) -> frozenset[int]:
    """Return the runs of a function's body; none where it is too short for one."""
    return _runs("\n".join(bodies(code, language)), language)


@lru_cache(maxsize=8)
def _functions(program: str, language: str) -> Mapping[str, _Function]:
    """Return the functions of a program by name; methods need their object and are left out."""
    found = {}
    for span in functions(program, language):
        if "." in span.name:
            continue
        pending = [parse(span.code, language).root_node]
        while pending:
            node = pending.pop()
            given = node.child_by_field_name("parameters") or node.child_by_field_name("parameter")
            if given is not None:
                found[span.name] = _Function(*_counts(given), span.code)
                break
            pending.extend(reversed(node.named_children))
    return found


def _counts(given: Node) -> tuple[int, int]:
    kinds = [child.type for child in given.named_children if child.type != "comment"]
    if given.type == "identifier":  # x => …
        return 1, 1
    default = sum("default" in kind or kind == "assignment_pattern" for kind in kinds)
    rest = any("splat" in kind or "rest" in kind for kind in kinds)
    return len(kinds) - default - rest, 255 if rest else len(kinds)
