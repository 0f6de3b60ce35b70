"""The process in which boxes begin: an interpreter, started once, that forks a supervisor for each.

To start bubblewrap and an interpreter takes four times as long as a small program does. So that is
done once for many boxes; what a box is made of is new for each: its process and every process in
it, its process, mount, network, ipc and uts namespaces, its folder, its filter and its limits. Only
the user namespace, the read-only system and this process's memory were there before, and this
process does nothing but fork: of a job it passes on descriptors and reads nothing. It is out of a
program's reach, which is in a process namespace below its own.

It keeps the capabilities of its user namespace, with which it mounts; a box has none of them.
"""

from __future__ import annotations

import _socket as socket
import array
import ctypes
import fcntl
import gc
import marshal
import os
import select
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from wavecoder.sandbox.inside import guard
else:
    import guard

__all__ = ["main"]

# What small programs import; there already, it costs them nothing.
_WARM = (
    *("exam", "typing", "collections", "math", "re", "itertools", "functools", "heapq", "string"),
    *("copy", "bisect", "datetime", "random"),
)
_MOST = 1 << 16  # bytes of an order
_CLONE = {"x86_64": 56, "aarch64": 220}
_SIGCHLD = 17
# NEWNS NEWUTS NEWIPC NEWPID NEWNET of clone(2)
_NEW = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8  # mount(2)
_SET_SECCOMP, _FILTER, _CAPBSET_DROP, _NO_NEW_PRIVS, _AMBIENT, _CLEAR_ALL = 22, 2, 24, 38, 47, 4
_CAPABILITIES_V3 = 0x20080522
_SIOCSIFFLAGS, _UP_AND_RUNNING = 0x8914, 0x41

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def main(control_fd: int) -> NoReturn:
    """Make a box for every order on a socket, one after the other, until its other end is closed.

    The first message is the filter of system calls. Every other one is an order, with descriptors
    of the job, of what the box says, of its report, and of the files of its control group. The
    answer is the exit status of the box's first process.

    Args:
        control_fd: The socket (SOCK_SEQPACKET).
    """
    control = socket.socket(fileno=control_fd)
    control.setblocking(True)
    rules = control.recv(_MOST)
    for name in _WARM:
        __import__(name)
    gc.collect()
    gc.freeze()  # a collection in a box would else write to, and so copy, all of these
    control.send(b"+")
    while True:
        order, descriptors = _receive(control)
        if not order:
            os._exit(0)
        pid = _fork()
        if pid == 0:
            try:
                _become_box(marshal.loads(order), rules, *descriptors)
            except BaseException as error:
                os.write(descriptors[1], str(error).encode("utf-8", "replace"))
            finally:
                os._exit(125)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(b"%d" % _end(pid, control_fd))


def _receive(control: Any) -> tuple[bytes, list[int]]:
    found = array.array("i")
    data, extra, _, _ = control.recvmsg(_MOST, socket.CMSG_SPACE(8 * found.itemsize))
    for _, _, block in extra:
        found.frombytes(block[: len(block) - len(block) % found.itemsize])
    return data, found.tolist()


def _fork() -> int:
    """Fork into new namespaces.

    Raises:
        OSError: The kernel refuses.
    """
    number = _CLONE[os.uname().machine]
    pid: int = _libc.syscall(number, ctypes.c_ulong(_NEW | _SIGCHLD), 0, 0, 0, 0)
    if pid < 0:
        raise _error("a namespace")
    return pid


def _end(pid: int, control_fd: int) -> int:
    """Wait for a box and return its status; end with all boxes when nobody waits for them."""
    poll = select.poll()
    descriptor = os.pidfd_open(pid)
    poll.register(descriptor, select.POLLIN)
    poll.register(control_fd, 0)
    if any(one == control_fd for one, _ in poll.poll()):
        os._exit(1)
    os.close(descriptor)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _become_box(
    order: dict[str, Any], rules: bytes, job: int, said: int, report: int, *groups: int
) -> NoReturn:
    """Make this process the first one of a box, and supervise it."""
    for group in groups:
        os.write(group, b"0")
    _mount("box", "/tmp", "tmpfs", _NOSUID | _NODEV, order["folder"])
    if order["proc"]:
        # Read-only: where the host's user is root, the kernel's settings are this user's to change.
        _mount("proc", "/proc", "proc", _RDONLY | _NOSUID | _NODEV | _NOEXEC, "")
    _loopback()
    os.chdir("/tmp")
    for number, descriptor in enumerate((job, said, said)):
        os.dup2(descriptor, number)
    _drop()
    _filter(rules)
    guard.main(report, True)


def _mount(what: str, where: str, kind: str, flags: int, options: str) -> None:
    words = (what.encode(), where.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    if _libc.mount(*words) != 0:
        raise _error(f"{kind} on {where}")


def _loopback() -> None:
    way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(way.fileno(), _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))
    way.close()


def _drop() -> None:
    """Give up every capability, for this process and all that it starts."""
    if _libc.prctl(_AMBIENT, _CLEAR_ALL, 0, 0, 0) != 0:
        raise _error("the ambient capabilities")
    number = 0
    while _libc.prctl(_CAPBSET_DROP, number, 0, 0, 0) == 0:  # until the kernel knows no more
        number += 1
    header = struct.pack("Ii", _CAPABILITIES_V3, 0)
    if number == 0 or _libc.capset(header, bytes(24)) != 0:
        raise _error("the capabilities")


def _filter(rules: bytes) -> None:
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _error("privileges")
    held = ctypes.create_string_buffer(rules, len(rules))
    program = struct.pack("HxxxxxxP", len(rules) // 8, ctypes.addressof(held))
    if _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.c_char_p(program), 0, 0) != 0:
        raise _error("the filter of system calls")


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
