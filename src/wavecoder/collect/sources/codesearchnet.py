"""Where raw code comes from: CodeSearchNet (arXiv 1909.09436), two million functions.

```yaml
sources:
  - codesearchnet: /data/CodeSearchNet     # the published tree, unpacked, or any part of it
    languages: [python, go]
    splits: [train, valid, test]           # train alone, unless given
```

Read are `{lang}/final/jsonl/{train,valid,test}/{lang}_{split}_{i}.jsonl.gz` as they were published,
and the parquet files of the hub, which give the same fields other names.

- Training data is made of `train` unless a recipe says otherwise, so that what CodeSearchNet keeps
  for valuation and test stays unseen. The paper does not say which splits it took.
- The published `code` of a Python function holds its docstring; here the two are apart.
- The functions were cut out by a parser when they were published, and are not parsed again.
- No licence is known: the published `*_licenses.pkl` are pickles, which run code when they are
  loaded, and are not opened.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavecoder.collect.sources.rows import SUFFIXES, Fault, jsonl_rows, parquet_rows
from wavecoder.collect.sources.shards import Shard, find_shards, listing, parts_of
from wavecoder.collect.sources.snippets import (
    Snippet,
    flush_left,
    lone_function,
    text_fault,
    unix_lines,
    without_docstring,
)
from wavecoder.errors import ConfigError
from wavecoder.languages import Language, language, language_named
from wavecoder.records import RawCode, Rejected, digest

__all__ = ["FIELDS", "HUB_FIELDS", "CodeSearchNet"]

FIELDS = (
    *("repo", "path", "func_name", "original_string", "language", "code", "code_tokens"),
    *("docstring", "docstring_tokens", "sha", "url", "partition"),
)
"""The fields of a published row, in their order."""

HUB_FIELDS: Mapping[str, str] = {
    "repo": "repository_name",
    "path": "func_path_in_repository",
    "func_name": "func_name",
    "original_string": "whole_func_string",
    "language": "language",
    "code": "func_code_string",
    "code_tokens": "func_code_tokens",
    "docstring": "func_documentation_string",
    "docstring_tokens": "func_documentation_tokens",
    "partition": "split_name",
    "url": "func_code_url",
}
"""What the hub calls them; it has no `sha`."""

_SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
_LANGUAGES = ("go", "java", "javascript", "php", "python", "ruby")
_PLACE = re.compile(
    r"(?:/blob/(?P<commit>[0-9a-f]{7,64})/.*)?#L(?P<first>\d{1,9})(?:-L(?P<last>\d{1,9}))?$"
)


class _Names(NamedTuple):
    """The columns that are read."""

    code: str
    docstring: str
    func_name: str
    language: str
    repo: str
    path: str
    url: str
    partition: str
    sha: str


_PUBLISHED = _Names(**{name: name for name in _Names._fields})
_HUB = _Names(**{name: HUB_FIELDS.get(name, name) for name in _Names._fields})


class _Place(NamedTuple):
    """What a path tells of a shard."""

    language: str | None
    split: str | None


class CodeSearchNet:
    """The functions of CodeSearchNet, shard by shard."""

    class Config(BaseModel):
        """Which part of it."""

        model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

        path: Path
        """The folder of the published tree, a part of it, or a file; `~` is your home."""
        languages: tuple[str, ...] | None = None
        """The languages wanted; `collect.languages` unless given."""
        splits: Annotated[tuple[Literal["train", "valid", "test"], ...], Field(min_length=1)] = (
            "train",
        )
        """The splits wanted."""

    label = "codesearchnet"

    def __init__(self, config: Config) -> None:
        """Find the shards.

        Raises:
            ConfigError: There is none of the languages and splits wanted.
        """
        wanted = config.languages
        self._languages = None if wanted is None else {language(name).name for name in wanted}
        self._splits = frozenset(config.splits)
        suffixes = (*SUFFIXES["jsonl"], *SUFFIXES["parquet"])
        try:
            self._root, found = find_shards(str(config.path), suffixes)
        except ConfigError as error:
            packed = sorted(config.path.expanduser().glob("*.zip"))
            if packed or config.path.suffix == ".zip":
                raise ConfigError(f"{error} Unpack the zip files first.") from error
            raise
        self._shards = [shard for shard in found if self._is_wanted(shard)]
        if not self._shards:
            kinds = {self._place(shard.relative) for shard in found}
            there = ", ".join(
                sorted(f"{kind.language or '?'} {kind.split or '?'}" for kind in kinds)
            )
            raise ConfigError(
                f"{config.path} has no shard that is wanted: languages "
                f"{', '.join(sorted(self._languages or _LANGUAGES))}, splits "
                f"{', '.join(sorted(self._splits))}. There are: {there}. "
                f"Change `languages` or `splits`."
            )

    def identity(self) -> Mapping[str, object]:
        """Return the options, and a digest of the names and sizes of the shards."""
        return {
            "source": "codesearchnet",
            "languages": sorted(self._languages) if self._languages is not None else None,
            "splits": sorted(self._splits),
            "files": len(self._shards),
            "listing": listing(self._shards),
        }

    def pieces(self) -> Iterator[Shard]:
        """Yield the shards in order of path; a parquet file in runs of row groups."""
        return (part for shard in self._shards for part in parts_of(shard))

    def read(self, piece: Shard) -> Iterator[RawCode | Rejected]:
        """Yield the functions of a shard, row by row."""
        place = self._place(piece.relative)
        if piece.path.suffix in SUFFIXES["parquet"]:
            rows = parquet_rows(piece.path, groups=piece.groups, columns=(*_PUBLISHED, *_HUB))
        else:
            rows = jsonl_rows(piece.path)
        for number, cells in rows:
            found = (
                cells
                if isinstance(cells, Fault)
                else self._record(number, cells, piece.relative, place)
            )
            yield self._rejected(piece, number, found) if isinstance(found, Fault) else found

    @staticmethod
    def _rejected(shard: Shard, number: int, fault: Fault) -> Rejected:
        where = f"codesearchnet/{shard.relative}" + (f":{number}" if number else "")
        identity = digest("codesearchnet", shard.relative, str(number))
        return Rejected(id=identity, reason=fault.reason, detail=f"{where}: {fault.detail}")

    def _record(
        self, number: int, cells: Mapping[str, Any], file: str, place: _Place
    ) -> RawCode | Fault:
        """Return a row as a record, or why it is none."""
        names = _HUB if _HUB.code in cells else _PUBLISHED
        code = cells.get(names.code)
        if code is None:
            return Fault("missing_field", f"it has no {names.code!r}")
        if not isinstance(code, str):
            return Fault("wrong_type", f"its {names.code!r} is of type {type(code).__name__}")
        row = self._row_language(cells.get(names.language), place)
        if isinstance(row, Fault):
            return row
        split = place.split or _SPLITS.get(str(cells.get(names.partition)))
        if split not in self._splits:
            return Fault("other_split", f"its split is {split or 'unknown'}")
        if fault := text_fault(code):
            return fault
        name = cells.get(names.func_name) or ""
        snippet = _snippet(unix_lines(code), row, name if isinstance(name, str) else "")
        if isinstance(snippet, Fault):
            return snippet
        docstring = snippet.docstring or cells.get(names.docstring)
        if isinstance(docstring, str):
            docstring = unix_lines(docstring).strip() or None
        url = cells.get(names.url)
        found = _PLACE.search(url) if isinstance(url, str) else None
        first = int(found["first"]) if found else None
        try:
            record = RawCode(
                id=digest("codesearchnet", file, str(number)),
                language=row.name,
                name=name or snippet.name,
                code=snippet.code,
                docstring=docstring,
                source=self.label,
                path=cells.get(names.path) or f"{file}#{number}",
                start_line=first,
                end_line=int(found["last"] or found["first"]) if found else None,
                content_hash=digest(snippet.code),
                repository=cells.get(names.repo) or None,
                commit=cells.get(names.sha) or (found["commit"] if found else None),
            )
            texts = (record.name, record.docstring, record.path, record.repository, record.commit)
            "".join(text or "" for text in texts).encode()
        except ValidationError as error:
            return _why_invalid(error)
        except UnicodeEncodeError as error:
            return Fault("not_utf8", f"a field of it has half a character: {error}")
        return record

    def _row_language(self, given: object, place: _Place) -> Language | Fault:
        given = given or place.language
        if given is None:
            return Fault("missing_field", "it has no language")
        if not isinstance(given, str):
            return Fault("wrong_type", f"its language is of type {type(given).__name__}")
        found = _named(given)
        if found is None:
            return Fault("other_language", f"its language, {given[:40]!r}, is not known here")
        if self._languages is not None and found.name not in self._languages:
            return Fault("other_language", f"it is {found.title}")
        return found

    def _is_wanted(self, shard: Shard) -> bool:
        """Say whether a shard may hold rows that are wanted, as far as its path tells."""
        place = self._place(shard.relative)
        language_fits = (
            self._languages is None or place.language is None or place.language in self._languages
        )
        return language_fits and (place.split is None or place.split in self._splits)

    def _place(self, relative: str) -> _Place:
        """Return what the path tells; the file's name tells it better than its folders."""
        path = PurePosixPath(self._root, relative)
        words = [part for part in path.parts[:-1] if part != "/"]
        words += re.split(r"[^a-z]+", path.name)
        languages = [word for word in words if word in _LANGUAGES]
        splits = [_SPLITS[word] for word in words if word in _SPLITS]
        return _Place(languages[-1] if languages else None, splits[-1] if splits else None)


def _snippet(code: str, row: Language, name: str) -> Snippet | Fault:
    """Return the function at the left edge, without its docstring where the text holds one."""
    code = flush_left(code, row.name, name)
    if row.name == "python":
        parts = without_docstring(code)
        if parts is None:
            return Fault("syntax_error", "it is not one Python function")
    else:
        parts = code.rstrip(), None, ""
    if not name:
        # JavaScript's functions without a name are published under none.
        read = lone_function(code, row)
        name = "?" if isinstance(read, Fault) else read.name
    return Snippet(parts[0], parts[1], name)


def _why_invalid(error: ValidationError) -> Fault:
    """Return the first thing that makes a row no record."""
    first = error.errors()[0]
    kind = type(first["input"]).__name__
    return Fault("wrong_type", f"its {first['loc'][0]} is of type {kind}, text is wanted")


@lru_cache(maxsize=64)
def _named(name: str) -> Language | None:
    return language_named(name)
