"""What benchmarks are known by, and which of it a document has: the layers that need only hashes.

```python
index = Index.build(map(reference_of, load_benchmark("humaneval")))
for hit in index.hits(document_of({"instruction": "…", "output": "…"})):
    ...
```

| layer   | what is found                                                                         |
|---------|---------------------------------------------------------------------------------------|
| `exact` | a whole prompt, solution or test, whatever its case, white space, comments, brackets   |
| `ngram` | at least half of the runs of 10 words (prompts, tests) or 10 tokens (solutions)        |
| `ast`   | four fifths of the runs of a solution's tokens, close together, with names left out    |

An index is small, can be pickled, and holds no text: a run's hash has 64 bits.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from wavecoder.contamination.documents import Document, Reference, blocks
from wavecoder.contamination.structure import bodies, rendered
from wavecoder.contamination.table import Found, Table, Unit, make_table
from wavecoder.contamination.tokens import Style, Tokens, style_of, symbols, words
from wavecoder.errors import ConfigError
from wavecoder.languages import parses
from wavecoder.plugins import nearest

__all__ = ["HASHED", "LAYERS", "PARTS", "Hit", "Index", "Name", "check_layers"]

LAYERS = ("exact", "ngram", "ast", "embedding", "behaviour")
"""Every layer, the cheap ones first."""
HASHED = LAYERS[:3]
"""Those that need an index and no text."""
PARTS = ("prompt", "solution", "tests")
"""What of a problem is looked for."""

_NGRAM = 10
"""Words or tokens in a run. Runs of 10 are what DeepSeek-Coder (arXiv 2401.14196), Qwen2.5-Coder
(arXiv 2409.12186) and Phi-1 as Cosmopedia tells it (huggingface/cosmopedia, decontamination) take
for code and prose; GPT-3 took 13 (arXiv 2005.14165), which is longer than many of MBPP's prompts.
"""
_NGRAM_SHARE = 0.5
"""Cosmopedia's: half of the problem's text. One run alone, as the others have it, is too little for
code: any loop over the indices of a list has one."""
_EXACT_WORDS, _EXACT_SYMBOLS = 7, 12
"""Tokens of the shortest text that is looked for as a whole. MBPP's shortest prompts have 7 words;
a shorter program says nothing (`return a + b`)."""
_SHAPE = 7
_SHAPE_FEWEST = 7
_SHAPE_SHARE = 0.7
_SHORT, _SHORT_SHARE = 24, 0.6
"""A solution of fewer tokens, `[x for x in a if x in b]` say, is inside many a longer function; it
must be that much of the function it is found in."""
_SHAPE_LOOK = 0.5
"""The share at which a document is worth parsing: what is read without a parser is less sure."""
_MOST_FAMILIES = 3
"""A run that more problems than these have is the benchmark's manner of speaking."""
_GUESSES = ("python", "javascript", "java", "go", "cpp", "rust")
_EXCERPT = 300
_PARSED = 50_000
"""Bytes of a text that is parsed whole; of a longer one what is around the find."""
_AROUND = 2_000


class Name(NamedTuple):
    """A problem."""

    benchmark: str
    problem: str
    language: str


class Hit(NamedTuple):
    """A problem that a document has, and what speaks for it."""

    layer: str
    benchmark: str
    problem: str
    part: str
    """One of `PARTS`."""
    score: float
    """From 0 to 1: the share of the problem's runs; a cosine; 1 where all of it was found."""
    excerpt: str
    """What of the document matches, its beginning where it is long."""


class Index(NamedTuple):
    """What some benchmarks are known by."""

    names: tuple[Name, ...]
    tables: dict[str, Table]
    """By layer and kind of token: `exact-words`."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the layers it was built for."""
        there = {name.partition("-")[0] for name in self.tables}
        return tuple(layer for layer in HASHED if layer in there)

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Return the benchmarks in it, in their order."""
        return tuple(dict.fromkeys(name.benchmark for name in self.names))

    @classmethod
    def build(cls, references: Iterable[Reference], layers: Sequence[str] = HASHED) -> "Index":
        """Return the index of some problems.

        Args:
            references: The problems.
            layers: Some of `HASHED`.

        Raises:
            ConfigError: A layer is unknown.
        """
        check_layers(layers, HASHED)
        names: list[Name] = []
        texts: list[Unit] = []
        codes: list[Unit] = []
        shapes: list[Unit] = []
        for number, one in enumerate(references):
            language = one.language or _guess(one.programs)
            names.append(Name(one.benchmark, one.problem, language or ""))
            # `HumanEval/3`, `Go/3`: the same problem.
            family = one.problem.rpartition("/")[2]
            for part, text in ((0, one.prompt), (2, one.tests)):
                texts.append(Unit(number, part, family, words(_bytes(text))))
            for body in one.bodies:
                style = style_of(language)[0]
                codes.append(Unit(number, 1, family, symbols(_bytes(body), style)))
            if "ast" in layers and language:
                shapes += (
                    Unit(number, 1, family, _shapes(bodies(program, language), language))
                    for program in one.programs
                )
        tables = {}
        if "exact" in layers:
            tables["exact-words"] = _whole(texts, _EXACT_WORDS)
            tables["exact-symbols"] = _whole(codes, _EXACT_SYMBOLS)
        if "ngram" in layers:
            tables["ngram-words"] = _shared(texts, _NGRAM, _NGRAM)
            tables["ngram-symbols"] = _shared(codes, _NGRAM, _EXACT_SYMBOLS)
        if "ast" in layers:
            tables["ast-shapes"] = _shared(shapes, _SHAPE, _SHAPE_FEWEST, blind=True)
        return cls(tuple(names), tables)

    def hits(self, document: Document, layers: Sequence[str] = HASHED) -> list[Hit]:
        """Return the problems that a document has: of each benchmark and layer the surest one."""
        data = _bytes(document.text)
        best: dict[tuple[str, str], Hit] = {}
        for hit in self._all_hits(document, data, layers):
            key = (hit.layer, hit.benchmark)
            if key not in best or hit.score > best[key].score:
                best[key] = hit
        order = {layer: place for place, layer in enumerate(LAYERS)}
        return sorted(best.values(), key=lambda hit: (order[hit.layer], hit.benchmark))

    def _all_hits(self, document: Document, data: bytes, layers: Sequence[str]) -> Iterator[Hit]:
        read = [words(data)]
        for layer in ("exact", "ngram"):
            if layer in layers and layer in self.layers:
                yield from self._of_tokens(layer, "words", read[0], data)
        for style in _styles(document.language):
            tokens = symbols(data, style)
            for layer in ("exact", "ngram"):
                if layer in layers and layer in self.layers:
                    yield from self._of_tokens(layer, "symbols", tokens, data)
            if "ast" in layers and "ast" in self.layers:
                yield from self._of_shapes(document, tokens, data)

    def _of_tokens(self, layer: str, kind: str, tokens: Tokens, data: bytes) -> Iterator[Hit]:
        table = self.tables[f"{layer}-{kind}"]
        is_whole = layer == "exact"
        found = table.whole(tokens) if is_whole else table.containing(tokens, _NGRAM_SHARE)
        for one in found:
            yield self._hit(layer, table, one, _excerpt(data, tokens, one))

    def _of_shapes(self, document: Document, tokens: Tokens, data: bytes) -> Iterator[Hit]:
        table = self.tables["ast-shapes"]
        likely = table.containing(tokens, _SHAPE_LOOK, near=True)
        looked: set[tuple[str, int]] = set()
        for one in likely:
            language = self.names[int(table.problems[one.unit])].language
            around = _around(data, int(tokens.starts[one.first]), int(tokens.ends[one.last]))
            if (language, len(around)) in looked:
                continue
            looked.add((language, len(around)))
            for piece in _pieces(document, around, whole=len(around) == len(data)):
                for sure in self._parsed(piece, language):
                    yield self._hit("ast", table, sure, _excerpt(data, tokens, one))

    def _parsed(self, piece: str, language: str) -> Iterator[Found]:
        """Yield the solutions in a language that a piece of code has, now that it is parsed."""
        table = self.tables["ast-shapes"]
        texts = (rendered(piece, language), *bodies(piece, language))
        for number, text in enumerate(texts):
            tokens = _shapes([text], language)
            for found in table.containing(tokens, _SHAPE_SHARE, near=True):
                length = int(table.lengths[found.unit])
                is_function = number > 0 and length >= _SHORT_SHARE * len(tokens.starts)
                if self.names[int(table.problems[found.unit])].language == language and (
                    length >= _SHORT or is_function
                ):
                    yield found

    def _hit(self, layer: str, table: Table, found: Found, excerpt: str) -> Hit:
        name = self.names[int(table.problems[found.unit])]
        part = PARTS[int(table.parts[found.unit])]
        return Hit(layer, name.benchmark, name.problem, part, round(found.score, 4), excerpt)


def check_layers(layers: Iterable[str], known: Sequence[str] = LAYERS) -> None:
    """Refuse layers that are not there.

    Raises:
        ConfigError: One is unknown; the nearest known one is named.
    """
    for layer in layers:
        if layer not in known:
            raise ConfigError(
                f"There is no layer {layer!r}.{nearest(layer, list(known))} "
                f"Layers: {', '.join(known)}."
            )


def _whole(units: Sequence[Unit], shortest: int) -> Table:
    return make_table(units, shortest, fewest=shortest, whole=True)


def _shared(units: Sequence[Unit], run: int, shortest: int, *, blind: bool = False) -> Table:
    return make_table(units, run, fewest=shortest, most_families=_MOST_FAMILIES, blind=blind)


def _shapes(texts: Sequence[str], language: str) -> Tokens:
    return symbols(_bytes("\n".join(texts)), style_of(language)[0])


def _guess(programs: Sequence[str]) -> str | None:
    """Return the first language that a program parses in."""
    text = programs[0] if programs else ""
    return next((one for one in _GUESSES if text.strip() and parses(text, one)), None)


def _styles(language: str | None) -> tuple[Style, ...]:
    """Return how a document is read: in both ways, as two languages may be in it."""
    own = style_of(language)
    return (
        *own,
        *(one for one in style_of(None) if one.bits & 3 != own[0].bits & 3 and one not in own),
    )


def _around(data: bytes, start: int, end: int) -> bytes:
    if len(data) <= _PARSED:
        return data
    return data[max(0, start - _AROUND) : end + _AROUND]


def _pieces(document: Document, around: bytes, *, whole: bool) -> Iterator[str]:
    """Yield what may be one piece of code: fenced blocks, each part, all parts together."""
    text = around.decode("utf-8", "replace")
    parts = (document.solution, document.information, document.instruction) if whole else ()
    for part in (*parts, text):
        yield from (code for code, _ in blocks(part))
        if part.strip():
            yield part


def _excerpt(data: bytes, tokens: Tokens, found: Found) -> str:
    start, end = int(tokens.starts[found.first]), int(tokens.ends[found.last])
    text = data[start : min(end, start + 4 * _EXCERPT)].decode("utf-8", "replace")
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
