import hashlib
import math
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from wavecoder.plugins import load_plugin
from wavecoder.select.embedders import lexical, vocabulary
from wavecoder.select.embedders.lexical import Lexical

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


RUST = ["fn", "f", "<", "'", "a", ">", "(", "x", ":", "&", "'", "a", "str", ")", "{", "'\\''", "}"]
GOLDEN = "f3a4163acb3ba946f080e770a6194899dddf3d192e55abb4c2c67fa0a552e8cc"


def embed(codes, seed=0, sample=None, **options):
    embedder = Lexical(Lexical.Config(**options))
    embedder.fit(codes if sample is None else sample, seed)
    return embedder.embed(codes)


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
        "from wavecoder.select.embedders.lexical import Lexical\n"
        "codes = [f'def f{n}(a, b):\\n    return a * {n} + g{n % 3}(b)' for n in range(20)]\n"
        "raw = [RawCode(id=c, language='python', name='f', code=c, docstring=None, source='s',\n"
        "       path='p', start_line=1, end_line=2, content_hash='h') for c in codes]\n"
        "lexical = Lexical(Lexical.Config())\n"
        "lexical.fit(raw, 7)\n"
        "print(hashlib.sha256(lexical.embed(raw).tobytes()).hexdigest())\n"
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


def test_a_vector_depends_on_the_function_alone_whatever_the_batch(raw_code):
    """Once learnt; more functions than are weighed at a time, and tokens that were forgotten."""
    codes = [raw_code(f"def f{n}(a):\n    return a.part_{n % 37} + {n}\n") for n in range(1100)]
    embedder = Lexical(Lexical.Config())
    embedder.fit(codes[:300], 3)
    whole = embedder.embed(codes)
    for size in (1, 7, 512, 1000):
        parts = [embedder.embed(codes[start : start + size]) for start in range(0, 1100, size)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(embedder.embed(codes[::-1])[::-1], whole)
    copy = pickle.loads(pickle.dumps(embedder))
    assert np.array_equal(copy.embed(codes), whole)


def test_forgotten_tokens_come_back_the_same(raw_code, corpus, monkeypatch):
    whole = embed(corpus)
    monkeypatch.setattr(vocabulary, "_REMEMBERED", 3)
    embedder = Lexical(Lexical.Config())
    embedder.fit(corpus, 0)
    assert np.array_equal(np.concatenate([embedder.embed([raw]) for raw in corpus]), whole)


def test_the_order_of_the_sample_does_not_matter(corpus):
    assert np.array_equal(embed(corpus), embed(corpus, sample=corpus[::-1]))


def test_what_is_in_every_function_weighs_little(raw_code):
    """The two functions share all but one word; how rare that is decides their distance."""
    pair = [raw_code(f"def f(self):\n    return self.{word}\n") for word in ("alpha", "beta")]
    common = [raw_code(f"def g{n}(self):\n    self.alpha = self.beta = {n}\n") for n in range(99)]
    rare = [raw_code(f"def g{n}(self):\n    self.gamma = self.delta = {n}\n") for n in range(99)]
    near, far = (
        np.linalg.norm(vectors[0] - vectors[1])
        for vectors in (embed(pair, sample=[*pair, *common]), embed(pair, sample=[*pair, *rare]))
    )
    assert near < far


def test_a_machine_of_another_make_gives_these_bytes(corpus):
    got = hashlib.sha256(embed(corpus, seed=1).astype("<f4").tobytes()).hexdigest()
    assert got == GOLDEN


def test_idf_is_exact():
    frequency = np.array([0, 1, 2, 3, 7, 500, 999, 1000, 2000])
    got = lexical._idf(frequency, 1000).tolist()
    assert got[-1] == got[-2] == 23  # in every function, or said to be in more
    for seen, weight in zip(frequency[:-1].tolist(), got, strict=False):
        assert weight == 23 + math.floor(16 * math.log2(1001 / (1 + seen)) + 1e-9)


def test_sums_too_large_to_square_have_length_one():
    sums = np.array([[3.0, 4.0], [3.0 * 2**40, 4.0 * 2**40], [0.0, 0.0], [0.0, -1.0]])
    assert lexical._unit(sums).tolist() == [[0.6, 0.8], [0.6, 0.8], [1.0, 0.0], [0.0, -1.0]]


def tokens(text, language):
    """The tokens that count, read back from their hashes."""
    known = vocabulary.Vocabulary(vocabulary.comment_style(language))
    found = known.read([text]).tokens.tolist()
    names = {known._tokens[number]: token for token, number in known.items()}
    return [names[one] for one in found]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "a # b\n'#c' // 2", ["a", "'#c'", "//", "2"]),
        ("python", 'x = """a\n# b"""', ["x", "=", '"""a\n# b"""']),
        ("python", "it's\nx", ["it", "'s", "x"]),
        ("ruby", 'a # b\n"#{c}"', ["a", '"#{c}"']),
        ("java", "a // b\n/* c\n */ 'd' /= 2", ["a", "'d'", "/=", "2"]),
        ("c", "#if x /* y", ["#", "if", "x"]),
        ("go", "a := `b\n// c`", ["a", ":=", "`b\n// c`"]),
        ("rust", "fn f<'a>(x: &'a str) { '\\'' }", RUST),
        ("javascript", "'a\\'b' /* c */ + 1", ["'a\\'b'", "+", "1"]),
        ("php", "$a # b\n// c\n#[D] 'e'", ["$", "a", "[", "D", "]", "'e'"]),
        ("cobol", 'a "b', ["a", '"b']),
    ],
)
def test_tokens_are_found_and_comments_are_not(language, text, expected):
    assert tokens(text, language) == expected


def test_names_have_one_shape_and_keywords_their_own():
    known = vocabulary.Vocabulary("hash")
    one, two, other = (
        known.read([text]).shapes.tolist()
        for text in ("if x: return 'a' + 1", "if y: return 'b' + 2", "while x: return 'a' + 1")
    )
    assert one == two != other


@pytest.mark.parametrize("piece", ["'\\", '"\\', "`\\", "/*", "'''", '"""', "/**", "#", "a'", "$"])
def test_code_that_closes_nothing_is_read(piece, raw_code):
    for language in ("python", "php", "rust", "javascript"):
        assert np.isfinite(embed([raw_code(piece * 20_000, language)])).all()
