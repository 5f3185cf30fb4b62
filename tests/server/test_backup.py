"""`ponder backup` while the server writes, and `ponder restore`."""

import io
import sqlite3
import tarfile
import threading
from pathlib import Path

import pytest

from ponder.cli.main import main
from ponder.core.errors import UserError
from ponder.server.backup import restore, write
from ponder.server.web.conversations import Conversations


def filled(data: Path) -> Conversations:
    store = Conversations(data / "chat.sqlite")
    (data / "workspaces/c1").mkdir(parents=True)
    (data / "workspaces/c1/note.txt").write_text("kept")
    (data / "workspaces/c1/link").symlink_to("/etc/passwd")
    (data / "keys.json").write_text('{"keys": []}')
    return store


def test_a_copy_is_whole_while_others_write(tmp_path: Path) -> None:
    store, stop = filled(tmp_path / "data"), threading.Event()

    def writes() -> None:
        while not stop.is_set():
            id_ = store.create("t")["id"]
            store.add(id_, None, "user", {"content": "x" * 1000})

    writer = threading.Thread(target=writes)
    writer.start()
    try:
        for n in range(3):
            assert write(tmp_path / "data", tmp_path / f"{n}.tar.gz") == ["chat.sqlite", "keys.json", "workspaces"]
    finally:
        stop.set()
        writer.join()
    assert (tmp_path / "2.tar.gz").stat().st_mode & 0o077 == 0
    assert restore(tmp_path / "2.tar.gz", tmp_path / "new") == ["chat.sqlite", "keys.json", "workspaces"]
    assert (tmp_path / "new/workspaces/c1/note.txt").read_text() == "kept"
    assert not (tmp_path / "new/workspaces/c1/link").is_symlink()
    with sqlite3.connect(tmp_path / "new/chat.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again = Conversations(tmp_path / "new/chat.sqlite")
    for row in again.all():
        assert len(again.get(row["id"])["messages"]) <= 1
    again.close()
    store.close()


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    filled(tmp_path / "data").close()
    write(tmp_path / "data", tmp_path / "b.tar.gz")
    with pytest.raises(UserError, match="already"):
        restore(tmp_path / "b.tar.gz", tmp_path / "data")
    with pytest.raises(UserError, match="nothing to keep"):
        write(tmp_path / "empty", tmp_path / "e.tar.gz")
    assert not (tmp_path / "e.tar.gz").exists()


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/outside.txt", "other.txt", "workspaces/../../outside.txt"])
def test_a_file_that_is_none_of_ours(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(UserError):
        restore(tmp_path / "b.tar.gz", tmp_path / "data")
    assert not list(tmp_path.rglob("*.txt")) and not (tmp_path / "data").exists()


def test_half_a_file(tmp_path: Path) -> None:
    filled(tmp_path / "data").close()
    write(tmp_path / "data", tmp_path / "b.tar.gz")
    raw = (tmp_path / "b.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(UserError, match="no whole backup"):
        restore(tmp_path / "half.tar.gz", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    filled(tmp_path / "home").close()
    assert main(["backup", str(tmp_path / "b.tar.gz")]) == 0
    assert "chat.sqlite, keys.json, workspaces (" in capsys.readouterr().out
    assert main(["restore", str(tmp_path / "b.tar.gz")]) == 2
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "other"))
    assert main(["restore", str(tmp_path / "b.tar.gz")]) == 0
    assert (tmp_path / "other/keys.json").exists()
