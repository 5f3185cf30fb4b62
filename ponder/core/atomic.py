"""Write a file or a folder so that its name appears only when it is complete, whatever interrupts the writing.

Until then it is called `.NAME.xxxxxxxx.partial`, and locked. What a killed process leaves has no lock any more: who
writes the same name next deletes it. Windows needs no lock, because it neither deletes nor renames a file that is open;
what is left of a folder stays there.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

WINDOWS = sys.platform == "win32"
_ENDING = ".partial"


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """An open file in the same folder that takes the name `path` at the end, or is deleted if the body raises."""
    path = Path(path)
    _sweep(path)
    handle, temporary = _locked(path, folder=False)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
            os.chmod(temporary, 0o644)  # temporary files are private, this one is not
            if not WINDOWS:  # while it is locked
                os.replace(temporary, path)
        if WINDOWS:
            os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` that takes its name at the end, or disappears if the body raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    handle, temporary = _locked(path, folder=True)
    try:
        yield temporary
        temporary.chmod(0o755)  # temporary folders are private, this one is not
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    finally:
        if handle >= 0:
            os.close(handle)


def _locked(path: Path, *, folder: bool) -> tuple[int, Path]:
    """A temporary file or folder of `path`, open and locked; made again if it was swept before it had its lock. -1 for
    a folder of Windows, which cannot be opened."""
    prefix = f".{path.name}."
    while True:
        if folder:
            temporary = tempfile.mkdtemp(_ENDING, prefix, path.parent)
            handle = -1 if WINDOWS else os.open(temporary, os.O_RDONLY)
        else:
            handle, temporary = tempfile.mkstemp(_ENDING, prefix, path.parent)
        if sys.platform == "win32":
            return handle, Path(temporary)
        with suppress(OSError):  # some network file systems have no locks: there nothing is swept either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(temporary):
            return handle, Path(temporary)
        os.close(handle)


def _sweep(path: Path) -> None:
    """Delete what others left of `path` when they were killed."""
    left = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}" + re.escape(_ENDING))
    with suppress(OSError):  # a folder that cannot be listed
        for name in filter(left.fullmatch, os.listdir(path.parent)):
            with suppress(OSError):  # somebody writes it, it has just gone, or it is not ours
                _delete_unlocked(path.parent / name)


def _delete_unlocked(path: Path) -> None:
    if sys.platform == "win32":
        return path.unlink()  # an error for one that is open
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(handle)
