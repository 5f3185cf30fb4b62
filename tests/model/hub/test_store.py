"""The store's folder of models."""

import os
from pathlib import Path

import pytest

from ponder.model.hub.store import size_of


def test_a_folder_may_vanish_while_its_size_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip deletes its own folders while a download is counted; that ended the download."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"x" * 10_000)
    (tmp_path / "gone").mkdir()
    without, scandir = size_of(tmp_path), os.scandir

    def vanishing(path: str | Path) -> object:
        if Path(path).name == "gone":
            Path(path).rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert size_of(tmp_path) == without >= 10_000
    assert not (tmp_path / "gone").exists()
