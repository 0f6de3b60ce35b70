"""System calls that no program in a box needs, as a filter for the kernel (a deny list).

Classic BPF over `struct seccomp_data` (seccomp(2)): the architecture is checked, then the number,
then, for a few calls, an argument. What is denied fails with EPERM and the program goes on; its
tests decide. Calls of a foreign architecture (32-bit code) end the program.
"""

import platform
import struct

__all__ = ["MACHINES", "program"]

_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_ABOVE, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16  # offsets in seccomp_data; arguments are 8 bytes each

# clone(2): a new user namespace gives capabilities over new namespaces of all other kinds.
_NEW_NAMESPACES = 0x7E020080  # USER PID NET IPC UTS CGROUP NS TIME
_UNIX, _INET, _INET6 = 1, 2, 10

# Call -> numbers on x86_64 and aarch64, None where it has none (the kernel's unistd tables).
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # other processes' memory
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # the kernel itself
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "vhangup": (153, 58),
    "_sysctl": (156, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "fanotify_init": (300, 262),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    # asynchronous calls pass by filters
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # keys are not namespaced
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # clocks and names
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # scheduling at others' cost
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "ioprio_set": (251, 30),
    "setpriority": (141, 140),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # memory that cannot be taken back
    "mlock": (149, 228),
    "mlock2": (325, 284),
    "mlockall": (151, 230),
    "memfd_secret": (447, 447),
    "vmsplice": (278, 75),
    # privileges and devices
    "mknod": (133, None),
    "mknodat": (259, 33),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setgroups": (116, 159),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
}
# glibc falls back to the call that can be looked into.
_UNKNOWN = {"clone3": (435, 435)}
_CLONE, _SOCKET, _IOCTL, _PRLIMIT = (56, 220), (41, 198), (16, 29), (302, 261)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH of the machines that a filter is known for."""


def _statement(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _refused(error: int) -> bytes:
    return _statement(_RETURN, _ERRNO | error)


def program(machine: str | None = None) -> bytes | None:
    """Return the filter for `bwrap --seccomp`, or None for a machine that none is known for.

    Args:
        machine: As `uname -m` says it; None for this one.
    """
    machine = machine or platform.machine()
    if machine not in MACHINES:
        return None
    column = list(MACHINES).index(machine)
    allow = _statement(_RETURN, _ALLOW)
    lines = [
        _statement(_LOAD, _ARCHITECTURE),
        _statement(_JUMP_EQUAL, MACHINES[machine], 1, 0),
        _statement(_RETURN, _KILL),
        _statement(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":  # numbers with bit 30 are the x32 calls, the same ones again
        lines += [_statement(_JUMP_ABOVE, 0x40000000, 0, 1), _refused(_ENOSYS)]
    for calls, error in ((_DENIED, _EPERM), (_UNKNOWN, _ENOSYS)):
        for numbers in calls.values():
            number = numbers[column]
            if number is not None:
                lines += [_statement(_JUMP_EQUAL, number, 0, 1), _refused(error)]
    lines += [
        _statement(_JUMP_EQUAL, _CLONE[column], 0, 4),
        _statement(_LOAD, _ARGUMENT),
        _statement(_JUMP_SET, _NEW_NAMESPACES, 0, 1),
        _refused(_EPERM),
        allow,
        _statement(_JUMP_EQUAL, _SOCKET[column], 0, 6),
        _statement(_LOAD, _ARGUMENT),
        _statement(_JUMP_EQUAL, _UNIX, 3, 0),
        _statement(_JUMP_EQUAL, _INET, 2, 0),
        _statement(_JUMP_EQUAL, _INET6, 1, 0),
        _refused(_EAFNOSUPPORT),
        allow,
        _statement(_JUMP_EQUAL, _IOCTL[column], 0, 5),
        _statement(_LOAD, _ARGUMENT + 8),
        _statement(_JUMP_EQUAL, _TIOCSTI, 1, 0),
        _statement(_JUMP_EQUAL, _TIOCLINUX, 0, 1),
        _refused(_EPERM),
        allow,
        # Its own limits only (0): the supervisor has the same user.
        _statement(_JUMP_EQUAL, _PRLIMIT[column], 0, 3),
        _statement(_LOAD, _ARGUMENT),
        _statement(_JUMP_EQUAL, 0, 1, 0),
        _refused(_EPERM),
        allow,
    ]
    return b"".join(lines)
