"""Limits of the control groups (Linux) that this process is in: its own and all above it, of which each one binds.

A unit of systemd, a job of Slurm, a nested container have their limit in a group of their own; the root of
/sys/fs/cgroup, which is a container's own group as it sees it, says nothing then. Versions 1 and 2, and both at once.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # lines of id:controllers:path; version 2 has no controllers


def groups(controller: str, root: Path = ROOT, own: Path = OWN) -> Iterator[Path]:
    """The folders of a controller ("cpu", "memory"), the process's own first, up to the roots of both versions."""
    places = {"": [root, root / "unified"], controller: [root / controller]}
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    paths: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        paths |= {name: path for name in controllers.split(",") if name in places}
    for name, mounts in places.items():
        # a path from outside this container, or of another namespace, is not there: what is mounted is the group
        below = [part for part in paths.get(name, "/").split("/") if part not in ("", "..")]
        for mount in mounts:
            folders = (mount.joinpath(*below[:depth]) for depth in range(len(below), -1, -1))
            yield from (folder for folder in folders if folder.is_dir())


def number(file: Path) -> int | None:
    """None: there is no such file, or it says "max"."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
