"""What the benchmarks share: a command run as a process, with its time and its peak memory."""

import subprocess
import time
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

SAMPLE_SECONDS = 0.2


class Measured(NamedTuple):
    """What a command did."""

    text: str
    """Its stdout."""
    seconds: float
    peak: int
    """Bytes of all its processes together: proportional set size, sampled."""
    status: int


def run(command: list[str]) -> Measured:
    """Run a command to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, done = [0], Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], sum(map(memory, tree(process.pid))))

    watcher = Thread(target=sample)
    watcher.start()
    text, _ = process.communicate()
    done.set()
    watcher.join()
    return Measured(text, time.perf_counter() - began, peak[0], process.returncode)


def tree(root: int) -> list[int]:
    """Return a process and everything it began."""
    found = [root]
    for number in found:
        try:
            tasks = Path(f"/proc/{number}/task").iterdir()
            found += [int(child) for task in tasks for child in children(task)]
        except OSError:
            continue
    return found


def children(task: Path) -> list[str]:
    """Return the processes that a thread began."""
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []


def memory(number: int) -> int:
    """Return a process's bytes, those it shares divided by how many share them."""
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
