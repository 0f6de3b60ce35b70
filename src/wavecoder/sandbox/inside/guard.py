"""The supervisor inside a box: reads a job, does its steps, reports.

It is the only process of a box that is ours, and the first one of its namespace: the kernel lets no
other process in it kill or stop the first. The host gives it the job on its standard input, in two
parts: what the program may see, and, once the program's process is there, the tests and the token.
Its report goes to a descriptor that no other process has. Limits of single processes are set in the
new process, between fork and exec; this process has one thread, so that is safe.

Few modules are imported, and none of ours but `exam`: a box starts in a few milliseconds.
"""

from __future__ import annotations

import errno
import marshal
import os
import resource
import select
import time

# `typing` takes milliseconds to import; what it is needed for is read by no program that runs.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn
else:
    import _signal as signal  # the same functions, without enumerations: 3 of 11 ms

__all__ = ["Ended", "Process", "Tail", "main"]

_KEPT = 32 << 10  # bytes of an output that are kept at its beginning, and as many at its end
_BLOCK = 1 << 16
_LOOK = 10  # milliseconds after which the dead are looked for whose parents are gone
_NONSENSE = 3  # an examiner's exit status for "the program broke the protocol"
_SUBREAPER, _DUMPABLE = 36, 4  # prctl(2)

_ours: set[int] = set()
"""Processes that a `Process` will wait for."""
_host: list[int] = []
"""The report's descriptor: when nobody reads it any more, the host's process is gone."""


class Ended(BaseException):
    """The program's process is over, or has to be; raised out of whatever waits for it."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Tail:
    """The first and last bytes of a stream."""

    def __init__(self) -> None:
        self.head, self.tail, self.written = b"", b"", 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.written += len(data)
        room = _KEPT - len(self.head)
        if room > 0:
            self.head, data = self.head + data[:room], data[room:]
        if data:
            self.tail = (self.tail + data)[-_KEPT:]

    def kept(self) -> bytes:
        """Return what is left of the stream, a note in place of what is not."""
        hidden = self.written - len(self.head) - len(self.tail)
        gap = b"\n[... %d bytes ...]\n" % hidden if hidden else b""
        return self.head + gap + self.tail


class Process:
    """A program's process: its limits, its output, its end."""

    def __init__(self, limits: dict[str, Any], cpu_seconds: float, wall_seconds: float) -> None:
        self.limits = limits
        self.cpu_seconds = cpu_seconds
        self.began = time.monotonic()
        self.deadline = self.began + wall_seconds
        self.out, self.err = Tail(), Tail()
        self.streams: dict[int, Tail] = {}
        self.poll = select.poll()
        self.code: int | None = None
        self.cpu = 0.0
        self.seconds = 0.0
        self.pid = self.pidfd = -1
        for one in _host:
            self.poll.register(one, 0)

    def start(self, run: Callable[[], NoReturn], pipes: Mapping[int, int]) -> None:
        """Fork; the child has `pipes` (its descriptor: ours) and calls `run`, which never returns.

        All other descriptors are closed in it, ours of the report among them.
        """
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                nothing = os.open("/dev/null", os.O_RDONLY)
                _arrange({0: nothing, 1: out_w, 2: err_w, **pipes})
                os.setsid()
                signal.signal(signal.SIGINT, signal.default_int_handler)
                _limit(self.limits, self.cpu_seconds)
                run()
            except BaseException as error:  # it must not go on as a second supervisor
                os.write(2, str(error).encode("utf-8", "replace"))
            finally:
                os._exit(127)
        _ours.add(self.pid)
        for mine in (out_w, err_w, *pipes.values()):
            os.close(mine)
        self.pidfd = os.pidfd_open(self.pid)
        for stream, tail in ((out_r, self.out), (err_r, self.err)):
            os.set_blocking(stream, False)
            self.streams[stream] = tail
            self.poll.register(stream, select.POLLIN)
        self.poll.register(self.pidfd, select.POLLIN)

    def wait(
        self, also: int | None = None, writing: bool = False, until: float | None = None
    ) -> None:
        """Read output until the process ends, or until `also` can be read (or written).

        Raises:
            Ended: The time or the output is used up, or the process ended while `also` was waited
                for.
        """
        if also is not None:
            self.poll.register(also, select.POLLOUT if writing else select.POLLIN)
        deadline = self.deadline if until is None else min(until, self.deadline)
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Ended("wall")
                ready = self._ready(left)
                if also in ready:
                    return
                if self.pidfd in ready:
                    if also is None:
                        return
                    raise Ended("exit")
        finally:
            if also is not None:
                self.poll.unregister(also)

    def _ready(self, seconds: float) -> set[int]:
        """Wait a little; return the descriptors that are ready, the output's being read."""
        ready = {one for one, _ in self.poll.poll(min(seconds * 1000 + 1, _LOOK))}
        if not ready:
            _reap()
        if not ready.isdisjoint(_host):
            os._exit(1)
        for stream in [one for one in self.streams if one in ready]:
            self._read(stream)
        return ready

    def _read(self, stream: int) -> None:
        try:
            data = os.read(stream, _BLOCK)
        except BlockingIOError:
            return
        if not data:
            self.poll.unregister(stream)
            os.close(stream)
            del self.streams[stream]
            return
        self.streams[stream].add(data)
        if self.out.written + self.err.written > self.limits["output"]:
            raise Ended("output")

    def end(self) -> None:
        """Kill what is left, take what it wrote before, and count what it used."""
        if self.code is not None:
            return
        # Its own process first: of what it started the box rids itself.
        finished = select.select([self.pidfd], [], [], 0)[0]
        if not finished:
            os.kill(self.pid, signal.SIGKILL)
        _, status, used = os.wait4(self.pid, 0)
        _ours.discard(self.pid)
        self.seconds = time.monotonic() - self.began
        self.cpu = used.ru_utime + used.ru_stime
        self.code = os.waitstatus_to_exitcode(status)
        for stream in list(self.streams):
            self._drain(stream)
        # Not before all is read: a child that is still alive would meet a broken pipe in one of
        # them and say so in the other.
        for stream in self.streams:
            os.close(stream)
        self.streams = {}
        os.close(self.pidfd)

    def _drain(self, stream: int) -> None:
        # No waiting for an end: a process it left behind may hold the stream open.
        while stream in self.streams:
            before = self.streams[stream].written
            try:
                self._read(stream)
            except Ended:
                break
            if stream in self.streams and self.streams[stream].written == before:
                break

    def report(
        self, cause: str, answered: bool, failure: str = "", wrong: bool = False
    ) -> dict[str, Any]:
        """Return how it went, for the host."""
        spent = self.cpu >= self.cpu_seconds
        if cause == "exit":
            if self.code == -signal.SIGXCPU or (self.code == -signal.SIGKILL and spent):
                cause = "cpu"
            elif self.code == -signal.SIGSYS:
                cause = "violation"
        return {
            "cause": cause,
            "code": self.code,
            "answered": answered,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu,
            "stdout": self.out.kept(),
            "stderr": self.err.kept(),
            "written": self.out.written + self.err.written,
            "failure": failure,
            "wrong": wrong,
        }


def _arrange(wanted: dict[int, int]) -> None:
    """Give descriptors their numbers and close all others."""
    # Out of the way first, so that none is overwritten before it is moved.
    high = {number: os.dup2(mine, 100 + number) for number, mine in wanted.items()}
    for number, mine in high.items():
        os.dup2(mine, number, inheritable=True)
    _close_all_but(wanted)


def _close_all_but(wanted: Mapping[int, object]) -> None:
    """Close all descriptors but some, the lowest of which is 0."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    kept = sorted(wanted)
    # The host may have had thousands open, so that what it handed down has a high number.
    end = most if 0 < most < 1 << 20 else 1 << 20
    for one, after in zip(kept, [*kept[1:], end], strict=True):
        os.closerange(one + 1, after)


def _limit(limits: dict[str, Any], cpu_seconds: float) -> None:
    seconds = int(cpu_seconds) + (cpu_seconds > int(cpu_seconds))
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 512),
        (resource.RLIMIT_STACK, min(64 << 20, limits["memory"])),
        (resource.RLIMIT_DATA, limits["data"]),
        (resource.RLIMIT_NPROC, limits["own_processes"]),
        (resource.RLIMIT_CPU, seconds),
    ):
        if value is not None:
            most = resource.getrlimit(which)[1]
            value = value if most == resource.RLIM_INFINITY else min(value, most)
            # A second beyond its CPU time the kernel kills what ignores the signal.
            over = which == resource.RLIMIT_CPU and value != most
            resource.setrlimit(which, (value, value + over))


def _command(argv: Sequence[str], env: Mapping[str, str]) -> Callable[[], NoReturn]:
    def run() -> NoReturn:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(argv[0], [*argv], env)

    return run


def _do(step: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Run a step's command, with its examiner where it has one."""
    process = Process(job["limits"], step["cpu_seconds"], step["wall_seconds"])
    env = {**job["env"], **step["env"]}
    command = _command(step["argv"], env)
    if not step["answers"] and not step["examiner"]:
        process.start(command, {})
        return process.report(_to_its_end(process, None), answered=False)
    token_r, token_w = os.pipe()
    answer_r, answer_w = os.pipe()
    os.write(token_w, job["token"])
    os.close(token_w)
    os.set_blocking(answer_r, False)
    trusted = {3: token_r, 4: answer_w}
    examiner = None
    if step["examiner"]:
        to_r, to_w = os.pipe()
        back_r, back_w = os.pipe()
        process.start(command, {5: to_r, 6: back_w})
        examiner = Process(job["limits"], step["cpu_seconds"] * 2 + 5, step["wall_seconds"] + 1)
        examiner.start(_command(step["examiner"], env), {**trusted, 5: back_r, 6: to_w})
    else:
        process.start(command, trusted)
    cause = _to_its_end(process, examiner)
    answered = _has(answer_r, job["token"])
    os.close(answer_r)
    if examiner is None:
        return process.report(cause, answered)
    words = examiner.err.kept().decode("utf-8", "replace").strip()
    if cause == "exit" and examiner.code == _NONSENSE:
        cause = "violation"
    return process.report(cause, answered, words[-2000:], examiner.code == 1)


def _to_its_end(process: Process, examiner: Process | None) -> str:
    """Wait for a step's processes, end them, and return why the first of them ended."""
    cause = "exit"
    try:
        if examiner is not None:
            process.wait(also=examiner.pidfd)
            process.deadline = min(process.deadline, time.monotonic() + 5)  # it was told to end
        process.wait()
    except Ended as ended:
        cause = ended.cause
        if cause == "exit" and examiner is not None:
            cause = _give_time(examiner)
    process.end()
    if examiner is not None:
        examiner.end()
    return cause


def _give_time(examiner: Process) -> str:
    """Let an examiner whose program is gone come to its own end."""
    examiner.deadline = min(examiner.deadline, time.monotonic() + 2)
    try:  # noqa: SIM105 - contextlib takes time to import
        examiner.wait()
    except Ended:
        pass
    return "exit"


def _has(descriptor: int, token: bytes) -> bool:
    """Return whether the token, and nothing else, waits on a descriptor."""
    try:
        return os.read(descriptor, 4096) == token
    except BlockingIOError:
        return False


def _reap() -> None:
    """Take away the dead whose parents are gone: they are children of this process now."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in _ours:
            return
        os.waitpid(found.si_pid, 0)


def _end_all(alone: bool) -> None:
    """Kill what a step left behind and wait until it is gone: the next one finds nobody."""
    if alone:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
    else:
        _kill_children()
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
        if not alone:  # what the dead had started is ours now
            _kill_children()


def _kill_children() -> None:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:  # noqa: PTH123
            children = file.read().split()
    except OSError:
        return
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def _write_files(files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(data)


def _receive() -> dict[str, Any]:
    """Return the next part of the job from the standard input."""
    size = int.from_bytes(_exactly(8), "little")
    part: dict[str, Any] = marshal.loads(_exactly(size))
    return part


def _exactly(size: int) -> bytes:
    blocks = []
    while size:
        block = os.read(0, min(size, 1 << 20))
        if not block:
            raise EOFError("the job ends in its middle")
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)


def _send(report_fd: int, reports: list[dict[str, Any]]) -> None:
    data = repr(reports).encode()
    data = len(data).to_bytes(8, "little") + data
    while data:
        data = data[os.write(report_fd, data) :]


def main(report_fd: int, alone: bool) -> NoReturn:
    """Do the job on the standard input. A first byte of the report says that the box works.

    Args:
        report_fd: Where the report goes.
        alone: Whether this process is the first of its namespace, so that every other one it may
            kill is the program's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a program may send to this process
    _close_all_but({0: 0, 1: 1, 2: 2, report_fd: report_fd})
    _host.append(report_fd)
    os.write(report_fd, b"+")
    job = _receive()
    if not alone:
        _control(_SUBREAPER, 1)
    if job["proc"]:
        # Closes /proc/<this process> to the program, which has the same user.
        _control(_DUMPABLE, 0)
    if job["limits"]["data"] is not None:  # the tests' memory, which a program's results fill
        resource.setrlimit(resource.RLIMIT_DATA, (job["limits"]["data"],) * 2)
    _write_files(job["files"])
    reports = []
    for step in job["steps"]:
        if step["kind"] == "exam":
            if TYPE_CHECKING:
                from wavecoder.sandbox.inside import exam
            else:
                import exam

            report = exam.examine(step, job, _receive)
        else:
            if "token" not in job:
                job.update(_receive())
            report = _do(step, job)
        _end_all(alone)
        reports.append(report)
        if report["cause"] != "exit" or report["code"] != 0:
            break
    _send(report_fd, reports)
    os._exit(0)


def _control(option: int, value: int) -> None:
    """Call prctl(2).

    Raises:
        OSError: It is refused.
    """
    import ctypes

    if ctypes.CDLL(None).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(errno.EPERM, f"prctl({option}) is refused")
