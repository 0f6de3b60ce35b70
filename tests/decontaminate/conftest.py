import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2].parent / "shared" / "benchmarks"

SOLUTION = """
def below_zero(operations):
    balance = 0
    for op in operations:
        balance += op
        if balance < 0:
            return True
    return False
"""
"""Of HumanEval/3, as anyone would write it."""

CLEAN = [
    {
        "id": f"clean-{n}",
        "instruction": f"Name port {n}.",
        "output": f"def port_{n}():\n    return {n}",
    }
    for n in range(6)
]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of benchmark files, named by the environment."""
    folder = Path(os.environ.get("WAVECODER_BENCHMARKS", FOLDER))
    if not (folder / "mbpp").is_dir():
        pytest.fail(f"These tests need the benchmark files, and {folder} has none.")
    monkeypatch.setenv("WAVECODER_BENCHMARKS", str(folder))
    return folder


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Six clean rows, the fourth place taken by a problem."""
    leaked = {"id": "leak", "instruction": "Watch an account.", "output": SOLUTION}
    return [*CLEAN[:3], leaked, *CLEAN[3:]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON lines."""

    def write(rows: list[dict[str, Any]], name: str = "data.jsonl", end: str = "") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + end)
        return path

    return write
