import subprocess
import sys

import pytest

from wavecoder import machine
from wavecoder.errors import ConfigError
from wavecoder.machine import free_memory, need_memory, network_file_system


@pytest.fixture
def system(tmp_path, monkeypatch):
    """What the system says, in files of our own."""
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)

    def say(available_kib=None, **files):
        if available_kib is not None:
            text = f"MemTotal: 9 kB\nMemAvailable: {available_kib} kB\n"
            (tmp_path / "meminfo").write_text(text)
        for name, text in files.items():
            (tmp_path / f"memory.{name}").write_text(text)

    return say


def test_here_it_is_known():
    assert (free_memory() or 0) > 1 << 20


def test_a_system_that_does_not_tell_refuses_nothing(system):
    assert free_memory() is None
    need_memory(1 << 60, "It", "Do less.")


def test_what_a_container_may_use_counts_but_not_its_file_cache(system):
    system(4000)
    assert free_memory() == 4000 * 1024
    system(max="max\n", current="7\n", stat="anon 3\ninactive_file 4\n")
    assert free_memory() == 4000 * 1024
    system(max="1000\n", current="700\n", stat="anon 300\ninactive_file 400\n")
    assert free_memory() == 700


def test_what_the_shell_allows_counts():
    script = "from wavecoder.machine import free_memory; print(free_memory())"
    said = subprocess.run(
        ["bash", "-c", 'ulimit -v 200000; exec "$@"', "x", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(said.stdout) == 200_000 * 1024


def test_too_little_is_one_sentence(system):
    system(2_000_000)
    need_memory(1_000_000_000, "It", "Do less.")
    with pytest.raises(ConfigError) as caught:
        need_memory(3_000_000_000, "It", "Do less.")
    assert str(caught.value) == "It needs 3.0 GB of memory and 2.0 GB are free. Do less."


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:30 / {here}/my\\040share rw,nosuid shared:2 master:1 - nfs4 server:/x rw,vers=4.2
24 23 0:31 / {here}/my\\040share/local rw - xfs /dev/sdb1 rw
25 22 0:32 / {here}/host rw - 9p host rw
26 22 0:33 / {here}/ssh rw - fuse.sshfs me@host: rw
27 26 0:34 / {here}/covered rw - cifs //host/x rw
28 26 0:35 / {here}/covered rw - tmpfs none rw
torn line
"""


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    (tmp_path / "mountinfo").write_text(MOUNTS.format(here=tmp_path))
    monkeypatch.setattr(machine, "_MOUNTS", tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".", None),
        ("my share", "nfs4"),
        ("my share/runs/not there yet", "nfs4"),
        ("my share/local/runs", None),
        ("my share (copy)", None),
        ("host/runs", None),
        ("ssh", "fuse.sshfs"),
        ("covered/runs", None),
        ("host/../ssh/runs", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(mounts, tmp_path, path, kind):
    assert network_file_system(tmp_path / path) == kind


def test_a_link_to_a_network_file_system_is_followed(mounts, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "ssh")
    assert network_file_system(tmp_path / "link" / "runs") == "fuse.sshfs"


def test_a_system_without_a_list_of_mounts_has_no_network_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_MOUNTS", tmp_path / "absent")
    assert network_file_system(tmp_path) is None
