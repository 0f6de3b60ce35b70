"""What is run again alone, and what counts; the boxes' faults are made up, the turns are real."""

import threading
from collections.abc import Callable, Sequence

import pytest

from wavecoder.grading.scoring import Scorer, Work
from wavecoder.records import Mode, Problem, Status, Trial
from wavecoder.sandbox import Cause, Job, Report, StepReport

PROBLEM = Problem(
    id="Doubling/0",
    benchmark="doubling",
    language="python",
    prompt="def double(x):\n",
    entry_point="double",
    canonical_solution="    return 2 * x\n",
    test="def check(double):\n    assert double(2) == 4\n",
)


def report(cause: Cause = Cause.EXIT, *, answered: bool = False, problem: str = "") -> Report:
    step = StepReport(
        cause=cause,
        code=0 if answered else -9,
        answered=answered,
        seconds=1.0,
        cpu_seconds=0.5,
        stdout=b"",
        stderr=b"",
        written=0,
    )
    return Report(steps=() if problem else (step,), memory=False, isolated=True, problem=problem)


PASSED = report(answered=True)
BROKEN = report(problem="no room for a box")
STARVED = report(Cause.WALL)
SPENT = report(Cause.CPU)


class Boxes:
    """A sandbox that reports what it is told; it keeps how many ran at a time."""

    isolated = True
    weaknesses: Sequence[str] = ()

    def __init__(self, run: Callable[[int], Report]) -> None:
        self._run, self._lock = run, threading.Lock()
        self.runs = self.at_once = 0
        self.beside: list[int] = []

    def run(self, job: Job) -> Report:
        with self._lock:
            number, self.runs, self.at_once = self.runs, self.runs + 1, self.at_once + 1
            self.beside.append(self.at_once)
        try:
            return self._run(number)
        finally:
            with self._lock:
                self.at_once -= 1

    def close(self) -> None:
        pass


def works(count: int, program: str = "def double(x): return 2 * x") -> list[Work]:
    return [
        Work(
            PROBLEM,
            Trial(
                id=f"doubling:Doubling/0:{index}",
                benchmark="doubling",
                task_id="Doubling/0",
                language="python",
                index=index,
                completion="",
                program=program,
            ),
        )
        for index in range(count)
    ]


def scored(boxes: Boxes, todo: list[Work], workers: int = 1) -> list[Trial]:
    scorer = Scorer(boxes, workers)
    try:
        return list(scorer.score(todo, [Mode.STRICT]))
    finally:
        scorer.close()


@pytest.mark.parametrize(
    ("reports", "status", "attempts"),
    [
        ([PASSED], Status.PASSED, 1),
        ([BROKEN, PASSED], Status.PASSED, 2),
        ([BROKEN, BROKEN], Status.HARNESS, 2),
        ([STARVED, PASSED], Status.PASSED, 2),
        ([STARVED, STARVED], Status.TIMEOUT, 2),
        ([SPENT], Status.TIMEOUT, 1),  # its own CPU time: the machine is not to blame
    ],
)
def test_what_may_be_the_machines_fault_is_run_once_more(reports, status, attempts):
    boxes = Boxes(lambda number: reports[number])
    (trial,) = scored(boxes, works(1))
    assert trial.strict is not None and trial.published is None
    assert (trial.strict.status, trial.strict.attempts) == (status, attempts)
    assert boxes.runs == attempts


def test_what_is_run_again_has_the_machine_to_itself():
    first = threading.Barrier(4)  # four run at a time, or this waits for ever

    def run(number: int) -> Report:
        if number < 4:
            first.wait(timeout=30)
            return STARVED
        return PASSED

    boxes = Boxes(run)
    trials = scored(boxes, works(4), workers=4)
    assert [one.strict.attempts for one in trials if one.strict] == [2] * 4
    assert max(boxes.beside[:4]) == 4
    assert boxes.beside[4:] == [1] * 4


def test_trials_come_in_order_whatever_ends_first():
    late = threading.Event()

    def run(number: int) -> Report:
        if number == 0:
            late.wait(timeout=30)
        elif number == 5:
            late.set()
        return PASSED

    trials = scored(Boxes(run), works(8), workers=2)
    assert [one.index for one in trials] == list(range(8))


def test_nothing_is_run_of_an_answer_without_a_program():
    boxes = Boxes(lambda number: PASSED)
    (empty,) = scored(boxes, works(1, program=" \n"))
    (faulty,) = scored(boxes, [works(1)[0]._replace(fault="It is no text.")])
    assert boxes.runs == 0
    assert empty.strict is not None and faulty.strict is not None
    assert (empty.strict.status, empty.strict.detail) == (Status.ERROR, "There is no program.")
    assert (faulty.strict.status, faulty.strict.detail) == (Status.ERROR, "It is no text.")
