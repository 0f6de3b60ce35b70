import bz2
import csv
import gzip
import json
import pickle
import sys
import zlib
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from wavecoder.collect.sources import rows
from wavecoder.collect.sources.hub import Datasets
from wavecoder.collect.sources.rows import Fault, jsonl_rows
from wavecoder.collect.sources.tables import Csv, Jsonl, Parquet
from wavecoder.errors import ConfigError, MissingExtraError
from wavecoder.records import LicenseSource, RawCode, Rejected

CODE = "def add(a, b):\n    return a + b"
JAVA = "int add(int a, int b) {\n    return a + b;\n}"


def source(kind, path, **options):
    options.setdefault("language", "python")
    return kind(kind.Config(path=str(path), **options))


def read(found):
    return [record for piece in found.pieces() for record in found.read(piece)]


def jsonl(path, *lines):
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def codes(count):
    return [{"code": f"def f{i}(a):\n    return a + {i}"} for i in range(count)]


def reasons(records):
    return [one.reason if isinstance(one, Rejected) else "" for one in records]


# columns


def test_every_column_is_mapped(tmp_path):
    cells = {
        "content": JAVA,
        "doc": " Adds. ",
        "lang": "Java",
        "func": "A.add",
        "repo_name": "owner/name",
        "licence": "apache-2.0",
        "file": "src/A.java",
        "rev": "abc",
    }
    path = jsonl(tmp_path / "data" / "a.jsonl", cells)
    columns = {
        **{"code": "content", "docstring": "doc", "language": "lang", "name": "func"},
        **{"repository": "repo_name", "license": "licence", "path": "file", "commit": "rev"},
    }
    (record,) = read(source(Jsonl, path, columns=columns, language=None))
    assert record == RawCode(
        id=record.id,
        language="java",
        name="A.add",
        code=JAVA,
        docstring="Adds.",
        source="jsonl:data",
        path="src/A.java",
        start_line=None,
        end_line=None,
        content_hash=record.content_hash,
        repository="owner/name",
        commit="abc",
        license="Apache-2.0",
        license_source=LicenseSource.DATASET,
    )


def test_code_and_a_language_are_enough(tmp_path):
    code = '    def add(a, b):\n        """Add up."""\n        return a + b\n'
    path = jsonl(tmp_path / "a.jsonl", {"code": code})
    (record,) = read(source(Jsonl, path))
    assert (record.name, record.docstring, record.code) == ("add", "Add up.", CODE)
    assert (record.path, record.license_source) == ("a.jsonl#1", "unknown")


def test_columns_of_the_fields_own_names_need_no_mapping(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"code": JAVA, "language": "java", "docstring": "Doc."})
    (record,) = read(source(Jsonl, path, language=None))
    assert (record.language, record.docstring) == ("java", "Doc.")


@pytest.mark.parametrize("kind", [Jsonl, Csv, Parquet])
def test_a_column_that_is_not_there_is_refused_before_anything_is_read(tmp_path, kind):
    table = pa.table({"content": [CODE], "lang": ["python"]})
    path = tmp_path / f"a.{kind.__name__.lower()}"
    if kind is Jsonl:
        jsonl(path, *table.to_pylist())
    elif kind is Csv:
        path.write_text(f'content,lang\n"{CODE}",python\n')
    else:
        parquet.write_table(table, path)
    with pytest.raises(ConfigError, match=r"no column 'code'.* It has: content, lang\."):
        source(kind, path)
    with pytest.raises(ConfigError, match=r"no column 'contents'. Did you mean 'content'\?"):
        source(kind, path, columns={"code": "contents"})
    with pytest.raises(ConfigError, match=r"no column 'langs'. Did you mean 'lang'\?"):
        source(kind, path, columns={"code": "content", "language": "langs"})
    with pytest.raises(ConfigError, match="does not tell the language of its rows"):
        source(kind, path, columns={"code": "content"}, language=None)


def test_a_language_that_nobody_knows_is_refused_in_a_recipe_and_rejected_in_a_row(tmp_path):
    lines = [
        {"code": CODE, "language": "Cobol"},
        {"code": CODE, "language": "py"},
        {"code": CODE, "language": None},
        {"code": JAVA, "language": "Java"},
        {"code": "x", "language": CODE * 100},
    ]
    path = jsonl(tmp_path / "a.jsonl", *lines)
    with pytest.raises(ConfigError, match="no language 'pyton'"):
        source(Jsonl, path, language="pyton")
    records = read(source(Jsonl, path, language=None, languages=("python",)))
    assert reasons(records) == ["other_language", "", "missing_field"] + 2 * ["other_language"]
    assert len(records[-1].detail) < 150
    assert "'Cobol', is not known here" in records[0].detail
    filled = read(source(Jsonl, path, columns={"language": "language"}))
    assert reasons(filled) == ["other_language", "", "", "", "other_language"]


def test_a_licence_is_an_spdx_expression_or_unknown(tmp_path):
    given = ["MIT License", ["mit", "Apache-2.0"], ["mit", "who knows"], [], "unknown", None, 7]
    path = jsonl(tmp_path / "a.jsonl", *({"code": CODE, "license": one} for one in given))
    *records, odd = read(source(Jsonl, path))
    found = [one.license for one in records]
    assert found == ["MIT", "Apache-2.0 AND MIT", None, None, None, None] or found == [
        *("MIT", "MIT AND Apache-2.0", None, None, None, None)
    ]
    assert odd.reason == "wrong_type"


# a row is a function, or a file


@pytest.mark.parametrize(
    ("code", "language", "name", "kept"),
    [
        ("public int add(int a) {\n        return a;\n    }", "java", "add", "}"),
        ("/** Adds. */\npublic function add($a) {\n    return $a;\n}", "php", "add", "}"),
        ("add(a) {\n    return a;\n}", "javascript", "add", "}"),
        ("const add = (a) => {\n  return a;\n};", "typescript", "add", "};"),
        ("function (a) {\n    return a;\n}", "javascript", "?", "}"),
        ("@wraps(f)\n    def add(a):\n        return a", "python", "add", "    return a"),
    ],
)
def test_a_row_is_one_function_wherever_it_stood(tmp_path, code, language, name, kept):
    path = jsonl(tmp_path / "a.jsonl", {"code": code})
    (record,) = read(source(Jsonl, path, language=language))
    assert record.name == name and record.code.split("\n")[-1] == kept


@pytest.mark.parametrize(
    ("code", "reason", "detail"),
    [
        ("x = 1\n", "no_functions", "no function with a body"),
        (f"{CODE}\n\n{CODE}\n", "several_functions", "add and add; `cut: true`"),
        ("def add(a:\n    return", "syntax_error", "line 1"),
        ("the words of a letter", "syntax_error", "line 1"),
    ],
)
def test_a_row_that_is_not_one_function_is_rejected(tmp_path, code, reason, detail):
    path = jsonl(tmp_path / "data" / "a.jsonl", {"code": code})
    (record,) = read(source(Jsonl, path))
    assert record.reason == reason and detail in record.detail
    assert record.detail.startswith("jsonl:data/a.jsonl:1: ")


def test_functions_are_cut_out_of_rows_that_are_files(tmp_path):
    text = f'import os\n\n{CODE}\n\nclass A:\n    def f(self):\n        """Doc."""\n        pass\n'
    lines = [
        {"code": text, "path": "pkg/a.py"},
        {"code": "x = 1", "path": "b.py"},
        {"code": f"def g(:\n  x\n{CODE}", "path": "c.py"},
    ]
    path = jsonl(tmp_path / "a.jsonl", *lines)
    records = read(source(Jsonl, path, cut=True))
    found = [(one.name, one.path, one.start_line, one.end_line) for one in records[:2]]
    assert found == [("add", "pkg/a.py", 3, 4), ("A.f", "pkg/a.py", 7, 9)]
    assert records[1].docstring == "Doc."
    assert records[2].reason == "no_functions"
    assert "syntax_error" in reasons(records[3:])
    assert len({one.id for one in records}) == len(records)


# what is wrong with a row


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"code": ', "invalid_json"),
        ("nonsense", "invalid_json"),
        ('{"code": ' + "[" * 100_000, "invalid_json"),
        ('{"code": ' + "9" * 10_000 + "}", "invalid_json"),
        ('["code"]', "no_object"),
        ("null", "no_object"),
        ('{"other": 1}', "missing_field"),
        ('{"code": null}', "missing_field"),
        ('{"code": 12}', "wrong_type"),
        ('{"code": "def f(): pass", "name": 1}', "wrong_type"),
        ('{"code": ""}', "empty"),
        ('{"code": " \\n"}', "empty"),
        ('{"code": "def f():\\u0000 return 1"}', "binary"),
        ('{"code": "def f(): return \'\\ud800\'"}', "not_utf8"),
        ('{"code": "def f(): pass", "name": "\\ud800"}', "not_utf8"),
    ],
)
def test_a_bad_line_is_one_rejection_and_the_next_is_read(tmp_path, line, reason):
    path = jsonl(tmp_path / "a.jsonl", {"code": CODE, "name": "add"}, line, {"code": CODE})
    first, refused, last = read(source(Jsonl, path))
    assert isinstance(first, RawCode) and isinstance(last, RawCode) and first.id != last.id
    assert refused.reason == reason and "a.jsonl:2: it" in refused.detail
    refused.model_dump_json()
    assert [one.id for one in read(source(Jsonl, path))] == [first.id, refused.id, last.id]


def test_a_line_that_is_not_utf8_is_rejected(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"code": "\xe9"}\n' + json.dumps({"code": CODE}).encode())
    refused, kept = read(source(Jsonl, path))
    assert refused.reason == "not_utf8" and "byte 0xe9 in position 10" in refused.detail
    assert kept.code == CODE


def test_byte_order_marks_and_carriage_returns_are_no_part_of_code(tmp_path):
    path = tmp_path / "a.jsonl"
    crlf = json.dumps({"code": "\ufeff" + CODE.replace("\n", "\r\n")})
    path.write_bytes(b"\xef\xbb\xbf" + f"{crlf}\r\n\r\n{crlf}".encode())
    assert [record.code for record in read(source(Jsonl, path))] == [CODE, CODE]


def test_a_line_that_is_too_long_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "LONGEST_LINE", 300_000)
    good = json.dumps({"code": CODE}).encode()
    for count in (300_001, 100_000_000):
        path = tmp_path / "a.jsonl.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(good + b"\n")
            for _ in range(count // 100_000):
                file.write(b"x" * 100_000)
            file.write(b"x" * (count % 100_000) + b"\n" + good)
        first, refused, last = read(source(Jsonl, path))
        assert first.code == last.code == CODE
        assert refused.reason == "line_too_long"
        assert f"{count:,} bytes, the most is 300,000" in refused.detail


def test_a_file_without_rows_is_rejected(tmp_path):
    jsonl(tmp_path / "a.jsonl", {"code": CODE})
    jsonl(tmp_path / "b.jsonl")
    jsonl(tmp_path / "c.jsonl", "", "  ")
    (tmp_path / "d.jsonl.gz").write_bytes(b"")
    records = read(source(Jsonl, tmp_path))
    assert reasons(records) == ["", "no_rows", "no_rows", "no_rows"]


# compressed files


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
def test_compressed_files_are_read(tmp_path, suffix):
    text = "".join(json.dumps(one) + "\n" for one in codes(3_000)).encode()
    packed = {
        "": text,
        ".gz": gzip.compress(text[:70_000]) + gzip.compress(text[70_000:]) + bytes(512),
        ".bz2": bz2.compress(text),
        ".zst": pa.compress(text, "zstd", asbytes=True),
    }[suffix]
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(packed)
    assert [one.name for one in read(source(Jsonl, path))] == [f"f{i}" for i in range(3_000)]
    if suffix:
        path.write_bytes(packed[: len(packed) // 2])
        *kept, last = read(source(Jsonl, path))
        assert last.reason == "corrupt"
        assert [one.name for one in kept] == [f"f{i}" for i in range(len(kept))]


def test_rows_before_a_damaged_place_are_kept(tmp_path):
    lines = [json.dumps({"code": f"def f{i}(a):\n    return {i * 7919}"}) for i in range(40_000)]
    text = "".join(line + "\n" for line in lines).encode()
    packer = zlib.compressobj(6, wbits=31)
    place = sum(len(line) + 1 for line in lines[:25_000])
    good = packer.compress(text[:place]) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(text[place:]) + packer.flush()
    # A block of the kind that does not exist.
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(good + b"\x07" + rest[1:])
    *kept, last = jsonl_rows(path)
    assert isinstance(last.cells, Fault) and last.cells.reason == "corrupt"
    assert [one.cells for one in kept] == [json.loads(line) for line in lines[:25_000]]
    assert last.place == 25_001


def test_a_truncated_file_keeps_every_whole_row(tmp_path):
    lines = [json.dumps(one) for one in codes(20_000)]
    packed = gzip.compress("".join(line + "\n" for line in lines).encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[:-20_000])
    *kept, last = jsonl_rows(path)
    assert "ends too early" in last.cells.detail and len(kept) > 10_000
    assert [one.cells for one in kept] == codes(20_000)[: len(kept)]
    path.write_bytes(packed[:-4])
    assert len(list(jsonl_rows(path))) == 20_001


def test_a_wrong_checksum_is_corrupt_and_so_is_what_is_no_gzip(tmp_path):
    packed = bytearray(gzip.compress((json.dumps({"code": CODE}) + "\n").encode()))
    packed[-8] ^= 1
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed)
    assert reasons(read(source(Jsonl, path))) == ["", "corrupt"]
    path.write_text(json.dumps({"code": CODE}))
    assert reasons(read(source(Jsonl, path))) == ["corrupt"]


# CSV


def test_csv_cells_hold_lines_quotes_and_commas(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["code", "docstring"])
        writer.writerow(["def f():\n    return 'ä, \"b\"'", "One,\ntwo."])
        writer.writerow([CODE.replace("\n", "\r\n"), ""])
    one, two = read(source(Csv, path))
    assert one.code == "def f():\n    return 'ä, \"b\"'" and one.docstring == "One,\ntwo."
    assert (two.code, two.docstring, two.path) == (CODE, None, "a.csv#5")


def test_tabs_stand_between_cells_where_the_name_says_so(tmp_path):
    (tmp_path / "a.tsv").write_text('code\tname\n"def f(a, b):\n    return 1"\tf\n')
    (record,) = read(source(Csv, tmp_path))
    assert record.name == "f"


def test_a_bad_row_of_csv_is_rejected_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "LONGEST_LINE", 5_000)
    good = '"def f(a):\n    return a",f\n'
    bad = [
        ("x\n", "invalid_csv"),
        ('"x"y,f\n', "invalid_csv"),
        (f'"{"x" * 6_000}",f\n', "line_too_long"),
        (b"\"def f(a):\n    return '\xe9'\",f\n", "not_utf8"),
        ("\"def f(a):\n    return '\0'\",f\n", "binary"),
    ]
    for line, reason in bad:
        data = line if isinstance(line, bytes) else line.encode()
        path = tmp_path / "a.csv"
        path.write_bytes(b"code,name\n" + good.encode() + data + good.encode())
        records = read(source(Csv, path))
        assert reasons(records) == ["", reason, ""], line
        assert len({one.id for one in records}) == 3


def test_a_quote_that_is_not_closed_ends_at_the_longest_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "LONGEST_LINE", 2_000)
    good = '"def f(a):\n    return a",f\n'
    path = tmp_path / "a.csv"
    path.write_text("code,name\n" + good + '"never closed\n' + "x\n" * 1_100 + good)
    found = reasons(read(source(Csv, path)))
    assert found[:2] == ["", "invalid_csv"] and found[-1] == ""


# parquet


def test_parquet_is_read_in_runs_of_row_groups(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pylist([{**one, "other": 1} for one in codes(1_000)])
    parquet.write_table(table, path, row_group_size=100)
    monkeypatch.setattr("wavecoder.collect.sources.shards.ROWS_A_PIECE", 250)
    found = source(Parquet, path)
    assert [piece.groups for piece in found.pieces()] == [(i, i + 2) for i in range(0, 10, 2)]
    records = read(found)
    assert [one.name for one in records] == [f"f{i}" for i in range(1_000)]
    assert records[999].path == "a.parquet#1000"


def test_damaged_parquet_is_rejected_group_by_group(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "a.parquet"
    table = pa.Table.from_pylist(codes(3_000))
    parquet.write_table(table, path, row_group_size=1_000, compression="gzip", use_dictionary=False)
    column = parquet.read_metadata(path).row_group(1).column(0)
    middle = column.data_page_offset + column.total_compressed_size // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 30] = bytes(30)
    path.write_bytes(data)
    whole = parquet.ParquetFile(path).metadata.num_rows
    (folder / "b.parquet").write_bytes(data[: len(data) // 2])
    (folder / "c.parquet").write_bytes(b"")
    parquet.write_table(table.slice(0, 0), folder / "d.parquet")
    records = read(source(Parquet, folder))
    kept = [one.name for one in records if isinstance(one, RawCode)]
    assert whole == 3_000 and set(kept) >= {f"f{i}" for i in (*range(1_000), *range(2_000, 3_000))}
    refused = [one for one in records if isinstance(one, Rejected)]
    assert reasons(refused) == ["corrupt", "corrupt", "corrupt", "no_rows"]
    assert "its row group 1 cannot be read on" in refused[0].detail


def test_text_in_parquet_that_is_not_utf8_is_one_rows_fault(tmp_path):
    bad = pa.array([CODE.encode(), b"\xe9\xff", CODE.encode()], pa.binary())
    column = pa.StringArray.from_buffers(3, bad.buffers()[1], bad.buffers()[2])
    parquet.write_table(pa.table({"code": column}), tmp_path / "a.parquet")
    assert reasons(read(source(Parquet, tmp_path))) == ["", "not_utf8", ""]


# datasets


def saved(path, rows_by_split=None):
    found = datasets.DatasetDict(
        {split: datasets.Dataset.from_list(some) for split, some in rows_by_split.items()}
    )
    found.save_to_disk(str(path))
    return path


def test_a_dataset_saved_to_disk_is_read(tmp_path):
    path = saved(tmp_path / "set", {"train": codes(1_200), "test": codes(2)})
    found = source(Datasets, path)
    (piece,) = found.pieces()
    records = list(found.read(pickle.loads(pickle.dumps(piece))))
    assert [one.name for one in records] == [f"f{i}" for i in range(1_200)]
    assert (records[700].source, records[700].path) == ("datasets:set", "train#701")
    assert len(read(source(Datasets, path, split="test"))) == 2
    again = pickle.loads(pickle.dumps(found))
    assert list(again.read(piece)) == records
    assert found.identity() == again.identity() and found.identity()["rows"] == 1_200
    json.dumps(found.identity())


def test_a_dataset_is_loaded_as_the_library_loads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    jsonl(tmp_path / "set" / "train.jsonl", *codes(5))
    records = read(source(Datasets, tmp_path / "set"))
    assert [one.name for one in records] == ["f0", "f1", "f2", "f3", "f4"]


def test_the_rows_of_a_dataset_have_the_faults_of_any_other(tmp_path):
    some = [{"code": CODE}, {"code": None}, {"code": "x = 1"}, {"code": "\0"}]
    path = saved(tmp_path / "set", {"train": some})
    found = read(source(Datasets, path))
    assert reasons(found) == ["", "missing_field", "no_functions", "binary"]
    assert found[1].detail.startswith("datasets:set/train:2: ")


def test_what_a_dataset_lacks_is_refused(tmp_path):
    path = saved(tmp_path / "set", {"train": codes(3)})
    with pytest.raises(ConfigError, match=r"no split 'trian'. Did you mean 'train'\?"):
        source(Datasets, path, split="trian").identity()
    with pytest.raises(ConfigError, match=r"datasets:set has no column 'content'. "):
        list(source(Datasets, path, columns={"code": "content"}).pieces())
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="does not load"):
        source(Datasets, empty).identity()
    with pytest.raises(ConfigError, match="no language 'pyton'"):
        source(Datasets, path, language="pyton")


def test_the_extra_is_named_where_the_library_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wavecoder\[hub\]'"):
        source(Datasets, tmp_path)


# files


def test_folders_files_and_patterns_name_the_same_records(tmp_path):
    for name in ("b/x.jsonl", "a.jsonl", "b/y.jsonl.gz", ".cache/z.jsonl", "notes.txt"):
        jsonl(tmp_path / "data" / name, {"code": CODE})
    packed = tmp_path / "data" / "b" / "y.jsonl.gz"
    packed.write_bytes(gzip.compress(packed.read_bytes()))
    folder = source(Jsonl, tmp_path / "data")
    pattern = source(Jsonl, tmp_path / "data" / "**" / "[a-z].jsonl*")
    assert [piece.relative for piece in folder.pieces()] == [
        *("a.jsonl", "b/x.jsonl", "b/y.jsonl.gz")
    ]
    assert read(folder) == read(pattern) and folder.identity() == pattern.identity()
    assert len({one.id for one in read(folder)}) == 3
    assert folder.identity() != source(Jsonl, tmp_path / "data", cut=True).identity()


@pytest.mark.parametrize("kind", [Jsonl, Csv, Parquet])
def test_an_empty_folder_and_a_path_to_nothing_are_refused(tmp_path, kind):
    with pytest.raises(ConfigError, match=rf"the folder holds no file .*\.{kind.__name__.lower()}"):
        source(kind, tmp_path)
    with pytest.raises(ConfigError, match="there is no such file"):
        source(kind, tmp_path / "nope" / "*.x")


def test_a_file_that_cannot_be_opened_is_rejected(tmp_path):
    jsonl(tmp_path / "a.jsonl", {"code": CODE})
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "gone")
    (tmp_path / "c.jsonl.gz").mkdir()
    assert reasons(read(source(Jsonl, tmp_path))) == ["", "unreadable"]


def test_the_source_can_be_handed_to_another_process(tmp_path):
    jsonl(tmp_path / "a.jsonl", *codes(3))
    found = source(Jsonl, tmp_path)
    again = pickle.loads(pickle.dumps(found))
    (piece,) = pickle.loads(pickle.dumps(list(found.pieces())))
    assert list(again.read(piece)) == read(found)
    assert isinstance(piece.path, Path)
