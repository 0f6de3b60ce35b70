"""How fast are functions embedded, and how near are functions of one file?

Run: `.venv/bin/python benchmarks/embedding.py [FOLDER] [EMBEDDER [MODEL]]`, by default over the
standard library with `lexical`. The second figure says how many of a function's five nearest are of
its file: 0 for noise, and more for what says more of where code belongs.
"""

import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np

from wavecoder.languages import functions, language_of
from wavecoder.plugins import load_plugin
from wavecoder.records import RawCode, digest
from wavecoder.select.embedding import embed_records

_MOST = 20_000


def main() -> None:
    """Print a row for one process, and one for two where the embedder may share its work."""
    arguments = dict(enumerate(sys.argv))
    folder = Path(arguments.get(1, sysconfig.get_path("stdlib")))
    name = arguments.get(2, "lexical")
    embedder = load_plugin("embedders", name)
    config = embedder.Config(**({"model": arguments[3]} if 3 in arguments else {}))
    raw_codes = _collect(folder)
    characters = sum(len(raw.code) for raw in raw_codes) / len(raw_codes)
    print(f"{len(raw_codes)} functions of {characters:.0f} characters on average")
    for processes in (1, 2) if getattr(embedder, "parallel", False) else (1,):
        with tempfile.TemporaryDirectory() as scratch:
            began = time.perf_counter()
            vectors = embed_records(
                raw_codes,
                embedder(config),
                Path(scratch),
                identity={},
                seed=0,
                processes=processes,
            )
            seconds = time.perf_counter() - began
            near = _same_file(np.asarray(vectors), [raw.path for raw in raw_codes])
        rate = len(raw_codes) / seconds
        print(f"{processes} processes: {rate:8.0f} functions/s, {near:.4f} of the near in the file")


def _collect(folder: Path) -> list[RawCode]:
    """Return different functions, of files with at least six."""
    found: dict[str, RawCode] = {}
    for path in sorted(folder.rglob("*")):
        row = language_of(path) if path.is_file() else None
        if row is None or len(found) >= _MOST:
            continue
        text = path.read_text("utf-8", "replace")
        spans = [one for one in functions(text, row.name) if 100 <= len(one.code) <= 3000]
        for span in spans if len(spans) >= 6 else ():
            content = digest(span.code)
            found.setdefault(
                content,
                RawCode(
                    id=content,
                    language=row.name,
                    name=span.name,
                    code=span.code,
                    docstring=span.docstring,
                    source="benchmark",
                    path=str(path),
                    start_line=None,
                    end_line=None,
                    content_hash=content,
                ),
            )
    return list(found.values())


def _same_file(vectors: np.ndarray, paths: list[str]) -> float:
    """Return the share of the five nearest, by angle, that are of the same file."""
    files = np.unique(paths, return_inverse=True)[1]
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    same = 0
    for start in range(0, len(unit), 1000):
        rows = np.arange(start, min(start + 1000, len(unit)))
        closeness = unit[rows] @ unit.T
        closeness[rows - start, rows] = -2
        nearest = np.argpartition(-closeness, 5, axis=1)[:, :5]
        same += int((files[nearest] == files[rows, None]).sum())
    return same / (5 * len(unit))


if __name__ == "__main__":
    main()
