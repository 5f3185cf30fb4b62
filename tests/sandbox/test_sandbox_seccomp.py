"""The filter: its numbers against libseccomp, its decisions by an interpreter of classic BPF."""

import ctypes
import ctypes.util
import errno
import struct

import pytest

from ponder.core.errors import UserError
from ponder.sandbox import seccomp
from ponder.sandbox.seccomp import ALLOW, ARCHES, DENIED, KILL, UNSEPARATED, program

ERRNO = 0x00050000
CASES = {"ioctl": seccomp.IOCTL, "prlimit64": seccomp.PRLIMIT, "clone": seccomp.CLONE, "socket": seccomp.SOCKET}
NUMBERS = {
    **DENIED, **UNSEPARATED, **CASES, "socketpair": seccomp.SOCKETPAIR, "openat2": seccomp.OPENAT2,
    **{name: numbers[:2] for name, numbers in seccomp.MODES.items()},
}  # fmt: skip


def decide(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would do: struct seccomp_data through the program."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    at, accumulator = 0, 0
    while True:
        kind, jt, jf, k = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        if kind == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif kind == 0x06:
            return k
        else:
            true = {0x15: accumulator == k, 0x25: accumulator > k, 0x45: bool(accumulator & k)}[kind]
            at += jt if true else jf


@pytest.mark.parametrize("machine", ARCHES)
def test_numbers_are_those_of_libseccomp(machine: str) -> None:
    name = ctypes.util.find_library("seccomp") or "libseccomp.so.2"
    try:
        resolve = ctypes.CDLL(name).seccomp_syscall_resolve_name_arch
    except OSError:
        pytest.skip("libseccomp is not installed")
    column = list(ARCHES).index(machine)
    known = 0
    for call, numbers in NUMBERS.items():
        truth = resolve(ARCHES[machine], call.encode())
        if truth == -1:  # newer than this libseccomp
            continue
        known += 1
        assert max(truth, -1) == numbers[column], call
    assert known > 90


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize("separated", [True, False])
def test_decisions(machine: str, separated: bool) -> None:
    code, arch, column = program(machine, separated=separated), ARCHES[machine], list(ARCHES).index(machine)
    refused = ERRNO | errno.EPERM

    def asked(number: int, *arguments: int) -> int:
        return decide(code, arch, number, *arguments)

    for numbers in DENIED.values():
        assert numbers[column] < 0 or asked(numbers[column]) == refused
    for numbers in UNSEPARATED.values():
        assert numbers[column] < 0 or asked(numbers[column]) == (ALLOW if separated else refused)
    read, clone = (0, 63)[column], seccomp.CLONE[column]
    assert asked(read) == ALLOW
    assert asked(clone, 17) == asked(clone, 0x3D0F00) == ALLOW  # fork, a thread
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert asked(clone, 1 << bit | 17) == refused
    assert asked(seccomp.CLONE3) == ERRNO | errno.ENOSYS
    for family in (1, 2, 10, 16, 17, 38, 40):
        assert asked(seccomp.SOCKET[column], family) == ERRNO | errno.EAFNOSUPPORT
        assert asked(seccomp.SOCKETPAIR[column], family) == (ALLOW if family == 1 else ERRNO | errno.EAFNOSUPPORT)
    ioctl = seccomp.IOCTL[column]
    assert asked(ioctl, 0, 0x5412) == asked(ioctl, 0, 0x541C) == asked(ioctl, 0, 0x5412 | 1 << 40) == refused
    assert asked(ioctl, 0, 0x5401) == ALLOW
    assert asked(seccomp.PRLIMIT[column], 0) == ALLOW
    assert asked(seccomp.PRLIMIT[column], 77) == (ALLOW if separated else refused)
    plain = ALLOW if separated else refused
    for name, (*numbers, mode, flags) in seccomp.MODES.items():
        if numbers[column] < 0:
            continue
        usual = plain if name in UNSEPARATED else ALLOW
        for bits in (0o644, 0o1777):
            assert asked(numbers[column], *[bits if at == mode else 0x40 for at in range(4)]) == usual, name
        for bits in (0o4755, 0o2755, 0o6000, 0o4000 | 1 << 40):
            assert asked(numbers[column], *[bits if at == mode else 0x40 for at in range(4)]) == refused, name
        if flags is not None:
            no_file = asked(numbers[column], *[0 if at == flags else 0o4755 for at in range(4)])
            assert no_file == ALLOW, "where no file is made there is no mode"
            assert asked(numbers[column], *[0x410000 if at == flags else 0o4700 for at in range(4)]) == refused
    assert asked(seccomp.OPENAT2[column]) == ERRNO | errno.ENOSYS
    assert asked(seccomp.NEWEST) == ALLOW
    assert asked(seccomp.NEWEST + 1) == asked(0x40000000 + 41) == ERRNO | errno.ENOSYS  # new, x32
    other = [value for value in (*ARCHES.values(), 0x40000003) if value != arch]
    assert all(decide(code, value, read) == KILL for value in other)


def test_other_machines_are_refused() -> None:
    with pytest.raises(UserError, match="riscv64"):
        program("riscv64")
