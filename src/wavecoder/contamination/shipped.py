"""The index that comes with the package: what this package measures models on, as hashes.

HumanEval, MBPP, their extended versions and HumanEvalPack in six languages. Made by `wavecoder
decontaminate DATASET --write-index FILE` from the files that `wavecoder.evaluate.benchmarks` pins.
"""

from functools import cache
from pathlib import Path

from wavecoder.contamination.documents import Document
from wavecoder.contamination.files import index_checksum, load_index
from wavecoder.contamination.index import HASHED, Hit, Index

__all__ = ["SHIPPED", "first_hit", "index_of", "told"]

SHIPPED = Path(__file__).parent / "benchmarks.index"


def index_of(path: Path | None) -> tuple[Path, str]:
    """Return where an index lies and its checksum.

    Args:
        path: The user's own; None for the one of the package.

    Raises:
        ConfigError: It is not there, or is no index.
    """
    found = path or SHIPPED
    return found, index_checksum(found)


@cache
def _loaded(path: Path) -> Index:
    return load_index(path)


def first_hit(document: Document, path: Path = SHIPPED) -> Hit | None:
    """Return the problem that a document has, by the surest layer, or None.

    Raises:
        ConfigError: The index is damaged.
    """
    hits = _loaded(path).hits(document, HASHED)
    return hits[0] if hits else None


def told(hit: Hit) -> str:
    """Return a hit as a sentence."""
    return (
        f"{hit.score:.0%} of the {hit.part} of {hit.problem} ({hit.benchmark}) is in it, by the "
        f"layer {hit.layer}"
    )
