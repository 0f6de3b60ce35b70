"""A dataset is looked through for problems of benchmarks, and written again without them.

1. The layers of hashes: batches go to several processes, each with the index of its own.
2. The embedding layer, where an embedder is named: rows are embedded in order, a few thousand at a
   time, against the problems' solutions.
3. The behaviour layer, where it is asked for: rows that no hash gave away, and that speak of a
   problem, are run against its tests.
4. The dataset is read once more and written without what was found.

What the hashes found is kept in the output folder while a run lasts, so that one that is stopped
goes on there; the other layers, and a run without an output folder, begin anew.
"""

import heapq
import json
import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from wavecoder.artifact import write_text, writing
from wavecoder.collect.sources.rows import Fault
from wavecoder.contamination import (
    HASHED,
    Document,
    Hit,
    Index,
    Neighbours,
    check_layers,
    document_of,
    load_index,
    save_index,
)
from wavecoder.contamination.neighbours import raw_code_of
from wavecoder.decontaminate.behaviour import Shortlist, Suspects, passing
from wavecoder.decontaminate.datasets import Batch, Dataset, cells_of, open_dataset
from wavecoder.decontaminate.looks import Look, Looks, identity
from wavecoder.decontaminate.references import DEFAULT, Known, load_references
from wavecoder.decontaminate.report import Leakage, Report, as_json, as_markdown
from wavecoder.errors import ConfigError, StoppedError
from wavecoder.executor import check_halt, map_ordered
from wavecoder.plugins import configure
from wavecoder.progress import Silent
from wavecoder.protocols import Embedder, Progress
from wavecoder.sandbox import open_sandbox

__all__ = ["Options", "decontaminate"]

_FIT = 20_000
"""Rows that an embedder learns from."""
_EMBEDDED = 2_048
_EXCERPT = 300


@dataclass(frozen=True)
class Options:
    """What is looked for, and how."""

    benchmarks: tuple[str, ...] = DEFAULT
    """Names of benchmarks, or paths of files."""
    layers: tuple[str, ...] = HASHED
    index: Path | None = None
    """A file of hashes that stands for the benchmarks."""
    write_index: Path | None = None
    embedder: str | None = None
    """Needed for the layer `embedding`; alone it only measures the leakage."""
    embedder_options: Mapping[str, Any] = field(default_factory=dict)
    neighbours: int = 3
    """Rows near each problem that the layer `embedding` drops."""
    cosine: float | None = None
    """Drop of these only what is at least so near."""
    tried: int = 5
    """Rows of each problem that the layer `behaviour` runs, at most."""
    unsandboxed: bool = False
    processes: int = 1


class _Removal(NamedTuple):
    """A row and why it goes."""

    row: int
    line: str
    """What `removed.jsonl` says of it, without line end."""


def decontaminate(
    path: Path,
    out: Path | None,
    options: Options,
    *,
    progress: Progress | None = None,
    stop: Event | None = None,
) -> Report:
    """Find what of benchmarks is in a dataset, and return the report.

    Args:
        path: The dataset: a file, or the folder of a run.
        out: A folder for the clean dataset, `removed.jsonl`, `report.json` and `report.md`; None
            writes nothing.
        options: What is looked for.
        progress: Who is told how far it is.
        stop: Set by whoever wants it to end.

    Raises:
        ConfigError: The dataset, a benchmark, the index or an option is not as it must be.
        ArtifactError: A file cannot be written.
        StoppedError: It was asked to stop; the same call goes on from there.
    """
    run = _Run(open_dataset(path), options, progress or Silent(), stop or Event())
    if out is not None and (out / run.dataset.clean_name).resolve() == path.resolve():
        raise ConfigError(f"{out} holds the dataset itself. Give another folder with -o.")
    try:
        return run.go(out)
    finally:
        run.close()


class _Run:
    """One dataset on its way."""

    def __init__(self, dataset: Dataset, options: Options, progress: Progress, stop: Event) -> None:
        check_layers(options.layers)
        self.dataset = dataset
        self.options = options
        self.progress = progress
        self.stop = stop
        self.known, self.index = self._references()
        self.report = Report(
            dataset=str(dataset.path),
            layers=tuple(options.layers),
            benchmarks=self._benchmarks(),
        )
        self.rows_hit: dict[tuple[str, str], int] = Counter()
        self.gone: set[int] = set()
        self.by_layer: dict[str, set[int]] = {}
        self.by_benchmark: dict[str, set[int]] = {}
        self.looks: Looks | None = None

    def close(self, *, done: bool = False) -> None:
        """Close what is kept for going on; idempotent."""
        if self.looks is not None:
            self.looks.close(done=done)
            self.looks = None

    def go(self, out: Path | None) -> Report:
        with tempfile.TemporaryDirectory(prefix="wavecoder-decontaminate-") as made:
            scratch = Path(made)
            removed = scratch / "removed.jsonl"
            shortlist = self._look(scratch, removed, out)
            later = sorted([*self._embedded(), *self._run_programs(shortlist)], key=_row)
            self._finish()
            if out is not None:
                self._write(out, removed, later)
                self.close(done=True)
        return self.report

    def _references(self) -> tuple[Known, Index]:
        options = self.options
        wants_text = "behaviour" in options.layers or options.embedder is not None
        if "embedding" in options.layers and options.embedder is None:
            raise ConfigError(
                "The layer embedding needs an embedder. Name one: --embedder lexical."
            )
        if options.index is not None:
            index = load_index(options.index)
            missing = [one for one in options.layers if one in HASHED and one not in index.layers]
            if missing:
                raise ConfigError(
                    f"The index {options.index} has no layer {missing[0]!r}, it was made with "
                    f"{', '.join(index.layers)}. Make it again, or leave the layer out."
                )
            if not wants_text:
                return Known((), ()), index
        known = load_references(options.benchmarks)
        if options.index is None:
            index = Index.build(known.references, HASHED)
        if options.write_index is not None:
            save_index(index, options.write_index)
        return known, index

    def _benchmarks(self) -> tuple[str, ...]:
        names = [*self.index.benchmarks, *(one.benchmark for one in self.known.references)]
        return tuple(dict.fromkeys(names))

    # The layers of hashes.

    def _look(self, scratch: Path, removed: Path, out: Path | None) -> Shortlist:
        """Look at all rows; what the hashes give away is written to `removed` as it is found."""
        shortlist = Shortlist(self.options.tried)
        kept, index = scratch / "suspects", scratch / "index"
        checksum = save_index(self.index, index)
        runs_code = "behaviour" in self.options.layers
        kept.write_bytes(pickle.dumps(Suspects(self.known) if runs_code else None))
        layers = tuple(self.options.layers)
        if out is not None:
            path = out / "looked.partial"
            self.looks = Looks(path, identity(self.dataset.path, checksum, layers, self.known))
        self.progress.start("decontaminate", None, 0)
        found = self._found(partial(_look, index, kept, layers))
        with writing(removed), removed.open("w", encoding="utf-8") as file:
            for looked in found:
                self.report.rows += looked.rows
                gone = [
                    *(self._fault(row, fault) for row, fault in looked.faults),
                    *(self._removal(row, name, hit) for row, name, hit in looked.hits),
                ]
                file.writelines(one.line + "\n" for one in sorted(gone, key=_row))
                for suspect in looked.suspects:
                    shortlist.add(suspect)
                self.progress.step("rows looked at", self.report.rows, None)
        if not self.report.rows:
            raise ConfigError(f"{self.dataset.path} has no row. Give a dataset with at least one.")
        return shortlist

    def _found(self, work: Callable[[Batch], Look]) -> Iterator[Look]:
        """Yield what became of every batch, those of a run that was stopped first."""
        before = [] if self.looks is None else [*self.looks.kept()]
        yield from before
        rest = islice(self.dataset.batches(), len(before), None)
        for look in map_ordered(work, rest, processes=self.options.processes, check=self._check):
            if self.looks is not None:
                self.looks.add(look)
            yield look

    def _fault(self, row: int, fault: Fault) -> _Removal:
        if self.report.first_unread is None:
            self.report.first_unread = f"row {row}: {fault.detail}"
        self.report.unread[fault.reason] = self.report.unread.get(fault.reason, 0) + 1
        self.gone.add(row)
        cells = {"row": row, "unread": fault.reason, "detail": fault.detail}
        return _Removal(row, json.dumps(cells, ensure_ascii=False))

    def _removal(self, row: int, name: str | None, hit: Hit) -> _Removal:
        self.gone.add(row)
        self.rows_hit[hit.layer, hit.benchmark] += 1
        self._of_row(row, hit)
        cells = {"row": row, "id": name, **hit._asdict()}
        return _Removal(row, json.dumps(cells, ensure_ascii=False))

    def _of_row(self, row: int, hit: Hit) -> None:
        """Count a row once for each layer, and each benchmark."""
        for rows, key in ((self.by_layer, hit.layer), (self.by_benchmark, hit.benchmark)):
            rows.setdefault(key, set()).add(row)

    # The layers that need text.

    def _embedded(self) -> Iterator[_Removal]:
        options = self.options
        if options.embedder is None:
            return
        embedder: Embedder = configure(
            "embedders", options.embedder, options.embedder_options, "embedder"
        )
        embedder.fit([raw_code_of(one) for _, one in islice(self._documents(), _FIT)], 0)
        found = Neighbours(self.known.references, embedder, options.neighbours)
        texts = self._documents()
        while some := list(islice(texts, _EMBEDDED)):
            self._check()
            found.see([one for _, one in some], [row for row, _ in some])
            self.progress.step("rows embedded", some[-1][0], self.report.rows)
        self._measure(found)
        if "embedding" not in options.layers:
            return
        near = found.found(options.cosine)
        excerpts = self._excerpts({one.row for one in near})
        for one in near:
            reference = self.known.references[one.problem]
            name, excerpt = excerpts[one.row]
            hit = Hit(
                "embedding", reference.benchmark, reference.problem, "solution", one.cosine, excerpt
            )
            yield self._removal(one.row, name, hit)

    def _measure(self, found: Neighbours) -> None:
        """Note the paper's figure: the mean cosine of each problem's nearest row."""
        nearest: dict[str, list[float]] = {}
        for reference, cosine in zip(self.known.references, found.nearest(), strict=True):
            nearest.setdefault(reference.benchmark, []).append(float(cosine))
        self.report.leakage = [
            Leakage(name, round(sum(values) / len(values), 4), round(max(values), 4), len(values))
            for name, values in nearest.items()
        ]
        self.report.embedder = self.options.embedder

    def _excerpts(self, rows: set[int]) -> dict[int, tuple[str | None, str]]:
        return {
            row: (one.id, (one.solution or one.text)[:_EXCERPT])
            for row, one in self._documents()
            if row in rows
        }

    def _run_programs(self, shortlist: Shortlist) -> Iterator[_Removal]:
        if "behaviour" not in self.options.layers:
            return
        gone = frozenset(self.gone)
        suspects = [
            one
            for one in shortlist.suspects()
            if any(other.row not in gone for other in shortlist.alike(one))
        ]
        self.report.tried = len(suspects)
        self.report.likely = shortlist.seen
        if not suspects:
            return
        sandbox = open_sandbox(unsandboxed=self.options.unsandboxed)

        def tell(count: int) -> None:
            self._check()
            self.progress.step("programs run", count, len(suspects))

        try:
            workers = os.cpu_count() or 1
            for one in passing(
                suspects, self.known.problems, sandbox, workers=workers, on_done=tell
            ):
                reference = self.known.references[one.problem]
                for same in shortlist.alike(one):
                    if same.row not in gone:
                        name, problem = reference.benchmark, reference.problem
                        hit = Hit("behaviour", name, problem, "tests", 1.0, same.excerpt)
                        yield self._removal(same.row, same.id, hit)
        finally:
            sandbox.close()

    def _documents(self) -> Iterator[tuple[int, Document]]:
        for batch in self.dataset.batches():
            for row, cells in cells_of(batch):
                document = None if isinstance(cells, Fault) else document_of(cells)
                if document is not None:
                    yield row, document

    # The end.

    def _finish(self) -> None:
        unread = sum(self.report.unread.values())
        self.report.removed = len(self.gone) - unread
        self.report.clean = self.report.rows - len(self.gone)
        self.report.by_layer = {name: len(rows) for name, rows in self.by_layer.items()}
        self.report.by_benchmark = {name: len(rows) for name, rows in self.by_benchmark.items()}
        self.report.hits = {
            layer: {name: count for (one, name), count in self.rows_hit.items() if one == layer}
            for layer in self.options.layers
        }
        self.progress.end(f"{self.report.removed:,} of {self.report.rows:,} rows to be removed")

    def _write(self, out: Path, removed: Path, later: Sequence[_Removal]) -> None:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        name = self.dataset.clean_name
        count = self.dataset.write_without(self.gone, out / name)
        if count != self.report.clean:
            (out / name).unlink()
            raise ConfigError(
                f"{self.dataset.path} changed while it was read. Give the command again once "
                f"nothing writes to it."
            )
        self.report.clean_file = name
        partial = out / "removed.jsonl.partial"
        with (
            writing(out / "removed.jsonl"),
            removed.open(encoding="utf-8") as hashed,
            partial.open("w", encoding="utf-8") as file,
        ):
            file.writelines(
                f"{one.line}\n" for one in heapq.merge(_removals(hashed), later, key=_row)
            )
        partial.replace(out / "removed.jsonl")
        write_text(out / "report.json", as_json(self.report))
        write_text(out / "report.md", as_markdown(self.report))

    def _check(self) -> None:
        if self.stop.is_set():
            kept = "" if self.looks is None else "; it goes on where it was"
            raise StoppedError(f"Stopped before the end. Give the same command again{kept}.")


def _row(removal: _Removal) -> int:
    return removal.row


def _removals(written: Iterable[str]) -> Iterator[_Removal]:
    for line in written:
        yield _Removal(json.loads(line)["row"], line.rstrip("\n"))


def _look(index: Path, suspects: Path, layers: tuple[str, ...], batch: Batch) -> Look:
    """Look at a batch, in any process."""
    check_halt()
    known, likely = _loaded(index), _unpickled(suspects)
    found = Look(len(batch.numbers), [], [], [])
    for row, cells in cells_of(batch):
        if isinstance(cells, Fault):
            found.faults.append((row, cells))
            continue
        document = document_of(cells)
        if document is None:
            found.faults.append((row, Fault("no_text", "it has no text that is known by name")))
            continue
        hits = known.hits(document, layers)
        found.hits.extend((row, document.id, hit) for hit in hits)
        if likely is not None and not hits:
            found.suspects.extend(likely.of(document, row))
    return found


@lru_cache(maxsize=1)
def _loaded(path: Path) -> Index:
    return load_index(path)


@lru_cache(maxsize=1)
def _unpickled(path: Path) -> Suspects | None:
    found: Suspects | None = pickle.loads(path.read_bytes())
    return found
