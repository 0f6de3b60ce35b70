"""Known-good instances: of HumanEvalPack, of a run, and those that a person has labelled."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from wavecoder.artifact import Artifact
from wavecoder.behaviour import functions_in
from wavecoder.calibrate.cases import Case, Reference, Side, case_of
from wavecoder.calibrate.summaries import problem_words, summary_words
from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.generate.bugs import Bug
from wavecoder.generate.quoting import fenced
from wavecoder.generate.task import Task
from wavecoder.languages import language
from wavecoder.pipeline import stage_folder
from wavecoder.plugins import validate
from wavecoder.records import Instance, Problem, RawCode, digest

__all__ = ["LANGUAGES", "humanevalpack", "known", "labelled", "of_run", "program", "thinned"]

LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
"""Those of HumanEvalPack."""
_MOST_WORDS = 120
"""Longer words of a problem are left out: an instruction has at most 150."""
_FEWEST_WORDS = 6
_SAME_CODE = 0.6
"""Share of tokens from which on two solutions are too alike to be an exercise and its source."""
# What the Rust problems all begin with, and what shows that one needs it.
_CRATES = {"rand": r"rand::|thread_rng|gen_range", "regex": r"Regex", "md5": r"md5::"}
_HEAD = re.compile(r"^\S.*\{[ \t]*$", re.MULTILINE)
_EMPTY_MAIN = re.compile(r"^fn main\(\)\s*\{\s*\}\s*$", re.MULTILINE)


@cache
def program(problem: Problem, body: str) -> str:
    """Return a whole solution of a problem of HumanEvalPack, without the problem's words.

    Args:
        problem: Of any of the six languages.
        body: The right or the wrong one.
    """
    if problem.language == "go":  # the helpers stand in the prompt alone
        lines = problem.prompt.split("\n")
        head = "\n".join(line for line in lines if not line.startswith("//"))
        head = re.sub(r"^package \w+\n", "", head.lstrip())
    else:
        head = problem.declaration
        if problem.language == "cpp":  # one of them has the beginning of the body again
            head = head[: max(one.end() for one in _HEAD.finditer(head))]
    text = f"{head.rstrip()}\n{body.strip(chr(10))}"
    if problem.language == "go":
        text = _imported(text)
    if problem.language == "rust":
        text = _EMPTY_MAIN.sub("", text)
        for crate, sign in _CRATES.items():
            if not re.search(sign, re.sub(r"^use .*$", "", text, flags=re.MULTILINE)):
                text = re.sub(rf"^use {crate}\b.*\n", "", text, flags=re.MULTILINE)
    return text.strip()


def _imported(text: str) -> str:
    """Return code in Go with the imports that some problems leave to their tests."""
    wanted = [
        name
        for name in ("math", "sort", "strconv", "strings")
        if re.search(rf"\b{name}\.[A-Z]", text) and f'"{name}"' not in text
    ]
    if not wanted:
        return text
    added = "".join(f'    "{name}"\n' for name in wanted)
    if "import (" in text:
        return text.replace("import (\n", f"import (\n{added}", 1)
    return f"import (\n{added})\n\n{text.lstrip()}"


@cache
def _function(problem: Problem) -> str:
    """Return what the solution calls its function: some problems are named otherwise."""
    code = program(problem, problem.canonical_solution)
    names = functions_in(code, problem.language)
    return problem.entry_point if problem.entry_point in names or not names else names[0]


def humanevalpack(
    tasks: Mapping[str, Task],
    languages: Sequence[str],
    path: Path | None = None,
) -> list[Case]:
    """Return known-good instances: the canonical solutions as answers of each task.

    The raw code of a generation is the solution of the problem whose words are most alike, as an
    exercise may not repeat the code it comes from. A translation goes from a language to another
    one, drawn for each problem; its results are pinned from the solution in the target language, as
    the benchmark's solutions of two languages agree on its tests and not on every input.

    Args:
        tasks: By name; only the four built-in ones are made.
        languages: Of the solutions.
        path: The benchmark's folder; None: where benchmarks are looked for.

    Raises:
        ConfigError: The benchmark is not found or not the right one.
    """
    packs = {name: load_benchmark(f"humanevalfix-{name}", path) for name in LANGUAGES}
    alike = _alike(packs["python"])
    found: list[Case] = []
    for name in languages:
        for task in tasks.values():
            made = _MAKERS.get(task.name)
            for number, one in enumerate(packs[name]) if made is not None else ():
                if not _FEWEST_WORDS <= len(problem_words(one.docstring).split()) <= _MOST_WORDS:
                    continue
                source = Random(one.id).choice([other for other in LANGUAGES if other != name])
                others = {"alike": packs[name][alike[number]], "source": packs[source][number]}
                found.append(made(task, one, others))  # type: ignore[misc]
    return found


def _alike(problems: Sequence[Problem]) -> list[int]:
    """Return for each problem the place of the other that is most alike in words.

    Those whose solutions are nearly the same are passed over.
    """
    words = [set(re.findall(r"[a-z]{4,}", problem_words(one.docstring))) for one in problems]
    codes = [re.findall(r"\w+|\S", one.canonical_solution) for one in problems]

    def nearness(own: int, at: int) -> float:
        return len(words[own] & words[at]) / max(len(words[own] | words[at]), 1)

    found = []
    for own in range(len(problems)):
        others = [at for at in range(len(problems)) if at != own]
        others.sort(key=lambda at: -nearness(own, at))
        found.append(
            next(
                at
                for at in others
                if SequenceMatcher(None, codes[own], codes[at], False).ratio() < _SAME_CODE
            )
        )
    return found


def _raw(problem: Problem) -> RawCode:
    code = program(problem, problem.canonical_solution)
    return RawCode(
        id=digest(problem.id, "calibrate"),
        language=problem.language,
        name=_function(problem),
        code=code,
        docstring=summary_words(problem.docstring),
        source="humanevalpack",
        path=problem.id,
        start_line=None,
        end_line=None,
        content_hash=digest(code),
    )


def _base(task: Task, problem: Problem) -> dict[str, Any]:
    right = program(problem, problem.canonical_solution)
    side = Side(right, problem.language, _function(problem))
    wrong = program(problem, problem.buggy_solution)
    return {
        "id": f"{problem.id}:{task.name}",
        "task": task,
        "reference": Reference((side,), problem, wrong),
        "group": problem.id.rpartition("/")[2],
    }


def _generation(task: Task, problem: Problem, others: Mapping[str, Problem]) -> Case:
    right, title = program(problem, problem.canonical_solution), language(problem.language).title
    return Case(
        **_base(task, problem),
        raw=_raw(others["alike"]),
        instruction=f"Write a {title} function `{_function(problem)}` that solves this problem: "
        f"{problem_words(problem.docstring)}",
        solution=fenced(right, problem.language),
    )


def _repair(task: Task, problem: Problem, others: Mapping[str, Problem]) -> Case:
    return Case(
        **_base(task, problem),
        raw=_raw(problem),
        instruction=f"The {language(problem.language).title} function `{_function(problem)}` gives "
        f"wrong results for some inputs. What it should do: {problem_words(problem.docstring)} "
        "Find and fix the bug.",
        solution="given",
        bug=Bug(kind=problem.bug_type, code=program(problem, problem.buggy_solution)),
    )


def _translation(task: Task, problem: Problem, others: Mapping[str, Problem]) -> Case:
    theirs = others["source"]
    source, title = language(theirs.language).title, language(problem.language).title
    return Case(
        **_base(task, problem),
        raw=_raw(theirs),
        target=problem.language,
        instruction=f"Translate the {source} function `{_function(theirs)}` to {title}.",
        solution=fenced(program(problem, problem.canonical_solution), problem.language),
    )


def _summarization(task: Task, problem: Problem, others: Mapping[str, Problem]) -> Case:
    title = language(problem.language).title
    # What the summary says must not stand beside the code already.
    raw = _raw(problem).model_copy(update={"docstring": None})
    return Case(
        **_base(task, problem),
        raw=raw,
        instruction=f"Summarize what the {title} function `{_function(problem)}` does.",
        solution=summary_words(problem.docstring),
    )


_MAKERS = {
    "generation": _generation,
    "repair": _repair,
    "summarization": _summarization,
    "translation": _translation,
}


def of_run(folder: Path, tasks: Mapping[str, Task]) -> list[Case]:
    """Return the accepted instances of a run, or of the folder of its stage `generate`.

    Raises:
        ConfigError: It has none.
        ArtifactError: Its stage is not complete.
    """
    inner = folder if (folder / "manifest.json").exists() else stage_folder(folder, "generate")
    if not inner.is_dir():
        raise ConfigError(
            f"{folder} is no run that went through generate. Give the folder of one, or a .jsonl "
            f"file of labelled instances."
        )
    found = [
        case_of(one, tasks[one.task], good=True)
        for one in Artifact.open(inner).records(Instance)
        if one.task in tasks
    ]
    if not found:
        raise ConfigError(
            f"{inner} holds no accepted instance of the tasks {', '.join(tasks)}. "
            f"Give a run that accepted some, or leave it out to use HumanEvalPack."
        )
    return found


class _Row(BaseModel):
    """A line of a file of labelled instances."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    good: bool
    task: Literal["generation", "repair", "summarization", "translation"]
    language: str
    instruction: str
    solution: str
    information: str | None = None
    target_language: str | None = None
    code: str | None = None
    name: str = ""


def labelled(path: Path, tasks: Mapping[str, Task]) -> list[Case]:
    """Return the instances of a file of JSON lines, each with `good`, true or false.

    A line has an instance as a run stores it under `instance`, or its own `task`, `language`,
    `instruction` and `solution`, with `information`, `target_language`, `code` (the raw code) and
    `name` where there are any.

    Raises:
        ConfigError: The file cannot be read, or a line does not fit.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text ({error}). Save it so.") from error
    found = list(_rows(path, lines, tasks))
    if not found:
        raise ConfigError(f"{path} holds no instance. Give a file with a JSON object a line.")
    return found


def _rows(path: Path, lines: Iterable[str], tasks: Mapping[str, Task]) -> Iterator[Case]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            table = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where} is no JSON: {error}. Mend it.") from error
        if not isinstance(table, dict) or not isinstance(table.get("good"), bool):
            raise ConfigError(
                f'{where} does not say whether it is good. Add "good": true or false.'
            )
        if "instance" in table:
            instance = validate(Instance, table["instance"], where)
        else:
            instance = _instance(validate(_Row, table, where), number)
        if instance.task not in tasks:
            raise ConfigError(
                f"{where} has the task {instance.task!r}; known: {', '.join(tasks)}. Mend it."
            )
        slug = "" if table["good"] else str(table.get("defect") or "labelled_bad")
        case = case_of(instance, tasks[instance.task], good=table["good"], defect=slug)
        # The good and the bad one of a pair may bear one id.
        yield replace(case, id=f"line-{number}")


def _instance(row: _Row, number: int) -> Instance:
    name = language(row.language).name
    code = row.code
    if code is None:
        code = {"repair": row.solution, "generation": ""}.get(row.task, row.information or "")
    raw = RawCode(
        id=digest(str(number), code),
        language=name,
        name=row.name or "function",
        code=code,
        docstring=None,
        source="labelled",
        path=str(number),
        start_line=None,
        end_line=None,
        content_hash=digest(code),
    )
    target = language(row.target_language).name if row.target_language else None
    return Instance(
        id=f"line-{number}",
        task=row.task,
        language=name,
        target_language=target,
        instruction=row.instruction,
        information=row.information,
        solution=row.solution,
        raw_code=raw,
        bug=None,
        reply="",
        verdict=None,
        generator="labelled",
        discriminator=None,
        round=0,
        attempt=0,
        example_ids=(),
    )


def known(source: Path | None, tasks: Mapping[str, Task], languages: Sequence[str]) -> list[Case]:
    """Return the instances of a run or a file, or of HumanEvalPack where none is named.

    Raises:
        ConfigError: There are none, or they cannot be read.
    """
    if source is None:
        return humanevalpack(tasks, languages)
    if source.is_dir():
        found = of_run(source, tasks)
    elif source.exists():
        found = labelled(source, tasks)
    else:
        raise ConfigError(
            f"There is no {source}. Give the folder of a run or a .jsonl file of labelled "
            f"instances, or nothing to use HumanEvalPack."
        )
    found = [one for one in found if one.language in languages]
    if not found:
        raise ConfigError(
            f"{source} holds no instance in {', '.join(languages)}. Name its languages with "
            f"--languages."
        )
    return found


def thinned(cases: Sequence[Case], sample: int | None, rng: Random) -> list[Case]:
    """Return so many of each task and language, drawn at random; None: all."""
    kinds: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        kinds[case.task.name, case.language].append(case)
    return [
        one
        for some in kinds.values()
        for one in (some if sample is None else rng.sample(some, min(sample, len(some))))
    ]
