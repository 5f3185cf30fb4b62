"""The parent of every sandbox, outside it: when Ponder ends it or is gone itself, nothing of the sandbox stays.

    python -I -S supervisor.py '{"lifeline": 5, "home": null}' command argument ...

Ponder holds the other end of the lifeline, a pipe. Its end, however it comes about (`kill -9` too), or the end of the
command ends every process below this one. Orphans come here and not to the first process of the machine, so none is
missed, not even one that bubblewrap left when it was killed half-way. Exits when all are gone, with the command's code.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys


def main() -> None:
    settings = json.loads(sys.argv[1])
    lifeline = settings["lifeline"]
    os.set_inheritable(lifeline, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    child = os.fork()
    if child == 0:
        become(sys.argv[2:])
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nothing, fd)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd != lifeline:
            with contextlib.suppress(OSError):  # the one that listed the folder
                os.close(fd)
    ended = os.pidfd_open(child)
    select.select([lifeline, ended], [], [])
    code = end_all(child)
    if settings["home"]:
        import shutil

        shutil.rmtree(settings["home"], ignore_errors=True)
    os._exit(code)


def become(command: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as e:
        print(f"{command[0]}: {e.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def end_all(child: int) -> int:
    """Kills every descendant and waits for it: killing a parent brings its children here, until there are none."""
    code = 0
    while True:
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return code
        if pid == child:
            code = os.waitstatus_to_exitcode(status) % 256


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


if __name__ == "__main__":
    main()
