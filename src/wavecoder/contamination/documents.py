"""What is looked at for contamination: a row of any dataset, and a problem it may have leaked from.

Both are the same few texts: an instruction, what was given with it, a solution, and tests.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wavecoder.languages import language_named
from wavecoder.records import Instance, Problem, RawCode

__all__ = [
    "Document",
    "Reference",
    "blocks",
    "document_of",
    "document_of_record",
    "reference_of",
    "reference_of_document",
]

_INSTRUCTION = ("instruction", "problem", "prompt", "question", "docstring")
_INFORMATION = ("input", "information")
_SOLUTION = ("output", "solution", "response", "completion", "canonical_solution")
_CODE = ("code", "content", "text")
_TESTS = ("test", "tests", "test_list")
_LANGUAGE = ("target_language", "language", "lang")
_ID = ("id", "task_id", "name")

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.M | re.S)
_DOCSTRING = re.compile(r'("""|\'\'\')(.*?)\1', re.DOTALL)
# Where the sentences of a prompt end and its examples begin.
_EXAMPLES = re.compile(r"^\s*(?:>>>|assert\b|(?:for )?examples?\b)", re.IGNORECASE | re.MULTILINE)
_FEWEST_WORDS = 8


class Document(NamedTuple):
    """A row of a dataset; a text that it does not have is empty."""

    id: str | None = None
    """Its own name for itself, None where it has none."""
    instruction: str = ""
    information: str = ""
    solution: str = ""
    tests: str = ""
    language: str | None = None
    """A name from `wavecoder.languages`, None where the row does not say it."""

    @property
    def text(self) -> str:
        """Return its texts as one, in order, so that what is split over two of them is whole."""
        parts = (self.instruction, self.information, self.solution, self.tests)
        return "\n".join(part for part in parts if part)


class Reference(NamedTuple):
    """A problem, cut into what is looked for."""

    benchmark: str
    problem: str
    language: str | None
    prompt: str
    """Its sentences, without examples."""
    programs: tuple[str, ...]
    """Whole programs that solve it, or nearly: HumanEvalPack's buggy ones leak it as well."""
    bodies: tuple[str, ...]
    """What of the programs is the solution and not the prompt."""
    tests: str


def document_of(cells: Mapping[str, Any]) -> Document | None:
    """Return a row of a dataset as a document, or None where it has no text.

    Understood are rows with `messages`, with an instruction, an input and an output (by any of the
    names in this module), and with code alone (`code`, `content` or `text`).
    """
    language = language_named(_first(cells, _LANGUAGE))
    turns = cells.get("messages")
    if isinstance(turns, list):
        asked = [_text(turn) for turn in turns if _role(turn) != "assistant"]
        answered = [_text(turn) for turn in turns if _role(turn) == "assistant"]
        found = Document(instruction="\n\n".join(asked), solution="\n\n".join(answered))
    else:
        found = Document(
            instruction=_first(cells, _INSTRUCTION),
            information=_first(cells, _INFORMATION),
            solution=_first(cells, _SOLUTION) or _first(cells, _CODE),
            tests=_first(cells, _TESTS),
        )
    if not found.text.strip():
        return None
    name = next((str(cells[key]) for key in _ID if isinstance(cells.get(key), str | int)), None)
    return found._replace(id=name, language=language.name if language else None)


def document_of_record(record: RawCode | Instance) -> Document:
    """Return a record of `collect`, `select` or `generate` as a document."""
    if isinstance(record, RawCode):
        return Document(
            id=record.id,
            instruction=record.docstring or "",
            solution=record.code,
            language=record.language,
        )
    return Document(
        id=record.id,
        instruction=record.instruction,
        information=record.information or "",
        solution=record.solution,
        language=record.target_language or record.language,
    )


def reference_of(problem: Problem) -> Reference:
    """Return a benchmark's problem as what is looked for."""
    prompt, before = problem.docstring, problem.declaration
    # MBPP's prompt is prose; that of MBPP+ is prose in quotes. Neither stands before the solution.
    is_code = not problem.benchmark.startswith("mbpp") and bool(problem.prompt.strip())
    if not prompt:
        quoted = _DOCSTRING.findall(problem.prompt)
        prompt = quoted[-1][1] if quoted else problem.prompt
    if is_code and not before:
        before = problem.prompt
    bodies = tuple(one for one in (problem.canonical_solution, problem.buggy_solution) if one)
    return Reference(
        benchmark=problem.benchmark,
        problem=problem.id,
        language=problem.language,
        prompt=_sentences(prompt),
        programs=tuple((before if is_code else "") + body for body in bodies),
        bodies=bodies,
        tests=problem.test,
    )


def reference_of_document(document: Document, benchmark: str, row: int) -> Reference:
    """Return a row of a user's file as what is looked for."""
    pieces = tuple(code for code, _ in blocks(document.solution)) or (document.solution,)
    bodies = tuple(piece for piece in (*pieces, document.information) if piece)
    return Reference(
        benchmark=benchmark,
        problem=document.id or str(row),
        language=document.language,
        prompt=_sentences(document.instruction),
        programs=bodies,
        bodies=bodies,
        tests=document.tests,
    )


def blocks(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield the fenced code in an answer, each with the language its fence names."""
    for tag, code in _FENCE.findall(text):
        row = language_named(tag) if tag else None
        yield code, row.name if row else None


def _sentences(prompt: str) -> str:
    """Return what stands before the examples; all of it where that is hardly a sentence."""
    found = _EXAMPLES.search(prompt)
    before = prompt[: found.start()] if found else prompt
    return before if len(before.split()) >= _FEWEST_WORDS else prompt


def _first(cells: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of these cells that holds text; lists of texts are lines."""
    for name in names:
        value = cells.get(name)
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            value = "\n".join(value)
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _role(turn: Any) -> object:
    return turn.get("role") if isinstance(turn, Mapping) else None


def _text(turn: Any) -> str:
    """Return what a turn says; its content may be a list of parts."""
    content = turn.get("content") if isinstance(turn, Mapping) else None
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))
