"""The first program inside: give up rights, set limits, become the command.

    python -I -S start.py '{"uid": null, "folder": "/workspace", "limits": {"cpu": 600, ...}, "others": 0}' command ...

Limits are set here and not before the namespaces are made: the number of processes is counted for each user in each
user namespace, and outside it would count everything that the user runs. As root a user of its own comes first, because
the kernel never applies that limit to root.
"""

import json
import os
import resource
import sys


def main() -> None:
    settings = json.loads(sys.argv[1])
    if settings["uid"] is not None:
        drop(settings["uid"])
    os.chdir(settings["folder"])
    os.environ.update(PWD=settings["folder"])
    limits = settings["limits"]
    bounds = [
        (resource.RLIMIT_CPU, limits["cpu"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_NOFILE, limits["descriptors"]),
        (resource.RLIMIT_CORE, 0),
    ]
    if sys.platform == "linux":  # macOS refuses the first, cannot count the others' processes, and lacks the rest
        bounds += [
            (resource.RLIMIT_AS, 2 * limits["memory"]),
            (resource.RLIMIT_NPROC, limits["processes"] + settings["others"]),
            (resource.RLIMIT_MEMLOCK, 64 * 1024),
            (resource.RLIMIT_MSGQUEUE, 0),
        ]
    for name, value in bounds:
        hard = resource.getrlimit(name)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(name, (value, value))
    os.umask(0o022)
    os.execvp(sys.argv[2], sys.argv[2:])


def drop(uid: int) -> None:
    """From root to a user that owns nothing but the workspace."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; past the last one it fails
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


if __name__ == "__main__":
    main()
