"""What the machine has, so that a stage can say what it needs before it begins."""

import re
import resource
from pathlib import Path

from wavecoder.errors import ConfigError

__all__ = ["free_memory", "need_memory", "network_file_system"]

_MEMINFO = Path("/proc/meminfo")
# What a container may use and does use.
_CGROUP = Path("/sys/fs/cgroup")
_MOUNTS = Path("/proc/self/mountinfo")
# Kinds of file systems, as mountinfo names them, whose locks other machines may not see. 9p is not
# among them: it is how a virtual machine sees the disk of its host.
_NETWORK = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs"),
    *("beegfs", "davfs", "fuse.sshfs", "fuse.s3fs", "fuse.davfs", "fuse.glusterfs", "fuse.ceph"),
    *("fuse.rclone", "fuse.gcsfuse", "fuse.juicefs"),
)
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How mountinfo writes a space in a path: `\\040`."""


def free_memory() -> int | None:
    """Return the bytes that a program may still take; None where the system does not tell."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)  # `ulimit -v`
    free = _free()
    return free if free is None or limit == resource.RLIM_INFINITY else min(free, limit)


def _free() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        (kibibytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        free = int(kibibytes) * 1024
    except (OSError, ValueError):
        return None
    try:
        most = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        stat = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        # Pages of files, which give way.
        cached = sum(int(line.split()[1]) for line in stat if line.startswith("inactive_file "))
        return free if most == "max" else min(free, int(most) - used + cached)
    except (OSError, ValueError):
        return free


def need_memory(bytes_needed: int, what: str, remedy: str) -> None:
    """Refuse to begin what this machine has no memory for.

    Raises:
        ConfigError: Less is free than needed.
    """
    free = free_memory()
    if free is not None and bytes_needed > free:
        raise ConfigError(
            f"{what} needs {bytes_needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free. "
            f"{remedy}"
        )


def network_file_system(path: Path) -> str | None:
    """Return the kind of the network file system that `path` is on: `nfs4`.

    Args:
        path: A file or folder, which need not be there yet.

    Returns:
        None where it is on a disk of this machine, or where the system does not tell.
    """
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        place = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: a link that leads to itself
        return None
    kind, depth = "", 0
    for line in mounts:
        # Fields: proc(5), "mountinfo". How many stand before the hyphen differs.
        before, hyphen, after = line.partition(" - ")
        fields = before.split(" ")
        if not hyphen or len(fields) < 5:
            continue
        point = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4]))
        # Of two mounts on one folder the later one covers the earlier.
        if place.is_relative_to(point) and len(point.parts) >= depth:
            kind, depth = after.partition(" ")[0], len(point.parts)
    return kind if kind in _NETWORK else None
