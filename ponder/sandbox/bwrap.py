"""The command line of bubblewrap: what untrusted code sees of this machine.

It sees the system's programs and libraries and the Python environment, read-only; its workspace, writable, at
/workspace; a home folder and /tmp in memory; its own processes; no network. Nothing else has a name there.

As an ordinary user everything happens in a user namespace. As root there is none: mounts are made by root, and the code
runs as a user that exists nowhere else (`guest/start.py`), because a root that is merely renamed is still exempt from
the limit on processes and still owns /proc/sys.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ponder.sandbox import seccomp
from ponder.sandbox.launch import (
    ETC,
    GUEST,
    SYSTEM,
    Isolation,
    Launch,
    environment,
    other_processes,
    python_folders,
    starting,
    user_for,
)
from ponder.sandbox.limits import SandboxLimits

WORKSPACE, HOME, SCRIPTS = "/workspace", "/home/sandbox", "/run/ponder"
PASSWD = "root:x:0:0::/:/bin/false\nsandbox:x:{uid}:{uid}:Sandbox:{home}:/bin/sh\n"
GROUP = "root:x:0:\nsandbox:x:{uid}:\n"


class Bubblewrap(Isolation):
    name = "bubblewrap namespaces"
    inside = SCRIPTS

    def __init__(self, program: str) -> None:
        self.program = program

    def launch(self, command: Sequence[str], workspace: Path, limits: SandboxLimits) -> Launch:
        owner = user_for(workspace)
        uid = os.geteuid() if owner is None else owner
        program = seccomp.program()
        fds: list[int] = []

        def data(content: bytes) -> str:
            fds.append(in_memory(content))
            return str(fds[-1])

        words = list(options(workspace, limits.scratch, uid=uid, root=owner is not None))
        passwd = PASSWD.format(uid=uid, home=HOME).encode()
        files = ["--perms", "0644", "--ro-bind-data", data(passwd), "/etc/passwd"]
        files += ["--perms", "0644", "--ro-bind-data", data(GROUP.format(uid=uid).encode()), "/etc/group"]
        at = words.index("--proc")
        words[at:at] = files
        words += ["--seccomp", data(program)]
        for name, value in environment(HOME, "/tmp").items():
            words += ["--setenv", name, value]
        # Options travel through memory and the environment is empty, because the code can read both in /proc/1.
        argv = [self.program, "--args", data("\0".join([*words, ""]).encode())]
        argv += starting(f"{self.inside}/start.py", command, WORKSPACE, limits, owner, others=counted_outside())
        return Launch(argv, {}, fds, owner)


def parents(path: str) -> Iterator[str]:
    """bwrap makes missing folders on the way for itself alone, and as root that is somebody else."""
    for folder in reversed(Path(path).parents[:-1]):
        yield from ("--perms", "0755", "--dir", str(folder))


def options(workspace: Path, scratch: int, *, uid: int, root: bool) -> Iterator[str]:
    """bwrap's options, in order (later mounts cover earlier ones). uid: the user inside."""
    yield from ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    if root:
        # Only what start.py needs to become somebody else; it drops the rest of the bounding set itself.
        yield from ("--cap-drop", "ALL")
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            yield from ("--cap-add", capability)
    else:
        yield from ("--unshare-user", "--uid", str(uid), "--gid", str(uid), "--cap-drop", "ALL")
    yield from ("--hostname", "sandbox", "--die-with-parent", "--new-session", "--clearenv")
    yield from ("--ro-bind", "/usr", "/usr")
    for path in SYSTEM:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    yield from ("--perms", "0755", "--dir", "/etc")
    for name in ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from ("--proc", "/proc", "--dev", "/dev")
    for path in ("/dev/shm", "/tmp", HOME):
        yield from parents(path)
        yield from ("--perms", "1777", "--size", str(scratch), "--tmpfs", path)
    for source, path in [*((folder, folder) for folder in python_folders()), (str(GUEST), SCRIPTS)]:
        yield from parents(path)
        yield from ("--ro-bind", source, path)
        if os.path.exists(f"{source}/pip.conf"):  # it may hold the password of an index
            yield from ("--ro-bind", "/dev/null", f"{path}/pip.conf")
    yield from ("--bind", str(workspace), WORKSPACE, "--chdir", "/")
    # The root folder and /dev are file systems in memory too, without a bound: nobody needs to write there.
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def in_memory(content: bytes) -> int:
    """A file descriptor from which `content` can be read once."""
    fd = os.memfd_create("ponder")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def counted_outside() -> int:
    """Before Linux 5.14 a user's processes outside a user namespace count for the limit within it too."""
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    return 0 if (major, minor) >= (5, 14) or os.geteuid() == 0 else other_processes()
