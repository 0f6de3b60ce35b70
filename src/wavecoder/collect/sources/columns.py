"""Which column of a table holds what, and how its rows become records."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from wavecoder.collect.filters.secrets import shown
from wavecoder.collect.licenses.names import all_of, named_license
from wavecoder.collect.sources.rows import Fault, Row
from wavecoder.collect.sources.snippets import lone_function, span_fault, text_fault, unix_lines
from wavecoder.errors import ConfigError
from wavecoder.languages import Language, functions, language, language_named, syntax_errors
from wavecoder.plugins import nearest
from wavecoder.records import LicenseSource, RawCode, Rejected, digest

__all__ = ["Columns", "Table", "TableOptions"]


class Columns(BaseModel):
    """Which column holds what; where nothing is said, the column of the field's own name."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    code: str = "code"
    """The function, or with `cut` the file."""
    docstring: str | None = None
    """Its doc comment; read from the code where there is no column or the cell is empty."""
    language: str | None = None
    """Its language, by any name or tag."""
    name: str | None = None
    """The function's name; read from the code where there is no column or the cell is empty."""
    path: str | None = None
    """The file it was in; the row's place in the table where there is no column."""
    repository: str | None = None
    commit: str | None = None
    license: str | None = None
    """An SPDX expression or a licence's name; of a list of them all hold."""


class TableOptions(BaseModel):
    """Which table, and what is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str
    """A file, a folder, or a pattern such as `data/*.jsonl.gz`; `~` is your home."""
    columns: Columns = Columns()
    """The names of the columns."""
    language: str | None = None
    """The language of rows that name none."""
    languages: tuple[str, ...] | None = None
    """The languages wanted; `collect.languages` unless given."""
    cut: bool = False
    """True: a row is a file, and every function in it is taken. False: a row is one function."""


class Table:
    """Rows on their way to records."""

    def __init__(self, label: str, config: TableOptions, names: list[str] | None) -> None:
        """Settle which column holds what.

        Args:
            label: What the records name as their source.
            config: The options.
            names: The columns there are; None where nobody knows.

        Raises:
            ConfigError: A column that is named is not there, or nothing tells the language.
        """
        self.label = label
        self._cut = config.cut
        self._language = language(config.language).name if config.language else None
        wanted = config.languages
        self._wanted = None if wanted is None else {language(name).name for name in wanted}
        self.columns: dict[str, str] = {}
        for field in Columns.model_fields:
            column = getattr(config.columns, field) or field
            if names is None or column in names:
                self.columns[field] = column
            elif field == "code" or field in config.columns.model_fields_set:
                raise ConfigError(
                    f"{label} has no column {column!r}.{nearest(column, names)} "
                    f"It has: {', '.join(names)}. Name one, `columns: {{{field}: …}}`."
                )
        if self._language and config.columns.language is None:
            self.columns.pop("language", None)
        if not self._language and "language" not in self.columns:
            raise ConfigError(
                f"{label} does not tell the language of its rows. Add `language: python`, "
                f"or name its column, `columns: {{language: …}}`; it has: {', '.join(names or [])}."
            )

    def identity(self) -> dict[str, object]:
        """Return what decides the records beside the rows."""
        return {
            "source": self.label,
            "columns": self.columns,
            "language": self._language,
            "languages": sorted(self._wanted) if self._wanted is not None else None,
            "cut": self._cut,
        }

    def outcomes(self, row: Row, file: str) -> Iterator[RawCode | Rejected]:
        """Yield what a row gives: one outcome, or with `cut` one for each function."""
        cells = row.cells
        texts = cells if isinstance(cells, Fault) else self._texts(cells)
        found = texts if isinstance(texts, Fault) else self._row_language(texts)
        if isinstance(texts, Fault):
            yield self._rejected(row, file, texts)
        elif isinstance(found, Fault):
            yield self._rejected(row, file, found)
        elif self._cut:
            yield from self._functions(row, file, texts, found)
        else:
            yield self._function(row, file, texts, found)

    def _function(
        self, row: Row, file: str, texts: Mapping[str, str], found: Language
    ) -> RawCode | Rejected:
        snippet = lone_function(texts["code"], found, texts.get("name", ""))
        if isinstance(snippet, Fault):
            return self._rejected(row, file, snippet)
        return RawCode(
            id=digest(self.label, file, str(row.place)),
            language=found.name,
            name=texts.get("name") or snippet.name,
            code=snippet.code,
            docstring=texts.get("docstring") or snippet.docstring,
            start_line=None,
            end_line=None,
            content_hash=digest(snippet.code),
            **self._origin(row, file, texts),
        )

    def _functions(
        self, row: Row, file: str, texts: Mapping[str, str], found: Language
    ) -> Iterator[RawCode | Rejected]:
        code = texts["code"]
        count = 0
        for count, span in enumerate(functions(code, found.name), 1):
            if fault := span_fault(span, found):
                at = f"{span.name} in line {span.start_line}: {fault.detail}"
                yield self._rejected(row, file, Fault(fault.reason, at), str(count))
                continue
            yield RawCode(
                id=digest(self.label, file, str(row.place), str(count)),
                language=found.name,
                name=span.name,
                code=span.code,
                docstring=span.docstring,
                start_line=span.start_line,
                end_line=span.end_line,
                content_hash=digest(span.code),
                **self._origin(row, file, texts),
            )
        if not count:
            issues = syntax_errors(code, found.name)
            fault = Fault("no_functions", "it has no function with a body")
            if issues:
                what = shown(issues[0].what, code)
                fault = Fault("syntax_error", f"line {issues[0].line}, {what}")
            yield self._rejected(row, file, fault)

    def _origin(self, row: Row, file: str, texts: Mapping[str, str]) -> dict[str, Any]:
        known = texts.get("license")
        return {
            "source": self.label,
            "path": texts.get("path") or f"{file}#{row.place}",
            "repository": texts.get("repository"),
            "commit": texts.get("commit"),
            "license": known,
            "license_source": LicenseSource.DATASET if known else LicenseSource.UNKNOWN,
        }

    def _texts(self, cells: Mapping[str, Any]) -> dict[str, str] | Fault:
        """Return the cells that are text by field; empty ones are left out, but for the code."""
        texts: dict[str, str] = {}
        for field, column in self.columns.items():
            value = cells.get(column)
            if field == "license":
                value = _expression(value)
            if value is None:
                if field == "code":
                    return Fault("missing_field", f"it has no {column!r}")
            elif not isinstance(value, str):
                kind = type(value).__name__
                return Fault("wrong_type", f"its {column!r} is of type {kind}, text is wanted")
            elif value.strip() or field == "code":
                if not value.isascii() and (fault := _half_character(column, value)):
                    return fault
                texts[field] = unix_lines(value) if field == "code" else value.strip()
        if fault := text_fault(texts["code"]):
            return fault
        return texts

    def _row_language(self, texts: Mapping[str, str]) -> Language | Fault:
        given = texts.get("language")
        found = language_named(given or self._language or "")
        if found is None:
            if not given:
                return Fault("missing_field", f"it has no {self.columns['language']!r}")
            return Fault("other_language", f"its language, {given[:40]!r}, is not known here")
        if self._wanted is not None and found.name not in self._wanted:
            return Fault("other_language", f"it is {found.title}")
        return found

    def _rejected(self, row: Row, file: str, fault: Fault, *more: str) -> Rejected:
        where = f"{self.label}/{file}:{row.place}" if row.place else f"{self.label}/{file}"
        identity = digest(self.label, file, str(row.place), *more)
        return Rejected(id=identity, reason=fault.reason, detail=f"{where}: {fault.detail}")


def _expression(value: Any) -> Any:
    """Return a licence as an SPDX expression, None where it is vague, and no text as it came.

    Of a list of licences a user must heed them all.
    """
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        return value
    found = [named_license(name) for name in names]
    return all_of([name for name in found if name]) if all(found) else None


def _half_character(column: str, value: str) -> Fault | None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return Fault("not_utf8", f"its {column!r} has half a character: {error}")
    return None
