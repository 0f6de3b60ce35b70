from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecoder.errors import ConfigError
from wavecoder.select import kcenter, kcenter_reference
from wavecoder.select.kcenter import kcenter_greedy, memory_needed, nearest_centers
from wavecoder.select.lazy_pool import kernels, pool, prefix
from wavecoder.select.lazy_pool.pool import Sizes


def distance(a, b):
    """The canonical distance, one element after another."""
    square = [(float(x) - float(y)) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    whole = len(square) - len(square) % 8
    lanes = [sum(square[lane:whole:8], 0.0) for lane in range(8)]
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    total = lanes[0]
    for value in square[whole:]:
        total += value
    return np.sqrt(np.float32(total))


def naive(vectors, k, first, initial=(), groups=None, quotas=(), weights=None):
    """The textbook: recompute every distance, scan for the first largest."""
    centers, picks, radii = list(initial), [], []

    def key(i):
        nearest = min(distance(vectors[i], vectors[c]) for c in centers)
        return nearest if weights is None else np.float32(weights[i] * nearest)

    def open_rows():
        taken = [groups[p] for p in picks] if groups is not None else []
        return [
            i
            for i in range(len(vectors))
            if i not in centers and (groups is None or taken.count(groups[i]) < quotas[groups[i]])
        ]

    for pick in range(k):
        row = first if pick == 0 and first is not None else max(open_rows(), key=key)
        centers.append(row)
        picks.append(row)
        radii.append(max((key(i) for i in open_rows()), default=0.0))
    return picks, radii


def random_matrix(rng, n, d):
    kind = rng.choice(["normal", "lattice", "duplicates", "offset", "scale", "rows", "flat"])
    matrix = rng.normal(size=(n, d))
    if kind == "lattice":  # full of ties
        matrix = rng.integers(-1, 2, size=(n, d))
    elif kind == "duplicates":
        matrix = matrix[rng.integers(0, max(1, n // 4), size=n)]
    elif kind == "offset":
        matrix = matrix * 1e-3 + 100
    elif kind == "scale":
        matrix = matrix * 10.0 ** rng.integers(-20, 16)
    elif kind == "rows":  # every row of another size
        matrix = matrix * 10.0 ** rng.integers(-5, 6, size=(n, 1))
    elif kind == "flat":  # few directions matter, as in embeddings; some columns are constant
        matrix = matrix * np.exp(-np.arange(d) / 2)
        matrix[:, ::3] = 1
    if rng.random() < 0.3:
        return np.clip(matrix, -60000, 60000).astype(np.float16)
    return matrix.astype(np.float32)


def random_arguments(rng, n, whole=False):
    """`k` and all the options, such that they fit."""
    options = {"initial": [], "weights": None}
    if rng.random() < 0.4:
        options["initial"] = rng.choice(n, int(rng.integers(0, n)), replace=False)
    free = np.setdiff1d(np.arange(n), options["initial"])
    most = len(free)
    if rng.random() < 0.4:
        count = int(rng.integers(1, 6))
        groups = rng.integers(0, count, size=n)
        quotas = rng.integers(0, n // 2 + 2, size=count)
        quotas[groups[free[0]]] += 1
        most = int(np.minimum(np.bincount(groups[free], minlength=count), quotas).sum())
        free = free[quotas[groups[free]] > 0]
        options |= {"groups": groups, "quotas": quotas}
    if rng.random() < 0.4:
        options["weights"] = np.exp(rng.normal(size=n)).astype(np.float32)
    options["first"] = int(rng.choice(free))
    if len(options["initial"]) and rng.random() < 0.5:
        options["first"] = None
    return most if whole or rng.random() < 0.3 else int(rng.integers(1, most + 1)), options


@pytest.fixture
def fast(monkeypatch):
    """Take the lazy pool whatever the size, cut as asked."""

    def use(sizes=None, **learning):
        monkeypatch.setattr(kcenter, "_PLAIN_WORK", 0)
        if sizes is not None:
            monkeypatch.setattr(pool, "choose_sizes", lambda n, k: sizes)
        for name, value in learning.items():
            monkeypatch.setattr(prefix, name, value)

    return use


def plain(*arguments, **options):
    """The reference, also while `fast` is in force."""
    work, kcenter._PLAIN_WORK = kcenter._PLAIN_WORK, float("inf")
    try:
        return kcenter_greedy(*arguments, **options)
    finally:
        kcenter._PLAIN_WORK = work


def assert_same(got, expected):
    assert got.indices.tolist() == expected.indices.tolist()
    assert got.radii.tolist() == expected.radii.tolist()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_reference_picks_what_the_naive_loop_picks(seed):
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, int(rng.integers(1, 15)), int(rng.integers(1, 20)))
    k, options = random_arguments(rng, len(matrix))
    got = plain(matrix, k, **options)
    picks, radii = naive(matrix, k, **options)
    assert got.indices.tolist() == picks
    assert got.radii.tolist() == radii


# Sizes so small that every branch runs: many rounds, blocks and tiles, cells of few centers.
@pytest.mark.parametrize("seed", range(12))
def test_the_lazy_pool_picks_what_the_reference_picks(seed, fast):
    for case in range(25):
        rng = np.random.default_rng([seed, case])
        matrix = random_matrix(rng, int(rng.integers(1, 250)), int(rng.integers(1, 40)))
        k, options = random_arguments(rng, len(matrix))
        sizes = Sizes(
            active=int(rng.choice([3, 20, 1000])),
            block=int(rng.choice([1, 4, 30, 512])),
            tile=int(rng.choice([1, 5, 32, 512])),
            cells=int(rng.choice([4, 8, 30])),
            threads=int(rng.integers(1, 4)),
        )
        fast(
            sizes,
            _SHARE=float(rng.choice([0.3, 0.8, 0.999])),
            _PIECE=int(rng.choice([3, 128])),
            _CELL_WIDTH=int(rng.choice([2, 64])),
            _LEAST=int(rng.choice([5, 100])),
            _WIDE=int(rng.choice([3, 1024])),
            CHUNK=int(rng.choice([7, 64])),
        )
        assert_same(kcenter_greedy(matrix, k, **options), plain(matrix, k, **options))


def clustered(n, d, seed=0):
    """Unit vectors around a few middles, with near and exact duplicates."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(40, d))[rng.integers(0, 40, size=n)]
    matrix = matrix + rng.normal(size=(n, d)) * np.exp(-np.arange(d) / 8)
    matrix[: n // 20] = matrix[n // 2 : n // 2 + n // 20]
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def test_the_lazy_pool_as_it_is_used(fast):
    """With the sizes of real runs, enough rows for several rounds, tiles and blocks."""
    fast()
    matrix = clustered(6000, 70)
    assert_same(kcenter_greedy(matrix, 700, first=5), plain(matrix, 700, first=5))


def test_every_step_of_the_lazy_pool_runs(fast, monkeypatch):
    """What the other tests compare is not compared in vain: no step is skipped."""
    fast(Sizes(active=30, block=16, tile=8, cells=8, threads=2))
    monkeypatch.setattr(pool, "_PICK_WORK", 1)  # stop after every pick
    seen = {"probe": [], "catch_up": [], "pool_greedy": []}
    for name, results in seen.items():
        kernel = getattr(kernels, name)

        def count(*arguments, kernel=kernel, results=results):
            result = kernel(*arguments)
            results.append((result, arguments))
            return result

        monkeypatch.setattr(kernels, name, count)
    duplicates = []
    pick_duplicates = pool._Search._pick_duplicates
    monkeypatch.setattr(
        pool._Search,
        "_pick_duplicates",
        lambda self: (duplicates.append(self.total - self.count), pick_duplicates(self)),
    )
    matrix = clustered(400, 12)
    assert_same(kcenter_greedy(matrix, 400, first=0), plain(matrix, 400, first=0))
    for name in ("probe", "catch_up"):  # rows left a tile, and rows stayed
        assert {0, 1} <= {min(1, stay) for stay, _ in seen[name]}
    assert {True, False} == {bool(dry) for dry, _ in seen["pool_greedy"]}
    assert any(arguments[3][0] > 16 for _, arguments in seen["catch_up"])  # a later block
    assert duplicates == [20]


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_number_of_threads_and_the_layout_change_nothing(fast, order):
    matrix = np.asarray(clustered(900, 20, seed=3), order=order)
    expected = plain(matrix, 120, first=7)
    for threads in (1, 2, 5):
        fast(Sizes(active=100, block=32, tile=16, cells=8, threads=threads))
        assert_same(kcenter_greedy(matrix, 120, first=7), expected)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_memory_mapped_matrix_is_read_and_not_changed(tmp_path, fast, kind, mode):
    fast()
    matrix = clustered(500, 16).astype(kind)
    np.save(tmp_path / "v.npy", matrix)
    mapped = np.load(tmp_path / "v.npy", mmap_mode=mode)
    got = kcenter_greedy(mapped, 60, first=1)
    assert_same(got, plain(matrix.astype(np.float32), 60, first=1))
    assert np.array_equal(np.load(tmp_path / "v.npy"), matrix)


def test_without_numba_the_reference_serves(fast, monkeypatch):
    fast()
    matrix = clustered(200, 10)
    expected = plain(matrix, 30, first=0)
    monkeypatch.setitem(__import__("sys").modules, "wavecoder.select.lazy_pool.pool", None)
    assert_same(kcenter_greedy(matrix, 30, first=0), expected)


def test_squares_beyond_float32_are_left_to_the_reference(fast):
    """The lazy pool's bounds would overflow; the canonical distance is infinite, a tie."""
    fast()
    matrix = np.float32([[0, 1], [3e19, 0], [1, 1], [-3e19, 5], [2e19, 1e19]])
    assert kcenter_greedy(matrix, 3, first=0).indices.tolist() == [0, 1, 3]


def test_blocks_do_not_change_the_picks(monkeypatch):
    matrix = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float32)
    whole = kcenter_greedy(matrix, 30, first=5)
    monkeypatch.setattr(kcenter, "_BLOCK", 21)  # three rows a block
    monkeypatch.setattr(kcenter_reference, "_BLOCK", 21)
    assert_same(kcenter_greedy(matrix, 30, first=5), whole)


@pytest.mark.parametrize("quick", [False, True])
def test_picks_for_k_begin_the_picks_for_more(quick, fast):
    if quick:
        fast(Sizes(active=10, block=8, tile=4, cells=4, threads=2))
    matrix = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    most = kcenter_greedy(matrix, 60, first=3)
    for k in range(1, 60):
        fewer = kcenter_greedy(matrix, k, first=3)
        assert fewer.indices.tolist() == most.indices[:k].tolist()
        assert fewer.radii.tolist() == most.radii[:k].tolist()


def test_another_first_row_gives_another_selection():
    matrix = clustered(300, 8)
    one, other = (kcenter_greedy(matrix, 20, first=first).indices for first in (3, 4))
    assert one[0] == 3
    assert other[0] == 4
    assert set(one.tolist()) != set(other.tolist())


def test_going_on_from_earlier_picks_is_one_search():
    matrix = clustered(300, 8)
    whole = kcenter_greedy(matrix, 50, first=3)
    more = kcenter_greedy(matrix, 30, first=None, initial=whole.indices[:20])
    assert more.indices.tolist() == whole.indices[20:].tolist()
    assert more.radii.tolist() == whole.radii[20:].tolist()


def test_a_full_group_is_picked_no_more_and_its_rows_leave_the_radius():
    matrix = np.float32([[0], [10], [9], [1], [2]])
    groups, quotas = [0, 1, 1, 0, 0], [3, 1]
    got = kcenter_greedy(matrix, 4, first=0, groups=groups, quotas=quotas)
    assert got.indices.tolist() == [0, 1, 4, 3]
    assert got.radii.tolist() == [10, 2, 1, 0]


def test_a_heavy_row_counts_as_far_away():
    matrix = np.float32([[0], [3], [-4]])
    assert kcenter_greedy(matrix, 2, first=0).indices.tolist() == [0, 2]
    got = kcenter_greedy(matrix, 2, first=0, weights=[1, 2, 1])
    assert got.indices.tolist() == [0, 1]
    assert got.radii.tolist() == [6, 4]


def test_the_radius_never_grows_and_ends_at_zero():
    matrix = np.random.default_rng(2).normal(size=(80, 3)).astype(np.float32)
    radii = kcenter_greedy(matrix, 80, first=0).radii
    assert (np.diff(radii) <= 0).all()
    assert radii[-1] == 0


@pytest.mark.parametrize("seed", range(8))
def test_the_radius_is_at_most_twice_the_best_one(seed):
    """Gonzalez 1985; the best is found by trying every set of centers."""
    matrix = np.random.default_rng(seed).normal(size=(9, 2)).astype(np.float32)
    apart = np.sqrt(((matrix[:, None] - matrix[None]) ** 2).sum(axis=2))
    for k in (1, 2, 3, 4):
        best = min(apart[:, list(chosen)].min(axis=1).max() for chosen in combinations(range(9), k))
        for first in range(9):
            assert kcenter_greedy(matrix, k, first=first).radii[-1] <= 2 * best + 1e-6


@pytest.mark.parametrize("quick", [False, True])
def test_only_duplicates_left_are_picked_in_order_and_once(quick, fast):
    if quick:
        fast()
    matrix = np.ones((6, 3), dtype=np.float32)
    got = kcenter_greedy(matrix, 6, first=2)
    assert got.indices.tolist() == [2, 0, 1, 3, 4, 5]
    assert got.radii.tolist() == [0.0] * 6


def test_ties_go_to_the_lowest_row():
    matrix = np.array([[0], [1], [-1], [1]], dtype=np.float32)
    assert kcenter_greedy(matrix, 3, first=0).indices.tolist() == [0, 1, 2]


def test_the_canonical_distance_is_the_documented_one():
    rng = np.random.default_rng(5)
    for d in (1, 7, 8, 9, 16, 31, 384):
        a, b = rng.normal(size=(2, 20, d)).astype(np.float32)
        expected = [distance(x, y) for x, y in zip(a, b, strict=True)]
        assert kcenter_reference.canonical(a, b).tolist() == expected


@pytest.mark.parametrize("quick", [False, True])
def test_what_on_pick_raises_ends_the_search(quick, fast):
    if quick:
        fast(Sizes(active=4, block=4, tile=4, cells=4, threads=2))
    told = []

    def stop(done):
        told.append(done)
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kcenter_greedy(clustered(100, 8), 100, first=0, on_pick=stop)
    assert told == sorted(told)


@pytest.mark.parametrize("quick", [False, True])
def test_on_pick_is_told_how_many_picks_are_made(quick, fast):
    if quick:
        fast(Sizes(active=20, block=4, tile=4, cells=4, threads=2))
    told = []
    matrix = clustered(200, 8)
    kcenter_greedy(matrix, 190, first=50, initial=range(10), on_pick=told.append)
    assert told == sorted(told)
    assert told[-1] == 190
    assert len(set(told)) > 5


@pytest.mark.parametrize("k", [0, -1, 4])
def test_a_k_that_does_not_fit_is_refused(k):
    with pytest.raises(ConfigError, match=f"k is {k} and there are 3 rows"):
        kcenter_greedy(np.eye(3), k, first=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_value_that_is_no_number_is_refused_by_row(value, kind):
    matrix = np.ones((5, 2), dtype=kind)
    matrix[3, 1] = value
    with pytest.raises(ConfigError, match="Row 3 of the vectors"):
        kcenter_greedy(matrix, 2, first=0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"first": None},
        {"first": 3},
        {"first": -1},
        {"first": 1, "initial": [1]},
        {"first": 0, "initial": [7]},
        {"first": 0, "initial": [1, 1]},
        {"first": 0, "groups": [0, 0, 0]},
        {"first": 0, "quotas": [3]},
        {"first": 0, "groups": [0, 0], "quotas": [3]},
        {"first": 0, "groups": [0, 0, 1], "quotas": [3]},
        {"first": 0, "groups": [0, 0, -1], "quotas": [3]},
        {"first": 0, "groups": [0.0, 0.5, 0.0], "quotas": [3]},
        {"first": 0, "groups": [0, 0, 0], "quotas": [-1]},
        {"first": 0, "groups": [0, 0, 0], "quotas": [0]},
        {"first": 0, "groups": [0, 1, 1], "quotas": [0, 2]},
        {"first": 0, "weights": [1, 1]},
        {"first": 0, "weights": [1, 0, 1]},
        {"first": 0, "weights": [1, np.nan, 1]},
    ],
)
def test_an_argument_that_does_not_fit_is_refused(arguments):
    with pytest.raises(ConfigError):
        kcenter_greedy(np.eye(3), 1, **arguments)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), ()])
def test_an_empty_matrix_is_refused(shape):
    with pytest.raises(ConfigError, match="at least one row"):
        kcenter_greedy(np.empty(shape), 1, first=0)


@pytest.mark.parametrize("seed", range(60))
def test_nearest_centers_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, int(rng.integers(1, 60)), int(rng.integers(1, 20)))
    n = len(matrix)
    rows = rng.integers(0, n, size=int(rng.integers(0, 2 * n)))
    centers = rng.choice(n, int(rng.integers(1, n + 1)), replace=False)
    positions, distances = nearest_centers(matrix, rows, centers)
    apart = [[distance(matrix[row], matrix[c]) for c in centers] for row in rows]
    assert distances.tolist() == [min(line) for line in apart]
    assert positions.tolist() == [int(np.argmin(line)) for line in apart]


def test_a_center_that_is_not_there_is_refused():
    for rows, centers in (([0], [3]), ([3], [0]), ([-1], [0]), ([0], [])):
        with pytest.raises(ConfigError):
            nearest_centers(np.eye(3), rows, centers)


def test_memory_needed_grows_with_the_matrix_and_stays_below_it():
    few, many = (memory_needed(n, 384, 1000) for n in (100_000, 1_000_000))
    assert few < many < 0.7 * 1_000_000 * 384 * 4
