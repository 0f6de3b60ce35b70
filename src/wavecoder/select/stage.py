"""The stage `select`: embed the functions, pick the most diverse ones (paper section 2.2.1)."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from wavecoder.artifact import writing
from wavecoder.errors import ConfigError
from wavecoder.plugins import load_plugin, validate
from wavecoder.protocols import Embedder
from wavecoder.records import RawCode, Rejected
from wavecoder.select.kcenter import kcenter_greedy
from wavecoder.stage import Context

__all__ = ["Select"]


class Select:
    """Selects `k` functions by k-center greedy from a first center drawn with the run's seed.

    The selected functions are the records, in pick order; the others are rejected as
    `not_selected`.
    """

    name: ClassVar[str] = "select"
    data_version: ClassVar[int] = 1
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

        @field_validator("embedder", mode="before")
        @classmethod
        def _one_embedder(cls, value: object) -> object:
            """Read `lexical`, and `{lexical: }` with nothing behind it, as `{lexical: {}}`."""
            if isinstance(value, str):
                return {value: {}}
            if not isinstance(value, dict) or len(value) != 1:
                raise ValueError("give one name, or one name with its options")
            return {name: {} if options is None else options for name, options in value.items()}

    def __init__(self, config: Config) -> None:
        """Build the embedder.

        Raises:
            PluginError: There is no such embedder.
            ConfigError: Its options do not fit it.
        """
        ((name, table),) = config.embedder.items()
        plugin: Any = load_plugin("embedders", name)
        options = validate(plugin.Config, table, f"select.embedder.{name}")
        self._embedder: Embedder = plugin(options)
        # With the embedder's defaults filled in: a changed default is another coreset.
        self.config = config.model_copy(
            update={"embedder": {name: options.model_dump(mode="json")}}
        )

    def identity(self) -> Mapping[str, object]:
        """Return `k` and the embedder with all its options."""
        return {"embedder": self.config.embedder, "k": self.config.k}

    def inputs(self, ctx: Context) -> Iterable[RawCode]:
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
        return found

    def run(self, inputs: Iterable[RawCode], ctx: Context) -> Iterator[RawCode | Rejected]:
        """Yield the selected functions in pick order, then the others in input order."""
        raw_codes = list(inputs)
        ctx.progress.note(f"select: embedding {len(raw_codes)} functions")
        vectors = self._embedder.embed(raw_codes, ctx.seed)
        if len(vectors) != len(raw_codes):
            raise ConfigError(
                f"The embedder gave {len(vectors)} vectors for {len(raw_codes)} functions; "
                f"mend it or use another."
            )
        first = ctx.rng("first center").randrange(len(raw_codes))
        selection = kcenter_greedy(vectors, self.config.k, first=first, on_pick=ctx.check_stop)
        _save(ctx.files / "vectors.npy", vectors)
        _save(ctx.files / "radii.npy", selection.radii)

        selected = selection.indices.tolist()
        for row in selected:
            yield raw_codes[row]
        left = set(range(len(raw_codes))).difference(selected)
        for row in sorted(left):
            yield Rejected(
                id=raw_codes[row].id,
                reason="not_selected",
                detail=f"distance {selection.distances[row]:.3f} to its nearest center",
            )


def _save(path: Path, array: NDArray[np.float32]) -> None:
    """Write an array as float32; the stage starts again from nothing after a kill."""
    # Into a plain "wb" file numpy writes past Python, and a full disk is an error without a reason.
    with writing(path), path.open("w+b") as file:
        np.save(file, np.asarray(array, dtype=np.float32))
