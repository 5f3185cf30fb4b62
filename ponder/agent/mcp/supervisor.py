"""The warden of one stdio server: it starts the server and sees that nothing of it outlives its owner.

    python -I -S supervisor.py CONTROL_FD GRACE_SECONDS COMMAND [ARGUMENT...]

A process of its own, because only a process can outlive one that is killed with SIGKILL. The owner holds the other end
of CONTROL_FD. When that closes - `close()`, or the owner's death, whatever killed it - the warden ends the server and
everything it started: SIGTERM, GRACE_SECONDS, SIGKILL. The same when the server ends by itself and leaves children.
On Linux the warden is the "subreaper" of its tree, so also a child that made itself a daemon is found, and the server
gets SIGKILL should the warden itself be killed. Elsewhere the server's process group is all that can be reached.
The warden leads a session: a Ctrl-C at the terminal reaches the owner, who closes, and not the server.

It keeps neither the server's stdin nor its stdout, so end of file means what it says.
"""

import os
import select
import signal
import sys
import time

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def prctl(option: int, value: int) -> None:
    if LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(command: list[str]) -> int:
    """Fork and exec; the server leads a process group. What cannot be run says so on stderr and ends with 127."""
    warden = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != warden:  # it died before the line above
        os._exit(127)
    try:
        os.execvp(command[0], command)
    except OSError as e:
        os.write(2, f"{command[0]}: {e.strerror}\n".encode())
    os._exit(127)


def tree(server: int) -> list[int]:
    """Everything below this process that is not dead yet."""
    if not LINUX:
        try:
            os.killpg(server, 0)
        except ProcessLookupError:
            return []
        return [-server]
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:  # gone meanwhile
            continue
        if state not in "ZX":
            children.setdefault(int(parent), []).append(int(name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def reap() -> dict[int, int]:
    """Exit codes of the children that have ended, orphans of the server included."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def end(server: int, grace: float) -> int | None:
    """SIGTERM, `grace` seconds, then SIGKILL until nobody is left. The server's exit code, if it ended here."""
    code = None
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + seconds
        told: set[int] = set()
        while True:
            code = reap().get(server, code)
            left = tree(server)
            if not left:
                return code
            if time.monotonic() > deadline:
                break
            for pid in set(left) - told:
                try:
                    os.kill(pid, number)
                except (ProcessLookupError, PermissionError):
                    continue
            told |= set(left)
            time.sleep(0.02)
    return code


def main() -> int:
    control, grace, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    os.set_inheritable(control, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server = start(command)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    while True:
        ready, _, _ = select.select([control, wake_read], [], [])
        signals = os.read(wake_read, 512) if wake_read in ready else b""
        code = reap().get(server)
        if code is not None:
            end(server, grace)
            return code & 0xFF
        if control in ready or signal.SIGTERM in signals:
            return (end(server, grace) or 0) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
