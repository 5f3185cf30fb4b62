"""Archives of strangers: paths that climb, bombs, damage; nothing is written outside, and memory is bounded."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ponder.data import packed
from ponder.data.document import UNREADABLE, Left, Unreadable
from ponder.data.packed import inside, unpack, zipped
from ponder.data.read.table import texts_of

CLIMBING = ["../out.txt", "a/../../out.txt", "/etc/out.txt", "..\\out.txt", "C:/out.txt", "a\\..\\..\\out.txt"]


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return path


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, raw in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return path


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize("name", CLIMBING)
def test_paths_that_climb(make: object, name: str, tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    path = tmp_path / ("a.zip" if make is zip_of else "a.tar.gz")
    (zip_of if make is zip_of else tar_of)(path, {"good.txt": b"good", name: b"bad"})
    with pytest.raises(Unreadable, match="climbs out"):
        unpack(path, tmp_path / "deep/er")
    assert not list(tmp_path.rglob("out.txt"))
    with pytest.raises(Unreadable, match="climbs out"):
        list(texts_of(path, "auto"))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_any_name_stays_inside_or_is_refused(name: str) -> None:
    try:
        path = Path("/root/folder") / inside(name)
    except Unreadable:
        return
    assert ".." not in path.parts and path.is_relative_to("/root/folder") and path != Path("/root/folder")


def test_links_out_of_an_archive_are_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
        file = tarfile.TarInfo("link/passwd")
        file.size = 3
        archive.addfile(file, io.BytesIO(b"abc"))
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out/link").is_symlink() and (tmp_path / "out/link/passwd").read_bytes() == b"abc"


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.gz", "a.docx", "a.epub", "a.xpi"])
def test_bombs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "FREE", 1 << 20)
    zeros = b" " * (8 << 20)
    path = tmp_path / name
    if name == "a.tar.gz":
        tar_of(path, {"a.txt": zeros})
    elif name == "a.gz":
        import gzip

        path.write_bytes(gzip.compress(zeros))
    else:
        inner = {"a.docx": "word/document.xml", "a.epub": "META-INF/container.xml"}.get(name, "en.ftl")
        zip_of(path, {inner if name != "a.zip" else "a.txt": zeros})
    with pytest.raises(Unreadable, match="a zip bomb"):
        list(texts_of(path, "auto"))


def test_a_size_that_lies_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "FREE", 1 << 20)
    path = zip_of(tmp_path / "a.zip", {"a.txt": b" " * (8 << 20)})
    raw = path.read_bytes().replace((8 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(raw)
    with pytest.raises(Unreadable, match=r"zip bomb|cannot be unpacked"):
        list(texts_of(path, "auto"))


def test_an_archive_is_read_as_if_it_lay_there(tmp_path: Path) -> None:
    files = {
        "b.txt": "Grüße".encode(), "a/c.jsonl": b'{"text": "one"}\n{', "d.png": b"\x89PNG", "e.txt": b"\xff",
        "f.zip": b"PK",
    }  # fmt: skip
    wanted = [
        "Grüße", "one", Left(UNREADABLE, "a/c.jsonl: line 2: Input data was truncated"),
        Left("no kind of text", "d.png"),
        Left(UNREADABLE, "e.txt is not utf-8-sig: invalid start byte at byte 0"),
        Left(UNREADABLE, "f.zip: is an archive inside an archive"),
    ]  # fmt: skip
    assert list(texts_of(zip_of(tmp_path / "a.zip", files), "auto")) == wanted
    assert list(texts_of(tar_of(tmp_path / "a.tar.gz", files), "auto")) == wanted


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 300), at=st.integers(0, 300), byte=st.binary(min_size=1, max_size=4))
def test_damaged_archives_are_read_or_refused(cut: int, at: int, byte: bytes, tmp_path: Path) -> None:
    for make, name in ((zip_of, "a.zip"), (tar_of, "a.tar.gz")):
        path = make(tmp_path / name, {"a.txt": b"one text", "b.txt": b"another"})
        raw = path.read_bytes()
        path.write_bytes((raw[:at] + byte + raw[at + len(byte) :])[: max(0, len(raw) - cut)])
        try:
            assert all(isinstance(text, str | Left) for text in texts_of(path, "auto"))
        except Unreadable as e:
            assert str(e)


def test_a_member_by_name(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"a": b"1"})
    with zipped(path) as archive:
        assert archive.read("a") == b"1"
        with pytest.raises(Unreadable, match="cannot be unpacked"):
            archive.read("b")
