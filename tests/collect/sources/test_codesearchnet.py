import ast
import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from wavecoder.collect.sources.codesearchnet import FIELDS, HUB_FIELDS, CodeSearchNet
from wavecoder.collect.sources.snippets import flush_left, without_docstring
from wavecoder.errors import ConfigError
from wavecoder.languages import functions
from wavecoder.records import LicenseSource, RawCode, Rejected

SHA = "b746ac01c9f39de94cac2d56f665285b0523b974"
PYTHON = 'def f(self, url):\n        """Find the id.\n        """\n        return match(url)'
GO = "func (s *Set) Add(item string) {\n\ts.items[item] = true\n}"
WRITER = Path(__file__).parents[3] / "benchmarks" / "codesearchnet.py"


def row(code=GO, language="go", **changes):
    """Return a published row."""
    fields = {
        "repo": "owner/name",
        "path": "pkg/set.go",
        "func_name": "Set.Add",
        "original_string": code,
        "language": language,
        "code": code,
        "code_tokens": code.split(),
        "docstring": "Add puts an item in.\r\nTwice is once.",
        "docstring_tokens": ["Add"],
        "sha": SHA,
        "url": f"https://github.com/owner/name/blob/{SHA}/pkg/set.go#L12-L14",
        "partition": "train",
    }
    assert tuple(fields) == FIELDS
    return {**fields, **changes}


def shard(root, *rows, language="go", split="train", number=0):
    folder = root / language / "final" / "jsonl" / split
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{language}_{split}_{number}.jsonl.gz"
    texts = [one if isinstance(one, str) else json.dumps(one) for one in rows]
    path.write_bytes(gzip.compress("".join(f"{text}\n" for text in texts).encode()))
    return path


def source(path, **options):
    return CodeSearchNet(CodeSearchNet.Config(path=path, **options))


def read(found):
    return [record for piece in found.pieces() for record in found.read(piece)]


def test_every_field_of_a_published_row_is_in_its_place(tmp_path):
    shard(tmp_path, row())
    (record,) = read(source(tmp_path))
    assert record == RawCode(
        id=record.id,
        language="go",
        name="Set.Add",
        code=GO,
        docstring="Add puts an item in.\nTwice is once.",
        source="codesearchnet",
        path="pkg/set.go",
        start_line=12,
        end_line=14,
        content_hash=record.content_hash,
        repository="owner/name",
        commit=SHA,
        license=None,
        license_source=LicenseSource.UNKNOWN,
    )


def test_pythons_docstring_is_cut_out_and_the_function_moved_left(tmp_path):
    bare = "def f(self, url):\n        return match(url)"
    shard(
        tmp_path,
        row(PYTHON, "python", func_name="A.f", docstring="Find the id."),
        row(bare, "python", func_name="A.f", docstring=""),
        language="python",
    )
    one, two = read(source(tmp_path))
    assert one.code == two.code == "def f(self, url):\n    return match(url)"
    assert one.content_hash == two.content_hash and one.id != two.id
    assert (one.docstring, two.docstring) == ("Find the id.", None)


def test_a_function_collected_from_its_file_has_the_same_content_hash(tmp_path):
    text = (
        "class A {\n    /** Adds. */\n    int add(int a) {\n        return a + 1;\n    }\n}\n",
        'class A:\n    def f(self, url):\n        """Find the id.\n        """\n'
        "        return match(url)\n",
    )
    published = text[0][text[0].index("int add") : text[0].rindex("\n}")]
    for language, code, whole in (("java", published, text[0]), ("python", PYTHON, text[1])):
        shard(tmp_path / language, row(code, language, func_name="A.f"), language=language)
        (record,) = read(source(tmp_path / language))
        (span,) = functions(whole, language)
        assert record.code == span.code


def test_the_fast_way_to_cut_a_docstring_is_the_parsers_way():
    folder = Path(json.__file__).parent.parent
    seen = quick = 0
    for name in ("argparse.py", "asyncio/streams.py", "csv.py", "pathlib.py", "textwrap.py"):
        text = (folder / name).read_text(encoding="utf-8")
        data = text.encode()
        for span in functions(text, "python"):
            code = flush_left(data[span.start_byte : span.end_byte].decode(), "python", span.name)
            found = without_docstring(code)
            (parsed,) = functions(code, "python")
            assert found[:2] == (parsed.code, parsed.docstring)
            seen += 1
            quick += not found[2]
    assert seen > 300 and quick > 0.8 * seen


@pytest.mark.parametrize(
    "code",
    [
        'def f():\n    """Only this."""',
        "def f():\n    '''Doc.'''\n    return 1",
        'def f():\n    "Doc."\n    return 1',
        'def f():\n    """Doc."""; return 1',
        'def f():\n    """Doc."""\n    # why\n    return 1',
        'def f():\n    # why\n    """Doc."""\n    return 1',
        'def f():\n    """Doc \\""" still."""\n    return 1',
        'def f():\n    """Doc."""  # why\n    return 1',
        'def f():\n    """A""" """B"""\n    return 1',
        'def f():\n    f"""Not {1}."""\n    return 1',
        'def f():\n    """Doc.""".strip()\n    return 1',
        'def f(a="""\n""", b=(1, (2, 3))):\n    """Doc."""\n    return 1',
        'def f(a: dict[str, list[int]] = {}) -> list[int]:\n\n    r"""D\\oc."""\n\n    return 1',
        'def f(a, # one\n      b):\n    """Doc."""\n    return """\nx\n"""',
        'def f(): return """No doc."""',
        'async def f(a,\n            b=")"):\n    """Doc."""\n\n\n    return 1',
        'def f():\n    """Doc."""\n    return 1\n    # the end',
    ],
)
def test_docstrings_of_every_kind_are_cut_as_the_parser_cuts_them(code):
    (span,) = functions(code, "python")
    assert without_docstring(code)[:2] == (span.code, span.docstring)
    ast.parse(span.code)


def test_train_alone_is_read_unless_other_splits_are_named(tmp_path):
    for split in ("train", "valid", "test"):
        shard(tmp_path, row(partition=split), split=split)
    pieces = [piece.relative for piece in source(tmp_path).pieces()]
    assert pieces == ["go/final/jsonl/train/go_train_0.jsonl.gz"]
    assert len(read(source(tmp_path, splits=("valid", "test")))) == 2


def test_any_part_of_the_tree_may_be_named(tmp_path):
    path = shard(tmp_path, row())
    shard(tmp_path, row(split="test"), split="test")
    for part in (tmp_path / "go", path.parent.parent, path.parent, path):
        (record,) = read(source(part))
        assert record.code == GO


def test_a_part_without_a_wanted_split_is_refused(tmp_path):
    path = shard(tmp_path, row(), split="test")
    with pytest.raises(ConfigError, match=r"splits train\. There are: go test\. Change"):
        source(path)


def test_languages_that_are_not_wanted_are_not_opened(tmp_path):
    shard(tmp_path, row())
    shard(tmp_path, row(PYTHON, "python"), language="python")
    assert [record.language for record in read(source(tmp_path, languages=("py",)))] == ["python"]
    with pytest.raises(ConfigError, match="languages ruby, splits train"):
        source(tmp_path, languages=("ruby",))


def test_the_hubs_parquet_gives_the_same_records_but_for_where_they_lie(tmp_path):
    rows = [row(), row(PYTHON, "python", func_name="A.f")]
    shard(tmp_path / "published", *rows)
    hub = [{HUB_FIELDS[key]: value for key, value in one.items() if key != "sha"} for one in rows]
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(hub * 3)
    parquet.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=4)
    parquet.write_table(table, folder / "validation-00000-of-00001.parquet")
    published, found = read(source(tmp_path / "published")), read(source(tmp_path / "hub"))
    without = [one.model_dump(exclude={"id"}) for one in found]
    assert without == [one.model_dump(exclude={"id"}) for one in published] * 3
    assert len({one.id for one in found}) == 6


def test_a_shard_whose_path_tells_nothing_is_sorted_row_by_row(tmp_path):
    path = tmp_path / "some.jsonl"
    lines = [row(), row(partition="test"), row(partition=None), row(language="COBOL")]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    kept, *refused = read(source(path))
    assert kept.code == GO
    assert [one.reason for one in refused] == ["other_split", "other_split", "other_language"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "invalid_json"),
        ("[1]", "no_object"),
        ({"repo": "a/b"}, "missing_field"),
        ({**row(), "code": None}, "missing_field"),
        ({"code": 12}, "wrong_type"),
        (row(path=["a"]), "wrong_type"),
        (row(language=7), "wrong_type"),
        (row("a\0b"), "binary"),
        (row("  \n"), "empty"),
        (row("x = '\ud800'"), "not_utf8"),
        (row(repo="\ud800"), "not_utf8"),
        (row(docstring="\udfff"), "not_utf8"),
        (row("x = 1", "python"), "syntax_error"),
    ],
)
def test_a_bad_row_is_rejected_and_the_next_is_read(tmp_path, bad, reason):
    shard(tmp_path, bad, row())
    refused, kept = read(source(tmp_path))
    assert isinstance(kept, RawCode)
    assert isinstance(refused, Rejected) and refused.reason == reason
    assert refused.detail.startswith("codesearchnet/go/final/jsonl/train/go_train_0.jsonl.gz:1: ")
    refused.model_dump_json()


def test_what_a_row_does_not_tell_is_left_open(tmp_path):
    shard(tmp_path, {"code": GO})
    (record,) = read(source(tmp_path))
    assert (record.language, record.name, record.docstring) == ("go", "Set.Add", None)
    assert (record.repository, record.commit, record.start_line) == (None, None, None)
    assert record.path == "go/final/jsonl/train/go_train_0.jsonl.gz#1"


def test_a_function_published_without_a_name_is_kept(tmp_path):
    code = "function (a) {\n    return a;\n  }"
    shard(tmp_path, row(code, "javascript", func_name=""), language="javascript")
    (record,) = read(source(tmp_path))
    assert (record.name, record.code) == ("?", "function (a) {\n  return a;\n}")


def test_pickles_are_not_opened(tmp_path):
    shard(tmp_path, row())
    (tmp_path / "go_licenses.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    (record,) = read(source(tmp_path))
    assert record.license_source == "unknown"


def test_a_zip_that_is_not_unpacked_is_named(tmp_path):
    (tmp_path / "python.zip").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="Unpack the zip files first"):
        source(tmp_path)


def test_the_same_shards_elsewhere_are_the_same_records(tmp_path):
    for place in ("one/csn", "two/csn"):
        shard(tmp_path / place, row(), row())
    one, two = source(tmp_path / "one/csn"), source(tmp_path / "two/csn")
    assert read(one) == read(two) and len({record.id for record in read(one)}) == 2
    assert one.identity() == two.identity()
    shard(tmp_path / "two/csn", row(), number=1)
    assert source(tmp_path / "two/csn").identity() != one.identity()
    json.dumps(one.identity())


def test_pieces_and_the_source_can_be_handed_to_another_process(tmp_path):
    shard(tmp_path, row())
    found = source(tmp_path)
    again = pickle.loads(pickle.dumps(found))
    (piece,) = again.pieces()
    assert len(pickle.dumps(piece)) < 1_000
    assert list(again.read(pickle.loads(pickle.dumps(piece)))) == read(found)


SOURCES = {
    "a.py": 'def add(first, second):\n    """Add two numbers up."""\n    total = first + second\n'
    "    print(total)\n    return total\n",
    "a.go": "package a\n// Add adds two numbers up.\nfunc Add(first int, second int) int {\n"
    "\ttotal := first + second\n\tlog(total)\n\treturn total\n}\n",
    "A.java": "class A {\n    /** Adds two numbers up. */\n    int add(int first, int second) {\n"
    "        int total = first + second;\n        log(total);\n        return total;\n    }\n}\n",
    "a.js": "// Adds two numbers up.\nfunction add(first, second) {\n"
    "  const total = first + second;\n  log(total);\n  return total;\n}\n",
    "a.php": "<?php\n/** Adds two numbers up. */\nfunction add($first, $second) {\n"
    "    $total = $first + $second;\n    log($total);\n    return $total;\n}\n",
    "a.rb": "# Adds two numbers up.\ndef add(first, second)\n  total = first + second\n"
    "  puts total\n  total\nend\n",
}


@pytest.mark.parametrize("form", ["published", "hub"])
def test_what_the_benchmark_writes_is_as_published_and_is_read_back(tmp_path, form):
    for name, text in SOURCES.items():
        path = tmp_path / "src" / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, str(WRITER), str(tmp_path / "src"), "--rows", "1000"]
    command += ["--parquet"] if form == "hub" else []
    for out in ("one", "two"):
        subprocess.run([*command, str(tmp_path / out)], check=True, capture_output=True)
    files = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 18
    for path in files:
        again = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == again.read_bytes()
    if form == "published":
        expected = [
            f"{language}/final/jsonl/{split}/{language}_{split}_0.jsonl.gz"
            for language in ("go", "java", "javascript", "php", "python", "ruby")
            for split in ("test", "train", "valid")
        ]
        assert [path.relative_to(tmp_path / "one").as_posix() for path in files] == expected
        for path in files:
            for line in gzip.decompress(path.read_bytes()).splitlines():
                fields = json.loads(line)
                assert tuple(fields) == FIELDS
                assert fields["partition"] == path.parent.name
                assert fields["url"].startswith(f"https://github.com/{fields['repo']}/blob/")
                assert all(token in fields["code"] for token in fields["code_tokens"])
    else:
        for path in files:
            assert parquet.read_schema(path).names == list(HUB_FIELDS.values())
    records = read(source(tmp_path / "one", splits=("train", "valid", "test")))
    assert len(records) == 1000 and all(isinstance(record, RawCode) for record in records)
    assert len({record.content_hash for record in records}) > 500
    assert {record.language for record in records} == {
        *("go", "java", "javascript", "php", "python", "ruby")
    }
