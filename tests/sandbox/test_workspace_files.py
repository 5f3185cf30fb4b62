"""Names and files of a workspace against code that plants links, pipes and races in it.

Each trick is shown to work on a naive host first.
"""

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.sandbox import workspace
from ponder.sandbox.output import BoundedOutput, clean
from ponder.sandbox.snapshot import diff, snapshot
from ponder.sandbox.tree import size

OUTWARD = [
    "../secret",
    "a/../../secret",
    "/etc/passwd",
    "..",
    "sub/..",
    ".",
    "",
    "  ",
    "a\0b",
    "a\nb",
    "\x1b[2Jx",
    "..\\secret",
    "C:\\x",
    "x" * 256,
    "/".join("a" * 70),
    "bad\udcff",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "secret").write_text("canary")
    return tmp_path / "work"


@pytest.mark.parametrize("name", OUTWARD, ids=repr)
def test_names_that_lead_out(root: Path, name: str) -> None:
    for act in (lambda: workspace.read(root, name, 100), lambda: workspace.write(root, name, b"x")):
        with pytest.raises(UserError):
            act()
    assert (root.parent / "secret").read_text() == "canary" and os.listdir(root) == []


def test_dots_work_on_a_naive_host(root: Path) -> None:
    assert Path(os.path.join(root, "../secret")).read_text() == "canary"


def test_planted_links(root: Path) -> None:
    (root / "link").symlink_to("../secret")
    (root / "out").symlink_to("..")
    assert (root / "link").read_text() == (root / "out/secret").read_text() == "canary"  # naive
    for name in ("link", "out/secret"):
        with pytest.raises(UserError):
            workspace.read(root, name, 100)
    with pytest.raises(UserError, match="not a folder"):
        workspace.write(root, "out/secret", b"x")
    workspace.write(root, "link", b"mine")  # replaces the link
    assert (root / "link").read_bytes() == b"mine" and not (root / "link").is_symlink()
    assert (root.parent / "secret").read_text() == "canary"


def test_hard_links_are_not_written_through(root: Path) -> None:
    os.link(root.parent / "secret", root / "hard")
    workspace.write(root, "hard", b"mine")
    assert (root.parent / "secret").read_text() == "canary"


@pytest.mark.flaky(reruns=2)  # judges time
def test_pipes_and_devices_do_not_block(root: Path) -> None:
    os.mkfifo(root / "pipe")
    begin = time.monotonic()
    with pytest.raises(UserError, match="not a regular file"):
        workspace.read(root, "pipe", 100)
    for source in (root / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="not a regular file"):
            workspace.copy_in(root, source)
    workspace.write(root, "pipe", b"now a file")
    assert time.monotonic() - begin < 1 and (root / "pipe").read_bytes() == b"now a file"


def test_a_folder_that_becomes_a_link(root: Path) -> None:
    """While it is swapped for a link all the time, nothing is ever read from or written to the other side."""
    (root.parent / "target").mkdir()
    (root.parent / "target/file").write_text("canary")
    (root / "real").mkdir()
    (root / "real/file").write_text("mine")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):  # the writer makes a folder of that name
                os.unlink(root / "way")
            with contextlib.suppress(OSError):
                os.rename(root / "real", root / "way")
                os.rename(root / "way", root / "real")
            with contextlib.suppress(OSError):
                os.symlink("../target", root / "way")
            shutil.rmtree(root / "way", ignore_errors=True)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            for act in (lambda: workspace.read(root, "way/file", 100), lambda: workspace.write(root, "way/x", b"x")):
                with contextlib.suppress(UserError):
                    assert act() in (None, b"mine")
    finally:
        stop.set()
        thread.join()
    assert os.listdir(root.parent / "target") == ["file"]


def test_bring(root: Path) -> None:
    assert workspace.copy_in(root, root.parent / "secret", "data/in.txt") == "data/in.txt"
    assert workspace.read(root, "data/in.txt", 100) == b"canary"
    (root.parent / "link").symlink_to("secret")
    with pytest.raises(UserError, match="symbolic link"):
        workspace.copy_in(root, root.parent / "link")
    with pytest.raises(UserError, match="at most 3"):
        workspace.copy_in(root, root.parent / "secret", limit=3)


def test_differences(root: Path) -> None:
    (root / "kept").write_text("a\nb\nc\n")
    (root / "gone").write_text("x\n")
    (root / "blob").write_bytes(b"\0" * 100)
    (root / "same").write_text("same")
    before = snapshot(root)
    (root / "kept").write_text("a\nB\nc\n")
    (root / "gone").unlink()
    (root / "blob").write_bytes(b"\0" * 200)
    (root / "same").write_text("same")
    (root / "new\x1b[31m").write_text("n\n")
    (root / "link").symlink_to("/etc/passwd")
    found = {change.name: change for change in diff(before, snapshot(root, before))}
    assert {name: change.kind for name, change in found.items()} == {
        "kept": "changed",
        "gone": "removed",
        "blob": "changed",
        "new": "added",
    }
    assert "-b\n+B" in found["kept"].diff and found["blob"].diff == "" and found["blob"].size == 200


def test_size_does_not_follow_links(root: Path) -> None:
    (root / "usr").symlink_to("/usr")
    (root / "a").mkdir()
    (root / "a/b").write_bytes(b"x" * 10_000)
    held = size(root, stop=100)
    assert held.entries == 3 and 10_000 <= held.bytes < 100_000 and held.depth == 1


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a\x00b\xff\xfec", "ab\ufffd\ufffdc"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b[2K", "red x"),
        (b"10%\r50%\r100%\ndone\r\n", "100%\ndone\n"),
        (b"a\x1b", "a"),
        (b"tab\tnew\nline", "tab\tnew\nline"),
        ("\u202eevil".encode(), "evil"),
        (b"\x9b31m" + "é".encode(), "\ufffd31mé"),
    ],
)
def test_clean(raw: bytes, text: str) -> None:
    assert clean(raw) == text


def test_capped_keeps_both_ends() -> None:
    whole = bytes(range(32, 127)) * 50
    for step in (1, 7, 100, 5000):
        capped = BoundedOutput(1000)
        for i in range(0, len(whole), step):
            capped.add(whole[i : i + step])
        text = capped.take()
        assert text.startswith(whole[:500].decode()) and text.endswith(whole[-500:].decode())
        assert f"{len(whole) - 1000:,} bytes left out" in text and capped.take() == ""
