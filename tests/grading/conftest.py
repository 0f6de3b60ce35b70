from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wavecoder.evaluate.benchmarks import load_benchmark
from wavecoder.grading import module_of
from wavecoder.records import Execution, Mode, Problem
from wavecoder.sandbox import Bubblewrap, execution


@pytest.fixture(scope="session")
def box() -> Iterator[Bubblewrap]:
    made = Bubblewrap()
    yield made
    made.close()


@pytest.fixture
def run_program(box: Bubblewrap, benchmarks: Path) -> Callable[..., Execution]:
    """Run a program against the tests of a problem, by language and number."""

    def run(language: str, number: int, program: str, mode: Mode) -> Execution:
        problem = load_benchmark(f"humanevalfix-{language}")[number]
        job = module_of(language).job(problem, program, mode)
        return execution(job, box.run(job))

    return run


@pytest.fixture
def not_as_known(box: Bubblewrap, benchmarks: Path) -> Callable[..., dict[str, Execution]]:
    """Run the solutions of problems; return those whose verdict is not the one it must be."""

    def run(
        language: str, mode: Mode, field: str, numbers: range | tuple[int, ...]
    ) -> dict[str, Execution]:
        problems = load_benchmark(f"humanevalfix-{language}")

        def one(problem: Problem) -> Execution:
            program = problem.prompt + getattr(problem, field)
            job = module_of(language).job(problem, program, mode)
            return execution(job, box.run(job))

        chosen = [problems[number] for number in numbers]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(one, chosen))
        passes = field == "canonical_solution"
        return {
            problem.id: went
            for problem, went in zip(chosen, found, strict=True)
            if (went.status == "passed") != passes
        }

    return run
