"""Programs without a box, where the user allows it."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from wavecoder.errors import SandboxError
from wavecoder.sandbox.bubblewrap import ENV, INSIDE, OPTIONS, compile_guard, numpy_folders
from wavecoder.sandbox.exchange import GRACE, START, Ends, converse, packed, reported
from wavecoder.sandbox.job import Job, Report
from wavecoder.sandbox.server import above

__all__ = ["Unsandboxed"]


class Unsandboxed:
    """Runs jobs with the limits of single processes and without isolation, by the user's leave.

    A program can read, change and send what its user can. Every report says so. What it leaves
    running is found and ended, unless it hides.
    """

    isolated = False

    def __init__(self) -> None:
        """Compile the supervisor."""
        compile_guard()
        self.weaknesses = ["Programs run with all of your rights: there is no sandbox."]

    def close(self) -> None:
        """Do nothing."""

    def run(self, job: Job) -> Report:
        """Run a job in a new folder.

        Raises:
            SandboxError: The host is out of processes, memory, descriptors or disk.
        """
        mark = secrets.token_hex(16)
        with contextlib.ExitStack() as kept:
            try:
                folder = kept.enter_context(
                    tempfile.TemporaryDirectory(prefix="wavecoder-", ignore_cleanup_errors=True)
                )
                env = {**ENV, "HOME": folder, "TMPDIR": folder, "PATH": os.environ["PATH"]}
                env["WAVECODER_BOX"] = mark
                with contextlib.ExitStack() as passed_on:
                    report_r, report_w = os.pipe()
                    report_r, report_w = above(report_r, kept), above(report_w, passed_on)
                    start = START.format(
                        folder=str(INSIDE), module="guard", arguments=f"{report_w}, False"
                    )
                    process = subprocess.Popen(
                        [sys.executable, *OPTIONS, "-c", start],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        pass_fds=[report_w],
                        env=env,
                        cwd=folder,
                        start_new_session=True,
                    )
            except OSError as error:
                raise SandboxError(
                    f"No process can be started: {error.strerror}. Use fewer workers, or make room "
                    f"in {tempfile.gettempdir()}."
                ) from error
            with process:
                try:
                    paths = [str(one.parent) for one in numpy_folders()[:1]]
                    data = packed(job, grouped=False, paths=paths, env=env)
                    seconds = sum(step.wall_seconds for step in job.steps) + GRACE
                    assert process.stdin is not None and process.stdout is not None
                    pidfd = os.pidfd_open(process.pid)
                    kept.callback(os.close, pidfd)
                    ends = Ends(
                        job=process.stdin.fileno(),
                        said=process.stdout.fileno(),
                        report=report_r,
                        ended=pidfd,
                        code=process.poll,
                    )
                    answer = converse(ends, data, seconds)
                finally:
                    process.kill()
            if not answer.whole:  # the supervisor itself was ended
                _kill_marked(f"WAVECODER_BOX={mark}".encode())
        return reported(answer, memory=False, isolated=False)


def _kill_marked(mark: bytes) -> None:
    """Kill all processes that have a variable."""
    clear = 0
    while clear < 3:  # one that forks, or begins another program, may be missed by one look
        time.sleep(0.02)
        clear += 1
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    clear = 0
