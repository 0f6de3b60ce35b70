import pytest

from wavecoder.records import Status
from wavecoder.sandbox import Cause, Exam, Job, Report, Rule, Step, StepReport, execution

EXAM = Exam(program="", tests="", strict=True, cpu_seconds=1, wall_seconds=1)
STEP = Step(argv=["x"], wrong="FAIL", cpu_seconds=1, wall_seconds=1)
ANSWER = Step(argv=["x"], rule=Rule.ANSWER, cpu_seconds=1, wall_seconds=1)
SILENT = Step(argv=["x"], rule=Rule.SILENT, cpu_seconds=1, wall_seconds=1)
OURS = Step(argv=["x"], trusted=True, cpu_seconds=1, wall_seconds=1)
COMPILER = Step(argv=["x"], compiles=True, cpu_seconds=1, wall_seconds=1)


def went(**rest) -> StepReport:
    usual = {
        "cause": Cause.EXIT,
        "code": 0,
        "answered": False,
        "seconds": 0.5,
        "cpu_seconds": 0.25,
        "stdout": b"",
        "stderr": b"",
        "written": 0,
    }
    return StepReport(**{**usual, **rest})


@pytest.mark.parametrize(
    ("step", "how", "memory", "status"),
    [
        (EXAM, {"answered": True}, False, Status.PASSED),
        (EXAM, {"answered": True}, True, Status.PASSED),  # another process of the box was killed
        (EXAM, {"answered": True, "code": 1}, False, Status.ERROR),
        (EXAM, {}, False, Status.ERROR),
        (EXAM, {"code": -9}, True, Status.MEMORY),
        (EXAM, {"code": -11}, False, Status.ERROR),
        (EXAM, {"code": -9, "failure": "AssertionError: ", "wrong": True}, False, Status.WRONG),
        (EXAM, {"code": -9, "failure": "KeyError: 1"}, False, Status.ERROR),
        (EXAM, {"code": -9, "failure": "MemoryError: "}, False, Status.MEMORY),
        (EXAM, {"code": 2, "failure": "SyntaxError: no"}, False, Status.COMPILE_ERROR),
        (EXAM, {"cause": Cause.CPU, "code": -24}, False, Status.TIMEOUT),
        (EXAM, {"cause": Cause.WALL, "code": -9}, False, Status.TIMEOUT),
        (EXAM, {"cause": Cause.OUTPUT, "code": -9}, False, Status.OUTPUT),
        (EXAM, {"cause": Cause.VIOLATION, "code": -9}, False, Status.VIOLATION),
        (EXAM, {"cause": Cause.WALL, "answered": True}, False, Status.TIMEOUT),
        (STEP, {}, False, Status.PASSED),
        (STEP, {"code": 1}, False, Status.ERROR),
        (STEP, {"code": 1, "stderr": b"FAIL"}, False, Status.WRONG),
        (STEP, {"stderr": b"FAIL", "written": 4}, False, Status.PASSED),
        (ANSWER, {}, False, Status.ERROR),
        (ANSWER, {"answered": True}, False, Status.PASSED),
        (ANSWER, {"answered": True, "code": 1}, False, Status.ERROR),
        (SILENT, {"code": 1}, False, Status.PASSED),
        (SILENT, {"written": 1, "stdout": b"x"}, False, Status.ERROR),
        (COMPILER, {"code": 1, "stderr": b"no"}, False, Status.COMPILE_ERROR),
        (COMPILER, {"cause": Cause.CPU, "code": -9}, False, Status.TIMEOUT),
        (COMPILER, {"code": 1}, True, Status.MEMORY),
        (COMPILER, {"code": 127, "stderr": b"no such file"}, False, Status.HARNESS),
        (STEP, {"code": 127}, False, Status.ERROR),  # which a program can say by itself
        (SILENT, {"code": -9}, True, Status.MEMORY),
        (OURS, {"code": 1}, False, Status.HARNESS),
        (OURS, {"cause": Cause.WALL, "code": -9}, False, Status.HARNESS),
    ],
)
def test_a_step_becomes_a_verdict(step, how, memory, status):
    report = Report(steps=(went(**how),), memory=memory, isolated=True)
    done = execution(Job(steps=[step]), report, attempts=2)
    assert done.status == status
    assert (done.seconds, done.cpu_seconds, done.isolated, done.attempts) == (0.5, 0.25, True, 2)
    assert bool(done.detail) == (status != Status.PASSED)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ({"problem": "it broke"}, Status.HARNESS),
        ({"memory": True}, Status.MEMORY),
        ({"overdue": True}, Status.TIMEOUT),
        ({}, Status.ERROR),
    ],
)
def test_a_box_without_a_report_becomes_a_verdict(rest, status):
    report = Report(**{"steps": (), "memory": False, "isolated": True, **rest})
    assert execution(Job(steps=[EXAM]), report).status == status


def test_a_detail_is_short_and_cannot_steer_a_terminal():
    failure = "x" * 9999 + "\x1b[2J\x07\0\u202e\ud800\nend"
    report = Report(steps=(went(code=1, failure=failure),), memory=False, isolated=True)
    detail = execution(Job(steps=[EXAM]), report).detail
    assert len(detail) == 500 and detail.endswith("\N{REPLACEMENT CHARACTER}\nend")
    assert not set("\x1b\x07\0\u202e\ud800") & set(detail)
    detail.encode()


def test_an_exam_stands_alone_and_an_examiner_not_in_proc():
    with pytest.raises(ValueError, match="of its own"):
        Job(steps=[STEP, EXAM])
    examined = Step(argv=["x"], examiner=["y"], cpu_seconds=1, wall_seconds=1)
    with pytest.raises(ValueError, match="hidden"):
        Job(steps=[examined], proc=True)
