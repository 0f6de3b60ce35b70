"""Machines on which not everything works, and programs that run without a box."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wavecoder
from wavecoder.errors import PluginError, SandboxError
from wavecoder.records import Status
from wavecoder.sandbox import (
    Bubblewrap,
    Job,
    Limits,
    Report,
    Step,
    Unsandboxed,
    cgroup,
    execution,
    open_sandbox,
)

RIGHT = "def f(x):\n    return x + 1\n"
HUNGRY = "kept = []\nwhile True:\n    kept.append(bytearray(1 << 20))\n"
SYSTEM_PYTHON = "/usr/bin/python3"

AS_USER = """
import sys
sys.path[:0] = {paths!r}
from wavecoder.sandbox import Bubblewrap, Exam, Job, Limits, execution
box = Bubblewrap()
def judge(program, strict=True):
    tests = "assert f(1) == 2"
    exam = Exam(program=program, tests=tests, strict=strict, cpu_seconds=2, wall_seconds=20)
    job = Job(steps=[exam], limits=Limits(memory=200 << 20, processes=40))
    done = execution(job, box.run(job))
    print(done.status, done.isolated, flush=True)
for program in {programs!r}:
    for strict in (True, False):
        judge(program, strict)
print(len(box.weaknesses))
box.close()
"""


def _as_user(programs, **rest) -> subprocess.CompletedProcess[str]:
    """Run programs in boxes of another user, who may make no control groups."""
    paths = [
        str(Path(wavecoder.__file__).parent.parent),
        *[one for one in sys.path if "site-packages" in one],
    ]
    text = AS_USER.format(paths=paths, programs=programs)
    return subprocess.run(
        [SYSTEM_PYTHON, "-B", "-c", text],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        check=False,
        **rest,
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_a_user_without_control_groups_has_limits_of_single_processes():
    user = 61_072  # a number that nobody else has, so that what is left can be counted
    forks = "import os\nwhile True:\n    os.fork()\n"
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n" + RIGHT
    done = _as_user(
        [RIGHT, "def f(x):\n    return 0\n", HUNGRY, forks, daemon],
        user=user,
        group=user,
        extra_groups=[],
    )
    lines = done.stdout.splitlines()
    assert lines[:6] == ["passed True"] * 2 + ["wrong True"] * 2 + ["memory True"] * 2, done
    assert set(lines[6:8]) <= {"error True", "timeout True"}
    assert lines[8:] == ["passed True"] * 2 + ["1"]
    left = [
        path
        for path in Path("/proc").glob("[0-9]*")
        if path.exists() and path.stat().st_uid == user
    ]
    assert left == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_without_user_namespaces_the_sentence_says_so():
    """The limit is set in a namespace of its own, so that this machine's is left alone."""
    start = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"',
        "sh",
    ]
    program = "from wavecoder.sandbox import Bubblewrap; Bubblewrap()"
    done = subprocess.run(
        [*start, sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "a box does not work" in last and "User namespaces may be switched off" in last


def test_without_bubblewrap_the_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        Bubblewrap()
    with pytest.raises(SandboxError, match="--allow-unsandboxed"):
        open_sandbox()
    assert open_sandbox(unsandboxed=True).isolated is False


class Elsewhere:
    """A sandbox that somebody else wrote."""

    isolated = True
    weaknesses = ("It runs nothing.",)

    def run(self, job):
        return Report(steps=(), memory=False, isolated=True, problem="it runs nothing")

    def close(self):
        pass


def test_a_sandbox_of_ones_own_is_opened_by_name():
    box = open_sandbox(f"{__name__}:Elsewhere")
    assert isinstance(box, Elsewhere)
    step = Step(argv=["true"], cpu_seconds=1, wall_seconds=1)
    job = Job(steps=[step])
    assert execution(job, box.run(job)).status == Status.HARNESS
    with pytest.raises(PluginError, match="bubblewrap"):
        open_sandbox("bublewrap")


def test_without_control_groups_a_process_has_its_limits(monkeypatch, exam):
    monkeypatch.setattr(cgroup, "usable", lambda: None)
    box = Bubblewrap()
    assert any("control group" in one for one in box.weaknesses)
    hungry = exam(HUNGRY, limits=Limits(memory=64 << 20))
    for job, status in ((exam(RIGHT), Status.PASSED), (hungry, Status.MEMORY)):
        assert execution(job, box.run(job)).status == status
    huge = exam("def f(x):\n    return [7] * (20 << 20)\n", limits=Limits(memory=256 << 20))
    assert execution(huge, box.run(huge)).status in (Status.MEMORY, Status.ERROR, Status.WRONG)
    node = Step(argv=["node", "-e", "console.log(1)"], cpu_seconds=5, wall_seconds=30)
    report = box.run(Job(steps=[node]))
    assert report.steps[0].stdout == b"1\n", report
    box.close()


@pytest.mark.parametrize("strict", [True, False])
def test_unsandboxed_judges_says_that_it_isolates_nothing_and_leaves_nothing(
    strict, exam, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    box = Unsandboxed()
    assert box.weaknesses
    mark = f"left-{os.urandom(8).hex()}"
    daemon = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        os.execv('/bin/sh', ['sh', '-c', 'sleep 600; : {mark}'])\n    os._exit(0)\n"
        + RIGHT
    )
    endless = "import time\nwhile True:\n    time.sleep(1)\n"
    killer = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"
    for program, statuses in (
        (RIGHT, {Status.PASSED}),
        ("def f(x):\n    return 0\n", {Status.WRONG}),
        ("import os\nos._exit(0)\n", {Status.ERROR}),
        (
            "open('file', 'w').close()\nimport os\nassert os.getcwd() != '/'\n" + RIGHT,
            {Status.PASSED},
        ),
        (endless, {Status.TIMEOUT}),
        (daemon, {Status.PASSED}),
        (daemon + killer, {Status.ERROR, Status.HARNESS}),
    ):
        job = exam(program, strict=strict, wall_seconds=1.5 if program is endless else 30)
        done = execution(job, box.run(job))
        assert done.status in statuses, done
        assert done.isolated is False
    assert [*tmp_path.iterdir()] == []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert mark.encode() not in path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
