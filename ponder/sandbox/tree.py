"""The workspace as a tree that untrusted code writes while we look: nothing here follows a symbolic link."""

import os
import stat
import threading
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

MAX_DEPTH = 64  # of folders; without a bound a path could outgrow what the kernel takes, and hide


class TreeSize(Struct, frozen=True):
    """bytes: on disk. entries: files, folders and links. depth: of the deepest folder seen."""

    bytes: int
    entries: int
    depth: int


def size(folder: Path, stop: int) -> TreeSize:
    """stop: give up counting after this many entries, or below MAX_DEPTH."""
    total = entries = deepest = 0
    todo = [(str(folder), 0)]
    while todo and entries <= stop and deepest <= MAX_DEPTH:
        path, depth = todo.pop()
        deepest = max(deepest, depth)
        try:
            with os.scandir(path) as found:
                for entry in found:
                    entries += 1
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append((entry.path, depth + 1))
                    if entries > stop:
                        break
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # gone, replaced or locked meanwhile
    return TreeSize(total, entries, deepest)


class ChownLease:
    """The tree belongs to `uid` as long as one of its leases lasts, so that sandboxes started by root can work in it.

    Afterwards what belongs to `uid` goes back to the owner of the folder before (to root, if a killed Ponder left it
    so).
    """

    _open: ClassVar[dict[Path, list[int]]] = {}  # folder -> [how many leases, owner before]
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path, uid: int) -> None:
        self.folder, self.uid = folder, uid
        with self._lock:
            owner = folder.stat().st_uid
            count = self._open.setdefault(folder, [0, 0 if owner == uid else owner])
            count[0] += 1
            hand_over(folder, uid, only_from=None)

    def end(self) -> None:
        with self._lock:
            count = self._open[self.folder]
            count[0] -= 1
            if not count[0]:
                del self._open[self.folder]
                hand_over(self.folder, count[1], only_from=self.uid)


def hand_over(folder: Path, uid: int, only_from: int | None) -> None:
    """only_from: whose files change owner; None: everybody's but files with other names elsewhere (hard links)."""
    hand_over_open(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW), uid, only_from, 0)


def hand_over_open(fd: int, uid: int, only_from: int | None, depth: int) -> None:
    def moves(found: os.stat_result) -> bool:
        if only_from is not None:
            return found.st_uid == only_from
        return found.st_uid != uid and (found.st_nlink == 1 or stat.S_ISDIR(found.st_mode))

    try:
        if moves(os.fstat(fd)):
            os.fchown(fd, uid, uid)
        for name in os.listdir(fd) if depth <= MAX_DEPTH else []:
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                    hand_over_open(inner, uid, only_from, depth + 1)
                elif moves(found):
                    os.chown(name, uid, uid, dir_fd=fd, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
    finally:
        os.close(fd)
