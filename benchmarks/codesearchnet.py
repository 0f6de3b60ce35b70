"""Write files in the layout of CodeSearchNet, with as many rows as wanted, out of real functions.

Run: `.venv/bin/python benchmarks/codesearchnet.py FOLDER OUT [--rows 2000000] [--parquet]`.

FOLDER holds source code, such as `benchmarks/corpus.py` fetches. Documented functions are cut out
of it, some thousands a language, and every row is one of them edited: names are exchanged for
others of the same language, numbers changed, statements left out and put in. Of a hundred rows one
to three are copies of another, and two to seven near one (sets of five tokens in a row, Jaccard
0.7). Languages, splits and the sizes of shards are those of what was published: as many rows as
there, 2,070,536, are 78 shards. The same FOLDER and seed give the same bytes.

With `--parquet` the files are those of the hub: other names of fields, no `sha`.
"""

import argparse
import gzip
import json
import os
import random
import re
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

from wavecoder.collect.sources.codesearchnet import FIELDS, HUB_FIELDS
from wavecoder.languages import LANGUAGES, functions, language_of, leaves, parse

PUBLISHED = {
    "php": {"train": 523_712, "valid": 26_015, "test": 28_391},
    "java": {"train": 454_451, "valid": 15_328, "test": 26_909},
    "python": {"train": 412_178, "valid": 23_107, "test": 22_176},
    "go": {"train": 317_832, "valid": 14_242, "test": 14_291},
    "javascript": {"train": 123_889, "valid": 8_253, "test": 6_483},
    "ruby": {"train": 48_791, "valid": 2_209, "test": 2_279},
}
"""Rows, from the notebook of the published dataset; the largest language first."""

ROWS_A_SHARD = 30_000
LARGEST_FILE = 500_000
MOST_CHARACTERS = 8_000
_WORD = re.compile(r"\w+")
_PROSE = re.compile(r"\w+|[^\w\s]")
_TRIPLE = re.compile(r"""[rRuU]?(?:\"{3}|'{3})""")
# Grammars give these as names; exchanged, the code would be no code.
_FIXED = frozenset(
    {
        *("self", "cls", "this", "super", "None", "True", "False", "null", "nil", "undefined"),
        *("true", "false", "int", "long", "short", "byte", "char", "float", "double", "bool"),
        *("boolean", "void", "string", "String", "error", "array", "parent", "static", "mixed"),
        *("object", "iterable", "callable", "echo", "print", "new"),
    }
)


@dataclass
class Base:
    """A real function, in pieces that can be edited and joined again."""

    repo: str
    path: str
    name: str
    docstring: str
    gaps: list[str]
    """What stands before each token, and behind the last: space, comments, Python's docstring."""
    tokens: list[str]
    names: list[str]
    """The names in it that may be exchanged."""
    numbers: list[int]
    """Which tokens are numbers."""
    prose: int
    """Which gap holds the docstring, in Python; -1 in other languages."""
    statements: list[tuple[int, int]]
    """Runs of tokens, each a line, that may be left out."""


def bases_of(folder: Path, language: str, most: int, seed: int) -> list[Base]:
    """Return documented functions of a language, from files all over the folder."""
    found: list[Base] = []
    for relative in sorted(_files(folder, language), key=lambda name: _hex(f"{seed} {name}")):
        try:
            text = (folder / relative).read_text(encoding="utf-8").replace("\r\n", "\n")
        except (OSError, UnicodeError):
            continue
        data = text.encode()
        package, slash, inside = relative.partition("/")
        if not slash:
            package, inside = folder.name, relative
        # A file gives few, so that they come from many.
        room = 40
        for span in functions(text, language):
            if span.issue or not span.docstring or len(span.docstring.split()) < 3:
                continue
            code = data[span.start_byte : span.end_byte].decode()
            if span.code.count("\n") < 2 or len(code) > MOST_CHARACTERS:
                continue
            base = _base(code, language, span.docstring)
            if base is not None:
                base.repo, base.path, base.name = package, inside, span.name
                found.append(base)
                room -= 1
            if not room or len(found) >= most:
                break
        if len(found) >= most:
            break
    return found


def rows_of(
    bases: list[Base], pools: dict[str, list[str]], language: str, split: str, count: int, rng: Any
) -> Iterator[dict[str, Any]]:
    """Yield edited functions as published rows."""
    for _ in range(count):
        base = bases[rng.randrange(len(bases))]
        code, tokens, renamed = _edited(base, pools, rng)
        docstring = _reworded(base.docstring, renamed)
        *scopes, last = base.name.split(".")
        name = ".".join([*scopes, renamed.get(last, last)])
        # The splits share no repository.
        repo = f"{base.repo}/{split}-{rng.randrange(1 + PUBLISHED[language][split] // 40)}"
        sha = _hex(repo)
        first = rng.randrange(1, 2_000)
        place = f"L{first}-L{first + code.count(chr(10))}"
        row = {
            "repo": repo,
            "path": base.path,
            "func_name": name,
            "original_string": code,
            "language": language,
            "code": code,
            "code_tokens": tokens,
            "docstring": docstring,
            "docstring_tokens": _PROSE.findall(docstring.partition("\n\n")[0]),
            "sha": sha,
            "url": f"https://github.com/{repo}/blob/{sha}/{base.path}#{place}",
            "partition": split,
        }
        assert tuple(row) == FIELDS
        yield row


def write_language(
    folder: Path, out: Path, language: str, sizes: dict[str, int], options: argparse.Namespace
) -> tuple[int, int]:
    """Write a language's shards; return how many, and their rows."""
    bases = bases_of(folder, language, options.bases, options.seed)
    if not bases:
        print(f"{language}: no documented function in {folder}, left out", flush=True)
        return 0, 0
    pools: dict[str, list[str]] = {}
    for base in bases:
        for name in base.names:
            pools.setdefault(_shape(name), []).append(name)
    shards = rows = 0
    for split, count in sizes.items():
        starts = range(0, count, ROWS_A_SHARD)
        for number, start in enumerate(starts):
            size = min(ROWS_A_SHARD, count - start)
            rng = random.Random(f"{options.seed} {language} {split} {number}")
            found = rows_of(bases, pools, language, split, size, rng)
            if options.parquet:
                title = {"valid": "validation"}.get(split, split)
                name = f"{title}-{number:05}-of-{len(starts):05}.parquet"
                write_parquet(out / language / name, found)
            else:
                place = out / language / "final" / "jsonl" / split
                write_jsonl(place / f"{language}_{split}_{number}.jsonl.gz", found, options.level)
            shards, rows = shards + 1, rows + size
    print(f"{language}: {rows:,} rows from {len(bases):,} functions, {shards} shards", flush=True)
    return shards, rows


def write_jsonl(path: Path, rows: Iterator[dict[str, Any]], level: int) -> None:
    """Write a shard as it was published."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", level, raw, mtime=0) as packed,
    ):
        lines: list[str] = []
        for row in rows:
            lines.append(json.dumps(row))
            if len(lines) == 256:
                packed.write(("\n".join(lines) + "\n").encode())
                lines.clear()
        packed.write("".join(line + "\n" for line in lines).encode())


def write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write a shard as the hub has it, a thousand rows a row group."""
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    many = pa.list_(pa.string())
    schema = pa.schema(
        [(hub, many if hub.endswith("_tokens") else pa.string()) for hub in HUB_FIELDS.values()]
    )
    with parquet.ParquetWriter(path, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append({hub: row[name] for name, hub in HUB_FIELDS.items()})
            if len(batch) == 1_000:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch.clear()
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def sizes_for(total: int) -> dict[str, dict[str, int]]:
    """Return the rows of each language and split, which together are `total`."""
    whole = sum(sum(splits.values()) for splits in PUBLISHED.values())
    sizes: dict[str, dict[str, int]] = {}
    done = seen = 0
    for language, splits in PUBLISHED.items():
        for split, count in splits.items():
            seen += count
            # Of running sums, so that what is rounded off comes again later.
            size = round(total * seen / whole) - done
            done += size
            sizes.setdefault(language, {})[split] = size
    return sizes


def _base(code: str, language: str, docstring: str) -> Base | None:
    """Take a function apart; None where it cannot be put together again."""
    if language == "python" and code.startswith("@"):
        # Published code has no decorators.
        found = re.search(r"^[ \t]*(?=(?:async +)?def\b)", code, re.MULTILINE)
        code = code[found.end() :] if found else code
    data = code.encode()
    gaps: list[str] = []
    tokens: list[str] = []
    names: dict[str, None] = {}
    end = 0
    prose = -1
    for leaf in leaves(code, language):
        if leaf.is_comment or leaf.start < end or not leaf.text.strip():
            continue
        if language == "python" and prose < 0 and _TRIPLE.match(leaf.text):
            prose = len(gaps)
            continue
        gaps.append(data[end : leaf.start].decode())
        tokens.append(leaf.text)
        end = leaf.end
        if leaf.is_named and leaf.text.isidentifier() and leaf.text not in _FIXED:
            names[leaf.text] = None
    gaps.append(data[end:].decode())
    if (
        (language == "python" and prose < 0)
        or len(names) < 2
        or "".join(_joined(gaps, tokens)) != code
    ):
        return None
    numbers = [i for i, token in enumerate(tokens) if token.isdecimal()]
    base = Base("", "", "", docstring, gaps, tokens, list(names), numbers, prose, [])
    base.statements = _statements(base, language)
    return base


def _statements(base: Base, language: str) -> list[tuple[int, int]]:
    """Return lines without which the function is still code: three at most, tried out."""
    wrap = LANGUAGES[language].wrap or ("", "")
    starts = [i for i, gap in enumerate(base.gaps[:-1]) if i and "\n" in gap]
    found = []
    lines = list(pairwise([*starts, len(base.tokens)]))
    for start, end in lines[1:-1][:6]:
        if end - start < 3 or start == base.prose:
            continue
        kept = _joined(base.gaps[:start] + base.gaps[end:], base.tokens[:start] + base.tokens[end:])
        if not parse(wrap[0] + "".join(kept) + wrap[1], language).root_node.has_error:
            found.append((start, end))
        if len(found) == 3:
            break
    return found


def _edited(
    base: Base, pools: dict[str, list[str]], rng: Any
) -> tuple[str, list[str], dict[str, str]]:
    """Return the code of a variant, its tokens, and which names became which."""
    share = 0.15 + 0.85 * rng.random()
    renamed = {}
    for name in base.names:
        if rng.random() < share:
            pool = pools[_shape(name)]
            renamed[name] = pool[rng.randrange(len(pool))]
    tokens = [renamed.get(token, token) for token in base.tokens]
    for i in base.numbers:
        if rng.random() < share:
            tokens[i] = str(rng.randrange(10 ** len(tokens[i])))
    gaps = list(base.gaps)
    if base.prose >= 0:
        gaps[base.prose] = _reworded(gaps[base.prose], renamed)
    if base.statements and rng.random() < 0.6:
        start, end = base.statements[rng.randrange(len(base.statements))]
        if rng.random() < 0.5:
            tokens = tokens[:start] + tokens[end:]
            gaps = gaps[:start] + gaps[end:]
        else:
            pool = pools[_shape(base.names[0])]
            again = [
                pool[rng.randrange(len(pool))] if token in renamed else token
                for token in base.tokens[start:end]
            ]
            tokens = tokens[:end] + again + tokens[end:]
            gaps = gaps[:end] + gaps[start:end] + gaps[end:]
    return "".join(_joined(gaps, tokens)), tokens, renamed


def _reworded(text: str, renamed: dict[str, str]) -> str:
    return _WORD.sub(lambda word: renamed.get(word[0], word[0]), text)


def _joined(gaps: list[str], tokens: list[str]) -> list[str]:
    parts = [""] * (2 * len(tokens) + 1)
    parts[0::2] = gaps
    parts[1::2] = tokens
    return parts


def _shape(name: str) -> str:
    """Return what kind of word a name is, so that a class is not exchanged for a variable."""
    if name[0] == "_":
        return "_"
    return "C" if name.isupper() and len(name) > 1 else "T" if name[0].isupper() else "v"


def _files(folder: Path, language: str) -> Iterator[str]:
    for place, inner, names in os.walk(folder):
        inner.sort()
        for name in names:
            path = Path(place, name)
            row = language_of(path)
            if not row or row.name != language or path.is_symlink() or not path.is_file():
                continue
            if path.stat().st_size <= LARGEST_FILE and str(path).isascii():
                yield path.relative_to(folder).as_posix()


def _hex(text: str) -> str:
    return blake2b(text.encode(), digest_size=20).hexdigest()


def main() -> None:
    """Write all languages, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="source code")
    parser.add_argument("out", type=Path, help="where the files go")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--bases", type=int, default=10_000, help="real functions a language")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--level", type=int, default=4, help="of gzip")
    parser.add_argument("--parquet", action="store_true", help="the hub's files")
    options = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
        futures = [
            pool.submit(write_language, options.folder, options.out, language, splits, options)
            for language, splits in sizes_for(options.rows).items()
        ]
        done = [future.result() for future in futures]
    shards, rows = (sum(counts) for counts in zip(*done, strict=True))
    seconds = time.perf_counter() - began
    print(f"{rows:,} rows in {shards} shards, {seconds:.0f} s, {rows / seconds:,.0f} rows/s")


if __name__ == "__main__":
    main()
