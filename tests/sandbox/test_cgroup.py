import os
import signal
import subprocess
from pathlib import Path

import pytest

from wavecoder.sandbox import cgroup


@pytest.fixture
def group():
    made = cgroup.make_group()
    assert made is not None, "these tests need control groups"
    yield made
    made.remove()


def _in(group) -> subprocess.Popen:
    join = 'for one; do echo 0 > "$one"; done; exec sleep 600'
    process = subprocess.Popen(["sh", "-c", join, "sh", *map(str, group.joined)])
    while process.pid not in group._processes():
        assert process.poll() is None
    return process


def test_all_processes_of_a_group_are_ended(group):
    processes = [_in(group) for _ in range(3)]
    assert group.kill()
    assert [one.wait() for one in processes] == [-signal.SIGKILL] * 3
    assert group._processes() == set()


def test_a_removed_group_is_gone_and_may_be_removed_again(group):
    process = _in(group)
    group.remove()
    group.remove()
    assert process.wait() == -signal.SIGKILL
    assert not group.memory.exists() and not group.pids.exists()


def test_limits_may_rise_and_fall(group):
    for memory in (1 << 30, 64 << 20, 512 << 20):
        group.limit(memory, 7)
        name = "memory.max" if group.version == 2 else "memory.limit_in_bytes"
        assert int((group.memory / name).read_text()) == memory
        assert (group.pids / "pids.max").read_text() == "7\n"
    assert not group.ran_out()


def test_groups_of_the_dead_are_removed_and_those_of_the_living_not(group):
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = [
        folder.parent / f"{cgroup._name()}-{dead.pid}-0" for folder in {group.memory, group.pids}
    ]
    strange = group.memory.parent / f"wavecoder-1-{dead.pid}-0"  # of another namespace
    for folder in (*left, strange):
        folder.mkdir()
    try:
        made = cgroup.make_group()
        assert made is not None
        made.remove()
        assert not any(folder.exists() for folder in left)
        assert strange.exists() and group.memory.exists()
    finally:
        strange.rmdir()


def _tree(folder: Path, controllers: str, *, holds_processes: bool = False) -> Path:
    folder.mkdir(parents=True)
    control = folder / "cgroup.subtree_control"
    control.write_text(controllers)
    if holds_processes:
        control.unlink()
        control.mkdir()  # reading and writing fail, as the kernel's EBUSY does
    return folder


def test_version_2_groups_are_made_beside_a_group_that_holds_processes(tmp_path):
    """By files that look like the kernel's: this kernel's controllers are bound to version 1."""
    parent = _tree(tmp_path / "user", "cpu memory pids")
    own = _tree(parent / "session", "", holds_processes=True)
    assert cgroup._controlled(own) == parent
    lone = _tree(tmp_path / "lone", "memory pids")
    assert cgroup._controlled(lone) == lone
    bare = _tree(tmp_path / "a" / "bare", "", holds_processes=True)
    assert cgroup._controlled(bare) is None
    assert os.access(lone, os.W_OK)
