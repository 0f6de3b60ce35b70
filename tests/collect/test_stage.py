import gzip
import json
import zipfile

import datasets
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from wavecoder.collect import Collect
from wavecoder.errors import ConfigError, PluginError, StaleArtifactError, StoppedError
from wavecoder.languages import parses
from wavecoder.plugins import configure, plugin_names, validate
from wavecoder.records import RawCode
from wavecoder.stage import run_stage

LONG = '''def {name}(items):
    """Doc."""
    total = 0
    for item in items:
        total += item.{name}
    return total
'''


def collect(**table):
    return Collect(validate(Collect.Config, table, "collect"))


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a.py").write_text("".join(LONG.format(name=name) for name in ("one", "two")))
    (folder / "b.py").write_text(LONG.format(name="one") + LONG.format(name="test_three"))
    (folder / "c.py").write_text("x = 1\n")
    (folder / "d.txt").write_text("no code")
    return {"directory": str(folder)}


def test_every_input_has_one_outcome(source, make_context):
    artifact = run_stage(collect(sources=[source]), make_context("collect"))
    kept = list(artifact.records(RawCode))
    assert [(raw.path, raw.name, raw.docstring) for raw in kept] == [
        ("a.py", "one", "Doc."),
        ("a.py", "two", "Doc."),
    ]
    rejected = {record.reason: record.detail for record in artifact.rejected()}
    assert set(rejected) == {"duplicate", "test", "no_functions"}
    assert rejected["duplicate"] == (
        "directory:src/b.py:1 one: the same text as directory:src/a.py:1 one"
    )
    assert artifact.manifest.inputs == 5


@pytest.fixture
def three(tmp_path):
    """Three folders, each a piece of its own."""
    sources = []
    for place in ("one", "two", "three"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "a.py").write_text(LONG.format(name=place) + LONG.format(name="shared"))
        sources.append({"directory": str(folder)})
    return sources


def test_a_stopped_run_reads_no_piece_twice_and_ends_with_the_same_bytes(three, make_context):
    whole = run_stage(collect(sources=three), make_context("whole"))
    ctx = make_context("halves")
    ctx.progress.step = lambda what, done, total: ctx.stop.set()
    with pytest.raises(StoppedError):
        run_stage(collect(sources=three), ctx)
    parts = list((ctx.folder / "work" / "parts").iterdir())
    written = {part.name: part.stat().st_mtime_ns for part in parts}
    assert len(written) == 1

    again = make_context("halves")
    seen = []

    def step(what, done, total):
        seen.append({part.name: part.stat().st_mtime_ns for part in parts})

    again.progress.step = step
    halves = run_stage(collect(sources=three), again)
    assert seen == [written] * 3
    assert halves.manifest.records_sha256 == whole.manifest.records_sha256
    assert list(halves.rejected()) == list(whole.rejected())
    assert (halves.files / "counts.csv").read_bytes() == (whole.files / "counts.csv").read_bytes()
    assert not (halves.folder / "work").exists()


def test_processes_do_not_decide_the_bytes(three, make_context):
    alone = run_stage(collect(sources=three), make_context("alone"))
    ctx = make_context("shared")
    ctx.processes = 2
    shared = run_stage(collect(sources=three), ctx)
    assert shared.manifest.records_sha256 == alone.manifest.records_sha256
    assert list(shared.rejected()) == list(alone.rejected())


def test_a_file_that_kills_the_parser_spoils_nothing_else(three, tmp_path, make_context):
    (tmp_path / "two" / "Bomb.java").write_text("a<\n" * 40_000)
    ctx = make_context("collect")
    ctx.processes = 2
    artifact = run_stage(collect(sources=three), ctx)
    assert artifact.manifest.kept == 4
    (slow,) = [record for record in artifact.rejected() if record.reason == "slow_parse"]
    assert slow.detail == (
        "directory:two/Bomb.java: the parser took all time or memory for its 120,000 bytes"
    )


def test_near_duplicates_are_named_and_counted(tmp_path, make_context):
    body = "    total = 0\n    for item in items:\n        total += weigh(item)\n    return total\n"
    lines = "".join(f"    log({n}, 'step {n}', items)\n" for n in range(8))
    for name, extra in (("a", ""), ("b", "    done()\n")):
        code = f"def weigh_all(items):\n{lines}{extra}{body}"
        (tmp_path / f"{name}.py").write_text(code)
    source = {"directory": str(tmp_path)}
    artifact = run_stage(collect(sources=[source]), make_context("near"))
    (record,) = artifact.rejected()
    assert record.reason == "near_duplicate"
    label = f"directory:{tmp_path.name}"
    assert record.detail.startswith(f"{label}/b.py:1 weigh_all: 0.")
    assert record.detail.endswith(f" similar to {label}/a.py:1 weigh_all")
    assert (artifact.files / "counts.csv").read_text().splitlines() == [
        "source,language,outcome,count",
        f"{label},python,kept,1",
        f"{label},python,near_duplicate,1",
    ]
    both = run_stage(collect(sources=[source], near_duplicates=False), make_context("both"))
    assert both.manifest.kept == 2


@pytest.mark.parametrize("near", [{}, {"threshold": 1.0}])
def test_what_an_earlier_dataset_has_is_refused(three, tmp_path, make_context, near):
    earlier = run_stage(collect(sources=three[:1]), make_context("earlier"))
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"code": LONG.format(name="two").replace('    """Doc."""\n', "")}))
    against = [str(earlier.folder), str(rows)]
    stage = collect(sources=three, near_duplicates={"against": against, **near})
    artifact = run_stage(stage, make_context("collect"))
    assert [raw.name for raw in artifact.records(RawCode)] == ["three"]
    details = [record.detail for record in artifact.rejected()]
    assert "directory:two/a.py:1 two: the same text as rows.jsonl: row 1" in details
    assert (
        "directory:two/a.py:7 shared: the same text as earlier: directory:one/a.py shared"
        in details
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("no/such.jsonl", None, "Cannot read the earlier dataset"),
        ("folder", None, "is no stage folder"),
        ("rows.jsonl", '{"code": "x"}\n{"text": "y"}\n', "row 2 has no text `code`"),
        ("rows.parquet", "no parquet", "cannot be used"),
    ],
)
def test_an_earlier_dataset_that_cannot_be_read(three, tmp_path, make_context, name, text, message):
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        stage = collect(sources=three, near_duplicates={"against": [str(path)]})
        run_stage(stage, make_context("collect"))


def test_sources_of_every_kind_go_through_the_stage(three, tmp_path, make_context):
    """Each gives a function of its own, and each tells what gave none."""
    rows = []
    for kind in ("jsonl", "csv", "parquet", "datasets", "codesearchnet"):
        rows.append({"code": LONG.format(name=f"from_{kind}"), "language": "python"})
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[0]) + "\n{broken\n")
    pyarrow.csv.write_csv(pyarrow.Table.from_pylist(rows[1:2]), tmp_path / "rows.csv")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[2:3]), tmp_path / "rows.parquet")
    (tmp_path / "saved").mkdir()
    datasets.Dataset.from_list(rows[3:4]).save_to_disk(str(tmp_path / "saved"))
    with gzip.open(tmp_path / "python_train_0.jsonl.gz", "wt") as file:
        fields = {"repo": "a/b", "path": "c.py", "func_name": "from_codesearchnet"}
        published = {**rows[4], **fields, "original_string": rows[4]["code"], "docstring": "Doc."}
        file.write(json.dumps({**published, "sha": "0" * 40, "url": "", "partition": "train"}))
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("top/a.py", LONG.format(name="from_archive"))
    sources = [
        {"jsonl": str(tmp_path / "rows.jsonl")},
        {"csv": str(tmp_path / "rows.csv")},
        {"parquet": str(tmp_path / "rows.parquet")},
        {"datasets": str(tmp_path / "saved")},
        {"codesearchnet": str(tmp_path / "python_train_0.jsonl.gz")},
        {"archive": str(tmp_path / "code.zip")},
        {"package": "wavecoder.errors"},
        *three,
    ]
    kinds = {next(iter(source)) for source in sources}
    assert kinds == set(plugin_names("sources"))
    artifact = run_stage(collect(sources=sources), make_context("collect"))
    labels = {raw.name: raw.source for raw in artifact.records(RawCode)}
    for kind in kinds - {"package", "directory"}:
        assert labels[f"from_{kind}"].startswith(kind)
    assert labels["one"] == "directory:one"
    reasons = artifact.manifest.rejected
    assert reasons["invalid_json"] == 1
    counts = (artifact.files / "counts.csv").read_text()
    assert f"jsonl:{tmp_path.name},,invalid_json,1" in counts


def test_licences_that_are_not_wanted_are_refused(three, tmp_path, make_context):
    (tmp_path / "one" / "a.py").write_text(
        "# SPDX-License-Identifier: MIT\n" + LONG.format(name="one")
    )
    (tmp_path / "two" / "a.py").write_text(
        "# SPDX-License-Identifier: GPL-3.0-only\n" + LONG.format(name="two")
    )
    stage = collect(sources=three, licenses="permissive")
    artifact = run_stage(stage, make_context("collect"))
    assert [(raw.name, raw.license) for raw in artifact.records(RawCode)] == [("one", "MIT")]
    assert artifact.manifest.rejected == {"license_unknown": 2, "license_not_allowed": 1}


def test_a_changed_source_or_filter_makes_another_fingerprint(source, tmp_path, make_context):
    ctx = make_context("collect")
    run_stage(collect(sources=[source]), ctx)
    with pytest.raises(StaleArtifactError, match=r"filters\.length\.most: 800 then, 700 now"):
        run_stage(collect(sources=[source], filters={"length": {"most": 700}}), ctx)
    (tmp_path / "src/e.py").write_text(LONG.format(name="four"))
    with pytest.raises(StaleArtifactError, match=r"sources\.0\.files: 3 then, 4 now"):
        run_stage(collect(sources=[source]), ctx)


def test_a_filter_can_be_switched_off_and_changed(source, make_context):
    stage = collect(sources=[source], filters={"test": False, "length": {"most": 100}})
    artifact = run_stage(stage, make_context("collect"))
    assert [raw.name for raw in artifact.records(RawCode)] == ["one", "two"]
    assert artifact.manifest.rejected["too_long"] == 1
    assert "test" not in stage.identity()["filters"]
    assert stage.identity()["filters"]["length"]["most"] == 100


def test_a_filter_of_your_own_runs_where_it_is_named(source, make_context):
    name = "wavecoder.collect.filters.functions:Length"
    stage = collect(sources=[source], filters={name: {"most": 60}})
    assert run_stage(stage, make_context("collect")).manifest.kept == 0


def test_two_folders_of_one_name_and_twins_on_a_line_are_told_apart(tmp_path, make_context):
    for place in ("one/src", "two/src"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "a.js").write_text("function f() { g(); } function f() { g(); }\n")
    sources = [{"directory": str(tmp_path / place)} for place in ("one/src", "two/src")]
    artifact = run_stage(
        collect(sources=sources, filters={"length": False}), make_context("collect")
    )
    assert artifact.manifest.inputs == 4
    assert artifact.manifest.rejected == {"duplicate": 3}


def test_languages_go_by_any_name_and_reach_the_sources(tmp_path, make_context):
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a.js").write_text("function f() { g(); }\n")
    (folder / "a.py").write_text("def f():\n    g()\n")
    table = {"sources": [{"directory": str(folder)}], "filters": {"length": False}}
    artifact = run_stage(collect(languages=["js"], **table), make_context("collect"))
    assert [raw.language for raw in artifact.records(RawCode)] == ["javascript"]
    assert artifact.manifest.inputs == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sources": [{"direktory": "a"}]}, r"sources\[0\] must name one source.*'directory'\?"),
        ({"sources": [{"directory": ".", "package": "json"}]}, "got directory, package"),
        ({"sources": [{}]}, "got no key"),
        ({"sources": []}, "at least 1 item"),
        ({"sources": [{"package": "json", "langs": 1}]}, r"langs is not a known key"),
        ({"sources": [{"package": "json"}], "filters": {"lenght": {}}}, "Did you mean 'length'"),
        (
            {"sources": [{"package": "json"}], "filters": {"length": {"leest": 1}}},
            r"length\.leest is not a known key\. Did you mean 'least'",
        ),
        ({"sources": [{"package": "json"}], "languages": ["pyhton"]}, "Did you mean 'python'"),
        ({"sources": [{"package": "json"}], "filter": {}}, "Did you mean 'filters'"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_sentence(table, message):
    with pytest.raises(ConfigError, match=message):
        collect(**table)


def test_a_source_of_no_module_is_refused():
    with pytest.raises(PluginError, match="does not load"):
        collect(sources=[{"no.such:Source": "a"}])


def test_nothing_is_written_where_there_is_nothing_to_collect(tmp_path, make_context):
    (tmp_path / "empty").mkdir()
    ctx = make_context("collect")
    with pytest.raises(ConfigError, match="has no file with a suffix of"):
        run_stage(collect(sources=[{"directory": str(tmp_path / "empty")}]), ctx)
    assert not ctx.folder.exists()


def test_the_standard_library_gives_thousands_of_functions_the_same_each_time(make_context):
    table = {"sources": [{"package": "stdlib"}]}
    once, again = (
        run_stage(configure("stages", "collect", table, "collect"), make_context(folder))
        for folder in ("once", "again")
    )
    assert once.manifest.records_sha256 == again.manifest.records_sha256
    kept = list(once.records(RawCode))
    assert len(kept) > 6_000
    assert len({raw.id for raw in kept}) == len({raw.content_hash for raw in kept}) == len(kept)
    assert all(parses(raw.code, raw.language) for raw in kept[::10])
    tops = {raw.path.split("/")[0] for raw in kept}
    assert {"json", "os.py", "unittest"} <= tops
    assert not {"test", "idlelib", "tkinter", "site-packages", "lib2to3"} & tops


def test_the_order_of_filters_in_the_recipe_decides_nothing(tmp_path):
    (tmp_path / "m.py").write_text("def f(x):\n    y = g(x)\n    return y + 1\n")
    made = [
        Collect(
            Collect.Config(
                sources=({"directory": str(tmp_path)},), filters=dict.fromkeys(names, True)
            )
        )
        for names in (("self_contained", "documented"), ("documented", "self_contained"))
    ]
    assert made[0].identity() == made[1].identity()
    assert list(made[0]._filters) == list(made[1]._filters)
