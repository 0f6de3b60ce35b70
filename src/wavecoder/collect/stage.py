"""The stage `collect`: sources -> filters -> duplicates -> RawCode.

```yaml
collect:
  sources:
    - directory: ~/repos/*    # folders, checkouts, single files
    - package: stdlib         # an installed Python package, or the running Python's library
  languages: [python, java]   # all, unless given
  licenses: permissive        # any, unless given
  filters:
    length: {least: 50, most: 800}
    test: false               # switched off
  near_duplicates: {threshold: 0.7}
```

Sources are read piece by piece, in several processes, into parts on disk; then duplicates are
found among all candidates at once, in order, so that neither the number of processes nor a kill
decides what is kept.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.artifact import Rows, writing
from wavecoder.collect.duplicates import Candidates, Earlier
from wavecoder.collect.filters.functions import BUILT_IN
from wavecoder.collect.near_duplicates import NearDuplicates, signatures
from wavecoder.collect.parts import Outcome, Part, part_path, write_part
from wavecoder.errors import ConfigError
from wavecoder.executor import check_halt, is_shared, map_ordered
from wavecoder.languages import Guard, guarded, language
from wavecoder.plugins import configure, load_plugin, nearest, plugin_names
from wavecoder.protocols import Filter, Source
from wavecoder.records import RawCode, Record, Rejected, digest
from wavecoder.stage import Context

__all__ = ["Collect"]

_MEMORY = 1 << 30
"""Bytes a process may take for a piece: thrice what the largest file needs."""
_BETWEEN_CHECKS = 256
"""Functions between two looks at whether the work is still wanted."""


class Collect:
    """Cuts functions out of source code, filters them and drops duplicates."""

    name: ClassVar[str] = "collect"
    data_version: ClassVar[int] = 2
    streaming: ClassVar[bool] = False
    writes: ClassVar[type[Record]] = RawCode

    class Config(BaseModel):
        """The table `collect` of a recipe."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        sources: tuple[dict[str, Any], ...] = Field(min_length=1)
        """Where code comes from, in order. One key names the kind of source, and its value says
        which; the other keys are the source's options."""
        languages: tuple[str, ...] | None = None
        """The languages wanted; all unless given."""
        licenses: str | tuple[str, ...] | None = None
        """The licences wanted: `permissive`, or SPDX identifiers; any unless given."""
        filters: dict[str, dict[str, Any] | bool | None] = {}
        """Options of filters by name; `false` switches one off."""
        near_duplicates: NearDuplicates | bool = True
        """When two functions count as one; `false` drops exact duplicates only."""

    def __init__(self, config: Config) -> None:
        """Build the sources and the filters.

        Raises:
            ConfigError: A source, language or filter is unknown, or its options do not fit.
        """
        near = config.near_duplicates
        self._near = NearDuplicates() if near is True else near or None
        self.config = config.model_copy(update={"near_duplicates": self._near or False})
        wanted = config.languages
        self._languages = None if wanted is None else tuple(language(name).name for name in wanted)
        self._sources = tuple(
            self._source(entry, f"collect.sources[{place}]")
            for place, entry in enumerate(config.sources)
        )
        self._filters: dict[str, Filter] = {}
        for name, options in self._filter_tables().items():
            self._filters[name] = configure("filters", name, options, f"collect.filters.{name}")
        self._earlier = Earlier(self._near.against if self._near else ())

    def identity(self) -> Mapping[str, object]:
        """Return the listing of each source, the options of each filter, the earlier datasets.

        Raises:
            ConfigError: A source holds no code, or an earlier dataset cannot be read.
        """
        near = self._near.model_dump(mode="json", exclude={"against"}) if self._near else None
        return {
            "sources": {
                str(place): dict(source.identity()) for place, source in enumerate(self._sources)
            },
            "languages": self._languages and sorted(self._languages),
            "filters": {
                name: rule.config.model_dump(mode="json") for name, rule in self._filters.items()
            },
            "near_duplicates": near,
            "against": self._earlier.identity(),
        }

    @property
    def reads(self) -> tuple[Path, ...]:
        """The earlier datasets."""
        return self._near.against if self._near else ()

    def inputs(self, ctx: Context) -> Iterator[Rows]:
        """Yield the functions of every source and the files that gave none, a part at a time."""
        folder = ctx.work / "parts"
        with writing(folder):
            folder.mkdir(exist_ok=True)
        config = self.config.model_dump_json()
        pieces = (
            _Piece(number, place, piece)
            for number, (place, piece) in enumerate(
                (place, piece)
                for place, source in enumerate(self._sources)
                for piece in source.pieces()
            )
        )
        done = 0
        for path in map_ordered(
            partial(_read_piece, config, folder),
            pieces,
            processes=ctx.processes,
            rescue=partial(_read_piece, config, folder, apart=True),
            memory=_MEMORY,
            check=ctx.check_stop,
        ):
            columns = ["id", "content_hash", "reason"] + (["signature"] if self._near else [])
            table = Part(path).read(columns)
            done += len(table)
            ctx.progress.step("functions read", done, None)
            yield Rows(table)

    def run(self, inputs: Iterable[Rows], ctx: Context) -> Iterator[Rows]:
        """Yield each part again, with the duplicates rejected."""
        candidates = Candidates(ctx.work, self._near, self._earlier)
        with candidates:
            for rows in inputs:
                candidates.add(rows.table)
            ctx.progress.note(f"collect: comparing {len(candidates):,} functions with one another")
            candidates.decide(ctx.check_stop)
            counts: Counter[tuple[str, str, str]] = Counter()
            for path in sorted((ctx.work / "parts").glob("*.arrow")):
                table = candidates.judge(Part(path).read())
                yield from _split(table, counts)
        _save_counts(ctx.files / "counts.csv", counts)

    def outcomes(self, place: int, piece: Any) -> Iterator[Outcome]:
        """Yield what a piece of the source at that place holds, each function judged alone."""
        for number, record in enumerate(self._sources[place].read(piece)):
            if number % _BETWEEN_CHECKS == 0:
                check_halt()
            if place in self._namesakes:
                record = record.model_copy(update={"id": digest("source", str(place), record.id)})
            yield record, None if isinstance(record, Rejected) else self._refusal(record)

    def label(self, place: int) -> str:
        """Return what names the source at that place."""
        return self._sources[place].label

    def sign(self, codes: Any) -> Any:
        """Return the signatures of functions."""
        assert self._near is not None
        return signatures(codes, shingle=self._near.shingle, permutations=self._near.permutations)

    def _refusal(self, raw: RawCode) -> tuple[str, str] | None:
        if self._languages is not None and raw.language not in self._languages:
            return "other_language", f"{raw.where}: it is {language(raw.language).title}"
        for rule in self._filters.values():
            refusal = rule.check(raw)
            if refusal is not None:
                return refusal[0], f"{raw.where}: {refusal[1]}"
        return None

    @cached_property
    def _namesakes(self) -> frozenset[int]:
        """The places of sources that have the label of one before them; their ids would clash."""
        labels = [source.label for source in self._sources]
        return frozenset(place for place, label in enumerate(labels) if label in labels[:place])

    def _source(self, entry: Mapping[str, Any], where: str) -> Source:
        """Return the source that one key of `entry` names."""
        known = plugin_names("sources")
        names = [key for key in entry if key in known or ":" in key]
        if len(names) != 1:
            keys = ", ".join(entry) or "no key"
            hint = nearest(next(iter(entry)), known) if entry and not names else ""
            raise ConfigError(
                f"{where} must name one source, got {keys}.{hint} Known: {', '.join(known)}."
            )
        plugin: Any = load_plugin("sources", names[0])
        fields = list(plugin.Config.model_fields)
        table = {fields[0] if key == names[0] else key: value for key, value in entry.items()}
        if "languages" in fields and self._languages is not None:
            table.setdefault("languages", self._languages)
        return configure("sources", names[0], table, where)  # type: ignore[no-any-return]

    def _filter_tables(self) -> dict[str, dict[str, Any]]:
        """Return the options of the filters that are switched on, in the order they run."""
        known = plugin_names("filters")
        given = dict(self.config.filters)
        if self.config.licenses is not None:
            given["licenses"] = {"licenses": self.config.licenses}
        tables = {}
        # Built-in ones from cheap to dear; others sorted, so that the order in the recipe, which
        # no fingerprint sees, decides nothing.
        for name in dict.fromkeys((*BUILT_IN, *sorted(given))):
            if name not in known and ":" not in name:
                raise ConfigError(
                    f"collect.filters.{name} is not a known filter.{nearest(name, known)} "
                    f"Known: {', '.join(known)}."
                )
            options = given.get(name, BUILT_IN.get(name, False))
            if options is not False:
                tables[name] = options if isinstance(options, dict) else {}
        return tables


class _Piece(NamedTuple):
    """What one process reads."""

    number: int
    """Its place among all pieces."""
    source: int
    piece: Any


def _read_piece(config: str, folder: Path, piece: _Piece, *, apart: bool = False) -> Path:
    """Make sure that a piece's part is there and return its path.

    Args:
        config: The stage's config, as JSON.
        folder: Where the parts are.
        piece: What to read.
        apart: Try each long file's parse in a process of its own first.
    """
    path = part_path(folder, piece.number)
    if not path.exists():
        stage = _stage(config)
        guard = Guard.APART if apart else Guard.TIMED if is_shared() else Guard.NONE
        with guarded(guard):
            outcomes = stage.outcomes(piece.source, piece.piece)
            sign = stage.sign if stage.config.near_duplicates else None
            write_part(path, outcomes, sign, stage.label(piece.source))
    return path


@lru_cache(maxsize=1)
def _stage(config: str) -> Collect:
    """Return the stage, built once in each process."""
    return Collect(Collect.Config.model_validate_json(config))


def _split(table: Any, counts: Counter[tuple[str, str, str]]) -> Iterator[Rows]:
    """Yield the kept and the rejected rows of a part, and count both."""
    import pyarrow as pa
    import pyarrow.compute as pc

    groups = table.group_by(["source", "language", "reason"]).aggregate([([], "count_all")])
    for row in groups.to_pylist():
        key = (row["source"] or "", row["language"] or "", row["reason"] or "kept")
        counts[key] += row["count_all"]
    kept = pc.is_null(table["reason"])
    yield Rows(table.filter(kept))
    rejected = table.filter(pc.invert(kept)).select(["id", "reason", "detail"])
    for name in Rejected.model_fields:
        if name not in rejected.column_names:
            rejected = rejected.append_column(name, pa.nulls(len(rejected)))
    yield Rows(rejected, kept=False)


def _save_counts(path: Path, counts: Counter[tuple[str, str, str]]) -> None:
    with writing(path), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("source", "language", "outcome", "count"))
        writer.writerows((*key, count) for key, count in sorted(counts.items()))
