"""The system calls that sandboxed code may not make, as a classic BPF program for the kernel.

Everything is allowed but the table below: what reaches into other processes, what makes or enters namespaces, what
changes the machine, what has been the door of most kernel exploits, and memory that no limit counts. Sockets do not
exist (`socketpair` within the sandbox does, asyncio needs it). No file gets a set-user-ID bit. Numbers newer than this
file answer ENOSYS, as on an older kernel; so does clone3, whose flags a filter cannot read: glibc then uses clone.

Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux 6.10.
"""

import errno
import platform
import struct

from ponder.core.errors import UserError

NEWEST = 462  # mseal, Linux 6.10. The two architectures count alike from 424 on.
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*, linux/audit.h

# name: number on x86_64, on aarch64 (-1: does not exist there)
DENIED: dict[str, tuple[int, int]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
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
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # wide doors into the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, -1),
    "personality": (135, 92),
    "uselib": (134, -1),
    "ustat": (136, -1),
    "sysfs": (139, -1),
    "_sysctl": (156, -1),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "nfsservctl": (180, 42),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    # memory that belongs to no process and counts for no limit
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "mq_open": (240, 180),
}

# Also denied where no namespace separates the code from other processes and files of the same user (Landlock alone).
# Landlock knows reading and writing, not modes, owners, times and attributes; and setsid would leave the process group
# by which everything is killed.
UNSEPARATED: dict[str, tuple[int, int]] = {
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "chmod": (90, -1),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "fchown": (93, 55),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "utime": (132, -1),
    "utimes": (235, -1),
    "futimesat": (261, -1),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "inotify_add_watch": (254, 27),
}
# What makes a file, or changes its mode: number on x86_64, on aarch64, which argument is the mode, which the flags of
# open (None: there are none). No set-user-ID and set-group-ID bits: what is left in the workspace belongs to the user,
# and whoever on the machine runs it would act as them. openat2 has its mode in memory, where a filter cannot look.
MODES: dict[str, tuple[int, int, int, int | None]] = {
    "chmod": (90, -1, 1, None),
    "fchmod": (91, 52, 1, None),
    "fchmodat": (268, 53, 2, None),
    "fchmodat2": (452, 452, 2, None),
    "creat": (85, -1, 1, None),
    "open": (2, -1, 2, 1),
    "openat": (257, 56, 3, 2),
    "mkdir": (83, -1, 1, None),
    "mkdirat": (258, 34, 2, None),
    "mknod": (133, -1, 1, None),
    "mknodat": (259, 33, 2, None),
}
OPENAT2 = (437, 437)
SET_ID = 0o6000
MAKES = 0x400040  # O_CREAT | __O_TMPFILE: without them open has no mode, and the register is anything
CLONE, CLONE3 = (56, 220), 435
SOCKET, SOCKETPAIR = (41, 198), (53, 199)
IOCTL, PRLIMIT = (16, 29), (302, 261)
NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI types into the terminal, TIOCLINUX pastes into it

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]. A filter reads 32 bits at a time.
NR, ARCH = 0, 4
ALLOW, KILL = 0x7FFF0000, 0x80000000
LOAD, RETURN = 0x20, 0x06  # BPF_LD|W|ABS, BPF_RET|K
EQUAL, GREATER, BITS = 0x15, 0x25, 0x45  # BPF_JMP | JEQ, JGT, JSET, all with a constant


def argument(index: int) -> int:
    """Offset of the low half of an argument (both architectures are little-endian)."""
    return 16 + 8 * index


def program(machine: str | None = None, *, separated: bool = True) -> bytes:
    """The filter as an array of struct sock_filter (u16 code, u8 jt, u8 jf, u32 k), as `bwrap --seccomp` reads it.

    separated: the code runs in namespaces of its own; without them more is denied.
    """
    machine = machine or platform.machine()
    if machine not in ARCHES:
        raise UserError(f"The sandbox has no system call filter for {machine}: it knows {' and '.join(ARCHES)}.")
    column = list(ARCHES).index(machine)
    out: list[tuple[int, int, int, int]] = []

    def emit(code: int, k: int, jt: int = 0, jf: int = 0) -> None:
        out.append((code, jt, jf, k))

    def deny(error: int) -> None:
        emit(RETURN, 0x00050000 | error)  # SECCOMP_RET_ERRNO

    def deny_number(number: int, error: int) -> None:
        emit(EQUAL, number, 0, 1)
        deny(error)

    emit(LOAD, ARCH)
    emit(EQUAL, ARCHES[machine], 1, 0)
    emit(RETURN, KILL)  # another ABI (int 0x80) would have other numbers
    emit(LOAD, NR)
    emit(GREATER, NEWEST, 0, 1)  # x32 too: its numbers start at 0x40000000
    deny(errno.ENOSYS)
    for numbers in [*DENIED.values(), *([] if separated else UNSEPARATED.values())]:
        if numbers[column] >= 0:
            deny_number(numbers[column], errno.EPERM)
    deny_number(CLONE3, errno.ENOSYS)
    deny_number(SOCKET[column], errno.EAFNOSUPPORT)

    deny_number(OPENAT2[column], errno.ENOSYS)

    # Of these calls the arguments decide. Each block starts and ends with the number in the accumulator.
    for *number, mode, flags in MODES.values():
        if number[column] < 0:
            continue
        emit(EQUAL, number[column], 0, 4 if flags is None else 6)
        if flags is not None:
            emit(LOAD, argument(flags))
            emit(BITS, MAKES, 0, 3)
        emit(LOAD, argument(mode))
        emit(BITS, SET_ID, 0, 1)
        deny(errno.EPERM)
        emit(LOAD, NR)
    emit(EQUAL, CLONE[column], 0, 4)
    emit(LOAD, argument(0))
    emit(BITS, NAMESPACES, 0, 1)
    deny(errno.EPERM)
    emit(LOAD, NR)
    emit(EQUAL, SOCKETPAIR[column], 0, 4)
    emit(LOAD, argument(0))
    emit(EQUAL, 1, 1, 0)  # AF_UNIX
    deny(errno.EAFNOSUPPORT)
    emit(LOAD, NR)
    emit(EQUAL, IOCTL[column], 0, 5)
    emit(LOAD, argument(1))
    emit(EQUAL, TERMINAL_INPUT[0], 1, 0)
    emit(EQUAL, TERMINAL_INPUT[1], 0, 1)
    deny(errno.EPERM)
    emit(LOAD, NR)
    if not separated:  # limits of other processes
        emit(EQUAL, PRLIMIT[column], 0, 4)
        emit(LOAD, argument(0))
        emit(EQUAL, 0, 1, 0)
        deny(errno.EPERM)
        emit(LOAD, NR)
    emit(RETURN, ALLOW)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in out)
