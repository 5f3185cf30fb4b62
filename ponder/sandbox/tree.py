"""The workspace as a tree that untrusted code writes while we look: nothing here follows a symbolic link."""

import os
import stat
from pathlib import Path

from msgspec import Struct

MAX_DEPTH = 64  # of folders; without a bound a path could outgrow what the kernel takes, and hide


class Held(Struct, frozen=True):
    """bytes: on disk. entries: files, folders and links. depth: of the deepest folder seen."""

    bytes: int
    entries: int
    depth: int


def size(folder: Path, stop: int) -> Held:
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
    return Held(total, entries, deepest)


def lend(folder: Path, uid: int) -> None:
    """Make `uid` the owner of the tree, so that a sandbox started by root can work in it. Linked files stay theirs."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    lend_open(fd, uid, 0)


def lend_open(fd: int, uid: int, depth: int) -> None:
    try:
        if os.fstat(fd).st_uid != uid:
            os.fchown(fd, uid, uid)
        if depth > MAX_DEPTH:
            return
        for name in os.listdir(fd):
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    lend_open(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd), uid, depth + 1)
                elif found.st_uid != uid and found.st_nlink == 1:
                    os.chown(name, uid, uid, dir_fd=fd, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
    finally:
        os.close(fd)
