import os
from functools import cache
from pathlib import Path

import pytest

from wavecoder.calibrate.cases import Case
from wavecoder.calibrate.known import humanevalpack
from wavecoder.generate.task import Task, built_in_tasks, load_task

FOLDER = Path(__file__).parents[2].parent / "shared" / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of benchmark files, named by the environment."""
    folder = Path(os.environ.get("WAVECODER_BENCHMARKS", FOLDER))
    if not (folder / "humanevalpack").is_dir():
        pytest.fail(f"These tests need the benchmark files, and {folder} has none.")
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(folder))
    return folder


@pytest.fixture
def tasks() -> dict[str, Task]:
    return {name: load_task(name) for name in built_in_tasks()}


@cache
def _cases(languages: tuple[str, ...]) -> tuple[Case, ...]:
    names = built_in_tasks()
    return tuple(humanevalpack({name: load_task(name) for name in names}, languages))


@pytest.fixture
def cases(benchmarks: Path) -> list[Case]:
    """Known-good cases of all tasks in Python and JavaScript."""
    return list(_cases(("python", "javascript")))


@pytest.fixture
def of(cases: list[Case]):
    """Give a case by the number of its problem, its task and its language."""

    def find(number: int, task: str, language: str = "python") -> Case:
        return next(
            one
            for one in cases
            if (one.group, one.task.name, one.language) == (str(number), task, language)
        )

    return find
