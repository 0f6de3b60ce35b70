"""What a dataset is to be clean of: the problems of benchmarks, or the rows of a user's files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wavecoder.collect.sources.rows import Fault
from wavecoder.contamination import Reference, document_of, reference_of, reference_of_document
from wavecoder.decontaminate.datasets import cells_of, open_dataset
from wavecoder.errors import ConfigError
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.records import Problem

__all__ = ["DEFAULT", "Known", "load_references"]

_PACK = ("python", "javascript", "java", "go", "cpp", "rust")
DEFAULT = (
    *("humaneval", "humaneval+", "mbpp", "mbpp+"),
    # The four benchmarks of HumanEvalPack have the same problems; this one shows the buggy sides.
    *(f"humanevalfix-{language}" for language in _PACK),
)
"""HumanEval and MBPP with their extended versions, and HumanEvalPack in its six languages."""


class Known(NamedTuple):
    """Problems, as what is looked for and as what can be run."""

    references: tuple[Reference, ...]
    problems: tuple[Problem | None, ...]
    """None for a row of a user's file, which has no entry point."""


def load_references(benchmarks: Sequence[str]) -> Known:
    """Return the problems of some benchmarks.

    Args:
        benchmarks: Names, or paths of files with rows as datasets have them.

    Raises:
        ConfigError: A benchmark is unknown, its file is missing or changed, or a user's file has a
            row that is no problem.
    """
    references: list[Reference] = []
    problems: list[Problem | None] = []
    for name in benchmarks:
        path = Path(name)
        if path.suffix and path.name.lower().endswith((".jsonl", ".json", ".parquet", ".gz")):
            rows = _rows(path)
            references += rows
            problems += [None] * len(rows)
            continue
        loaded = load_benchmark(name)
        references += map(reference_of, loaded)
        problems += loaded
    return Known(tuple(references), tuple(problems))


def _rows(path: Path) -> list[Reference]:
    dataset = open_dataset(path)
    benchmark = path.name.partition(".")[0]
    found = []
    for batch in dataset.batches():
        for number, cells in cells_of(batch):
            detail = cells.detail if isinstance(cells, Fault) else "it has no text"
            document = None if isinstance(cells, Fault) else document_of(cells)
            if document is None:
                raise ConfigError(
                    f"Row {number} of {path} is no problem: {detail}. Mend or remove it."
                )
            found.append(reference_of_document(document, benchmark, number))
    if not found:
        raise ConfigError(f"{path} has no row. Give a file with at least one problem.")
    return found
