from pathlib import Path

import pytest

from wavecoder.contamination import Document, Index, load_index, reference_of, save_index
from wavecoder.errors import ArtifactError, ConfigError
from wavecoder.records import Problem


@pytest.fixture
def saved(index: Index, tmp_path: Path) -> Path:
    save_index(index, tmp_path / "hashes.idx")
    return tmp_path / "hashes.idx"


def test_a_saved_index_finds_the_same(index: Index, saved: Path, problems: list[Problem]):
    loaded = load_index(saved)
    assert loaded.names == index.names
    for problem in problems[:30]:
        document = Document(solution=problem.prompt + problem.canonical_solution)
        assert loaded.hits(document) == index.hits(document) != []


def test_a_saved_index_holds_no_text_of_the_benchmark(saved: Path, problems: list[Problem]):
    data = saved.read_bytes()
    words = {word for one in problems for word in reference_of(one).prompt.split() if len(word) > 7}
    assert [word for word in words if word.encode() in data] == []
    assert b"HumanEval/3" in data


def test_the_same_problems_give_the_same_bytes(index: Index, saved: Path, tmp_path: Path):
    save_index(load_index(saved), tmp_path / "again.idx")
    assert (tmp_path / "again.idx").read_bytes() == saved.read_bytes()


def test_a_damaged_index_is_refused(saved: Path):
    data = bytearray(saved.read_bytes())
    data[len(data) // 2] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged"):
        load_index(saved)
    saved.write_bytes(data[:-100])
    with pytest.raises(ConfigError, match="damaged"):
        load_index(saved)


def test_an_index_of_another_version_is_refused(saved: Path):
    saved.write_bytes(saved.read_bytes().replace(b"wavecoder index 1 ", b"wavecoder index 2 ", 1))
    with pytest.raises(ConfigError, match="is of version 2, this program reads version 1"):
        load_index(saved)


def test_what_is_no_index_is_refused(tmp_path: Path):
    (tmp_path / "a").write_text("hello")
    with pytest.raises(ConfigError, match="is no index"):
        load_index(tmp_path / "a")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_index(tmp_path / "b")


def test_an_index_that_cannot_be_written_is_an_error_that_says_so(index: Index, tmp_path: Path):
    with pytest.raises(ArtifactError, match="Cannot write"):
        save_index(index, tmp_path / "nowhere" / "hashes.idx")
