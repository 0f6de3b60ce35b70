import os
from pathlib import Path

import pytest

from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.records import Problem

FOLDER = Path(__file__).parents[2].parent / "shared" / "benchmarks"


@pytest.fixture(scope="session")
def benchmark_files() -> Path:
    """The folder of benchmark files, in the layout that its README says."""
    folder = Path(os.environ.get("WAVECODER_BENCHMARKS", FOLDER))
    if not (folder / "humanevalpack").is_dir():
        pytest.fail(
            f"These tests need the benchmark files, and {folder} has none. Put them there, or "
            f"name their folder in WAVECODER_BENCHMARKS."
        )
    return folder


@pytest.fixture
def benchmarks(benchmark_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, named by the environment as a user would."""
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(benchmark_files))
    return benchmark_files


@pytest.fixture
def humaneval(benchmarks: Path) -> list[Problem]:
    return load_benchmark("humaneval")


@pytest.fixture
def mbpp(benchmarks: Path) -> list[Problem]:
    return load_benchmark("mbpp")
