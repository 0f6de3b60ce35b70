"""Static models of the real library, made of a small tokenizer and drawn vectors."""

import pickle
from importlib import import_module

import numpy as np
import pytest

from wavecoder.errors import MissingExtraError, ModelError, ModelNotFoundError
from wavecoder.select.embedders import model_files
from wavecoder.select.embedders.static import Static
from wavecoder.select.embedding import embed_records

WORDS = ["[UNK]", "def", "return", "mean", "values", "sum", "len", "(", ")", "/", ":"]


@pytest.fixture
def model(tmp_path):
    model2vec = import_module("model2vec")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)
    for name, normalize in (("plain", False), ("unit", True)):
        static = model2vec.StaticModel(vectors, tokenizer, normalize=normalize)
        static.save_pretrained(tmp_path / name)
    return tmp_path, vectors


def embedder(folder, **options):
    return Static(Static.Config(model=str(folder), **options))


def test_a_vector_is_the_mean_of_its_tokens(model, raw_code):
    folder, vectors = model
    got = embedder(folder / "plain").embed([raw_code("mean ( values )"), raw_code("return")])
    assert got.dtype == np.float32
    assert np.allclose(got[0], vectors[[3, 7, 4, 8]].mean(axis=0), atol=1e-6)
    assert np.allclose(got[1], vectors[2], atol=1e-6)
    long = embedder(folder / "plain").embed([raw_code("mean " + "return " * 9999)])
    assert np.allclose(long, vectors[2], atol=1e-3)  # nothing is cut off
    unit = embedder(folder / "unit").embed([raw_code("mean ( values )"), raw_code("unknown")])
    assert np.allclose(unit[0], got[0] / np.linalg.norm(got[0]), atol=1e-6)
    assert not unit[1].any()


def test_the_batch_and_the_process_do_not_matter(model, raw_code, tmp_path):
    folder, _ = model
    codes = [raw_code(" ".join(WORDS[1 : n % 10 + 2]), record_id=f"r{n}") for n in range(60)]
    static = embedder(folder / "plain")
    whole = static.embed(codes)
    assert np.array_equal(np.concatenate([static.embed([raw]) for raw in codes]), whole)
    assert np.array_equal(pickle.loads(pickle.dumps(static)).embed(codes), whole)
    identity = static.identity()
    vectors = embed_records(codes, static, tmp_path / "a", identity=identity, seed=0)
    assert np.array_equal(vectors, whole)


def test_the_doc_comment_counts_if_it_shall(model, raw_code):
    folder, vectors = model
    raw = raw_code("mean values").model_copy(update={"docstring": "sum"})
    assert np.allclose(embedder(folder / "plain").embed([raw]), vectors[[3, 4]].mean(axis=0))
    both = embedder(folder / "plain", docstring=True).embed([raw])
    assert np.allclose(both, vectors[[5, 3, 4]].mean(axis=0), atol=1e-6)


def test_the_identity_is_that_of_the_files(model):
    folder, _ = model
    one, two = embedder(folder / "plain"), embedder(folder / "unit")
    assert one.identity()["revision"] != two.identity()["revision"]
    assert str(folder) not in str(one.identity())
    assert one.config.model_dump() == two.config.model_dump()


def test_what_does_not_load_is_one_sentence(model, raw_code):
    folder, _ = model
    (folder / "plain" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"The model plain in .* does not load: "):
        embedder(folder / "plain").embed([raw_code("mean")])
    with pytest.raises(ModelNotFoundError, match="There is no model folder"):
        embedder(folder / "nowhere").identity()


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setattr(model_files, "find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wavecoder\[embed-static\]'"):
        embedder("anything")
