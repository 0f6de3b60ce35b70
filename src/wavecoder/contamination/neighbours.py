"""How near a dataset comes to each problem, by the cosine of their vectors.

Source: WaveCoder, section 4.2. The solution of each problem and the code of each row are embedded;
the cosine to the nearest row, averaged over the problems, is the dataset's leakage, and the three
nearest rows of each problem are what the paper drops.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavecoder.contamination.documents import Document, Reference, blocks
from wavecoder.protocols import Embedder
from wavecoder.records import RawCode, digest

__all__ = ["Neighbour", "Neighbours", "raw_code_of"]


class Neighbour(NamedTuple):
    """A row near a problem."""

    problem: int
    """Its place among the references."""
    row: int
    cosine: float


class Neighbours:
    """Keeps the nearest rows of each problem while rows go by."""

    def __init__(self, references: Sequence[Reference], embedder: Embedder, keep: int = 3) -> None:
        """Embed the problems' solutions.

        Args:
            references: Problems; those without a program have no neighbours.
            embedder: Fitted where it learns; its vectors need not have length 1.
            keep: How many rows of each problem; 3 in the paper.
        """
        self._embedder = embedder
        self._keep = keep
        codes = [
            raw_code_of(
                Document(solution=one.bodies[0] if one.bodies else "", language=one.language)
            )
            for one in references
        ]
        self._problems = _unit(embedder.embed(codes))
        self._cosines = np.full((len(references), keep), -1.0, dtype=np.float32)
        self._rows = np.full((len(references), keep), -1, dtype=np.int64)

    def see(self, documents: Sequence[Document], rows: Sequence[int]) -> None:
        """Look at some rows, a few thousand at a time."""
        if not documents:
            return
        vectors = _unit(self._embedder.embed([raw_code_of(one) for one in documents]))
        cosines = np.concatenate([self._cosines, self._problems @ vectors.T], axis=1)
        own = np.broadcast_to(np.array(rows, dtype=np.int64), (len(cosines), len(rows)))
        numbers = np.concatenate([self._rows, own], axis=1)
        # Of equal cosines the earlier row is the nearer one.
        order = np.argsort(-cosines, axis=1, kind="stable")[:, : self._keep]
        self._cosines = np.take_along_axis(cosines, order, axis=1)
        self._rows = np.take_along_axis(numbers, order, axis=1)

    def found(self, least: float | None = None) -> list[Neighbour]:
        """Return the nearest rows of each problem, or of those only what is `least` near."""
        return [
            Neighbour(problem, int(row), round(float(cosine), 4))
            for problem, (rows, cosines) in enumerate(zip(self._rows, self._cosines, strict=True))
            for row, cosine in zip(rows, cosines, strict=True)
            if row >= 0 and (least is None or cosine >= least)
        ]

    def nearest(self) -> NDArray[np.float32]:
        """Return each problem's cosine to its nearest row, shape (problems,); -1 without a row."""
        return self._cosines[:, 0]


def raw_code_of(document: Document) -> RawCode:
    """Return a document's solution as raw code, which is what embedders take."""
    fenced = "\n".join(code for code, _ in blocks(document.solution))
    code = fenced or document.solution or document.text
    return RawCode(
        id=document.id or digest(code),
        language=document.language or "python",
        name="",
        code=code,
        docstring=None,
        source="",
        path="",
        start_line=None,
        end_line=None,
        content_hash=digest(code),
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-12))
    return found
