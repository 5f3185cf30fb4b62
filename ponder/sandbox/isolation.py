"""Which isolation this machine offers, and how a command starts in it. Never the bare host unless asked aloud.

isolation = find()                          # UserError where nothing isolates, with the fix
isolation = find(unsafe_host_exec=True)     # no isolation; whoever asks must announce it
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ponder.core.errors import UserError
from ponder.sandbox.bwrap import Bubblewrap
from ponder.sandbox.landlocked import Landlocked
from ponder.sandbox.launch import Host, Isolation
from ponder.sandbox.limits import SandboxLimits

INSTALL = "apt-get install bubblewrap (or dnf, zypper, pacman, apk)"


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
    problem = f"not installed: {INSTALL}." if program is None else attempt(Bubblewrap(program))
    if program is not None and problem is None:
        return Bubblewrap(program), ()
    reason = f"bubblewrap: {problem}" if program is None else f"bubblewrap: {problem}. {advice(problem or '')}"
    problem = attempt(Landlocked())
    return (Landlocked(), (reason,)) if problem is None else (None, (reason, f"Landlock: {problem}"))


def attempt(isolation: Isolation) -> str | None:
    """None if a command runs in it, else what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        theirs, owner = os.pipe()
        launch = isolation.launch(
            [sys.executable, "-I", "-S", "-c", "print('isolated')"], Path(folder), SandboxLimits()
        )
        for path in (folder, launch.home):
            if launch.uid is not None and path is not None:
                os.chown(path, launch.uid, launch.uid)
        try:
            done = subprocess.run(
                launch.supervised(theirs),
                env=launch.env,
                pass_fds=[theirs, *launch.fds],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
            )
        finally:
            for fd in (theirs, owner, *launch.fds):
                os.close(fd)
    if done.stdout == "isolated\n":
        return None
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]


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
