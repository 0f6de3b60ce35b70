from pathlib import Path

import pytest

from wavecoder.errors import ConfigError
from wavecoder.grading.prepared import prepared, run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("WAVECODER_CACHE", str(folder))
    return folder


def test_a_folder_is_made_once_for_what_decides_it() -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "library").write_text("x")

    first = prepared("go", ["1.19"], make)
    again = prepared("go", ["1.19"], make)
    other = prepared("go", ["1.20"], make)

    assert (first == again, first != other, len(made)) == (True, True, 2)
    assert (first / "library").read_text() == "x"


def test_a_folder_that_was_not_finished_is_not_there(cache: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        run(["false"], cwd=folder)

    with pytest.raises(ConfigError, match="false ended with status 1"):
        prepared("go", [], make)

    assert list((cache / "programs").iterdir()) == []


def test_a_folder_made_by_another_meanwhile_is_taken(cache: Path) -> None:
    def slower(folder: Path) -> None:
        prepared("go", [], lambda folder: (folder / "theirs").write_text("x") and None)
        (folder / "mine").write_text("x")

    assert [path.name for path in prepared("go", [], slower).iterdir()] == ["theirs"]


def test_a_cache_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.write_text("a file, not a folder")

    with pytest.raises(ConfigError, match="Set WAVECODER_CACHE"):
        prepared("go", [], lambda folder: None)
