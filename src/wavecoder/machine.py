"""What the machine has left, so that a stage can say what it needs before it begins."""

from pathlib import Path

from wavecoder.errors import ConfigError

__all__ = ["free_memory", "need_memory"]

_MEMINFO = Path("/proc/meminfo")
# What a container may use and does use.
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that programs may still take; None where the system does not tell."""
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
