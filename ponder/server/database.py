"""One SQLite file, used from several threads: a lock, transactions, and a check of who wrote it.

Every change is one transaction, so a process that is killed loses at most what was not yet written (the log is flushed
to the disk by the system, so power that fails may cost the last seconds). Two objects, or two servers, may have the
same file open.
"""

import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ponder.core.errors import UserError
from ponder.server.http.errors import ApiError

VERSION = 3  # of the file
WAIT = 30.0  # seconds for another who writes
FULL = 507
RESERVE = 1 << 20  # bytes on the disk beside the file, for deleting where there is no room any more
LOG_PAGES = 200  # of 4 KiB, after which the log is written into the file: less than is reserved
Result = TypeVar("Result")


class Database:
    """schema: statements that may be run every time it is opened."""

    def __init__(self, path: Path, schema: str) -> None:
        """Raises UserError for a file that cannot be used: damaged, of a newer Ponder, on a full or read-only disk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _closed_to_others(path)
        self._lock = threading.Lock()
        self._reserve = Path(f"{path}-reserve")
        try:
            self._db = _opened(path, schema)
        except sqlite3.Error as e:
            raise UserError(f"the chats in {path} cannot be used: {e}; PONDER_HOME names another folder") from e
        self._fill_reserve()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All that happens inside, or nothing. Raises ApiError 507 on a full disk, 503 where another process writes for
        too long."""
        with self._lock, _told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:  # SQLite may have ended it itself
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def freeing(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """A transaction that deletes. Even that writes to the disk: on a full one the reserve is given up for it."""
        try:
            with self.writing() as db:
                return work(db)
        except ApiError as e:
            if e.status != FULL:
                raise
        with contextlib.suppress(OSError):
            self._reserve.unlink()
        self._empty_log()
        try:
            with self.writing() as db:
                return work(db)
        finally:
            self._empty_log()
            self._fill_reserve()

    def _empty_log(self) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _fill_reserve(self) -> None:
        """Not where that would be most of what is free."""
        if self._reserve.exists() or shutil.disk_usage(self._reserve.parent).free < 2 * RESERVE:
            return
        try:
            descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(bytes(RESERVE))
        except OSError:  # full, or read-only: there is nothing to reserve
            with contextlib.suppress(OSError):
                self._reserve.unlink()

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
    pragmas += f" PRAGMA wal_autocheckpoint = {LOG_PAGES};"
    db.executescript(f"{pragmas} {schema}; PRAGMA user_version = {VERSION};")
    return db


@contextmanager
def _told() -> Iterator[None]:
    """What is not this program's fault, as the client should read it."""
    try:
        yield
    except sqlite3.OperationalError as e:
        if e.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE):
            text = "the disk with the chats is full: delete conversations, or free space there"
            raise ApiError(FULL, text, kind="server_error", code="disk_full") from e
        if e.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            text = "another program is writing to the file with the chats; try again soon"
            raise ApiError(503, text, kind="server_error", code="store_busy", retry_after=5) from e
        raise
