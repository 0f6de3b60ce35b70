"""Where raw code comes from: tables with a column of code, in JSON lines, CSV, parquet, or a hub.

```yaml
sources:
  - jsonl: data/*.jsonl.gz          # a file, a folder or a pattern
    columns: {code: content, docstring: doc, language: lang}
  - parquet: the-stack/data
    columns: {code: content, language: lang, path: path, license: licenses}
    cut: true                       # a row is a file: take each function in it
  - datasets: owner/name            # or the folder of a dataset saved to disk
    language: python
```

A row is a function; its doc comment is cut out of it, as everywhere.
"""

from collections.abc import Iterator, Mapping

from wavecoder.collect.sources.columns import Table, TableOptions
from wavecoder.collect.sources.rows import (
    SUFFIXES,
    Row,
    column_names,
    csv_rows,
    jsonl_rows,
    parquet_rows,
)
from wavecoder.collect.sources.shards import Shard, find_shards, listing, parts_of
from wavecoder.records import RawCode, Rejected

__all__ = ["Csv", "Jsonl", "Parquet"]


class Jsonl:
    """Functions in JSON lines: an object a line."""

    Config = TableOptions

    def __init__(self, config: TableOptions) -> None:
        """Find the files.

        Raises:
            ConfigError: There is none, or a language is unknown.
        """
        self._files = _Files("jsonl", config)
        self.label = self._files.rows.label

    def identity(self) -> Mapping[str, object]:
        """Return the options, and a digest of the names and sizes of the files."""
        return self._files.identity()

    def pieces(self) -> Iterator[Shard]:
        """Yield the files."""
        return self._files.pieces()

    def read(self, piece: Shard) -> Iterator[RawCode | Rejected]:
        """Yield the functions of a file, line by line."""
        return self._files.read(piece, jsonl_rows(piece.path))


class Csv:
    """Functions in CSV, or in TSV by the files' names; the first line names the columns."""

    Config = TableOptions

    def __init__(self, config: TableOptions) -> None:
        """Find the files.

        Raises:
            ConfigError: There is none, or a language is unknown.
        """
        self._files = _Files("csv", config)
        self.label = self._files.rows.label

    def identity(self) -> Mapping[str, object]:
        """Return the options, and a digest of the names and sizes of the files."""
        return self._files.identity()

    def pieces(self) -> Iterator[Shard]:
        """Yield the files."""
        return self._files.pieces()

    def read(self, piece: Shard) -> Iterator[RawCode | Rejected]:
        """Yield the functions of a file, row by row."""
        return self._files.read(piece, csv_rows(piece.path))


class Parquet:
    """Functions in parquet files."""

    Config = TableOptions

    def __init__(self, config: TableOptions) -> None:
        """Find the files.

        Raises:
            ConfigError: There is none, or a language is unknown.
        """
        self._files = _Files("parquet", config)
        self.label = self._files.rows.label

    def identity(self) -> Mapping[str, object]:
        """Return the options, and a digest of the names and sizes of the files."""
        return self._files.identity()

    def pieces(self) -> Iterator[Shard]:
        """Yield the files in runs of row groups."""
        return (part for shard in self._files.pieces() for part in parts_of(shard))

    def read(self, piece: Shard) -> Iterator[RawCode | Rejected]:
        """Yield the functions of some row groups, a few hundred rows in memory at a time."""
        columns = tuple(self._files.rows.columns.values())
        rows = parquet_rows(piece.path, groups=piece.groups, columns=columns)
        return self._files.read(piece, rows)


class _Files:
    """The files of a table: what `Jsonl`, `Csv` and `Parquet` have in common."""

    def __init__(self, kind: str, config: TableOptions) -> None:
        name, self._shards = find_shards(config.path, SUFFIXES[kind])
        # The first file that can be read speaks for all; what another lacks its rows lack.
        found = (column_names(kind, shard.path) for shard in self._shards)
        names = next((one for one in found if one), None)
        self.rows = Table(f"{kind}:{name}", config, names)

    def identity(self) -> dict[str, object]:
        found = {"files": len(self._shards), "listing": listing(self._shards)}
        return {**self.rows.identity(), **found}

    def pieces(self) -> Iterator[Shard]:
        yield from self._shards

    def read(self, shard: Shard, rows: Iterator[Row]) -> Iterator[RawCode | Rejected]:
        for row in rows:
            yield from self.rows.outcomes(row, shard.relative)
