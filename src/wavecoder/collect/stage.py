"""The stage `collect`: sources -> filters -> exact duplicates -> RawCode.

```yaml
collect:
  sources:
    - package: stdlib         # an installed Python package, or the running Python's library
    - directory: ./src        # a folder or a single file
  languages: [python, java]   # all, unless given
  filters:
    length: {least: 50, most: 800}
    test: false               # switched off
```
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from wavecoder.errors import ConfigError
from wavecoder.languages import language
from wavecoder.plugins import configure, load_plugin, nearest, plugin_names, validate
from wavecoder.protocols import Filter, Source
from wavecoder.records import RawCode, Record, Rejected, digest
from wavecoder.stage import Context

__all__ = ["DEFAULT_FILTERS", "Collect"]

DEFAULT_FILTERS = ("length", "constructor", "test", "trivial")
"""The filters that run unless switched off, cheap ones first. Others run where a recipe names them,
after these."""


class Collect:
    """Cuts functions out of source code, filters them and drops exact duplicates."""

    name: ClassVar[str] = "collect"
    data_version: ClassVar[int] = 1
    streaming: ClassVar[bool] = True
    writes: ClassVar[type[Record]] = RawCode

    class Config(BaseModel):
        """The table `collect` of a recipe."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        sources: tuple[dict[str, Any], ...] = Field(min_length=1)
        """Where code comes from, in order. One key names the kind of source, and its value says
        which; the other keys are the source's options."""
        languages: tuple[str, ...] | None = None
        """The languages wanted; all unless given."""
        filters: dict[str, dict[str, Any] | bool | None] = {}
        """Options of filters by name; `false` switches one off."""

    def __init__(self, config: Config) -> None:
        """Build the sources and the filters.

        Raises:
            ConfigError: A source, language or filter is unknown, or its options do not fit.
        """
        self.config = config
        wanted = config.languages
        self._languages = None if wanted is None else tuple(language(name).name for name in wanted)
        self._sources = tuple(
            self._source(entry, f"collect.sources[{place}]")
            for place, entry in enumerate(config.sources)
        )
        self._filters: list[Filter] = []
        self._filter_options: dict[str, Any] = {}
        for name, options in self._filter_tables().items():
            where = f"collect.filters.{name}"
            plugin: Any = load_plugin("filters", name)
            checked = validate(plugin.Config, options, where)
            self._filters.append(plugin(checked))
            self._filter_options[name] = checked.model_dump(mode="json")

    def identity(self) -> Mapping[str, object]:
        """Return the listing of each source and the options of each filter.

        Raises:
            ConfigError: A source holds no code.
        """
        return {
            "sources": {
                str(place): dict(source.identity()) for place, source in enumerate(self._sources)
            },
            "languages": self._languages,
            "filters": self._filter_options,
        }

    def inputs(self, ctx: Context) -> Iterator[RawCode | Rejected]:
        """Yield every function of every source, and the files that gave none."""
        seen: set[str] = set()
        for source in self._sources:
            for record in source.read():
                identity = record.id
                # Two functions alike on one line, or two folders of the same name.
                while identity in seen:
                    identity = digest(identity, "again")
                seen.add(identity)
                yield record.model_copy(update={"id": identity})

    def run(
        self, inputs: Iterable[RawCode | Rejected], ctx: Context
    ) -> Iterator[RawCode | Rejected]:
        """Yield each function that passes the filters and is the first of its text."""
        kept = {
            raw.content_hash: _where(raw)
            for raw in ctx.finished(RawCode)
            if isinstance(raw, RawCode)
        }
        for raw in inputs:
            if isinstance(raw, Rejected):
                yield raw
                continue
            refusal = self._refusal(raw, kept)
            if refusal is None:
                kept[raw.content_hash] = _where(raw)
                yield raw
            else:
                reason, detail = refusal
                yield Rejected(id=raw.id, reason=reason, detail=f"{_where(raw)}: {detail}")

    def _refusal(self, raw: RawCode, kept: Mapping[str, str]) -> tuple[str, str] | None:
        if self._languages is not None and raw.language not in self._languages:
            return "other_language", f"it is {language(raw.language).title}"
        for rule in self._filters:
            refusal = rule.check(raw)
            if refusal is not None:
                return refusal
        first = kept.get(raw.content_hash)
        return ("duplicate", f"the same text as {first}") if first else None

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
        tables = {}
        # Sorted, so that the order in the recipe, which no fingerprint sees, decides nothing.
        for name in dict.fromkeys((*DEFAULT_FILTERS, *sorted(self.config.filters))):
            if name not in known and ":" not in name:
                raise ConfigError(
                    f"collect.filters.{name} is not a known filter.{nearest(name, known)} "
                    f"Known: {', '.join(known)}."
                )
            options = self.config.filters.get(name, True)
            if options is not False:
                tables[name] = options if isinstance(options, dict) else {}
        return tables


def _where(raw: RawCode) -> str:
    return f"{raw.source}/{raw.path}:{raw.start_line} {raw.name}"
