"""What people wrote lies apart from the downloads, closed to others, and comes over from where it lay once."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.model.hub.data_folder import chats, data_home, typed_lines, workspaces


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of earlier versions."""
    for name in ("PONDER_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache" / "ponder"
    folder.mkdir(parents=True)
    return folder


def keep(file: Path, text: str) -> sqlite3.Connection:
    db = sqlite3.connect(file, isolation_level=None)
    db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (x)")
    db.execute("INSERT INTO t VALUES (?)", (text,))
    return db


def kept(file: Path) -> list[str]:
    db = sqlite3.connect(file)
    rows = [x for (x,) in db.execute("SELECT x FROM t")]
    db.close()
    return rows


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_home() == tmp_path / ".local" / "share" / "ponder"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    assert data_home() == tmp_path / ".local" / "share" / "ponder"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert data_home() == tmp_path / "data" / "ponder"
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "all"))
    assert data_home() == tmp_path / "all"


@pytest.mark.parametrize("other_disk", [False, True])
def test_it_comes_over_once_and_is_closed_to_others(
    old: Path, told: list[str], monkeypatch: pytest.MonkeyPatch, other_disk: bool
) -> None:
    keep(old / "chat.sqlite", "one").close()
    (old / "workspaces" / "a").mkdir(parents=True)
    (old / "workspaces" / "a" / "f").write_text("file")
    (old / "history").write_text("+hi\n")
    (old / "models").mkdir()
    if other_disk:
        rename = os.rename

        def across(source: Path, target: Path) -> None:
            if Path(source).is_relative_to(old):
                raise OSError(errno.EXDEV, "another disk")
            rename(source, target)

        monkeypatch.setattr(os, "rename", across)
    file = chats(told.append)
    assert kept(file) == ["one"] and file.parent == data_home() and file.stat().st_mode & 0o777 == 0o600
    assert (workspaces(told.append) / "a" / "f").read_text() == "file"
    assert typed_lines(told.append).read_text() == "+hi\n"
    assert [p.name for p in old.iterdir()] == ["models"] and not told
    for folder in (data_home(), workspaces(told.append)):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_nothing_is_lost_where_both_places_have_something(old: Path, told: list[str]) -> None:
    keep(chats(told.append), "new").close()
    (workspaces(told.append) / "b").mkdir()
    (workspaces(told.append) / "b" / "f").write_text("new")
    keep(old / "chat.sqlite", "old").close()
    for name in ("a", "b"):
        (old / "workspaces" / name).mkdir(parents=True)
        (old / "workspaces" / name / "f").write_text("old")
    file = chats(told.append)
    assert kept(file) == ["new"] and kept(old / "chat.sqlite") == ["old"]
    assert {p.parent.name: p.read_text() for p in file.parent.glob("workspaces/*/f")} == {"a": "old", "b": "new"}
    assert (old / "workspaces" / "b" / "f").read_text() == "old"
    assert len(told) == 2 and all(str(old) in text and "is used" in text for text in told)


def test_chats_that_somebody_has_open_stay_whole(old: Path, told: list[str]) -> None:
    db = keep(old / "chat.sqlite", "one")
    with pytest.raises(UserError, match="stop the older Ponder"):
        chats(told.append)
    db.execute("INSERT INTO t VALUES ('two')")
    assert not (data_home() / "chat.sqlite").exists()
    db.close()
    assert kept(chats(told.append)) == ["one", "two"]
