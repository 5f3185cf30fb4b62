"""Where people's own things are: the chats of the server, the workspaces of agents, the lines typed in the terminal.

Downloads may be deleted at any time, as a cache may; these may not. So they are in $XDG_DATA_HOME/ponder, by default
~/.local/share/ponder, and nobody else can read them. Where PONDER_HOME names a folder, all is in there.

Earlier versions kept them with the downloads. What is found there moves here once, each in one step; where both places
have something of one name, neither is touched and the one here is used.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ponder.core.errors import UserError
from ponder.model.hub.store import home

Tell = Callable[[str], None]


def data_home() -> Path:
    if os.environ.get("PONDER_HOME"):
        return home()
    named = os.environ.get("XDG_DATA_HOME", "")
    base = Path(named) if os.path.isabs(named) else Path.home() / ".local" / "share"  # the standard ignores others
    return base / "ponder"


def chats(tell: Tell) -> Path:
    """The file of the server's chats, with the workspaces of their agents beside it. tell: what a person should know.
    Raises UserError while an older server has them open."""
    workspaces(tell)
    return _settled("chat.sqlite", tell)


def workspaces(tell: Tell) -> Path:
    return private(_settled("workspaces", tell))


def typed_lines(tell: Tell) -> Path:
    return _settled("history", tell)


def private(folder: Path) -> Path:
    """The folder, there and closed to others."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def _settled(name: str, tell: Tell) -> Path:
    folder, old = data_home(), home() / name
    if folder == home():
        return folder / name
    private(folder)
    if old.exists():
        with FileLock(folder / ".moving.lock"):
            if old.exists():
                _bring(old, folder / name, tell)
    return folder / name


def _bring(old: Path, new: Path, tell: Tell) -> None:
    if old.is_dir() and new.is_dir():
        for each in old.iterdir():
            _bring(each, new / each.name, tell)
        if not any(old.iterdir()):
            old.rmdir()
    elif new.exists():
        tell(f"{old} is of an older Ponder and was left there: {new} is used")
    else:
        if old.suffix == ".sqlite":
            _close(old)
        _move(old, new)


def _close(file: Path) -> None:
    """Write what lies in the log beside an SQLite file into the file itself, which is then whole alone."""
    db = sqlite3.connect(file, timeout=1, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = DELETE")  # an error while anybody else has it open
    except sqlite3.OperationalError as e:
        text = f"{file} is in use ({e}): stop the older Ponder that has it open, then its chats move to {data_home()}"
        raise UserError(text) from e
    except sqlite3.DatabaseError as e:
        raise UserError(f"the chats in {file} cannot be used: {e}; PONDER_HOME names another folder") from e
    finally:
        db.close()
    file.chmod(0o600)


def _move(old: Path, new: Path) -> None:
    try:
        os.rename(old, new)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        part = new.with_name(f".{new.name}.part")  # on another disk: copied whole before it has its name
        if old.is_dir():
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(old, part, symlinks=True)
        else:
            shutil.copy2(old, part)
        os.rename(part, new)
        shutil.rmtree(old) if old.is_dir() else old.unlink()
