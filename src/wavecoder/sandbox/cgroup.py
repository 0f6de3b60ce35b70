"""Control groups: memory and process counts of a whole box, however many processes it starts.

Version 2 where its controllers can be used, version 1 where that is what can be written. A group is
made once and used for one box after another; a group that its process left behind (it was killed)
is removed by the next process that looks.
"""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

__all__ = ["Group", "make_group", "usable"]

_numbers = count()


@dataclass(frozen=True)
class _Trees:
    """Where groups can be made: the folder of this process in each hierarchy."""

    version: int
    memory: Path
    pids: Path

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.memory,) if self.version == 2 else (self.memory, self.pids)


@dataclass
class Group:
    """One box's processes."""

    version: int
    memory: Path
    pids: Path
    joined: tuple[Path, ...]
    """The files into which a process writes 0 to join."""
    _kills: int = field(default=0)

    def limit(self, memory: int, processes: int) -> None:
        """Set what the next box may use, and begin to count anew.

        Raises:
            OSError: The kernel refuses.
        """
        if self.version == 2:
            (self.memory / "memory.max").write_text(str(memory))
            with contextlib.suppress(OSError):
                (self.memory / "memory.swap.max").write_text("0")
            (self.memory / "pids.max").write_text(str(processes))
        else:
            bytes_file = self.memory / "memory.limit_in_bytes"
            both = self.memory / "memory.memsw.limit_in_bytes"  # memory and swap together
            # The one may never be below the other, so the order depends on what was there.
            if both.exists():
                with contextlib.suppress(OSError):
                    both.write_text(str(memory))
            bytes_file.write_text(str(memory))
            if both.exists():
                both.write_text(str(memory))
            (self.pids / "pids.max").write_text(str(processes))
        self._kills = self._killed()

    def ran_out(self) -> bool:
        """Return whether the kernel killed a process for want of memory since `limit`."""
        return self._killed() > self._kills

    def _killed(self) -> int:
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        found = re.search(r"^oom_kill (\d+)", (self.memory / name).read_text(), re.M)
        return int(found[1]) if found else 0

    def kill(self, patience: float = 10.0) -> bool:
        """End every process of the group; return whether none is left.

        Args:
            patience: Seconds to wait for the kernel.
        """
        end = time.monotonic() + patience
        while True:
            left = self._processes()
            if not left:
                return True
            if self.version == 2 and (self.memory / "cgroup.kill").exists():
                (self.memory / "cgroup.kill").write_text("1")
            else:
                for process in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
            if time.monotonic() > end:
                return False
            time.sleep(0.001)

    def _processes(self) -> set[int]:
        found: set[int] = set()
        for folder in {self.memory, self.pids}:
            with contextlib.suppress(OSError):
                words = (folder / "cgroup.procs").read_text().split()
                # A zero is a process of another namespace, which the kernel does not name here.
                found.update(int(word) for word in words if word != "0")
        return found

    def remove(self) -> None:
        """End what is in it and take it away; idempotent."""
        self.kill()
        for folder in {self.memory, self.pids}:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _mounts() -> Iterator[tuple[str, Path, str]]:
    """Yield (kind, mount point, options) of the cgroup hierarchies."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            yield kind, Path(before.split(" ")[4]), options


def _own() -> dict[str, str]:
    """Return this process's group by controller; the empty name is version 2."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _trees() -> _Trees | None:
    """Find hierarchies in which this process can make groups that limit memory and processes."""
    try:
        own, mounts = _own(), list(_mounts())
    except OSError:
        return None
    found: dict[str, Path] = {}
    for kind, point, options in mounts:
        if kind == "cgroup2":
            controlled = _controlled(_inside(point, own.get("", "/")))
            if controlled is not None:
                return _Trees(2, controlled, controlled)
        for name in ("memory", "pids"):
            if kind == "cgroup" and name in options.split(","):
                folder = _inside(point, own.get(name, "/"))
                if os.access(folder, os.W_OK):
                    found[name] = folder
    return _Trees(1, found["memory"], found["pids"]) if len(found) == 2 else None


def _inside(point: Path, path: str) -> Path:
    """Return the folder of a group; a container may see the hierarchy from its own group on."""
    folder = point / path.lstrip("/")
    return folder if folder.is_dir() else point


def _controlled(folder: Path) -> Path | None:
    """Return where a version 2 group with our controllers can be made: in our group or beside it.

    Beside it, since a group that holds processes gives no controllers to groups in it.
    """
    for one in (folder, folder.parent):
        if {"memory", "pids"} <= _controllers(one) and os.access(one, os.W_OK):
            return one
    return None


def _controllers(folder: Path) -> set[str]:
    """Return the controllers that a child of a version 2 group would have, asking for ours."""
    control = folder / "cgroup.subtree_control"
    try:
        if not {"memory", "pids"} <= set(control.read_text().split()):
            # Refused where the group holds processes of its own, as all but the root's do.
            control.write_text("+memory +pids")
        return set(control.read_text().split())
    except OSError:
        return set()


def usable() -> int | None:
    """Return the version of control groups that boxes can be limited with here, or None."""
    trees = _trees()
    if trees is None:
        return None
    group = _made(trees)
    if group is None:
        return None
    group.remove()
    return trees.version


def make_group() -> Group | None:
    """Return a new group, or None where none can be made. Groups left by the dead are removed."""
    trees = _trees()
    if trees is None:
        return None
    for folder in trees.folders:
        # The one that left it may have begun in a group of its own, beside ours.
        for old in {*folder.glob(f"{_name()}-*"), *folder.parent.glob(f"*/{_name()}-*")}:
            if not Path("/proc", old.name.split("-")[2]).exists():
                Group(trees.version, old, old, ()).remove()
    return _made(trees)


def _name() -> str:
    """Return how names of groups begin, by the namespace in which their owners have numbers."""
    return f"wavecoder-{Path('/proc/self/ns/pid').stat().st_ino}"


def _made(trees: _Trees) -> Group | None:
    name = f"{_name()}-{os.getpid()}-{next(_numbers)}"
    memory, pids = trees.memory / name, trees.pids / name
    folders = (memory,) if trees.version == 2 else (memory, pids)
    try:
        for folder in folders:
            folder.mkdir()
        group = Group(trees.version, memory, pids, tuple(one / "cgroup.procs" for one in folders))
        group.limit(1 << 30, 64)
    except OSError:
        for folder in folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return None
    return group
