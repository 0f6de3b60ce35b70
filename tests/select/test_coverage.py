"""The figures, against every distance computed by hand."""

from random import Random

import numpy as np
import pytest

from wavecoder.select import coverage as module
from wavecoder.select.coverage import coverage


@pytest.fixture
def vectors():
    found = np.random.default_rng(3).normal(size=(60, 5)).astype(np.float32)
    found[7] = found[50] * 1.5  # two picks in one direction
    return found


PICKS = np.array([50, 3, 7, 21])


def measure(vectors, picks=PICKS, earlier=0, seed=1):
    n = len(vectors) - earlier
    languages = {"go": np.arange(n) % 3 == 0, "php": np.arange(n) % 3 != 0}
    options = {"earlier": earlier, "rng": Random(seed), "check": lambda: None}
    return coverage(vectors, picks, languages, **options)


def apart(vectors, rows, centers):
    return np.linalg.norm(vectors[rows][:, None] - vectors[centers], axis=2)


def tail(distances):
    p50, p95, p99 = np.percentile(distances, (50, 95, 99))
    figures = {"mean": distances.mean(), "p50": p50, "p95": p95, "p99": p99}
    return pytest.approx(figures | {"max": distances.max()}, abs=1e-5)


@pytest.mark.parametrize("earlier", [0, 9])
def test_the_figures_are_those_of_all_distances(vectors, earlier):
    n = 60 - earlier
    left = np.setdiff1d(np.arange(n), PICKS)
    all_centers = np.concatenate([PICKS, np.arange(n, 60)])
    found = measure(vectors, earlier=earlier)
    distances = apart(vectors, left, all_centers)
    nearest = distances.min(axis=1)
    figures = found.figures
    assert (figures["functions"], figures["selected"], figures["measured"]) == (n, 4, n - 4)
    assert figures["distance"]["selected"] == tail(nearest)
    assert figures["near_duplicate_picks"]["selected"] == 0.5
    for name, members in (("go", left % 3 == 0), ("php", left % 3 != 0)):
        assert figures["by_language"][name]["distance"] == tail(nearest[members])
    counts = np.bincount(distances.argmin(axis=1), minlength=len(all_centers))
    assert found.stands_for.tolist() == (1 + counts[:4]).tolist()
    if not earlier:
        assert found.stands_for.sum() == n


def test_a_sample_stands_for_all(vectors, monkeypatch):
    monkeypatch.setattr(module, "_SAMPLE", 20)
    found = measure(vectors)
    assert found.figures["measured"] == 20
    assert found.figures["radius_on_sample"]["functions"] == 20
    assert found.stands_for.sum() == pytest.approx(60)


def test_where_all_are_picked_nothing_is_far(vectors):
    found = measure(vectors, np.arange(60))
    assert found.figures["distance"] == {"selected": {}, "random": {}}
    assert found.figures["radius_on_sample"]["random"] == 0
    assert found.stands_for.tolist() == [1] * 60
