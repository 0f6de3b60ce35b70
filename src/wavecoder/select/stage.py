"""The stage `select`: embed the functions, pick the most diverse ones (paper section 2.2.1).

```yaml
select:
  embedder: lexical
  k: 20000
  selector: kcenter          # or random, kmeans, facility_location
  quotas: language           # as many of each language as there are; or {language: {python: 100}}
  extend: runs/old/2-select  # an earlier selection, whose functions count as picked
```
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import to_jsonable_python

from wavecoder.artifact import Artifact, Records, Rows, write_text, writing
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.languages.secrets import has_secret
from wavecoder.machine import need_memory
from wavecoder.plugins import configure
from wavecoder.protocols import Embedder, Selector
from wavecoder.records import RawCode, Rejected
from wavecoder.select.coverage import coverage
from wavecoder.select.embedding import cache_name, embed_records
from wavecoder.select.kcenter import memory_needed, nearest_centers
from wavecoder.select.quotas import Quotas
from wavecoder.select.selectors import KCenter
from wavecoder.select.sendable import Sendable, secrets_in
from wavecoder.stage import Context

__all__ = ["Select"]

_KEYS = ("language", "source", "repository")


class Select:
    """Selects `k` functions by k-center greedy from a first center drawn with the run's seed.

    The selected functions are the records, in pick order; the others are rejected as
    `not_selected`, or as `secret` where they hold a key or password and the embedder is not on this
    machine.
    """

    name: ClassVar[str] = "select"
    data_version: ClassVar[int] = 2
    streaming: ClassVar[bool] = False
    writes: ClassVar[type[RawCode]] = RawCode

    class Config(BaseModel):
        """The `select` table of a recipe."""

        model_config = ConfigDict(
            extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
        )

        embedder: dict[str, dict[str, Any]] = Field(default={"lexical": {}})
        """Who makes vectors of functions: a name, or a name with its options."""
        k: Annotated[int, Field(ge=1)] = 24
        """How many functions to select; at most as many as `collect` kept."""
        selector: dict[str, dict[str, Any]] = Field(default={"kcenter": {}})
        """Who picks: a name, or a name with its options."""
        quotas: Quotas | None = None
        """How many of each language, source or repository; as the selector likes unless given."""
        extend: Path | None = None
        """Folder of an earlier `select`: its functions count as picked and are not picked again."""
        dtype: Literal["float32", "float16"] = "float32"
        """How a vector's numbers are stored; float16 halves the file."""

        @field_validator("embedder", "selector", mode="before")
        @classmethod
        def _one_plugin(cls, value: object) -> object:
            """Read `lexical`, and `{lexical: }` with nothing behind it, as `{lexical: {}}`."""
            if isinstance(value, str):
                return {value: {}}
            if not isinstance(value, dict) or len(value) != 1:
                raise ValueError("give one name, or one name with its options")
            return {name: {} if options is None else options for name, options in value.items()}

    def __init__(self, config: Config) -> None:
        """Build the embedder and the selector.

        Raises:
            PluginError: There is no such embedder or selector.
            ConfigError: Its options do not fit it.
        """
        self._embedder: Embedder = _plugin("embedders", config.embedder, "select.embedder")
        self._selector: Selector = _plugin("selectors", config.selector, "select.selector")
        # With the plugins' defaults filled in: a changed default is another coreset.
        self.config = config.model_copy(
            update={
                "embedder": {name: _written(self._embedder) for name in config.embedder},
                "selector": {name: _written(self._selector) for name in config.selector},
            }
        )
        self._earlier = None if config.extend is None else _earlier(config.extend)

    def identity(self) -> Mapping[str, object]:
        """Return what decides the picks: `k`, embedder, selector, quotas, the earlier selection."""
        earlier = self._earlier and self._earlier.manifest.records_sha256
        table = self.config.model_dump(mode="json", exclude={"extend"})
        (embedder,), (selector,) = self.config.embedder, self.config.selector
        return {
            **table,
            "embedder": {embedder: _options(self._embedder)},
            "selector": {selector: _options(self._selector)},
            "model": dict(self._embedder.identity()),
            "extend": earlier,
        }

    @property
    def reads(self) -> tuple[Path, ...]:
        """The earlier selection's folder."""
        return () if self.config.extend is None else (self.config.extend,)

    def inputs(self, ctx: Context) -> "_Tables":
        """Return what `collect` kept.

        Raises:
            ConfigError: It kept fewer than `k`, or was not run.
        """
        if "collect" not in ctx.upstream:
            raise ConfigError("select picks from what collect kept; add collect to the recipe.")
        found = ctx.upstream["collect"].records(RawCode)
        if not len(found):
            rejected = ctx.upstream["collect"].manifest.rejected
            reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
            raise ConfigError(
                f"collect kept no function to select from ({reasons}). "
                f"Name another source, or loosen collect.filters."
            )
        if self.config.k > len(found):
            raise ConfigError(
                f"select.k is {self.config.k} and collect kept {len(found)} functions; "
                f"set k to at most {len(found)} or collect more."
            )
        return _Tables(found)

    def run(self, inputs: Iterable[Rows], ctx: Context) -> Iterator[Rows]:
        """Yield the selected functions in pick order, then the others in input order.

        Raises:
            ConfigError: Fewer than `k` may be picked.
        """
        everything = ctx.upstream["collect"].records(RawCode)
        earlier = [] if self._earlier is None else list(self._earlier.records(RawCode))
        secrets: Mapping[int, str] = {}
        if not getattr(self._embedder, "free", False):
            secrets = secrets_in(everything, ctx.check_stop)
            earlier = [raw for raw in earlier if not has_secret(f"{raw.code}\n{raw.docstring}")]
        found = Sendable(everything, secrets)
        n = len(found)
        k = self.config.k
        if k > n:
            raise ConfigError(
                f"select.k is {k} and only {n} functions hold no key or password, which are not "
                f"sent to an embedder; set k to at most {n} or collect more."
            )
        columns = _columns(found)
        groups, quotas = self._bounds(found, columns, earlier)
        vectors = self._embed(found, earlier, ctx)

        def on_pick(done: int) -> None:
            ctx.check_stop()
            ctx.progress.step("picked", done, k)

        selection = self._selector.select(
            vectors,
            k,
            rng=ctx.rng("first center"),
            initial=range(n, n + len(earlier)),
            groups=groups,
            quotas=quotas,
            on_pick=on_pick,
        )
        picks = self._picks(selection, n)
        # Under quotas they leave out full groups, in the end all: they are no cover radii.
        radii = selection.radii[: None if self.config.quotas is None else 0]
        with writing(ctx.files / "radii.npy"), (ctx.files / "radii.npy").open("w+b") as file:
            np.save(file, np.asarray(radii, dtype=np.float32))
        ctx.progress.note("select: measuring how well the picks stand for the others")
        self._measure(vectors, picks, selection.radii, columns, ctx)
        yield Rows(_picked(found, picks))
        is_picked = np.zeros(len(everything), dtype=bool)
        is_picked[found.rows[picks]] = True
        start = 0
        for rows in inputs:
            here = is_picked[start : start + len(rows)]
            yield _others(rows.table, here, secrets, start)
            start += len(rows)

    def _bounds(
        self, found: Sendable, columns: Mapping[str, Any], earlier: list[RawCode]
    ) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """Return groups and quotas for the selector, or None where each row may be picked.

        What was picked earlier has a group of its own that gives nothing, here and in the rows
        behind.

        Raises:
            ConfigError: Fewer than `k` may be picked.
        """
        k, n = self.config.k, len(found)
        free = ~_known(found, earlier)
        if k > free.sum():
            raise ConfigError(
                f"select.k is {k} and collect kept {free.sum()} functions that are not in "
                f"{self.config.extend}; set k to at most {free.sum()} or collect more."
            )
        groups, quotas = np.zeros(n, dtype=np.int64), np.array([n])
        if self.config.quotas is not None:
            groups, quotas = self.config.quotas.count(columns[self.config.quotas.by], k, free)
        elif free.all():
            return None, None
        groups = np.where(free, groups, len(quotas))
        groups = np.concatenate([groups, np.full(len(earlier), len(quotas), np.int64)])
        return groups, np.append(quotas, 0)

    def _picks(self, selection: Any, n: int) -> NDArray[np.int64]:
        """Return what the selector picked, if it kept its contract.

        Raises:
            ConfigError: It did not.
        """
        k, picks = self.config.k, np.asarray(selection.indices)
        good = (
            picks.shape == (k,) == np.unique(picks).shape and picks.min() >= 0 and picks.max() < n
        )
        if not good or len(selection.radii) not in (0, k):
            (name,) = self.config.selector
            raise ConfigError(
                f"The selector {name} gave {picks.size} rows and {len(selection.radii)} radii, not "
                f"{k} distinct rows of 0 to {n - 1} and as many radii or none. "
                f"Mend it or use another."
            )
        return picks

    def _need_memory(self, n: int, k: int, width: int) -> None:
        """Say before anything is embedded if there is too little memory to pick then.

        Raises:
            ConfigError: There is.
        """
        if not isinstance(self._selector, KCenter):
            return
        needed = memory_needed(n, width, k, half=self.config.dtype == "float16")
        what = f"Picking {k:,} of {n:,} functions by {width} numbers each"
        need_memory(needed, what, "Collect fewer, or use an embedder of fewer dimensions.")

    def _embed(self, found: Sendable, earlier: list[RawCode], ctx: Context) -> Any:
        """Return one vector a function, those of the earlier selection last."""
        (name,) = self.config.embedder
        identity = {name: _options(self._embedder), "model": dict(self._embedder.identity())}

        def progress(done: int, total: int) -> None:
            ctx.progress.step("embedded", done, total)

        def on_width(width: int) -> None:
            self._need_memory(len(found) + len(earlier), self.config.k + len(earlier), width)

        return embed_records(
            _Chain(found, earlier),
            self._embedder,
            ctx.files,
            identity=identity,
            seed=ctx.seed,
            dtype=self.config.dtype,
            cache=ctx.folder.parent / "vectors" / cache_name(identity, self.config.dtype),
            processes=ctx.processes,
            check=ctx.check_stop,
            progress=progress,
            on_width=on_width,
            note=lambda text: ctx.progress.note(f"select: {text}"),
        )

    def _measure(
        self,
        vectors: NDArray[Any],
        picks: NDArray[np.int64],
        radii: NDArray[np.float32],
        columns: Mapping[str, Any],
        ctx: Context,
    ) -> None:
        """Write coverage.json, and centers.csv: what each pick adds and what it stands for."""
        names, codes = _codes(columns["language"])
        languages = {name: codes == code for code, name in enumerate(names)}
        earlier = len(vectors) - len(codes)
        measured = coverage(
            vectors,
            picks,
            languages,
            earlier=earlier,
            rng=ctx.rng("coverage"),
            check=ctx.check_stop,
        )
        figures = measured.figures
        if len(radii) and self.config.quotas is None:
            places = np.unique(np.geomspace(1, len(radii), 24).astype(int))
            figures["radius"] = {str(at): round(float(radii[at - 1]), 6) for at in places}
        write_text(ctx.files / "coverage.json", json.dumps(figures, indent=2) + "\n")
        path = ctx.files / "centers.csv"
        with writing(path), path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("pick", "id", "distance_to_picks_before", "stands_for"))
            ids = columns["id"].take(picks).to_pylist()
            apart = list(radii[:-1])  # after each pick, the distance of the next one
            if earlier and len(radii):
                before_first = np.arange(len(codes), len(vectors))
                apart[:0] = nearest_centers(vectors, picks[:1], before_first)[1]
            before = [""] * (len(ids) - len(apart))  # other selectors have no radii
            before += [f"{distance:.4f}" for distance in apart]
            stands_for = (f"{count:.0f}" for count in measured.stands_for)
            writer.writerows(zip(range(len(ids)), ids, before, stands_for, strict=True))


class _Tables:
    """What `collect` kept, as tables of ids; sized."""

    def __init__(self, found: Records[RawCode]) -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Rows]:
        return map(Rows, self._found.tables(["id"]))


class _Chain:
    """Two sequences of functions as one that can be read twice."""

    def __init__(self, first: Iterable[RawCode], second: Iterable[RawCode]) -> None:
        self._parts = (first, second)

    def __iter__(self) -> Iterator[RawCode]:
        return chain(*self._parts)


def _plugin(group: str, given: Mapping[str, Mapping[str, Any]], where: str) -> Any:
    ((name, table),) = given.items()
    return configure(group, name, table, f"{where}.{name}")


def _written(plugin: Any) -> dict[str, Any]:
    """Return all of a plugin's options, also those that decide nothing: where a model is."""
    options: dict[str, Any] = to_jsonable_python(dict(plugin.config))
    return options


def _options(plugin: Any) -> dict[str, Any]:
    """Return a plugin's options that decide what comes out."""
    options: dict[str, Any] = plugin.config.model_dump(mode="json")
    return options


def _earlier(folder: Path) -> Artifact:
    """Return an earlier selection.

    Raises:
        ConfigError: The folder holds none.
    """
    do = "Name the select folder of a finished run, such as runs/demo/2-select."
    try:
        found = Artifact.open(folder)
    except ArtifactError as error:
        raise ConfigError(
            f"select.extend names {folder}, which is no complete stage. {do}"
        ) from error
    if found.manifest.stage != Select.name:
        raise ConfigError(f"select.extend names {folder}, which holds {found.manifest.stage}. {do}")
    return found


def _columns(found: Sendable) -> dict[str, Any]:
    """Return the ids and what quotas may be set by, each as one Arrow column."""
    import pyarrow as pa

    tables = list(found.tables(["id", *_KEYS]))
    whole = pa.concat_tables(tables)
    return {name: whole[name] for name in whole.column_names}


def _known(found: Sendable, earlier: list[RawCode]) -> NDArray[np.bool_]:
    """Return which functions an earlier selection has too, wherever it had them from."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not earlier:
        return np.zeros(len(found), dtype=np.bool_)
    hashes = pa.array([raw.content_hash for raw in earlier])
    known = [
        pc.is_in(table["content_hash"], hashes).to_numpy()
        for table in found.tables(["content_hash"])
    ]
    return np.concatenate(known)


def _codes(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names in a column, sorted, and for each row the place of its name."""
    names = sorted(name or "" for name in column.unique().to_pylist())
    place = {name: code for code, name in enumerate(names)}
    codes = np.fromiter((place[name or ""] for name in column.to_pylist()), np.int64, len(column))
    return names, codes


def _picked(found: Sendable, picks: NDArray[np.int64]) -> Any:
    """Return the picked rows as a table in pick order."""
    import pyarrow as pa

    order = np.sort(picks)
    tables, start = [], 0
    for table in found.tables():
        low, high = np.searchsorted(order, (start, start + len(table)))
        if low < high:
            tables.append(table.take(pa.array(order[low:high] - start)))
        start += len(table)
    return pa.concat_tables(tables).take(pa.array(np.argsort(np.argsort(picks))))


def _others(table: Any, picked: NDArray[np.bool_], secrets: Mapping[int, str], start: int) -> Rows:
    """Return the functions of a portion that were not picked, as rejected.

    Args:
        table: Their ids.
        picked: Which of them were.
        secrets: Why a function was not embedded, by its row among all inputs.
        start: Row of the first function of the portion.
    """
    import pyarrow as pa

    ids = table["id"].filter(pa.array(~picked))
    held = [secrets.get(start + int(row)) for row in np.flatnonzero(~picked)]
    texts = {
        "reason": ["not_selected" if secret is None else "secret" for secret in held],
        "detail": [_NOT_SELECTED if secret is None else secret for secret in held],
    }
    columns = {
        name: ids
        if name == "id"
        else pa.array(texts[name], pa.string())
        if name in texts
        else pa.nulls(len(ids))
        for name in Rejected.model_fields
    }
    return Rows(pa.table(columns), kept=False)


_NOT_SELECTED = "other functions are farther from the picks; `wavecoder near` names its nearest"
