"""A copy of everything people have left here, taken while the server runs, and put back.

    names = write(data_home(), Path("ponder-2026-11-30.tar.gz"))
    restore(Path("ponder-2026-11-30.tar.gz"), data_home())

The SQLite files are copied by SQLite itself, so each is whole and of one moment. Models are not in it: they can be
downloaded again.
"""

import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from ponder.core.atomic import new_folder, replacing
from ponder.core.errors import UserError

DATABASES = ("chat.sqlite", "usage.sqlite")
FILES = ("keys.json", "mcp-pins.json", "history")
FOLDERS = ("workspaces",)


def write(data: Path, target: Path) -> list[str]:
    """-> what is in it. The file can be read by its owner alone. Raises UserError where there is nothing."""
    names = [name for name in (*DATABASES, *FILES, *FOLDERS) if (data / name).exists()]
    if not names:
        raise UserError(f"there is nothing to keep in {data}")
    with replacing(target) as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name in names:
            if name in DATABASES:
                _add_database(tar, data / name)
            else:
                _add(tar, data / name, name)
    target.chmod(0o600)
    return names


def _add_database(tar: tarfile.TarFile, path: Path) -> None:
    with tempfile.TemporaryDirectory() as beside:
        copied = Path(beside) / path.name
        with closing(_opened(path)) as source, closing(sqlite3.connect(copied)) as copy:
            source.backup(copy)
        tar.add(copied, path.name)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Files and folders; a link is not followed and not kept, since it may lead anywhere. What is deleted meanwhile is
    left out."""
    with suppress(FileNotFoundError):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            return
        tar.add(path, name, recursive=False)
        for child in sorted(path.iterdir()) if path.is_dir() else ():
            _add(tar, child, f"{name}/{child.name}")


def restore(source: Path, data: Path) -> list[str]:
    """Into a folder that has none of these things. -> what was put there. Raises UserError."""
    if not source.is_file():
        raise UserError(f"there is no file {source}")
    if there := [name for name in (*DATABASES, *FILES, *FOLDERS) if (data / name).exists()]:
        raise UserError(f"{data} has {', '.join(there)} already: move them away, or set PONDER_HOME to an empty folder")
    data.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(data.with_name(f"{data.name}.restored")) as folder:
        try:
            with tarfile.open(source, "r:gz") as tar:
                tar.extractall(folder, members=_ours(tar), filter="data")
        except (tarfile.TarError, EOFError, OSError) as e:
            raise UserError(f"{source} is no whole backup: {e}") from e
    restored = data.with_name(f"{data.name}.restored")
    data.mkdir(mode=0o700, exist_ok=True)
    names = sorted(path.name for path in restored.iterdir())
    for name in names:
        os.rename(restored / name, data / name)
    restored.rmdir()
    for name in (*DATABASES, *FILES):
        if (data / name).exists():
            (data / name).chmod(0o600)
    return names


def _ours(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    known = (*DATABASES, *FILES, *FOLDERS)
    for member in tar:
        if member.name.split("/")[0] not in known:
            raise UserError(f"this is no backup of Ponder: it holds {member.name!r:.100}")
        yield member


def _opened(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error as e:
        raise UserError(f"{path} cannot be read: {e}") from e
    return db
