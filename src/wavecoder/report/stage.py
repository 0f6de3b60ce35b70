"""The stage `report`: count what happened and show it on one page."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.artifact import write_text
from wavecoder.errors import ConfigError
from wavecoder.llm import Prices
from wavecoder.records import Figure, digest
from wavecoder.report.figures import figures
from wavecoder.report.page import render, template_text
from wavecoder.report.scores import published_text
from wavecoder.stage import Context

__all__ = ["Report"]


class Report:
    """Computes the figures of a run and writes `report.html`; nothing is sampled again."""

    name: ClassVar[str] = "report"
    data_version: ClassVar[int] = 2
    streaming: ClassVar[bool] = False
    writes: ClassVar[type[Figure]] = Figure

    class Config(BaseModel):
        """The `report` table of a recipe."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        shown: Annotated[int, Field(ge=0)] = 12
        """Most accepted instances on the page, and most refused ones."""
        prices: Path | None = None
        """YAML file of your own prices, in front of the built-in ones."""

    def __init__(self, config: Config) -> None:
        """Take the options.

        Raises:
            ConfigError: The prices cannot be read.
        """
        self.config = config
        self.prices = Prices.load(config.prices)

    def identity(self) -> Mapping[str, object]:
        """Return what decides the page beside the artifacts before it."""
        return {
            "shown": self.config.shown,
            "template": digest(template_text()),
            "published": digest(published_text()),
            "prices": digest(*_price_texts(self.config.prices)),
        }

    def inputs(self, ctx: Context) -> Iterable[Figure]:
        """Return the figures of all stages before this one.

        Raises:
            ConfigError: There is none.
        """
        if not ctx.upstream:
            raise ConfigError(
                "report shows what other stages did; add collect or evaluate to the recipe."
            )
        return figures(ctx.upstream, self.prices)

    def run(self, inputs: Iterable[Figure], ctx: Context) -> Iterator[Figure]:
        """Write the page, then yield the figures."""
        found = list(inputs)
        page = render(ctx.upstream, self.config.shown, prices=self.prices)
        write_text(ctx.files / "report.html", page)
        yield from found


def _price_texts(own: Path | None) -> Iterator[str]:
    """Yield the tables of prices, as they are written."""
    yield files("wavecoder.llm").joinpath("prices.yaml").read_text(encoding="utf-8")
    if own is not None:
        yield own.read_text(encoding="utf-8")
