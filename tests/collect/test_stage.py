import pytest

from wavecoder.collect import Collect
from wavecoder.errors import ConfigError, PluginError, StaleArtifactError, StoppedError
from wavecoder.languages import parses
from wavecoder.plugins import configure, validate
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


def test_a_stopped_run_goes_on_to_the_same_bytes(source, make_context):
    whole = run_stage(collect(sources=[source]), make_context("whole"))
    halves, stops = None, 0
    while halves is None:
        ctx = make_context("halves")
        ctx.stop.set()  # before each run: it stops behind its first outcome
        try:
            halves = run_stage(collect(sources=[source]), ctx)
        except StoppedError:
            stops += 1
    assert stops >= 4
    assert halves.manifest.records_sha256 == whole.manifest.records_sha256
    assert list(halves.rejected()) == list(whole.rejected())


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
    assert list(stage.identity()["filters"]) == ["length", "constructor", "trivial"]


def test_a_filter_of_your_own_runs_where_it_is_named(source, make_context):
    name = "wavecoder.collect.filters:Length"
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
    assert list(made[0]._filter_options) == list(made[1]._filter_options)
