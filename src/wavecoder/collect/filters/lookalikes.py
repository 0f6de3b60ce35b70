"""The filter `lookalike`: functions that are the problem or the solution of a benchmark.

A model trained on such functions is measured on what it has seen. Two rules: the tokens are those
of a solution, or many of their runs of ten are; and a doc comment shares ten words in a row with a
problem's text.

The benchmarks are files in a folder: JSON lines or one JSON array, plain or `.gz`, of objects with
the fields of HumanEval, HumanEvalPack, MBPP or EvalPlus.
"""

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ConfigError
from wavecoder.languages import functions, language_named
from wavecoder.records import RawCode, digest

__all__ = ["BENCHMARKS_VARIABLE", "Lookalike"]

BENCHMARKS_VARIABLE = "WAVECODER_BENCHMARKS"
"""The environment variable that names the folder of the benchmarks where a recipe does not."""


class Lookalike:
    """Rejects functions that look like a benchmark's problem or solution; off by default.

    Off because the benchmarks are not part of the package: name their folder, or set
    `WAVECODER_BENCHMARKS`. A digest of their texts is in the config that this filter shows, and so
    in the fingerprint: other benchmarks make another dataset, the same ones elsewhere do not.

    Exact: the tokens, without comments, doc comment, white space and the function's own name, equal
    those of a solution, right or with its bug. N-gram: DeepSeek-Coder (arXiv 2401.14196) and
    Qwen2.5-Coder (2409.12186) drop what shares one run of ten words with a benchmark, GPT-3
    (2005.14165) one of thirteen. In prose that holds; in code `for i in range(len(x))` has ten
    tokens, so that here a share of a function's runs must be a single problem's.

    Not caught: the same idea in other words, other names for variables, another language.
    """

    class Config(BaseModel):
        """Which benchmarks, and how near is too near."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        benchmarks: Annotated[Path | None, Field(exclude=True)] = None
        """The folder of the benchmarks; the one that `WAVECODER_BENCHMARKS` names unless given."""
        ngram: Annotated[int, Field(ge=5)] = 10
        """Tokens of a run in code, words of a run in prose."""
        most_shared: Annotated[float, Field(ge=0, le=1)] = 0.5
        """Largest share of a function's runs that may be those of one solution."""
        digest: str | None = None
        """Of the benchmarks' texts. Filled in; where a recipe gives it, it must be that."""

    def __init__(self, config: Config) -> None:
        """Read the benchmarks.

        Raises:
            ConfigError: There is no folder, nothing in it, or other benchmarks than the recipe's.
        """
        problems = tuple(_problems(_folder(config.benchmarks)))
        found = digest(*(part for problem in problems for part in problem))
        if config.digest not in (None, found):
            raise ConfigError(
                f"The benchmarks are not those of the recipe: their digest is {found}, "
                f"lookalike.digest is {config.digest}. Take the line out, or find the others."
            )
        self.config = config.model_copy(update={"digest": found})
        self._solutions: dict[tuple[str, ...], str] = {}
        self._code = _Runs(config.ngram, always=_SHORTEST)
        self._prose = _Runs(config.ngram)
        for task_id, language, name, code, prose in problems:
            if code:
                tokens = _tokens(code, language, name)
                self._solutions.setdefault(tuple(tokens), task_id)
                self._code.add(tokens, "".join(tokens), task_id)
            self._prose.add(_words(prose), _inked(prose.lower()), task_id)

    def check(self, raw: RawCode) -> tuple[str, str] | None:
        """Return `benchmark_exact` or `benchmark_ngram`."""
        length = self.config.ngram
        if self._code.may_share(_bare(raw.code, raw.language)):
            tokens = _tokens(raw.code, raw.language, raw.name.rsplit(".", 1)[-1])
            if task_id := self._solutions.get(tuple(tokens)):
                return "benchmark_exact", f"its tokens are those of {task_id}'s solution"
            share, task_id = self._code.share(tokens, _FEWEST)
            if share > self.config.most_shared:
                runs = f"{share:.0%} of its runs of {length} tokens"
                return "benchmark_ngram", f"{runs} are in the solution of {task_id}"
        if raw.docstring and self._prose.may_share(_inked(raw.docstring.lower())):
            share, task_id = self._prose.share(_words(raw.docstring))
            if share > 0:
                runs = f"{share:.0%} of its doc comment's runs of {length} words"
                return "benchmark_ngram", f"{runs} are in the text of {task_id}"
        return None


class _Problem(NamedTuple):
    """A solution's function, or a problem's text."""

    task_id: str
    language: str
    name: str
    code: str
    prose: str


_WINDOW = 20
"""Characters that are looked up at once, white space not counted."""
_STEP, _SHORT_STEP = 20, 5
_SHORT, _SHORTEST = 100, 60
"""Characters. In text of up to 100 a window begins at every fifth, and text of up to 60 is always
looked at in full: a function's name, which may be another, is much of it."""
_FEWEST = 20
"""Runs of a function from which on their share says something: a usual signature has ten."""


class _Runs:
    """The runs of tokens or words of all problems, and whose they are."""

    def __init__(self, length: int, always: int = 0) -> None:
        self._length = length
        self._always = always
        """Characters up to which text is worth looking at in full."""
        self._owners: dict[str, tuple[str, ...]] = {}
        self._windows: set[str] = set()

    def add(self, tokens: list[str], text: str, task_id: str) -> None:
        for run in _runs(tokens, self._length):
            owners = self._owners.get(run, ())
            if task_id not in owners:
                self._owners[run] = (*owners, task_id)
        self._windows.update(
            text[start : start + _WINDOW] for start in range(len(text) - _WINDOW + 1)
        )

    def may_share(self, text: str) -> bool:
        """Say whether `text` may share runs: False for nearly all code, at a fraction of the cost.

        Every window of the problems is known, so that a look at each twentieth place of `text`
        finds any 39 characters that both have: half of a function's runs are seldom in less.
        """
        if len(text) <= self._always:
            return True
        step = _STEP if len(text) > _SHORT else _SHORT_STEP
        places = range(0, len(text) - _WINDOW + 1, step)
        return not self._windows.isdisjoint([text[at : at + _WINDOW] for at in places])

    def share(self, tokens: list[str], fewest: int = 1) -> tuple[float, str]:
        """Return the largest share of the runs of `tokens` that one problem has, and which.

        It is 0 where there are fewer than `fewest` runs.
        """
        runs = _runs(tokens, self._length)
        shared: Counter[str] = Counter()
        for run in runs:
            shared.update(self._owners.get(run, ()))
        if not shared or len(runs) < fewest:
            return 0.0, ""
        # The first by name among equals.
        most, task_id = min((-count, task_id) for task_id, count in shared.items())
        return -most / len(runs), task_id


def _runs(tokens: list[str], length: int) -> list[str]:
    places = range(len(tokens) - length + 1)
    return [" ".join(tokens[start : start + length]) for start in places]


# What is skipped; literals, so that a comment's mark inside one is none; names and numbers; marks.
_TOKEN = r"""
    | " (?: [^"\\\n] | \\. )* " | ' (?: [^'\\\n] | \\. )* ' | \w+ | [^\w\s]
"""
_HASH_TOKENS = re.compile(
    r"(?P<skip> \"{3} .*? \"{3} | '{3} .*? '{3} | \#[^\n]* )" + _TOKEN, re.VERBOSE | re.DOTALL
)
_SLASH_TOKENS = re.compile(r"(?P<skip> /\* .*? \*/ | //[^\n]* )" + _TOKEN, re.VERBOSE | re.DOTALL)
_HASH_COMMENT = re.compile(r"#.*")
_SLASH_COMMENT = re.compile(r"//.*|/\*(?s:.*?)\*/")
_HASH = frozenset({"python", "ruby"})


def _tokens(code: str, language: str, name: str) -> list[str]:
    """Return the tokens of code without comments, with a placeholder for the function's name."""
    pattern = _HASH_TOKENS if language in _HASH else _SLASH_TOKENS
    found = (match[0] for match in pattern.finditer(code) if match["skip"] is None)
    return ["_" if token == name else token for token in found]


def _bare(code: str, language: str) -> str:
    """Return code as `may_share` looks at it: without white space, nearly without comments."""
    if language in _HASH:
        if "#" in code:
            code = _HASH_COMMENT.sub("", code)
    elif "//" in code or "/*" in code:
        code = _SLASH_COMMENT.sub("", code)
    return _inked(code)


def _inked(text: str) -> str:
    return "".join(text.split())


_WORD = re.compile(r"[a-z]+")


def _words(prose: str) -> list[str]:
    """Return the words of prose; numbers are none, as `1 2 3 4 5` is in a thousand doc comments."""
    return _WORD.findall(prose.lower())


def _folder(given: Path | None) -> Path:
    """Return the folder of the benchmarks.

    Raises:
        ConfigError: None is named, or it is no folder.
    """
    named = given or os.environ.get(BENCHMARKS_VARIABLE)
    if not named:
        raise ConfigError(
            f"The filter lookalike needs benchmarks to compare with and got none. Write "
            f"`lookalike: {{benchmarks: FOLDER}}`, or set {BENCHMARKS_VARIABLE} to the folder."
        )
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"There is no folder {folder} with benchmarks. Check the path in "
            f"{'lookalike.benchmarks' if given else BENCHMARKS_VARIABLE}."
        )
    return folder


def _problems(folder: Path) -> Iterator[_Problem]:
    """Yield what is to be looked for in the benchmarks of a folder, in order of path.

    Raises:
        ConfigError: There are none.
    """
    none = True
    for path in sorted(folder.rglob("*")):
        if path.name.removesuffix(".gz").endswith((".json", ".jsonl")) and path.is_file():
            language = language_named(path.name.split(".")[0])
            for row in _rows(path):
                for problem in _parts(row, language.name if language else "python"):
                    none = False
                    yield problem
    if none:
        raise ConfigError(
            f"{folder} has no benchmark: no .json or .jsonl file, plain or .gz, whose objects have "
            f"task_id and canonical_solution or code. Name another folder."
        )


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        if path.name.removesuffix(".gz").endswith(".json"):
            rows = json.loads(text)
        else:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, EOFError, ValueError) as error:
        raise ConfigError(
            f"Cannot read the benchmark {path}: {error}. Take it out of the folder, or mend it."
        ) from error
    if isinstance(rows, list):
        yield from (row for row in rows if isinstance(row, dict) and "task_id" in row)


def _parts(row: Mapping[str, Any], language: str) -> Iterator[_Problem]:
    """Yield the functions and the texts of a benchmark's row."""

    def text(field: str) -> str:
        value = row.get(field)
        return value if isinstance(value, str) else ""

    task_id = str(row["task_id"])
    task_id = f"MBPP/{task_id}" if task_id.isdigit() else task_id
    head = text("declaration") or text("prompt")
    programs = [head + text(field) for field in _SOLUTIONS if text(field)] + [text("code")]
    for program in filter(None, programs):
        for span in functions(program.replace("\r\n", "\n"), language):
            name = span.name.rsplit(".", 1)[-1]
            yield _Problem(task_id, language, name, span.code, span.docstring or "")
    for field in _PROSE:
        if text(field):
            yield _Problem(task_id, language, "", "", text(field))


_SOLUTIONS = ("canonical_solution", "buggy_solution")
_PROSE = ("prompt", "text", "docstring")
