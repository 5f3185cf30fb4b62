"""The parent of a command that must leave nothing running: a sandbox, an MCP server, the engine of another program.

    python -I -S supervisor.py '{"owner": 5, "grace": 1.5, "home": null}' COMMAND [ARGUMENT...]

A process of its own, because only a process can outlive one that is killed with SIGKILL. Who starts it (`supervised`)
holds the other end of the pipe `owner`. When that end closes, on purpose or because its holder is gone, whatever ended
it, everything below this process is ended: SIGTERM, `grace` seconds, SIGKILL. The same when the command ends by itself
and leaves children, and on SIGTERM. Then the folder `home` is removed and the command's exit code is this one's.

On Linux this process is the "subreaper" of its tree, so that also a child that made itself a daemon is found, and the
command gets SIGKILL should this process be killed. Elsewhere the command's process group is all that can be reached.
Start it as the leader of a session: a Ctrl-C at the terminal reaches the owner, who closes, and not the command. It
keeps none of the command's pipes, so that end of file means what it says.

Nothing but the standard library: it is run as a script, without the site packages.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
TICK = 0.02  # seconds between two looks at what is left


def supervised(command: Sequence[str], owner: int, *, grace: float = 0.0, home: str | None = None) -> list[str]:
    """The command line that runs `command` under a supervisor. owner: the reading end of the pipe, to be passed on.
    grace: seconds between SIGTERM and SIGKILL; 0 is SIGKILL at once. home: a folder to remove at the end."""
    settings = json.dumps({"owner": owner, "grace": grace, "home": home})
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), settings, *command]


def exit_code(code: int) -> int:
    """A supervisor's exit code -> its command's: that of a signal is negative again."""
    return code - 256 if code >= 256 - signal.NSIG else code


def prctl(option: int, value: int) -> None:
    if LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(command: list[str]) -> int:
    """Fork and exec; the command leads a process group. What cannot be run says so on stderr and ends with 127."""
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it died before the line above
        os._exit(127)
    try:
        os.execvp(command[0], command)
    except OSError as e:
        os.write(2, f"{command[0]}: {e.strerror}\n".encode())
    os._exit(127)


def let_go(kept: set[int]) -> None:
    """Close what belongs to the command alone: every descriptor but these, and the standard streams."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for fd in map(int, os.listdir("/dev/fd")):
        if fd > 2 and fd not in kept:
            with contextlib.suppress(OSError):  # the one that listed the folder
                os.close(fd)


def tree(child: int) -> list[int]:
    """Everything below this process, what was not waited for included."""
    if not LINUX:
        try:
            os.killpg(child, 0)
        except ProcessLookupError:
            return []
        return [-child]
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:  # it may be gone meanwhile
            children.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def reap(options: int) -> dict[int, int]:
    """Exit codes of the children that have ended, orphans of the command included. options: 0 waits for the first."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, options)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)
        options = os.WNOHANG


def send(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end(child: int, grace: float) -> int | None:
    """SIGTERM, `grace` seconds, then SIGKILL until nobody is left: killing a parent brings its children here. The
    command's exit code, if it ended here."""
    code = None
    deadline, asked = time.monotonic() + grace, set[int]()
    while time.monotonic() < deadline and (left := set(tree(child))):
        send(left - asked, signal.SIGTERM)
        asked |= left
        time.sleep(TICK)
        code = reap(os.WNOHANG).get(child, code)
    while left := set(tree(child)):
        send(left, signal.SIGKILL)
        code = reap(0).get(child, code)
        if not LINUX:
            time.sleep(TICK)
    return code


def wait(child: int, owner: int, wake: int) -> int | None:
    """Until the command ends (its exit code), or its owner ends it or is gone (None)."""
    while True:
        ready, _, _ = select.select([owner, wake], [], [])
        signals = os.read(wake, 512) if wake in ready else b""
        code = reap(os.WNOHANG).get(child)
        if code is not None or owner in ready or signal.SIGTERM in signals:
            return code


def main() -> int:
    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    owner: int = settings["owner"]
    os.set_inheritable(owner, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    child = start(command)
    let_go({owner, wake_read, wake_write})
    code = wait(child, owner, wake_read)
    late = end(child, settings["grace"])
    if settings["home"]:
        import shutil

        shutil.rmtree(settings["home"], ignore_errors=True)
    return (code if code is not None else late or 0) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
