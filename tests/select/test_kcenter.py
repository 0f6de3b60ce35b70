from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecoder.errors import ConfigError
from wavecoder.select import kcenter, kcenter_greedy


def distance(a, b):
    """The canonical distance, one element after another."""
    total = 0.0
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total += (x - y) * (x - y)
    return np.sqrt(np.float32(total))


def naive(vectors, k, first, initial=()):
    """The textbook: recompute every distance, scan for the first largest."""
    centers, picks, radii = list(initial), [], []
    for pick in range(k):
        if pick == 0 and first is not None:
            row = first
        else:
            row, best = -1, -1.0
            for i in range(len(vectors)):
                if i not in centers:
                    nearest = min(distance(vectors[i], vectors[c]) for c in centers)
                    if nearest > best:
                        row, best = i, nearest
        centers.append(row)
        picks.append(row)
        radii.append(max(min(distance(v, vectors[c]) for c in centers) for v in vectors))
    nearest = [min(distance(v, vectors[c]) for c in centers) for v in vectors]
    return picks, radii, nearest


@st.composite
def matrices(draw, least=1):
    n, d = draw(st.integers(least, 14)), draw(st.integers(1, 5))
    kind = draw(st.sampled_from(["normal", "lattice", "duplicates", "offset"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "lattice":  # full of ties
        return rng.integers(-1, 2, size=(n, d)).astype(np.float32)
    matrix = rng.normal(size=(n, d)).astype(np.float32)
    if kind == "duplicates":
        return matrix[rng.integers(0, max(1, n // 3), size=n)]
    return matrix * 1e-3 + 100 if kind == "offset" else matrix


@settings(max_examples=200, deadline=None)
@given(matrices(), st.data())
def test_it_picks_what_the_naive_loop_picks(matrix, data):
    k = data.draw(st.integers(1, len(matrix)))
    first = data.draw(st.integers(0, len(matrix) - 1))
    got = kcenter_greedy(matrix, k, first=first)
    picks, radii, nearest = naive(matrix, k, first)
    assert got.indices.tolist() == picks
    assert got.radii.tolist() == radii
    assert got.distances.tolist() == nearest


@settings(max_examples=100, deadline=None)
@given(matrices(least=2), st.data())
def test_initial_centers_count_and_are_not_picked(matrix, data):
    rows = st.sampled_from(range(len(matrix)))
    initial = data.draw(st.lists(rows, unique=True, min_size=1, max_size=len(matrix) - 1))
    k = data.draw(st.integers(1, len(matrix) - len(initial)))
    got = kcenter_greedy(matrix, k, first=None, initial=initial)
    picks, radii, _ = naive(matrix, k, None, initial)
    assert got.indices.tolist() == picks
    assert got.radii.tolist() == radii


def test_blocks_do_not_change_the_picks(monkeypatch):
    matrix = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float32)
    whole = kcenter_greedy(matrix, 30, first=5)
    monkeypatch.setattr(kcenter, "_BLOCK", 21)  # three rows a block
    blocks = kcenter_greedy(matrix, 30, first=5)
    assert all(np.array_equal(a, b) for a, b in zip(whole, blocks, strict=True))


def test_picks_for_k_begin_the_picks_for_more():
    matrix = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    most = kcenter_greedy(matrix, 60, first=3)
    for k in range(1, 60):
        fewer = kcenter_greedy(matrix, k, first=3)
        assert fewer.indices.tolist() == most.indices[:k].tolist()
        assert fewer.radii.tolist() == most.radii[:k].tolist()


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


def test_only_duplicates_left_are_picked_in_order_and_once():
    matrix = np.ones((6, 3), dtype=np.float32)
    got = kcenter_greedy(matrix, 6, first=2)
    assert got.indices.tolist() == [2, 0, 1, 3, 4, 5]
    assert got.radii.tolist() == [0.0] * 6


def test_ties_go_to_the_lowest_row():
    matrix = np.array([[0], [1], [-1], [1]], dtype=np.float32)
    assert kcenter_greedy(matrix, 3, first=0).indices.tolist() == [0, 1, 2]


def test_what_on_pick_raises_ends_the_search():
    picks = []

    def stop():
        picks.append(1)
        if len(picks) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kcenter_greedy(np.eye(8), 8, first=0, on_pick=stop)
    assert len(picks) == 3


@pytest.mark.parametrize("k", [0, -1, 4])
def test_a_k_that_does_not_fit_is_refused(k):
    with pytest.raises(ConfigError, match=f"k is {k} and there are 3 rows"):
        kcenter_greedy(np.eye(3), k, first=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_refused_by_row(value):
    matrix = np.ones((5, 2))
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
    ],
)
def test_a_first_or_initial_that_does_not_fit_is_refused(arguments):
    with pytest.raises(ConfigError):
        kcenter_greedy(np.eye(3), 1, **arguments)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,)])
def test_an_empty_matrix_is_refused(shape):
    with pytest.raises(ConfigError, match="at least one row"):
        kcenter_greedy(np.empty(shape), 1, first=0)
