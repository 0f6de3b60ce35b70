import os
from pathlib import Path

import pytest

from wavecoder.contamination import Index, reference_of
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.records import Problem

FOLDER = Path(__file__).parents[2].parent / "shared" / "benchmarks"


@pytest.fixture(scope="session")
def problems() -> list[Problem]:
    """HumanEval and MBPP."""
    folder = os.environ.get("WAVECODER_BENCHMARKS", str(FOLDER))
    if not (Path(folder) / "mbpp").is_dir():
        pytest.fail(f"These tests need the benchmark files, and {folder} has none.")
    return [
        *load_benchmark("humaneval"),
        *load_benchmark("mbpp", Path(folder)),
        *load_benchmark("humanevalfix-rust", Path(folder)),
    ]


@pytest.fixture(scope="session")
def index(problems: list[Problem]) -> Index:
    return Index.build(map(reference_of, problems))
