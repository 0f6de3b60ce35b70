import json
from collections import Counter

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from wavecoder.errors import (
    ArtifactError,
    ConfigError,
    PluginError,
    StaleArtifactError,
    StoppedError,
)
from wavecoder.plugins import validate
from wavecoder.records import RawCode, Rejected
from wavecoder.select import Select, Selection, kcenter_greedy
from wavecoder.select.near import near
from wavecoder.stage import OnExisting, run_stage

N = 30


class Given:
    """A stage `collect` that keeps what it is given."""

    name, data_version, streaming, writes = "collect", 1, True, RawCode

    class Config(BaseModel):
        pass

    def __init__(self, raw_codes):
        self.config = self.Config()
        self.raw_codes = raw_codes

    def identity(self):
        return {"ids": [raw.id for raw in self.raw_codes]}

    def inputs(self, ctx):
        return self.raw_codes

    def run(self, inputs, ctx):
        yield from inputs


class Table:
    """An embedder whose vectors are drawn by the function's content."""

    class Config(BaseModel, extra="forbid", frozen=True):
        rows: int = 1000

    def __init__(self, config):
        self.config = config

    def identity(self):
        return {}

    def fit(self, sample, seed):
        pass

    def embed(self, raw_codes):
        rows = [vector(raw) for raw in raw_codes]
        return np.array(rows[: self.config.rows], dtype=np.float32)


def vector(raw):
    return np.random.default_rng(int(raw.content_hash, 16)).normal(size=5)


def select(**table):
    return Select(validate(Select.Config, table, "select"))


@pytest.fixture
def upstream(make_context, raw_code):
    codes = [raw_code(f"def f{n}(a):\n    return a * {n} + g{n % 5}(a)\n") for n in range(N)]
    return {"collect": run_stage(Given(codes), make_context("collect"))}


@pytest.fixture
def table(monkeypatch):
    """Name of `Table` as an embedder."""
    import importlib
    import sys
    import types

    module = types.ModuleType("table_embedder")
    module.Table = Table
    monkeypatch.setitem(sys.modules, "table_embedder", module)
    assert importlib.import_module("table_embedder") is module
    return "table_embedder:Table"


def test_the_selected_records_are_what_is_written_in_pick_order(make_context, upstream, table):
    """The released code computes a coreset and saves the first k inputs instead."""
    ctx = make_context("select", upstream)
    artifact = run_stage(select(embedder=table, k=7), ctx)
    inputs = list(upstream["collect"].records(RawCode))
    first = [raw.id for raw in inputs].index(next(iter(artifact.records(RawCode))).id)
    expected = kcenter_greedy(Table(Table.Config()).embed(inputs), 7, first=first)

    assert list(artifact.records(RawCode)) == [inputs[row] for row in expected.indices]
    assert [raw.id for raw in artifact.records(RawCode)] != [raw.id for raw in inputs[:7]]
    assert np.array_equal(np.load(artifact.files / "radii.npy"), expected.radii)
    left = [row for row in range(N) if row not in expected.indices]
    assert list(artifact.rejected()) == [
        Rejected(
            id=inputs[row].id,
            reason="not_selected",
            detail="other functions are farther from the picks; `wavecoder near` names its nearest",
        )
        for row in left
    ]
    assert artifact.manifest.rejected == {"not_selected": N - 7}
    vectors = np.load(artifact.files / "vectors.npy")
    assert vectors.dtype == np.float32
    assert vectors.shape == (N, 5)


def test_two_seeds_pick_differently_and_one_seed_the_same(make_context, upstream, table):
    """The released code begins at row 0 whatever the seed."""

    def picks(seed, folder):
        ctx = make_context("select", upstream, seed=seed, folder=folder)
        artifact = run_stage(select(embedder=table, k=5), ctx)
        return [raw.id for raw in artifact.records(RawCode)]

    assert picks(1, "a") != picks(2, "b")
    assert picks(1, "c") == picks(1, "d")
    assert len({picks(seed, f"seed{seed}")[0] for seed in range(10)}) > 4


def test_with_the_lexical_embedder_two_runs_give_the_same_bytes(make_context, upstream):
    one, two = (
        run_stage(select(k=N), make_context("select", upstream, folder=folder))
        for folder in ("one", "two")
    )
    assert one.manifest.records_sha256 == two.manifest.records_sha256
    for name in ("files/vectors.npy", "files/radii.npy", "rejected.parquet"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert one.manifest.kept == N


def test_a_complete_artifact_is_skipped_and_a_changed_k_is_stale(make_context, upstream, table):
    ctx = make_context("select", upstream)
    before = run_stage(select(embedder=table, k=3), ctx)
    stamp = (before.files / "vectors.npy").stat().st_mtime_ns
    assert run_stage(select(embedder=table, k=3), ctx).manifest == before.manifest
    assert (before.files / "vectors.npy").stat().st_mtime_ns == stamp
    with pytest.raises(StaleArtifactError, match="k: 3 then, 4 now"):
        run_stage(select(embedder=table, k=4), ctx)
    again = run_stage(select(embedder=table, k=4), ctx, OnExisting.REPLACE)
    assert again.manifest.kept == 4


def test_a_stop_while_picking_is_obeyed_and_the_next_run_ends_the_same(
    make_context, upstream, table
):
    whole = run_stage(select(embedder=table, k=9), make_context("select", upstream, folder="whole"))
    ctx = make_context("select", upstream)
    ctx.stop.set()
    with pytest.raises(StoppedError):
        run_stage(select(embedder=table, k=9), ctx)
    assert not (ctx.folder / "manifest.json").exists()
    ctx.stop.clear()
    resumed = run_stage(select(embedder=table, k=9), ctx)
    assert resumed.manifest.records_sha256 == whole.manifest.records_sha256


def test_a_run_killed_among_its_outcomes_ends_the_same(make_context, upstream, table):
    whole = run_stage(select(embedder=table, k=9), make_context("select", upstream, folder="whole"))

    class Killed(Select):
        def run(self, inputs, ctx):
            yield next(super().run(inputs, ctx))
            raise KeyboardInterrupt

    ctx = make_context("select", upstream)
    with pytest.raises(KeyboardInterrupt):
        run_stage(Killed(validate(Select.Config, {"embedder": table, "k": 9}, "select")), ctx)
    assert not (ctx.folder / "records.parquet").exists()
    resumed = run_stage(select(embedder=table, k=9), ctx)
    assert resumed.manifest.records_sha256 == whole.manifest.records_sha256


@pytest.mark.parametrize("selector", ["random", "kmeans", "facility_location"])
def test_other_selectors_fit_the_same_place(make_context, upstream, table, selector):
    artifact = run_stage(
        select(embedder=table, k=6, selector=selector), make_context("select", upstream)
    )
    assert len({raw.id for raw in artifact.records(RawCode)}) == 6
    assert len(np.load(artifact.files / "radii.npy")) == 0
    centers = (artifact.files / "centers.csv").read_text().splitlines()
    assert len(centers) == 7
    assert centers[1].split(",")[2] == ""


def test_an_earlier_selection_is_extended(make_context, upstream, table):
    inputs = list(upstream["collect"].records(RawCode))
    half = {"collect": run_stage(Given(inputs[:10]), make_context("half"))}
    earlier = run_stage(select(embedder=table, k=4), make_context("earlier", half))
    rest = {"collect": run_stage(Given(inputs[10:]), make_context("rest"))}
    artifact = run_stage(
        select(embedder=table, k=5, extend=str(earlier.folder)), make_context("select", rest)
    )
    centers = [vector(raw) for raw in earlier.records(RawCode)]
    rows = np.array([vector(raw) for raw in [*inputs[10:]]] + centers, dtype=np.float32)
    expected = kcenter_greedy(rows, 5, first=None, initial=range(20, 24))
    assert [raw.id for raw in artifact.records(RawCode)] == [
        inputs[10 + row].id for row in expected.indices
    ]


@pytest.mark.parametrize("selector", ["kcenter", "random", "kmeans", "facility_location"])
@pytest.mark.parametrize("quotas", [None, "language"])
def test_what_was_picked_earlier_is_not_picked_again_though_it_was_collected_again(
    make_context, raw_code, table, selector, quotas
):
    codes = [raw_code(f"f({n})", "python", f"p{n}") for n in range(12)]
    codes += [raw_code(f"g({n})", "go", f"g{n}") for n in range(3)]
    old = {"collect": run_stage(Given(codes[10:]), make_context("old"))}
    earlier = run_stage(select(embedder=table, k=5), make_context("earlier", old))
    # Collected from another place now, under other ids.
    moved = [raw.model_copy(update={"id": f"new {raw.id}"}) for raw in codes]
    upstream = {"collect": run_stage(Given(moved), make_context("collect"))}

    def picks(k):
        given = {"embedder": table, "k": k, "selector": selector, "quotas": quotas}
        stage = select(**given, extend=str(earlier.folder))
        artifact = run_stage(stage, make_context("select", upstream, folder=f"select{k}"))
        return {raw.id for raw in artifact.records(RawCode)}

    assert picks(10) == {raw.id for raw in moved[:10]}
    with pytest.raises(ConfigError, match=r"k is 11 and collect kept 10 .* k to at most 10"):
        picks(11)


@pytest.mark.parametrize("rows", [[1, 2], [1, 1, 2], [0, 1, N], [-1, 0, 1], [[0, 1, 2]]])
@pytest.mark.parametrize("radii", [0, 3])
def test_a_selector_that_breaks_its_contract_is_refused(
    make_context, upstream, table, monkeypatch, rows, radii
):
    selection = Selection(np.array(rows), np.zeros(radii, np.float32))
    monkeypatch.setattr("wavecoder.select.selectors.Random.select", lambda *_, **__: selection)
    stage = select(embedder=table, k=3, selector="random")
    with pytest.raises(ConfigError, match=r"The selector random gave [23] rows .* 0 to 29"):
        run_stage(stage, make_context("select", upstream))


def test_an_extended_selection_is_measured_as_one(make_context, upstream, table):
    inputs = list(upstream["collect"].records(RawCode))
    half = {"collect": run_stage(Given(inputs[:10]), make_context("half"))}
    earlier = run_stage(select(embedder=table, k=4), make_context("earlier", half))
    ctx = make_context("select", upstream)
    artifact = run_stage(select(embedder=table, k=3, extend=str(earlier.folder)), ctx)
    picked = list(artifact.records(RawCode))
    before = [vector(raw) for raw in earlier.records(RawCode)]
    centers = np.array([*(vector(raw) for raw in picked), *before])
    left = np.array([vector(raw) for raw in inputs if raw not in picked])
    apart = np.linalg.norm(left[:, None] - centers, axis=2)
    figures = json.loads((artifact.files / "coverage.json").read_text())
    assert figures["distance"]["selected"]["max"] == pytest.approx(apart.min(axis=1).max())
    assert figures["distance"]["selected"]["max"] == pytest.approx(figures["radius"]["3"])
    rows = [line.split(",") for line in (artifact.files / "centers.csv").read_text().split()][1:]
    nearest = np.bincount(apart.argmin(axis=1), minlength=7)[:3]
    assert [int(row[3]) for row in rows] == (1 + nearest).tolist()
    # What a pick adds is the same figure in all places.
    for place, (raw, row) in enumerate(zip(picked, rows, strict=True)):
        seen = [vector(other) for other in picked[:place]] + before
        added = min(np.linalg.norm(vector(raw) - one) for one in seen)
        assert float(row[2]) == pytest.approx(added, abs=1e-4)
        assert near(upstream["collect"], artifact, raw.id).added == pytest.approx(added)


def test_only_a_selection_can_be_extended(upstream):
    with pytest.raises(ConfigError, match=r"which holds collect\. Name the select"):
        select(extend=str(upstream["collect"].folder))


@pytest.mark.parametrize(
    ("quotas", "counts"),
    [
        ("language", {"go": 2, "java": 5, "python": 5}),
        ({"language": {"python": 11, "go": 1}}, {"go": 1, "python": 11}),
    ],
)
def test_quotas_bound_what_each_language_gives(make_context, raw_code, table, quotas, counts):
    codes = [raw_code(f"f({n})", "python", f"p{n}") for n in range(20)]
    codes += [raw_code(f"g({n})", "java", f"j{n}") for n in range(9)]
    codes += [raw_code(f"h({n})", "go", f"g{n}") for n in range(2)]
    upstream = {"collect": run_stage(Given(codes), make_context("collect"))}
    stage = select(embedder=table, k=12, quotas=quotas)
    artifact = run_stage(stage, make_context("select", upstream))
    languages = [raw.language for raw in artifact.records(RawCode)]
    assert Counter(languages) == counts
    figures = json.loads((artifact.files / "coverage.json").read_text())
    assert {
        name: group["selected"]
        for name, group in figures["by_language"].items()
        if group["selected"]
    } == counts
    # No function can be picked in the end, and yet some are far from all picks.
    assert len(np.load(artifact.files / "radii.npy")) == 0
    assert "radius" not in figures


def test_of_more_repositories_than_picks_the_selector_takes_some(make_context, raw_code, table):
    codes = [
        raw_code(f"f({n})", record_id=f"r{n}").model_copy(update={"repository": repository})
        for n, repository in enumerate([*"abcdefgh", None] * 4)
    ]
    upstream = {"collect": run_stage(Given(codes), make_context("collect"))}

    def repositories(seed):
        ctx = make_context("select", upstream, seed=seed, folder=f"select{seed}")
        stage = select(embedder=table, k=3, quotas="repository")
        return [raw.repository for raw in run_stage(stage, ctx).records(RawCode)]

    found = [repositories(seed) for seed in range(5)]
    assert all(len(set(three)) == 3 for three in found)
    assert len({name for three in found for name in three}) > 5


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        ({"language": {"pyhton": 3}}, "Did you mean 'python'"),
        ({"language": {"python": 1}}, "allow 1 functions and select.k is 2"),
        ({"language": {}}, r"Raise the quotas\.$"),
    ],
)
def test_quotas_that_do_not_fit_are_refused_before_anything_is_embedded(
    make_context, upstream, table, quotas, message
):
    ctx = make_context("select", upstream)
    with pytest.raises(ConfigError, match=message):
        run_stage(select(embedder=table, k=2, quotas=quotas), ctx)
    assert not (ctx.files / "vectors.npy").exists()


def test_too_little_memory_is_said_before_picking(make_context, upstream, table, monkeypatch):
    monkeypatch.setattr("wavecoder.machine.free_memory", lambda: 1000)
    with pytest.raises(
        ConfigError, match=r"Picking 2 of 30 .* needs 0\.0 GB of memory and 0\.0 GB are free"
    ):
        run_stage(select(embedder=table, k=2), make_context("select", upstream))
    # What k-center needs does not count for others.
    ctx = make_context("select", upstream, folder="random")
    assert run_stage(select(embedder=table, k=2, selector="random"), ctx).manifest.kept == 2


def test_near_says_why_a_function_was_picked(make_context, upstream, table):
    artifact = run_stage(select(embedder=table, k=8), make_context("select", upstream))
    collect = upstream["collect"]
    picked = list(artifact.records(RawCode))
    radii = np.load(artifact.files / "radii.npy")
    found = near(collect, artifact, picked[5].id, 3)
    assert (found.raw, found.pick) == (picked[5], 5)
    assert found.added == pytest.approx(float(radii[4]), abs=1e-5)
    assert near(collect, artifact, picked[0].id).added is None
    other = next(iter(artifact.rejected())).id
    found = near(collect, artifact, other, 3)
    assert found.pick is None
    by_hand = sorted(np.linalg.norm(vector(found.raw) - vector(raw)) for raw in picked)[:3]
    assert [one.distance for one in found.picks] == pytest.approx(by_hand, abs=1e-5)
    assert len(found.others) == 3
    with pytest.raises(ConfigError, match="30 functions are called 'f'"):
        near(collect, artifact, "f")
    with pytest.raises(ConfigError, match="no function with the id or name 'g'"):
        near(collect, artifact, "g")


def test_near_refuses_picks_of_what_was_collected_before(make_context, upstream, table):
    artifact = run_stage(select(embedder=table, k=8), make_context("select", upstream))
    inputs = list(upstream["collect"].records(RawCode))
    again = run_stage(Given(inputs[::-1]), make_context("again"))
    with pytest.raises(ArtifactError, match=r"held before it was made again. Run select again\."):
        near(again, artifact, inputs[0].id)


def test_a_k_larger_than_what_was_kept_is_one_sentence(make_context, upstream):
    with pytest.raises(ConfigError) as caught:
        run_stage(select(k=500), make_context("select", upstream))
    assert str(caught.value) == (
        f"select.k is 500 and collect kept {N} functions; set k to at most {N} or collect more."
    )


def test_nothing_collected_is_one_sentence(make_context):
    empty = {"collect": run_stage(Given([]), make_context("collect"))}
    with pytest.raises(ConfigError, match="collect kept no function"):
        run_stage(select(k=1), make_context("select", empty))


def test_without_collect_there_is_nothing_to_select_from(make_context):
    with pytest.raises(ConfigError, match="add collect"):
        run_stage(select(), make_context("select"))


def test_an_embedder_that_loses_functions_is_refused(make_context, upstream, table):
    with pytest.raises(ConfigError, match="gave 12 vectors for 30 functions"):
        run_stage(select(embedder={table: {"rows": 12}}, k=2), make_context("select", upstream))


@pytest.mark.parametrize(
    ("embedder", "options"),
    [
        ("lexical", {"dimensions": 256}),
        ({"lexical": None}, {"dimensions": 256}),
        ({"lexical": {"dimensions": 64}}, {"dimensions": 64}),
    ],
)
def test_the_embedder_may_be_a_name_or_a_table_and_is_stored_resolved(
    embedder, options, make_context, upstream
):
    stage = select(embedder=embedder, k=2)
    resolved = {
        "embedder": {"lexical": options},
        "k": 2,
        "selector": {"kcenter": {}},
        "quotas": None,
        "extend": None,
        "dtype": "float32",
    }
    assert stage.identity() == {**resolved, "model": {}}
    artifact = run_stage(stage, make_context("select", upstream))
    stored = yaml.safe_load((artifact.folder / "config.yaml").read_text())
    assert stored == resolved


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"k": 0}, r"select\.k"),
        ({"embeder": "lexical"}, "Did you mean 'embedder'"),
        ({"embedder": {"lexical": {}, "other": {}}}, "give one name"),
        ({"embedder": {}}, "give one name"),
        ({"embedder": 7}, "give one name"),
        ({"embedder": {"lexical": 7}}, r"select\.embedder\.lexical"),
        ({"embedder": {"lexical": {"dimension": 9}}}, "Did you mean 'dimensions'"),
        ({"embedder": {"lexical": {"dimensions": 0}}}, r"select\.embedder\.lexical\.dimensions"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(table, message):
    with pytest.raises(ConfigError, match=message):
        select(**table)


def test_an_unknown_embedder_names_the_nearest():
    with pytest.raises(PluginError, match="Did you mean 'lexical'"):
        select(embedder="lexicl")


def test_a_full_disk_is_one_sentence_with_its_reason(make_context, upstream, table):
    ctx = make_context("select", upstream)
    (ctx.folder / "files").mkdir(parents=True)
    (ctx.files / "radii.npy").symlink_to("/dev/full")
    with pytest.raises(ArtifactError, match=r"radii\.npy: No space left on device"):
        run_stage(select(embedder=table, k=2), ctx)


def test_a_selection_does_not_extend_itself(make_context, upstream, table):
    ctx = make_context("select", upstream)
    run_stage(select(embedder=table, k=4), ctx)
    again = select(embedder=table, k=5, extend=str(ctx.folder))
    with pytest.raises(ConfigError, match="the artifact that it makes"):
        run_stage(again, ctx, OnExisting.REPLACE)
    assert (ctx.folder / "records.parquet").exists()


def test_where_a_model_is_is_written_down_and_decides_nothing(make_context, upstream, monkeypatch):
    endpoints = [
        select(embedder={"endpoint": {"model": f"http://{host}:1/v1#name"}}, k=2)
        for host in ("one.test", "two.test")
    ]
    assert endpoints[0].identity() == endpoints[1].identity()
    written = endpoints[0].config.model_dump(mode="json")["embedder"]["endpoint"]
    assert written["model"] == "http://one.test:1/v1#name"
    assert select(embedder={"endpoint": written}, k=2).identity() == endpoints[0].identity()
