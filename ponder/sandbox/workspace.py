"""Files of a workspace, read and written by the host while untrusted code may be writing there too.

Names are relative with "/" and stay inside: every folder on the way is opened without following links, so a link that
appears between a check and its use is an error and not a way out. Files are replaced, never written through.
"""

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from ponder.core.errors import UserError
from ponder.sandbox.tree import MAX_DEPTH

if sys.platform != "win32":
    FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def parts(name: str) -> list[str]:
    """The names on the way. UserError for a name that is not plainly inside."""
    if not isinstance(name, str) or not name.strip():
        raise UserError("A file needs a name.")
    if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in name):
        raise UserError(f"The file name {name!r} contains control characters.")
    if name.startswith("/") or "\\" in name or (len(name) > 1 and name[1] == ":"):
        raise UserError(f"{name!r} is not a name inside the workspace: use a relative one like data/table.csv.")
    found = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in found:
        raise UserError(f"{name!r} leads out of the workspace.")
    if not found or len(found) > MAX_DEPTH or any(len(part.encode()) > 255 for part in found):
        raise UserError(f"{name[:80]!r} is too long, nested too deep or names no file.")
    return found


@contextlib.contextmanager
def folder(root: Path, names: list[str], *, make: bool = False) -> Iterator[int]:
    """Descriptor of a folder inside. make: create what is missing, for the owner of the workspace."""
    if sys.platform == "win32":
        raise UserError("Files of a workspace need Linux or macOS: on Windows use WSL 2.")
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=fd)
                    give(fd, name)
            try:
                inner = os.open(name, FOLDER, dir_fd=fd)
            except OSError as e:
                raise UserError(f"{'/'.join(names)}: {name} is not a folder of the workspace ({e.strerror}).") from e
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def give(fd: int, name: str) -> None:
    """What root makes belongs to the folder's owner, so that the sandbox can use it."""
    owner = os.fstat(fd).st_uid
    if os.geteuid() == 0 and owner:
        os.chown(name, owner, owner, dir_fd=fd, follow_symlinks=False)


def read(root: Path, name: str, limit: int) -> bytes:
    """A regular file of at most `limit` bytes."""
    *way, last = parts(name)
    with folder(root, way) as fd:
        try:
            file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        except OSError as e:
            raise UserError(f"{name} cannot be read: {reason(e)}.") from e
    return _content(file, name, limit, "are read")


def write(root: Path, name: str, data: bytes) -> None:
    """Creates or replaces a file, folders on the way included. What was there under that name (a link, a file with
    other names) is replaced and never written through."""
    *way, last = parts(name)
    temporary = f".{secrets.token_hex(8)}.part"
    with folder(root, way, make=True) as fd:
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=fd)
            with os.fdopen(file, "wb") as stream:
                stream.write(data)
            give(fd, temporary)
            os.rename(temporary, last, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError as e:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=fd)
            raise UserError(f"{name} cannot be written: {reason(e)}.") from e


def copy_in(root: Path, source: Path, name: str | None = None, *, limit: int = 512 * 2**20) -> str:
    """Copy a file of the host into the workspace and return its name there. Only regular files, and no links."""
    try:
        file = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        raise UserError(f"{source} cannot be brought into the workspace: {reason(e)}.") from e
    data = _content(file, str(source), limit, "fit into the workspace")
    name = source.name if name is None else name
    write(root, name, data)
    return name


def _content(file: int, name: str, limit: int, allowed: str) -> bytes:
    """Of an open descriptor, which is closed: nothing but a regular file of at most `limit` bytes."""
    with os.fdopen(file, "rb") as stream:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{name} is not a regular file.")
        if found.st_size > limit:
            raise UserError(f"{name} has {found.st_size:,} bytes; at most {limit:,} {allowed}.")
        return stream.read(limit)


def reason(e: OSError) -> str:
    return "it is a symbolic link" if e.errno == errno.ELOOP else (e.strerror or "unknown").lower()


def files(root: Path, limit: int) -> Iterator[tuple[str, os.stat_result]]:
    """Name and status of regular files inside, sorted, at most `limit`. Links are not followed and not listed."""
    todo = [""]
    count = 0
    while todo:
        at = todo.pop()
        try:
            with folder(root, at.split("/") if at else []) as fd:
                names = sorted(os.listdir(fd), reverse=True)
                status = {name: lstat(name, fd) for name in names}
        except UserError:
            continue  # replaced meanwhile
        inner = []
        for name in reversed(names):
            found = status[name]
            path = f"{at}/{name}" if at else name
            if found is not None and stat.S_ISDIR(found.st_mode) and path.count("/") < MAX_DEPTH:
                inner.append(path)
            elif found is not None and stat.S_ISREG(found.st_mode):
                yield path, found
                count += 1
                if count >= limit:
                    return
        todo += reversed(inner)


def lstat(name: str, fd: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
