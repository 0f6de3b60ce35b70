"""The host's side of `inside/forkserver.py`: a process that makes one box after another."""

import contextlib
import fcntl
import marshal
import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from wavecoder.sandbox.cgroup import Group
from wavecoder.sandbox.exchange import GRACE, START, Answer, Ends, converse, packed
from wavecoder.sandbox.job import Job, Limits

__all__ = ["Server", "above"]

_BEGINNING = 60_000  # milliseconds for a server to begin
_LEAVING = 5.0  # seconds for a killed one to be gone
_OUTSIDE = -signal.SIGKILL


class Server:
    """Makes boxes of one kind, one at a time. A lost one makes no more."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        rules: bytes,
        group: Group | None,
        env: Mapping[str, str],
    ) -> None:
        """Start it, and wait until it is ready.

        Args:
            argv: What runs an interpreter where boxes are made; a program's text is added.
            rules: The filter of system calls.
            group: Where its boxes' memory and processes are counted.
            env: All variables of the boxes.

        Raises:
            OSError: It cannot be started; the words of what refused.
        """
        self.group, self.env = group, env
        self.lost = False
        with contextlib.ExitStack() as passed_on:
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._control = pair[0]
            control = above(pair[1].detach(), passed_on)
            start = START.format(folder="/box", module="forkserver", arguments=control)
            try:
                self._process = subprocess.Popen(
                    [*argv, start],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=[control],
                    env=env,
                    cwd="/",
                    start_new_session=True,  # a Ctrl-C is for us, who then end the boxes
                )
            except OSError:
                self._control.close()
                raise
        self._begin(rules)

    def _begin(self, rules: bytes) -> None:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        ready = False
        with contextlib.suppress(OSError):
            self._control.send(rules)
            ready = bool(poll.poll(_BEGINNING)) and self._control.recv(1) == b"+"
        if not ready:
            self.end_boxes()
            assert self._process.stdout is not None
            said = self._process.stdout.read().decode("utf-8", "replace").strip()
            self.end()
            raise OSError(said.rpartition("\n")[2] or "it did not begin")

    @property
    def alive(self) -> bool:
        """Whether it waits for a job: one that was ended from outside does not."""
        return not self.lost and self._process.poll() is None

    def limit(self, limits: Limits) -> None:
        """Set what the next box may use.

        Raises:
            OSError: The kernel refuses.
        """
        if self.group is not None:
            self.group.limit(limits.memory, limits.processes)

    def run(self, job: Job) -> Answer:
        """Run a job in a new box; where the server was ended from outside, the answer says so.

        Raises:
            OSError: The host is out of descriptors.
        """
        with contextlib.ExitStack() as kept:
            with contextlib.ExitStack() as passed_on:
                handed: list[int] = []
                mine: list[int] = []
                for ours, theirs in ((1, 0), (0, 1), (0, 1)):  # the job goes in, the rest comes out
                    pipe = os.pipe()
                    mine.append(pipe[ours])
                    kept.callback(os.close, pipe[ours])
                    handed.append(pipe[theirs])
                    passed_on.callback(os.close, pipe[theirs])
                for path in self.group.joined if self.group is not None else ():
                    handed.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
                    passed_on.callback(os.close, handed[-1])
                limits = job.limits
                order = {
                    "folder": f"size={limits.disk},nr_inodes={limits.files},mode=0755",
                    "proc": job.proc,
                }
                try:
                    socket.send_fds(self._control, [marshal.dumps(order)], handed)
                except (BrokenPipeError, ConnectionResetError):
                    answer = Answer()
                    answer.ended, answer.code, self.lost = True, _OUTSIDE, True
                    return answer
            data = packed(job, grouped=self.group is not None, paths=["/python"], env=self.env)
            seconds = sum(step.wall_seconds for step in job.steps) + GRACE
            job_w, said_r, report_r = mine
            ends = Ends(job_w, said_r, report_r, self._control.fileno(), self._code)
            return converse(ends, data, seconds)

    def _code(self) -> int:
        try:
            said = self._control.recv(16)
        except OSError:
            said = b""
        if not said:
            self.lost = True
            return _OUTSIDE
        return int(said)

    def end_boxes(self) -> None:
        """End all that runs in it, by ending its first process; bwrap, its parent, takes it away.

        Not bwrap itself: who takes away the child of one that was killed is for the host's first
        process to decide.
        """
        self.lost = True
        with contextlib.suppress(OSError):  # on this it ends by itself, if it can
            self._control.shutdown(socket.SHUT_RDWR)
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                pid = self._process.pid
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                for child in children.split():
                    os.kill(int(child), signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVING)
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End it and remove what it had on the host; idempotent."""
        self.end_boxes()
        self._control.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self.group is not None:
            self.group.remove()


def above(fd: int, owner: contextlib.ExitStack) -> int:
    """Return a descriptor beyond the standard three, which a parent may have closed."""
    moved = fd if fd > 2 else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    owner.callback(os.close, moved)
    if moved != fd:
        os.close(fd)
    return moved
