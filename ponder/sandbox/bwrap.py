"""The command line of bubblewrap: what untrusted code sees of this machine.

It sees the system's programs and libraries and the Python environment, read-only; its workspace, writable, at
/workspace; a home folder and /tmp in memory; its own processes; no network. Nothing else has a name there.

As an ordinary user everything happens in a user namespace. As root there is none: mounts are made by root, and the code
runs as a user that exists nowhere else (`inside/start.py`), because a root that is merely renamed is still exempt from
the limit on processes and still owns /proc/sys.
"""

import os
import site
import sys
from collections.abc import Iterator
from pathlib import Path

WORKSPACE, HOME, SCRIPTS = "/workspace", "/home/sandbox", "/run/ponder"
INSIDE = Path(__file__).parent / "inside"
SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Of /etc only what programs need to start and to draw text. Nothing of users, hosts, mounts or secrets.
ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "os-release")
PASSWD = "root:x:0:0::/:/bin/false\nsandbox:x:{uid}:{uid}:Sandbox:{home}:/bin/sh\n"
GROUP = "root:x:0:\nsandbox:x:{uid}:\n"


def python_folders() -> list[str]:
    """Where the running interpreter and its packages live: never a source tree or a home folder as a whole."""
    folders = [sys.base_prefix, sys.prefix]
    folders += [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages") and os.path.isdir(p)]
    both = [p for folder in folders for p in (os.path.abspath(folder), os.path.realpath(folder))]
    kept: list[str] = []
    for folder in sorted(set(both), key=len):
        if folder != "/" and not any(Path(folder).is_relative_to(p) for p in ["/usr", *kept]):
            kept.append(folder)
    return kept


def environment(home: str, threads: int) -> dict[str, str]:
    """All of it. threads: for numerical libraries, which otherwise start one for each processor of the host."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": "/tmp",
        "USER": "sandbox",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        **({"PYTHONUSERBASE": site.getuserbase()} if site.getusersitepackages() in sys.path else {}),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    }


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
    for name in ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from ("--proc", "/proc", "--dev", "/dev")
    for path in ("/dev/shm", "/tmp", HOME):
        yield from parents(path)
        yield from ("--perms", "1777", "--size", str(scratch), "--tmpfs", path)
    for source, path in [*((folder, folder) for folder in python_folders()), (str(INSIDE), SCRIPTS)]:
        yield from parents(path)
        yield from ("--ro-bind", source, path)
    yield from ("--bind", str(workspace), WORKSPACE, "--chdir", "/")
    # The root folder and /dev are file systems in memory too, without a bound: nobody needs to write there.
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")
