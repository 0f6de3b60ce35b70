import random

import numpy as np
import pytest

from wavecoder.errors import ConfigError, MissingExtraError, StoppedError
from wavecoder.select import facility_location, selectors
from wavecoder.select.facility_location import FacilityLocation
from wavecoder.select.kcenter import kcenter_greedy
from wavecoder.select.selectors import KCenter, KMeans, Random

ALL = [KCenter, Random, KMeans, FacilityLocation]
DRAWING = [KCenter, Random, KMeans]
PREFIX = [KCenter, Random, FacilityLocation]

each = pytest.mark.parametrize("cls", ALL)


@pytest.fixture(scope="module")
def vectors():
    """300 rows, the last 20 of them copies."""
    matrix = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    matrix[280:] = matrix[:20]
    return matrix


def make(cls, **options):
    return cls(cls.Config(**options))


def pick(cls, vectors, k, seed=1, **arguments):
    selection = make(cls).select(vectors, k, rng=random.Random(seed), **arguments)
    assert selection.indices.dtype == np.int64
    return selection.indices.tolist()


@each
@pytest.mark.parametrize("k", [1, 2, 37, 299, 300])
def test_it_gives_k_distinct_rows(cls, vectors, k):
    rows = pick(cls, vectors, k)
    assert len(set(rows)) == len(rows) == k
    assert set(rows) <= set(range(300))


@each
def test_one_row_is_enough(cls):
    assert pick(cls, np.ones((1, 3), dtype=np.float32), 1) == [0]


@each
@pytest.mark.parametrize("k", [1, 50, 260])
def test_initial_rows_are_not_picked(cls, vectors, k):
    initial = range(100, 140)
    rows = pick(cls, vectors, k, initial=initial)
    assert len(set(rows)) == k
    assert not set(rows) & set(initial)


@each
def test_quotas_that_sum_to_k_are_met(cls, vectors):
    groups = np.arange(300) % 4
    quotas = np.array([10, 0, 3, 75])
    rows = pick(cls, vectors, 88, groups=groups, quotas=quotas)
    assert np.bincount(groups[rows], minlength=4).tolist() == quotas.tolist()
    assert len(set(rows)) == 88


@each
def test_quotas_with_room_are_not_passed(cls, vectors):
    groups = np.repeat([0, 1, 2], 100)
    quotas = np.array([5, 40, 200])
    rows = pick(cls, vectors, 60, groups=groups, quotas=quotas, initial=[0, 150])
    assert len(set(rows)) == 60
    assert not set(rows) & {0, 150}
    assert (np.bincount(groups[rows], minlength=3) <= quotas).all()


@each
def test_earlier_rows_in_a_group_without_a_quota(cls, vectors):
    groups = np.concatenate([np.zeros(290, dtype=np.int64), np.ones(10, dtype=np.int64)])
    rows = pick(cls, vectors, 20, groups=groups, quotas=np.array([20, 0]), initial=range(290, 300))
    assert max(rows) < 290


@each
def test_the_same_rng_gives_the_same_rows(cls, vectors):
    assert pick(cls, vectors, 40) == pick(cls, vectors, 40)


@pytest.mark.parametrize("cls", DRAWING)
def test_two_seeds_differ(cls, vectors):
    assert pick(cls, vectors, 40, seed=1) != pick(cls, vectors, 40, seed=2)


def test_facility_location_draws_nothing(vectors):
    rng = random.Random(3)
    before = rng.getstate()
    make(FacilityLocation).select(vectors, 5, rng=rng)
    assert rng.getstate() == before


@pytest.mark.parametrize("cls", PREFIX)
def test_the_picks_for_fewer_are_a_prefix(cls, vectors):
    most = pick(cls, vectors, 300)
    for k in (1, 2, 13, 150):
        assert pick(cls, vectors, k) == most[:k]


@pytest.mark.parametrize("cls", PREFIX)
def test_the_picks_for_fewer_are_a_prefix_under_quotas(cls, vectors):
    limits = {"groups": np.arange(300) % 3, "quotas": np.array([4, 20, 60]), "initial": [7]}
    most = pick(cls, vectors, 84, **limits)
    assert pick(cls, vectors, 30, **limits) == most[:30]


@each
def test_half_precision_counts_as_the_float32_it_stands_for(cls, vectors):
    half = vectors.astype(np.float16)
    assert pick(cls, half, 40) == pick(cls, half.astype(np.float32), 40)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_mapped_file_gives_the_same_rows(cls, vectors, dtype, tmp_path):
    np.save(tmp_path / "vectors.npy", vectors.astype(dtype))
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert pick(cls, mapped, 40) == pick(cls, vectors.astype(dtype), 40)


@each
def test_copies_of_one_row_are_picked_too(cls):
    assert sorted(pick(cls, np.ones((9, 3), dtype=np.float32), 8)) == sorted(
        set(pick(cls, np.ones((9, 3), dtype=np.float32), 8))
    )


@each
def test_what_on_pick_raises_ends_the_search(cls, vectors):
    def stop(done):
        raise StoppedError("stopped")

    with pytest.raises(StoppedError):
        pick(cls, vectors, 40, on_pick=stop)


@each
def test_on_pick_is_told_k_at_the_end(cls, vectors):
    told = []
    pick(cls, vectors, 40, on_pick=told.append)
    assert told == sorted(told)
    assert told[-1] == 40


@each
@pytest.mark.parametrize(
    ("k", "arguments", "message"),
    [
        (0, {}, "k is 0 and there are 300 rows"),
        (301, {}, "k is 301 and there are 300 rows"),
        (300, {"initial": [4]}, "k is 300 and there are 299 rows"),
        (5, {"initial": [300]}, "initial names a row that is not there"),
        (5, {"groups": np.zeros(300, dtype=int)}, "give both or neither"),
        (5, {"groups": np.zeros(300, dtype=int), "quotas": np.array([4])}, "there are 4 rows"),
        (5, {"groups": np.ones(300, dtype=int), "quotas": np.array([9])}, "from 0 to 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(cls, vectors, k, arguments, message):
    with pytest.raises(ConfigError, match=message):
        pick(cls, vectors, k, **arguments)


@pytest.mark.parametrize("cls", [KCenter, KMeans, FacilityLocation])
def test_values_that_are_not_finite_are_refused(cls, vectors):
    broken = vectors.copy()
    broken[123, 4] = np.nan
    with pytest.raises(ConfigError, match="Row 123 of the vectors"):
        pick(cls, broken, 40)


def test_kcenter_is_the_greedy_from_the_row_that_was_drawn(vectors):
    first = random.Random(5).randrange(300)
    got = make(KCenter).select(vectors, 30, rng=random.Random(5))
    want = kcenter_greedy(vectors, 30, first=first)
    assert got.indices.tolist() == want.indices.tolist()
    assert got.radii.tolist() == want.radii.tolist()


def test_kcenter_goes_on_from_initial_rows_and_draws_nothing(vectors):
    rng = random.Random(5)
    before = rng.getstate()
    got = make(KCenter).select(vectors, 30, rng=rng, initial=[9, 2])
    assert rng.getstate() == before
    want = kcenter_greedy(vectors, 30, first=None, initial=[9, 2])
    assert got.indices.tolist() == want.indices.tolist()


def test_kcenter_draws_the_first_center_from_a_group_with_a_quota(vectors):
    groups = np.arange(300) % 30
    quotas = np.zeros(30, dtype=np.int64)
    quotas[17] = 2
    for seed in range(5):
        rows = pick(KCenter, vectors, 2, seed=seed, groups=groups, quotas=quotas)
        assert groups[rows].tolist() == [17, 17]


def test_random_rows_are_equally_likely():
    counts = np.zeros(6)
    rng = random.Random(0)
    matrix = np.zeros((6, 1), dtype=np.float32)
    for _ in range(3000):
        counts[make(Random).select(matrix, 2, rng=rng).indices] += 1
    assert abs(counts / 3000 - 1 / 3).max() < 0.04


def clusters(sizes, spread=0.05, dimensions=6):
    """Well separated clusters of the given sizes, their rows mixed; and the cluster of each row."""
    rng = np.random.default_rng(4)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    middles = rng.normal(size=(len(sizes), dimensions)) * 20
    noise = rng.normal(size=(len(labels), dimensions)) * spread
    return (middles[labels] + noise).astype(np.float32), labels


@pytest.mark.parametrize("cls", [KCenter, KMeans, FacilityLocation])
@pytest.mark.parametrize("seed", range(3))
def test_well_separated_clusters_are_hit_once_each(cls, seed):
    sizes = [40, 5, 90, 12, 60, 25, 30]
    matrix, labels = clusters(sizes)
    rows = pick(cls, matrix, len(sizes), seed=seed)
    assert sorted(labels[rows]) == list(range(len(sizes)))


def test_kmeans_gives_the_rows_of_the_largest_clusters_first():
    sizes = [40, 5, 90, 12, 60, 25, 30]
    matrix, labels = clusters(sizes)
    rows = pick(KMeans, matrix, len(sizes))
    assert [sizes[label] for label in labels[rows]] == sorted(sizes, reverse=True)


def test_kmeans_gives_the_row_nearest_to_the_middle_of_its_cluster():
    matrix, labels = clusters([50, 30])
    for row in pick(KMeans, matrix, 2):
        members = np.flatnonzero(labels == labels[row])
        away = np.linalg.norm(matrix[members] - matrix[members].mean(axis=0), axis=1)
        # A mini-batch centroid is near the mean, not on it.
        assert away[members == row] <= np.quantile(away, 0.2)


def test_kmeans_begins_with_random_rows_where_there_are_many_clusters(monkeypatch, vectors):
    monkeypatch.setattr(selectors, "_PLUS_PLUS", 10)
    rows = pick(KMeans, vectors, 40)
    assert len(set(rows)) == 40
    assert rows == pick(KMeans, vectors, 40)


def test_kmeans_splits_places_by_size_where_quotas_leave_room(vectors):
    groups = np.repeat([0, 1, 2], [200, 80, 20])
    rows = pick(KMeans, vectors, 30, groups=groups, quotas=np.array([30, 30, 30]))
    assert np.bincount(groups[rows]).tolist() == [20, 8, 2]


def test_kmeans_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"wavecoder\[selectors\]"):
        make(KMeans)


def brute_force(vectors, k, initial=(), groups=None, quotas=None):
    """Facility location by computing every gain for every pick, in float64."""
    exact = vectors.astype(np.float64)
    square = ((exact[:, None] - exact[None]) ** 2).sum(axis=2)
    similar = np.maximum(1 - square / square.mean(), 0)
    best = similar[list(initial)].max(axis=0) if len(initial) else np.zeros(len(vectors))
    picks = []
    for _ in range(k):
        gains = np.maximum(similar - best, 0).sum(axis=1)
        gains[[*initial, *picks]] = -1
        if groups is not None:
            full = np.bincount(groups[picks], minlength=len(quotas)) >= quotas
            gains[full[groups]] = -1
        # Two rows that serve each other alone gain the same; the lowest wins.
        picks.append(int(np.flatnonzero(gains >= gains.max() - 1e-6)[0]))
        best = np.maximum(best, similar[picks[-1]])
    return picks


@pytest.mark.parametrize("offset", [0, 50])
@pytest.mark.parametrize("tile", [(1024, 8192), (17, 130)])
def test_facility_location_picks_what_brute_force_picks(monkeypatch, offset, tile):
    matrix = np.random.default_rng(6).normal(size=(120, 5)).astype(np.float32) + offset
    monkeypatch.setattr(facility_location, "_TILE", tile)
    selector = make(FacilityLocation, neighbors=120)
    got = selector.select(matrix, 60, rng=random.Random(0))
    assert got.indices.tolist() == brute_force(matrix, 60)

    limits = {"initial": [3, 50], "groups": np.arange(120) % 3, "quotas": np.array([2, 10, 30])}
    got = selector.select(matrix, 40, rng=random.Random(0), **limits)
    assert got.indices.tolist() == brute_force(matrix, 40, **limits)


def test_neighbors_are_the_nearest_rows_in_any_tiles(monkeypatch, vectors):
    square = ((vectors[:, None].astype(np.float64) - vectors[None]) ** 2).sum(axis=2)
    want = np.sort(square, axis=1)[:, :9]
    for tile in [(1024, 8192), (64, 9), (7, 100)]:
        monkeypatch.setattr(facility_location, "_TILE", tile)
        names, similar = facility_location._neighbors(vectors, 9, lambda: None)
        assert (names[:, 0] == np.arange(300)).all()
        assert all(len(set(row)) == 9 for row in names.tolist())
        np.testing.assert_allclose(np.take_along_axis(square, names, axis=1), want, atol=1e-4)
        np.testing.assert_allclose(
            similar, np.maximum(1 - want / square.mean(), 0), rtol=0, atol=1e-5
        )


def test_few_neighbors_lose_little(vectors):
    """What the picks serve, under the exact objective."""
    square = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    similar = np.maximum(1 - square / square.mean(), 0)

    def serves(rows):
        return similar[rows].max(axis=0).sum()

    few = make(FacilityLocation, neighbors=30).select(vectors, 30, rng=random.Random(0)).indices
    exact = brute_force(vectors, 30)
    drawn = pick(Random, vectors, 30)
    assert serves(few) > 0.97 * serves(exact) > serves(drawn)


def test_facility_location_refuses_what_is_too_large():
    selector = make(FacilityLocation, most_rows=100)
    with pytest.raises(
        ConfigError, match=r"pairs of 101 rows .* 0\.0 GB; most_rows is 100.*kmeans"
    ):
        selector.select(np.zeros((101, 2), dtype=np.float32), 5, rng=random.Random(0))


def test_only_kcenter_gives_radii(vectors):
    for cls in ALL:
        radii = make(cls).select(vectors, 5, rng=random.Random(0)).radii
        assert radii.dtype == np.float32
        assert len(radii) == (5 if cls is KCenter else 0)
