"""Files and folders that appear whole or not at all, and what killed processes leave."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ponder.core.atomic import new_folder, replacing

WRITER = """
import sys, time
from pathlib import Path
from ponder.core.atomic import new_folder, replacing
target = Path(sys.argv[2])
if sys.argv[1] == "file":
    with replacing(target) as file:
        file.write(b"half")
        file.flush()
        print("writing", flush=True)
        time.sleep(60)
with new_folder(target) as folder:
    (folder / "inner").mkdir()
    (folder / "inner" / "half").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def _writer(kind: str, target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, kind, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def _write(kind: str, target: Path, name: str = "whole") -> None:
    if kind == "file":
        with replacing(target) as file:
            file.write(name.encode())
    else:
        with new_folder(target) as folder:
            (folder / name).touch()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_swept_by_the_next(kind: str, tmp_path: Path) -> None:
    process = _writer(kind, tmp_path / "model")
    process.kill()
    process.wait()
    assert len(list(tmp_path.iterdir())) == 1
    mine = tmp_path / ".model.settings"
    mine.write_text("not a rest of anything")
    _write(kind, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.settings", "model"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_somebody_still_writes_stays(kind: str, tmp_path: Path) -> None:
    process = _writer(kind, tmp_path / "model")
    try:
        _write("file", tmp_path / "model")
        assert len(list(tmp_path.glob(".model.*.partial"))) == 1
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_body_that_raises_leaves_nothing(kind: str, tmp_path: Path) -> None:
    def broken() -> None:
        with replacing(tmp_path / "x") if kind == "file" else new_folder(tmp_path / "x"):
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_files_inside_a_new_folder(tmp_path: Path) -> None:
    """The folder's own lock holds up nobody who writes in it."""
    with new_folder(tmp_path / "deep" / "model") as folder, replacing(folder / "file") as file:
        file.write(b"x")
    assert (tmp_path / "deep" / "model" / "file").read_bytes() == b"x"
    assert (tmp_path / "deep" / "model").stat().st_mode & 0o777 == 0o755


def test_swept_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    made: list[str] = []
    real = fcntl.flock

    def late(handle: int, how: int) -> None:
        if not made:  # somebody else was faster
            (rest,) = tmp_path.iterdir()
            made.append(rest.name)
            os.unlink(rest)
        real(handle, how)

    monkeypatch.setattr("ponder.core.atomic.fcntl.flock", late)
    _write("file", tmp_path / "x")
    assert made and (tmp_path / "x").read_bytes() == b"whole"
