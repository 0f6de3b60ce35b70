"""Boxes made with bubblewrap: Linux namespaces, a filter for system calls, limits.

For every job a new box. Around it stand three small programs, each of which does its part and
becomes the next: `unshare` (a mount namespace for the bounded file system), `sh` (joins the control
group, mounts), `bwrap` (namespaces of every kind, read-only system, filter). `inside/guard.py`
supervises the program in it. All of it ends when the first process of its namespace is killed.
"""

import contextlib
import fcntl
import os
import py_compile
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue

from wavecoder.errors import SandboxError
from wavecoder.sandbox import cgroup, seccomp
from wavecoder.sandbox.exchange import GRACE, START, converse, packed, reported
from wavecoder.sandbox.job import Exam, Job, Limits, Report

__all__ = ["ENV", "INSIDE", "OPTIONS", "Bubblewrap", "above", "compile_guard", "numpy_folders"]

INSIDE = Path(__file__).parent / "inside"
"""Where the supervisor lies."""
ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""All variables that a program in a box has."""
OPTIONS = ("-s", "-P", "-S")
"""Of the interpreter: no path of the user's, of the current folder, or of packages. Not `-I`, which
would have it leave out PYTHONHASHSEED."""

# No box needs the host's /sys, so there is no harm in a file system over it, in a namespace that
# ends with the box; a folder of our own would have to be made and removed.
_MOUNT = "/sys"
_LEAVING = 5.0  # seconds for a killed box to be gone
_STUCK = (
    "A program in a box cannot be killed: it waits in the kernel. Look at the host's file systems, "
    "and start again."
)
_JOIN = """
while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done
shift
"""
_SET_UP = f"""{_JOIN}
mount -t tmpfs -o "$1" box {_MOUNT} || exit 125
shift
exec "$@"
"""
# Read-only: where the host's user is root, the kernel's settings are this user's to change.
_PROC = ("--proc", "/proc", "--remount-ro", "/proc", "--symlink", "/proc/self/fd", "/dev/fd")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_OF_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "java-*-openjdk")
# What is installed is not the program's to read: it may hold a benchmark's answers.
_HIDDEN = ("src", "lib/python3*/*-packages", "local/lib/python3*/*-packages")


class Bubblewrap:
    """Runs jobs in boxes. Safe to use from several threads, each of which may have one box."""

    isolated = True

    def __init__(self) -> None:
        """Find what boxes are made of, and try one.

        Raises:
            SandboxError: No box can be made here; the sentence says what is missing.
        """
        bwrap, self._unshare = shutil.which("bwrap"), shutil.which("unshare")
        if bwrap is None:
            raise SandboxError(
                "bwrap is not installed, and programs that models write are run in a sandbox only. "
                "Install the package bubblewrap (Debian: apt-get install bubblewrap)."
            )
        self._bwrap = bwrap
        self._groups: SimpleQueue[cgroup.Group] = SimpleQueue()
        self._made: list[cgroup.Group] = []
        self._grouped = cgroup.usable() is not None
        self._filter = seccomp.program()
        self._common = [*_system(), *_python()]
        self.python = os.path.realpath(sys.executable)
        compile_guard()
        self._bounded = self._unshare is not None
        why = self._fault()
        if why and self._bounded:
            # AppArmor may let bwrap alone make a namespace.
            self._bounded = False
            why = self._fault()
        if why:
            self.close()
            raise SandboxError(
                f"bubblewrap is installed but a box does not work: {why}. User namespaces may be "
                f"switched off (sysctl kernel.unprivileged_userns_clone, or AppArmor)."
            )

    @property
    def weaknesses(self) -> list[str]:
        """Return what is held less firmly on this machine than it could be, a sentence each."""
        found = []
        if not self._grouped:
            found.append(
                "No control group can be made here, so memory is limited for each process of a box "
                "and not for all of them together (with systemd: start wavecoder with `systemd-run "
                "--user --scope -p Delegate=yes`)."
            )
        if self._filter is None:
            found.append("No filter of system calls is known for this processor.")
        if not self._bounded:
            found.append("`unshare` cannot mount here, so a box may make any number of files.")
        return found

    def close(self) -> None:
        """Remove what was made on the host; idempotent."""
        while self._made:
            self._made.pop().remove()

    def _fault(self) -> str:
        """Return why a box does not work; empty where it does."""
        exam = Exam(
            program="x = 1", tests="assert x == 1", strict=True, cpu_seconds=20, wall_seconds=60
        )
        report = self.run(Job(steps=[exam]))
        if report.steps and report.steps[0].answered:
            return ""
        return report.problem or (report.steps[0].failure if report.steps else "no report")

    def run(self, job: Job) -> Report:
        """Run a job in a new box; nothing of it is left when this returns.

        Raises:
            SandboxError: The host is out of processes, memory or descriptors.
        """
        group = self._group(job.limits) if self._grouped else None
        try:
            report = self._run(job, group)
        finally:
            gone = group is None or group.kill()
            if group is not None:
                self._groups.put(group)
        if not gone:
            raise SandboxError(_STUCK)
        return report

    def _group(self, limits: Limits) -> cgroup.Group:
        """Return a group that holds no process, with these limits."""
        with contextlib.suppress(Empty):
            group = self._groups.get_nowait()
            try:
                group.limit(limits.memory, limits.processes)
                return group
            except OSError:  # what a box had in its files is not given back at once
                self._made.remove(group)
                group.remove()
        made = cgroup.make_group()
        if made is None:
            raise SandboxError(
                "A control group could be made before and cannot be made now. Look for a full "
                "/sys/fs/cgroup, and start again."
            )
        self._made.append(made)
        made.limit(limits.memory, limits.processes)
        return made

    def _run(self, job: Job, group: cgroup.Group | None) -> Report:
        with contextlib.ExitStack() as kept:
            try:
                with contextlib.ExitStack() as passed_on:
                    report_r, report_w = os.pipe()
                    report_r, passed = above(report_r, kept), [above(report_w, passed_on)]
                    if self._filter is not None:
                        passed.append(above(os.memfd_create("filter"), passed_on))
                        os.write(passed[1], self._filter)
                        os.lseek(passed[1], 0, os.SEEK_SET)
                    process = subprocess.Popen(
                        self._argv(job, group, *passed),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        pass_fds=passed,
                        env=ENV,
                        cwd="/",
                        start_new_session=True,  # a Ctrl-C is for us, who then end the box
                    )
            except OSError as error:
                raise SandboxError(
                    f"No process can be started for a box: {error.strerror}. Use fewer workers."
                ) from error
            with process:
                try:
                    data = packed(job, grouped=group is not None, paths=["/python"], env=ENV)
                    seconds = sum(step.wall_seconds for step in job.steps) + GRACE
                    answer = converse(process, report_r, data, seconds)
                finally:
                    _end(process)
            memory = group.ran_out() if group is not None else False
            return reported(answer, memory=memory, isolated=True)

    def _argv(
        self, job: Job, group: cgroup.Group | None, report_fd: int, filter_fd: int | None = None
    ) -> list[str]:
        limits = job.limits
        joined = [str(path) for path in group.joined] if group is not None else []
        if self._bounded:
            options = f"size={limits.disk},nr_inodes={limits.files},mode=0755,nosuid,nodev"
            around = [
                str(self._unshare),
                "--user",
                "--map-root-user",
                "--mount",
                "--",
                "/bin/sh",
                "-c",
            ]
            around += [_SET_UP, "box", *joined, "--", options]
            folder = ["--bind", _MOUNT, "/tmp"]
        else:
            around = ["/bin/sh", "-c", f'{_JOIN}\nexec "$@"', "box", *joined, "--"]
            folder = ["--perms", "0755", "--size", str(limits.disk), "--tmpfs", "/tmp"]
        return [
            *around,
            *(self._bwrap, *folder, *self._common, *_folders(job.folders)),
            *(_PROC if job.proc else ()),
            *("--remount-ro", "/", "--chdir", "/tmp"),
            *(("--seccomp", str(filter_fd)) if filter_fd is not None else ()),
            *("--", self.python, *OPTIONS, "-c"),
            START.format(folder="/box", fd=report_fd, alone=True),
        ]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a box that has not ended by itself.

    Its own first process, so that bwrap, whose child that is, takes it away: who takes away the
    child of a bwrap that was killed is for the host's first process to decide.
    """
    if process.poll() is None:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            for child in children.split():
                os.kill(int(child), signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LEAVING)
    process.kill()


def above(fd: int, owner: contextlib.ExitStack) -> int:
    """Return a descriptor beyond the standard three, which a parent may have closed."""
    moved = fd if fd > 2 else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    owner.callback(os.close, moved)
    if moved != fd:
        os.close(fd)
    return moved


def _system() -> Iterator[str]:
    """Yield bwrap's arguments for the system: read-only, without home, logs or settings."""
    yield from ("--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1")
    yield from ("--uid", "65534", "--gid", "65534", "--hostname", "box")
    yield from ("--ro-bind", "/usr", "/usr")
    for pattern in _HIDDEN:
        for path in sorted(Path("/usr").glob(pattern)):
            yield from _empty(path)
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/") / name
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for pattern in _OF_ETC:
        for path in sorted(Path("/etc").glob(pattern)):
            yield from ("--ro-bind", str(path), str(path))
    yield from ("--dir", "/dev", "--symlink", "/tmp", "/dev/shm")
    for name in _DEVICES:
        yield from ("--dev-bind", f"/dev/{name}", f"/dev/{name}")


def _empty(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield from ("--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path))


def _python() -> Iterator[str]:
    """Yield bwrap's arguments for this interpreter, its standard library, numpy and the guard."""
    yield from ("--ro-bind", str(INSIDE), "/box")
    prefix = Path(sys.base_prefix).resolve()
    if not prefix.is_relative_to("/usr"):
        program = os.path.realpath(sys.executable)
        yield from ("--ro-bind", program, program)
        for name in sorted({"lib", sys.platlibdir}):
            if (prefix / name).is_dir():
                yield from ("--ro-bind", str(prefix / name), str(prefix / name))
        for packages in sorted(prefix.glob("lib*/python3*/site-packages")):
            yield from _empty(packages)
    for folder in numpy_folders():
        yield from ("--ro-bind", str(folder), f"/python/{folder.name}")


def numpy_folders() -> list[Path]:
    """Return where numpy and its libraries lie, the one package that programs may import."""
    numpy = find_spec("numpy")
    if numpy is None or numpy.origin is None:
        return []
    folder = Path(numpy.origin).parent
    return [one for one in (folder, folder.parent / "numpy.libs") if one.is_dir()]


def _folders(folders: Mapping[str, str]) -> list[str]:
    return [word for box, host in folders.items() for word in ("--ro-bind", host, box)]


def compile_guard() -> None:
    """Have the supervisor compiled, so that no box does it anew."""
    for path in INSIDE.glob("*.py"):
        with contextlib.suppress(OSError, py_compile.PyCompileError):
            py_compile.compile(str(path))
