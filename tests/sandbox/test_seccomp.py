import struct

import pytest

from wavecoder.sandbox import seccomp

ALLOW, EPERM, ENOSYS, EAFNOSUPPORT = 0x7FFF0000, 0x50001, 0x50026, 0x50061
KILL = 0x80000000
# Numbers by asm/unistd.h, on x86_64 and aarch64.
READ, CLONE, SOCKET, IOCTL, PRLIMIT = (0, 63), (56, 220), (41, 198), (16, 29), (302, 261)
PTRACE, MOUNT, IO_URING, CLONE3, BPF = (101, 117), (165, 40), (425, 425), (435, 435), (321, 280)


def run(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Do what the kernel does with the filter: return its answer to a call."""
    code = seccomp.program(machine)
    assert code is not None and len(code) % 8 == 0 and len(code) // 8 <= 4096
    data = struct.pack(
        "<iIQ6Q", number, architecture or seccomp.MACHINES[machine], 0, *[*arguments, *[0] * 6][:6]
    )
    at, held = 0, 0
    while True:
        kind, yes, no, value = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        if kind == 0x20:
            held = struct.unpack_from("<I", data, value)[0]
        elif kind == 0x06:
            return value
        else:
            hit = {0x15: held == value, 0x45: bool(held & value), 0x35: held >= value}[kind]
            at += yes if hit else no


@pytest.mark.parametrize(("column", "machine"), [*enumerate(seccomp.MACHINES)])
def test_the_filter_denies_what_it_names_and_lets_the_rest_be(column, machine):
    denied = {call[column] for call in seccomp._DENIED.values()} - {None}
    special = {one[column] for one in (CLONE, SOCKET, PRLIMIT, CLONE3)}
    for number in range(600):
        expected = {number in denied: EPERM, number == CLONE3[column]: ENOSYS}.get(True, ALLOW)
        if number not in special:
            assert run(machine, number) == expected, number
    for call in (PTRACE, MOUNT, IO_URING, BPF):
        assert run(machine, call[column]) == EPERM
    assert run(machine, READ[column]) == ALLOW
    assert run(machine, CLONE3[column]) == ENOSYS


@pytest.mark.parametrize(("column", "machine"), [*enumerate(seccomp.MACHINES)])
def test_some_calls_are_denied_by_an_argument(column, machine):
    threads = 0x3D0F00
    assert run(machine, CLONE[column], threads) == ALLOW
    for namespace in (7, 17, 25, 26, 27, 28, 29, 30):
        assert run(machine, CLONE[column], threads | 1 << namespace) == EPERM
    for family in range(50):
        expected = ALLOW if family in (1, 2, 10) else EAFNOSUPPORT
        assert run(machine, SOCKET[column], family) == expected
    for request, expected in ((0x5412, EPERM), (0x541C, EPERM), (0x5413, ALLOW), (0x5401, ALLOW)):
        assert run(machine, IOCTL[column], 0, request) == expected
        # The kernel looks at the lower half alone, so the filter must, too.
        assert run(machine, IOCTL[column], 0, request | 1 << 40) == expected
    assert run(machine, PRLIMIT[column], 0) == ALLOW
    assert run(machine, PRLIMIT[column], 1) == EPERM


def test_calls_of_another_architecture_end_the_program():
    assert run("x86_64", 0, architecture=0x40000003) == KILL
    assert run("x86_64", 0x40000000 | 425) == ENOSYS


def test_a_machine_without_a_filter_has_none():
    assert seccomp.program("riscv64") is None


def test_no_number_is_given_twice():
    for column in range(2):
        numbers = [one[column] for one in seccomp._DENIED.values() if one[column] is not None]
        assert len(numbers) == len(set(numbers))
