import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from wavecoder.artifact import Artifact
from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.llm.fake.server import FakeServer
from wavecoder.records import Problem
from wavecoder.stage import Context

FOLDER = Path(__file__).parents[1].parent / "shared" / "benchmarks"

# What a shell starts with `&` ignores Ctrl-C, and so would what tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Quiet:
    """Progress that nobody watches; it keeps what it was told."""

    def __init__(self) -> None:
        self.reasons: list[str | None] = []
        self.notes: list[str] = []
        self.completion_tokens = 0

    def start(self, stage: str, total: int | None, finished: int) -> None:
        pass

    def outcome(self, reason: str | None, count: int = 1) -> None:
        self.reasons += [reason] * count

    def step(self, what: str, done: int, total: int | None) -> None:
        pass

    def tokens(self, completion_tokens: int) -> None:
        self.completion_tokens += completion_tokens

    def figures(self, values: Mapping[str, float | str]) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self, summary: str) -> None:
        pass


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., Context]:
    """Build the context of a stage in a folder of that name under `tmp_path`."""

    def make(
        stage: str,
        upstream: Mapping[str, Artifact] | None = None,
        seed: int = 0,
        folder: str | None = None,
    ) -> Context:
        return Context(
            folder=tmp_path / (folder or stage),
            seed=seed,
            stage=stage,
            upstream=upstream or {},
            replies=tmp_path / "replies.sqlite",
            progress=Quiet(),
            stop=Event(),
        )

    return make


@pytest.fixture
def fake_server() -> Iterator[Callable[..., FakeServer]]:
    """Start fake endpoints, each with its own options, that end with the test."""
    with ExitStack() as servers:

        def start(**options: Any) -> FakeServer:
            return servers.enter_context(FakeServer(FakeServer.Options(**options)))

        yield start


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
