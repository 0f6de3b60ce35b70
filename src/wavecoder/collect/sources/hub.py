"""Where raw code comes from: a Hugging Face dataset, saved to disk or on the hub.

```yaml
sources:
  - datasets: owner/name
    subset: python
    columns: {code: func_code_string, docstring: func_documentation_string}
    language: python
```
"""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from wavecoder.collect.sources.columns import Table, TableOptions
from wavecoder.collect.sources.rows import SUFFIXES, Row, arrow_cells
from wavecoder.collect.sources.shards import ROWS_A_PIECE, find_shards, listing
from wavecoder.errors import ConfigError, MissingExtraError
from wavecoder.languages import language
from wavecoder.plugins import nearest
from wavecoder.records import RawCode, Rejected

__all__ = ["Datasets", "HubOptions", "Range"]


class HubOptions(TableOptions):
    """Which dataset, and what is in it."""

    path: str
    """The folder of a dataset saved to disk, or a name on the Hugging Face hub."""
    subset: str | None = None
    """The configuration of a dataset that has several."""
    split: str = "train"
    """The split that is read."""
    revision: str | None = None
    """The commit of a dataset on the hub; name it, so that a run can be repeated."""


class Range(NamedTuple):
    """Some rows of a dataset."""

    start: int
    stop: int


class Datasets:
    """Functions in a Hugging Face dataset: saved to disk, or on the hub."""

    Config = HubOptions

    def __init__(self, config: HubOptions) -> None:
        """Check that the library is there; nothing is loaded yet.

        Raises:
            MissingExtraError: The library `datasets` is not installed.
            ConfigError: A language is unknown.
        """
        if find_spec("datasets") is None:
            raise MissingExtraError(
                "A source `datasets` needs the library datasets, which is not installed. "
                "Install it: pip install 'wavecoder[hub]'."
            )
        for name in (config.language, *(config.languages or ())):
            if name is not None:
                language(name)
        self._config = config
        self._local = Path(config.path).expanduser().is_dir()
        title = Path(config.path).expanduser().resolve().name if self._local else config.path
        self.label = f"datasets:{os.fsencode(title).decode('utf-8', 'backslashreplace')}"

    def identity(self) -> Mapping[str, object]:
        """Return the options and the number of rows; of a local folder the listing, too.

        Raises:
            ConfigError: The dataset does not load, or lacks a column.
        """
        rows = self._table()
        config = self._config
        found: dict[str, object] = {
            **rows.identity(),
            "subset": config.subset,
            "split": config.split,
            "revision": config.revision,
            "rows": len(self._dataset()),
        }
        if self._local:
            _, shards = find_shards(config.path, (".arrow", *SUFFIXES["jsonl"], ".csv", ".parquet"))
            # The name of the file that `datasets` keeps its results in is not the dataset's.
            found["listing"] = listing(one for one in shards if "cache-" not in one.relative)
        return found

    def pieces(self) -> Iterator[Range]:
        """Yield runs of rows.

        Raises:
            ConfigError: The dataset does not load, or lacks a column.
        """
        self._table()
        count = len(self._dataset())
        for start in range(0, count, ROWS_A_PIECE):
            yield Range(start, min(start + ROWS_A_PIECE, count))

    def read(self, piece: Range) -> Iterator[RawCode | Rejected]:
        """Yield the functions of a run of rows, a few hundred in memory at a time."""
        rows = self._table()
        dataset = self._dataset().select_columns(list(rows.columns.values())).with_format("arrow")
        for start in range(piece.start, piece.stop, 512):
            batch = dataset[start : min(start + 512, piece.stop)]
            for place, cells in enumerate(arrow_cells(batch), start + 1):
                yield from rows.outcomes(Row(place, cells), self._config.split)

    def _table(self) -> Table:
        return Table(self.label, self._config, list(self._dataset().column_names))

    def _dataset(self) -> Any:
        config = self._config
        where = str(Path(config.path).expanduser()) if self._local else config.path
        return _load(where, config.subset, config.split, config.revision)


@cache
def _load(path: str, subset: str | None, split: str, revision: str | None) -> Any:
    """Return a dataset, its rows on disk; loaded once in a process.

    Raises:
        ConfigError: It does not load, or has no such split.
    """
    datasets: Any = import_module("datasets")  # a second to import, and of an extra
    saved = any(Path(path, name).is_file() for name in ("dataset_dict.json", "state.json"))
    try:
        if saved:
            found = datasets.load_from_disk(path)
        else:
            found = datasets.load_dataset(path, subset, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".")
        raise ConfigError(
            f"The dataset {path} does not load: {reason}. Check its name, `subset` and `split`."
        ) from error
    if isinstance(found, datasets.DatasetDict):
        if split not in found:
            raise ConfigError(
                f"The dataset {path} has no split {split!r}.{nearest(split, list(found))} "
                f"It has: {', '.join(found)}."
            )
        found = found[split]
    return found
