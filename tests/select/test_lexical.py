import os
import subprocess
import sys

import numpy as np
import pytest

from wavecoder.plugins import load_plugin
from wavecoder.select import Lexical

MEAN = """def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)
"""
RENAMED = MEAN.replace("values", "numbers").replace("total", "result").replace("value ", "one ")
PATH = """def read_config(path, default=None):
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    with open(path, encoding="utf-8") as file:
        return json.load(file) or default
"""
OTHERS = [
    f"def handle_{word}(self, event):\n    self.{word}.append(event.{word})\n    return {n}\n"
    for n, word in enumerate(["click", "key", "close", "open", "move", "draw", "save", "load"])
]


def embed(codes, seed=0, **options):
    return Lexical(Lexical.Config(**options)).embed(codes, seed)


@pytest.fixture
def corpus(raw_code):
    return [raw_code(code) for code in (MEAN, RENAMED, PATH, *OTHERS)]


def test_rows_are_unit_float32_vectors_of_the_length_asked_for(corpus):
    for dimensions in (1, 64, 100, 256):
        vectors = embed(corpus, dimensions=dimensions)
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(corpus), dimensions)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_equal_code_has_equal_vectors_and_renamed_code_is_near(corpus, raw_code):
    again = raw_code(MEAN, record_id="again")
    vectors = embed([*corpus, again])
    assert np.array_equal(vectors[0], vectors[-1])
    renamed, other = (np.linalg.norm(vectors[0] - vectors[row]) for row in (1, 2))
    assert renamed < 1.0 < 1.2 < other


def test_comments_do_not_count(raw_code, corpus):
    commented = MEAN.replace("    total = 0\n", "    total = 0  # the sum so far\n")
    vectors = embed([*corpus, raw_code(commented)])
    assert np.linalg.norm(vectors[0] - vectors[-1]) < 0.25


def test_the_order_of_the_corpus_does_not_matter(corpus):
    vectors = embed(corpus)
    order = np.random.default_rng(0).permutation(len(corpus))
    assert np.array_equal(embed([corpus[row] for row in order]), vectors[order])


def test_the_seed_draws_another_projection_of_the_same_distances(corpus):
    one, two = embed(corpus, seed=0, dimensions=4096), embed(corpus, seed=1, dimensions=4096)
    assert not np.array_equal(one, two)
    # Two projections are each off by about 1 / sqrt(4096).
    assert np.abs(one @ one.T - two @ two.T).max() < 0.12


@pytest.mark.parametrize("code", ["", "   \n", "# only a comment\n", "\x00", "(((", "ü = 'é'"])
def test_degenerate_code_has_a_vector(code, raw_code, corpus):
    vectors = embed([raw_code(code), *corpus])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[0]) == pytest.approx(1)


def test_a_corpus_of_one_and_of_none(raw_code):
    assert embed([raw_code(MEAN)]).shape == (1, 256)
    assert embed([]).shape == (0, 256)


def test_deep_nesting_does_not_break_it(raw_code):
    assert np.isfinite(embed([raw_code("x = " + "(" * 5000 + "1" + ")" * 5000)])).all()


def test_every_process_gives_the_same_bytes():
    """Python's own hash differs between processes; the embedder must not rest on it."""
    program = (
        "import sys, hashlib\n"
        "from wavecoder.records import RawCode\n"
        "from wavecoder.select import Lexical\n"
        "codes = [f'def f{n}(a, b):\\n    return a * {n} + g{n % 3}(b)' for n in range(20)]\n"
        "raw = [RawCode(id=c, language='python', name='f', code=c, docstring=None, source='s',\n"
        "       path='p', start_line=1, end_line=2, content_hash='h') for c in codes]\n"
        "vectors = Lexical(Lexical.Config()).embed(raw, 7)\n"
        "print(hashlib.sha256(vectors.tobytes()).hexdigest())\n"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, threads in (("1", "1"), ("2", "2"))
    }
    assert len(hashes) == 1


def test_it_is_a_plugin():
    assert load_plugin("embedders", "lexical") is Lexical
