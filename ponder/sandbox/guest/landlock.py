"""Shut a command in with Landlock and seccomp: the fallback where there are no namespaces.

    python -I -S landlock.py '{"read": [...], "write": [...], "filter": "<base64>"}' command argument ...

Needs no right and no program, but Linux 6.12 (Landlock ABI 6), the first that also confines signals and abstract unix
sockets. Files are visible by rule; the network is closed because no socket can be made; other processes cannot be
signalled, traced or looked at, because /proc is not among the rules.

Structures and numbers: include/uapi/linux/landlock.h, seccomp.h, prctl.h; one for both architectures.
"""

import base64
import ctypes
import json
import os
import stat
import struct
import sys
from collections.abc import Sequence
from typing import Any

ABI = 6
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
EVERY_RIGHT = (1 << 16) - 1  # up to IOCTL_DEV
NEVER = 1 << 6 | 1 << 9 | 1 << 11 | 1 << 15  # making devices and sockets, talking to devices
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = EVERY_RIGHT & ~NEVER
FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE  # rights that a rule for a single file may carry
BIND_AND_CONNECT, SIGNALS_AND_SOCKETS = 3, 3
SET_NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def supported() -> int:
    """The version of Landlock's interface; 0 without it."""
    return max(0, int(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def restrict(settings: dict[str, Any]) -> None:
    """settings: "read" and "write", paths that may be read (and run) or changed with all below them; "filter", the
    seccomp program in base64."""
    rights = struct.pack("=QQQ", EVERY_RIGHT, BIND_AND_CONNECT, SIGNALS_AND_SOCKETS)
    ruleset = check(libc.syscall(CREATE_RULESET, rights, ctypes.c_size_t(len(rights)), 0))
    allow(ruleset, settings["read"], READ)
    allow(ruleset, settings["write"], WRITE)
    check(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    check(libc.syscall(RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    program = base64.b64decode(settings["filter"])
    buffer = ctypes.create_string_buffer(program)
    fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    check(libc.prctl(SET_SECCOMP, MODE_FILTER, fprog, 0, 0))


def allow(ruleset: int, paths: Sequence[str], rights: int) -> None:
    for path in paths:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        rule = struct.pack("=Qi", rights if folder else rights & FILE, fd)
        check(libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0))
        os.close(fd)


def main() -> None:
    if supported() < ABI:
        sys.exit("Linux 6.12 or newer with Landlock is needed.")
    restrict(json.loads(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
