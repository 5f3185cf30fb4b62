"""Which isolation this machine offers, and how a command starts in it. Never the bare host unless asked aloud.

isolation = find()                          # UserError where nothing isolates, with the fix
isolation = find(unsafe_host_exec=True)     # no isolation; whoever asks must announce it
"""

import errno
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, structs

from ponder.core.errors import UserError
from ponder.sandbox import bwrap, seccomp
from ponder.sandbox.limits import Limits
from ponder.sandbox.tree import lend

USERS = 0x70000000  # users for sandboxes started by root: a range that distributions and systemd leave alone
INSTALL = "apt-get install bubblewrap (or dnf, zypper, pacman, apk)"


class Launch(Struct):
    """A sandbox to start. env: of its first process. fds: to pass on, and to close here once it runs. uid: owner of
    what the code writes, if that is not us. home: a folder to remove at the end."""

    argv: list[str]
    env: dict[str, str]
    fds: list[int]
    uid: int | None = None
    home: str | None = None

    def guarded(self, lifeline: int) -> list[str]:
        """lifeline: the reading end of the pipe whose end ends the sandbox."""
        settings = json.dumps({"lifeline": lifeline, "home": self.home, "landlock": None})
        return [sys.executable, "-I", "-S", str(bwrap.INSIDE / "guard.py"), settings, *self.argv]


class Isolation(ABC):
    """name: for people. safe: keeps untrusted code in. inside: the folder of the `inside` scripts as the code
    sees it."""

    name: str
    safe = True
    inside: str

    @abstractmethod
    def launch(self, command: Sequence[str], workspace: Path, limits: Limits) -> Launch: ...


class Bubblewrap(Isolation):
    name = "bubblewrap namespaces"
    inside = bwrap.SCRIPTS

    def __init__(self, program: str) -> None:
        self.program = program

    def launch(self, command: Sequence[str], workspace: Path, limits: Limits) -> Launch:
        root = os.geteuid() == 0
        # One user a workspace: a kernel and a shell share it, two conversations do not.
        uid = USERS + workspace.stat().st_ino % 2**27 if root else os.geteuid() or 1000
        fds: list[int] = []

        def data(content: bytes) -> str:
            fds.append(in_memory(content))
            return str(fds[-1])

        options = list(bwrap.options(workspace, limits.scratch, uid=uid, root=root))
        passwd = bwrap.PASSWD.format(uid=uid, home=bwrap.HOME).encode()
        files = ["--ro-bind-data", data(passwd), "/etc/passwd"]
        files += ["--ro-bind-data", data(bwrap.GROUP.format(uid=uid).encode()), "/etc/group"]
        at = options.index("--proc")
        options[at:at] = files
        options += ["--seccomp", data(seccomp.program())]
        for name, value in bwrap.environment(bwrap.HOME, threads()).items():
            options += ["--setenv", name, value]
        # Options travel through memory and the environment is empty, because the code can read both in /proc/1.
        argv = [self.program, "--args", data("\0".join([*options, ""]).encode())]
        argv += starting(f"{self.inside}/start.py", command, bwrap.WORKSPACE, limits, uid if root else None)
        return Launch(argv, {}, fds, uid if root else None)


class Host(Isolation):
    """No isolation: limits and a process group only."""

    name = "none (unsafe host execution)"
    safe = False
    inside = str(bwrap.INSIDE)

    def launch(self, command: Sequence[str], workspace: Path, limits: Limits) -> Launch:
        home = tempfile.mkdtemp(prefix="ponder-home-")
        argv = starting(f"{self.inside}/start.py", command, str(workspace), limits, None)
        return Launch(argv, bwrap.environment(home, threads()), [], home=home)


def starting(script: str, command: Sequence[str], folder: str, limits: Limits, uid: int | None) -> list[str]:
    settings = {"uid": uid, "folder": folder, "limits": structs.asdict(limits), "others": processes_that_count()}
    return [sys.executable, "-I", "-S", script, json.dumps(settings), *command]


def threads() -> int:
    return min(4, len(os.sched_getaffinity(0)))


def in_memory(content: bytes) -> int:
    """A file descriptor from which `content` can be read once."""
    fd = os.memfd_create("ponder")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def processes_that_count() -> int:
    """Before Linux 5.14 a user's processes outside a user namespace count within it too."""
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    if (major, minor) >= (5, 14) or os.geteuid() == 0:
        return 0
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == os.geteuid():
                count += len(os.listdir(folder / "task"))
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.ESRCH, errno.EACCES):
                raise
    return count


def find(*, unsafe_host_exec: bool = False) -> Isolation:
    """The strongest isolation that works here, proven by running something in it."""
    if unsafe_host_exec:
        return Host()
    isolation, reasons = probe()
    if isolation is None:
        raise UserError(
            "Untrusted code cannot be isolated on this machine, so it is not run.\n"
            + "\n".join(f"  {reason}" for reason in reasons)
            + "\nOr run it with all rights of this user: --unsafe-host-exec (unsafe_host_exec=True)."
        )
    return isolation


@functools.cache
def probe() -> tuple[Isolation | None, tuple[str, ...]]:
    """What works, and why the stronger ones do not."""
    if sys.platform != "linux":
        return None, (f"The sandbox needs Linux, this is {sys.platform}: use a virtual machine or WSL 2.",)
    program = shutil.which("bwrap")
    if program is None:
        return None, (f"bubblewrap is not installed: {INSTALL}.",)
    isolation = Bubblewrap(program)
    problem = attempt(isolation)
    return (isolation, ()) if problem is None else (None, (f"bubblewrap does not work here: {problem}",))


def attempt(isolation: Isolation) -> str | None:
    """None if a command runs in it, else what went wrong and what helps."""
    with tempfile.TemporaryDirectory() as folder:
        hold, lifeline = os.pipe()
        launch = isolation.launch([sys.executable, "-I", "-S", "-c", "print('isolated')"], Path(folder), Limits())
        if launch.uid is not None:
            lend(Path(folder), launch.uid)
        try:
            done = subprocess.run(
                launch.guarded(hold),
                env=launch.env,
                pass_fds=[hold, *launch.fds],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
            )
        finally:
            for fd in (hold, lifeline, *launch.fds):
                os.close(fd)
    if done.stdout == "isolated\n":
        return None
    said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    return f"{said}. {advice(said)}"


def advice(said: str) -> str:
    """What lifts the usual obstacles."""
    if "unknown option" in said.lower():
        return "Ponder needs bubblewrap 0.7 or newer."
    if Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists():
        return (
            "AppArmor may forbid user namespaces: give bwrap a profile (package apparmor-profiles, "
            "`ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/`), or "
            "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`."
        )
    return (
        "User namespaces must be allowed (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1); in a "
        "container, run it with --security-opt seccomp=unconfined and an unmasked /proc."
    )
