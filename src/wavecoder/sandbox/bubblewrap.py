"""Boxes made with bubblewrap: Linux namespaces, a filter for system calls, limits.

`bwrap` makes what boxes have in common, once for many of them: the read-only system and a user
namespace, with `inside/forkserver.py` as its first process. That makes every box: namespaces of all
other kinds, a folder, limits and a filter of its own, and forks `inside/guard.py`, which supervises
the program. A box ends when its first process is killed, and its server makes one at a time.
"""

import contextlib
import os
import platform
import py_compile
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from wavecoder.errors import SandboxError
from wavecoder.sandbox import cgroup, seccomp
from wavecoder.sandbox.exchange import reported
from wavecoder.sandbox.job import Exam, Job, Report
from wavecoder.sandbox.server import Server

__all__ = ["ENV", "INSIDE", "OPTIONS", "Bubblewrap", "compile_guard", "numpy_folders"]

_Kind = tuple[bool, tuple[tuple[str, str, int, int], ...]]

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

_MOST_IDLE = 16  # servers, each an interpreter of 15 MB
_STUCK = (
    "A program in a box cannot be killed: it waits in the kernel. Look at the host's file systems, "
    "and start again."
)
_PROC = ("--proc", "/proc", "--remount-ro", "/proc", "--symlink", "/proc/self/fd", "/dev/fd")
# For what the server does to a box that begins; nothing that a model wrote has any.
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SETPCAP")
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
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise SandboxError(
                "bwrap is not installed, and programs that models write are run in a sandbox only. "
                "Install the package bubblewrap (Debian: apt-get install bubblewrap)."
            )
        self._bwrap = bwrap
        self._lock = threading.Lock()
        self._idle: dict[_Kind, list[Server]] = {}
        self._grouped = cgroup.usable() is not None
        rules = seccomp.program()
        if rules is None:
            raise SandboxError(
                f"No filter of system calls is known for the processor {platform.machine()}. Run "
                f"programs on {' or '.join(seccomp.MACHINES)}."
            )
        self._filter = rules
        self._common = [*_system(), *_python()]
        self.python = os.path.realpath(sys.executable)
        compile_guard()
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
        return found

    @property
    def groups(self) -> list[cgroup.Group]:
        """Return the control groups of the servers that wait for jobs."""
        with self._lock:
            idle = [*chain.from_iterable(self._idle.values())]
        return [server.group for server in idle if server.group is not None]

    def close(self) -> None:
        """End what waits for jobs and remove what was made on the host; idempotent."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for server in chain.from_iterable(idle.values()):
            server.end()

    def _fault(self) -> str:
        """Return why a box does not work; empty where it does."""
        exam = Exam(
            program="x = 1", tests="assert x == 1", strict=True, cpu_seconds=20, wall_seconds=60
        )
        try:
            report = self.run(Job(steps=[exam]))
        except SandboxError as error:
            return str(error).rstrip(".")
        if report.steps and report.steps[0].answered:
            return ""
        return report.problem or (report.steps[0].failure if report.steps else "no report")

    def run(self, job: Job) -> Report:
        """Run a job in a new box; nothing of it is left when this returns.

        Raises:
            SandboxError: The host is out of processes, memory or descriptors.
        """
        kind, server = self._server(job)
        answer = None
        try:
            answer = server.run(job)
            memory = server.group.ran_out() if server.group is not None else False
        except OSError as error:
            raise SandboxError(
                f"A box cannot be made: {error.strerror or error}. Use fewer workers."
            ) from error
        finally:
            if answer is None or not answer.ended:
                server.end_boxes()
            gone = server.group is None or server.group.kill()
            self._keep(kind, server)
        if not gone:
            raise SandboxError(_STUCK)
        return reported(answer, memory=memory, isolated=True)

    def _server(self, job: Job) -> tuple[_Kind, Server]:
        """Return a server for boxes of this kind that makes none now.

        Raises:
            SandboxError: None can be started.
        """
        kind = _kind(job)
        while True:
            with self._lock:
                waiting = self._idle.get(kind)
                server = waiting.pop() if waiting else None
            if server is None:
                return kind, self._started(job)
            with contextlib.suppress(OSError):  # what a box had in its files is still counted
                server.limit(job.limits)
                if server.alive:
                    return kind, server
            server.end()

    def _started(self, job: Job) -> Server:
        group = cgroup.make_group() if self._grouped else None
        if self._grouped and group is None:
            raise SandboxError(
                "A control group could be made before and cannot be made now. Look for a full "
                "/sys/fs/cgroup, and start again."
            )
        try:
            server = Server(self._argv(job), rules=self._filter, group=group, env=ENV)
        except OSError as error:
            if group is not None:
                group.remove()
            words = error.strerror or str(error)
            raise SandboxError(f"No box can be made: {words}. Use fewer workers.") from error
        server.limit(job.limits)
        return server

    def _keep(self, kind: _Kind, server: Server) -> None:
        """Put a server among those that wait for jobs; the one that waited longest may go."""
        ended = server
        with self._lock:
            if not server.lost:
                self._idle.setdefault(kind, []).append(server)
                if sum(map(len, self._idle.values())) <= _MOST_IDLE:
                    return
                ended = next(one for one in self._idle.values() if one).pop(0)
        ended.end()

    def _argv(self, job: Job) -> list[str]:
        return [
            *(self._bwrap, "--tmpfs", "/tmp", *self._common, *_folders(job.folders)),
            *(_PROC if job.proc else ()),
            *("--remount-ro", "/", "--chdir", "/tmp"),
            *(word for name in _CAPABILITIES for word in ("--cap-add", name)),
            *("--", self.python, *OPTIONS, "-c"),
        ]


def _kind(job: Job) -> _Kind:
    """Return what tells apart the servers for different jobs: folders, and whether there is /proc.

    A folder that was made anew under its old name is another one.

    Raises:
        SandboxError: A folder is gone.
    """
    folders = []
    for box, host in sorted(job.folders.items()):
        try:
            found = Path(host).stat()
        except OSError as error:
            raise SandboxError(f"A box needs the folder {host}: {error.strerror}.") from error
        folders.append((box, host, found.st_dev, found.st_ino))
    return job.proc, tuple(folders)


def _system() -> Iterator[str]:
    """Yield bwrap's arguments for the system: read-only, without home, logs or settings."""
    yield from ("--unshare-all", "--new-session", "--as-pid-1")
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
