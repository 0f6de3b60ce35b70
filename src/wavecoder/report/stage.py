"""The stage `report`: count what happened and show it on one page."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.artifact import write_text
from wavecoder.errors import ConfigError
from wavecoder.records import Figure, digest
from wavecoder.report.figures import figures
from wavecoder.report.page import render, template_text
from wavecoder.stage import Context

__all__ = ["Report"]


class Report:
    """Computes the figures of a run and writes `report.html`; nothing is sampled again."""

    name: ClassVar[str] = "report"
    data_version: ClassVar[int] = 1
    streaming: ClassVar[bool] = False
    writes: ClassVar[type[Figure]] = Figure

    class Config(BaseModel):
        """The `report` table of a recipe."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        shown: Annotated[int, Field(ge=0)] = 12
        """Most accepted instances on the page, and most refused ones."""

    def __init__(self, config: Config) -> None:
        """Take the options."""
        self.config = config

    def identity(self) -> Mapping[str, object]:
        """Return what decides the page beside the artifacts before it."""
        return {"shown": self.config.shown, "template": digest(template_text())}

    def inputs(self, ctx: Context) -> Iterable[Figure]:
        """Return the figures of all stages before this one.

        Raises:
            ConfigError: There is none.
        """
        if not ctx.upstream:
            raise ConfigError("report shows what other stages did; add collect to the recipe.")
        return figures(ctx.upstream)

    def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure]:
        """Write the page, then yield the figures."""
        found = list(inputs)
        write_text(ctx.files / "report.html", render(ctx.upstream, self.config.shown))
        yield from found
