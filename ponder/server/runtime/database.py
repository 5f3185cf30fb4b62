"""One SQLite file, used from several threads: a lock, transactions, and a check of who wrote it.

Every change is one transaction, so a process that is killed loses at most what was not yet written (the log is flushed
to the disk by the system, so power that fails may cost the last seconds). Two objects, or two servers, may have the
same file open.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ponder.core.errors import UserError

VERSION = 3  # of the file
WAIT = 30.0  # seconds for another who writes


class Database:
    """schema: statements that may be run every time it is opened."""

    def __init__(self, path: Path, schema: str) -> None:
        """Raises UserError for a file that cannot be used: damaged, of a newer Ponder, on a full or read-only disk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _closed_to_others(path)
        self._lock = threading.Lock()
        try:
            self._db = _opened(path, schema)
        except sqlite3.Error as e:
            raise UserError(f"the chats in {path} cannot be used: {e}; PONDER_HOME names another folder") from e

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All that happens inside, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _closed_to_others(path: Path) -> None:
    """What people ask is private. SQLite gives its log the mode of the file."""
    with contextlib.suppress(OSError):  # of somebody else, or on a disk that is read-only: SQLite says what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            if each.exists() and each.stat().st_mode & 0o077:
                each.chmod(0o600)


def _opened(path: Path, schema: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=WAIT, check_same_thread=False, isolation_level=None)
    db.row_factory = sqlite3.Row
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise UserError(f"{path} was written by a newer Ponder (version {found}); PONDER_HOME names another folder")
    pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
    db.executescript(f"{pragmas} {schema}; PRAGMA user_version = {VERSION};")
    return db
