import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from wavecoder.records import Execution, Status
from wavecoder.sandbox import Bubblewrap, Exam, Job, Limits, Report, Step, execution
from wavecoder.sandbox.bubblewrap import INSIDE

MARK = "wavecoder-attack"


@pytest.fixture(scope="session")
def box() -> Iterator[Bubblewrap]:
    """Give the sandbox that all tests share."""
    found = Bubblewrap()
    # Two at a time, so that what it keeps for later boxes is there before anything is counted.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(found.run, [_neighbour()] * 2))
    yield found
    found.close()


@pytest.fixture(scope="session")
def contained() -> dict[int, list[str]]:
    """Give the names of the programs that were contained, by the misbehaviour's number."""
    return {}


@pytest.fixture
def exam_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give `inside/exam.py` as a module; it is no part of the package that runs it."""
    monkeypatch.syspath_prepend(str(INSIDE))
    import exam

    return exam


@pytest.fixture
def guard_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give `inside/guard.py` as a module."""
    monkeypatch.syspath_prepend(str(INSIDE))
    import guard

    return guard


@pytest.fixture
def exam() -> Callable[..., Job]:
    """Give a maker of jobs that examine a program which ought to add 1."""

    def make(
        program: str, tests: str = "assert f(1) == 2\n", *, limits: Limits | None = None, **rest
    ) -> Job:
        rest = {"strict": True, "cpu_seconds": 5, "wall_seconds": 30, **rest}
        return Job(steps=[Exam(program=program, tests=tests, **rest)], limits=limits or Limits())

    return make


class Host:
    """What of the host no program may change, and the sandbox it looks at."""

    def __init__(self, box: Bubblewrap, folder: Path) -> None:
        self.box = box
        self.watched = folder / "watched"
        self.watched.mkdir()
        self.secret = f"secret-{os.urandom(8).hex()}"
        (self.watched / "kept").write_text(self.secret)
        self.neighbours = ThreadPoolExecutor(1)

    def run(self, job: Job) -> tuple[Report, Execution]:
        report = self.box.run(job)
        return report, execution(job, report)

    def attacked(self, job: Job) -> tuple[Report, Execution]:
        """Run a job beside a right program, then look at everything."""
        # What makes boxes of its kind stays for later ones, and is started before all is counted.
        self.run(replace(job, files={}, steps=[_nothing()]))
        before = self.seen()
        neighbour = self.neighbours.submit(self.run, _neighbour())
        report, done = self.run(job)
        assert neighbour.result()[1].status == Status.PASSED, neighbour.result()
        assert self.seen() == before
        self.assert_nothing_is_held()
        assert not report.problem, report.problem
        assert report.isolated
        for step in report.steps:
            for said in (step.stdout, step.stderr, step.failure.encode()):
                assert b"ESCAPED" not in said, said
                assert self.secret.encode() not in said
        assert self.secret not in done.detail
        return report, done

    def seen(self) -> Mapping[str, object]:
        """Return what may not change."""
        left = [
            str(path)
            for place in (
                Path("/tmp"),
                Path.home(),
                Path("/etc"),
                Path("/usr"),
                Path("/"),
                Path.cwd(),
            )
            for path in place.glob(f"{MARK}*")
        ]
        return {
            "watched": {
                str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode, path.read_bytes())
                for path in self.watched.rglob("*")
            },
            "left": left,
            "times": [Path(p).stat().st_mtime_ns for p in ("/etc", "/usr", "/usr/bin", INSIDE)],
            "mounts": [
                line
                for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if "- tmpfs box" in line or line.split()[4] in ("/sys", "/tmp", "/usr", "/")
            ],
            "descriptors": len([*Path("/proc/self/fd").iterdir()]),
            "children": self._children(),
            "name": os.uname().nodename,
            "cores": sorted(path.name for path in Path.cwd().glob("core*")),
        }

    @staticmethod
    def _children() -> set[str]:
        found: set[str] = set()
        for task in Path("/proc/self/task").iterdir():
            found.update((task / "children").read_text().split())
        return found

    def assert_nothing_is_held(self) -> None:
        """Look into every control group of the sandbox: no process, hardly any memory."""
        assert self.box.groups, "these tests need control groups"
        for group in self.box.groups:
            for folder in {group.memory, group.pids}:
                assert (folder / "cgroup.procs").read_text() == ""
            assert _held(group) < 16 << 20


def _held(group) -> int:
    """Return the bytes a group holds, once the kernel has given back what nobody uses."""
    name = "memory.current" if group.version == 2 else "memory.usage_in_bytes"
    for _ in range(1000):
        held = int((group.memory / name).read_text())
        if held < 16 << 20:
            break
        if (group.memory / "memory.force_empty").exists():
            (group.memory / "memory.force_empty").write_text("0")
        time.sleep(0.01)  # the kernel frees a namespace some time after its last process
    return held


def _nothing() -> Step:
    return Step(argv=["true"], cpu_seconds=20, wall_seconds=120)


def _neighbour() -> Job:
    program = "import time\ndef f(x):\n    time.sleep(0.05)\n    return sum(range(x))\n"
    tests = "for _ in range(3):\n    assert f(1000) == 499500\n"
    exam = Exam(program=program, tests=tests, strict=True, cpu_seconds=20, wall_seconds=120)
    return Job(steps=[exam])


@pytest.fixture
def host(box: Bubblewrap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Give the host, with secrets where a program could look for them."""
    found = Host(box, tmp_path)
    monkeypatch.setenv("WAVECODER_ATTACK_KEY", found.secret)
    yield found
    found.neighbours.shutdown()


assert sys.platform == "linux"
