"""Zip and tar files of strangers: what is inside may be a million times as large, or be called ../../etc/passwd.

    with zipped(path) as book: book.read("META-INF/container.xml")
    for member in members(path): budget.copy(member.file, out)
    unpack(wheel, folder)

Whatever is wrong raises Unreadable. Bytes are counted as they arrive: nothing that an archive says is believed.
"""

import io
import lzma
import struct
import tarfile
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from ponder.data.document import Unreadable

RATIO = 100  # text packs to a tenth, messages that repeat to a thirtieth
FREE = 64 << 20  # bytes that even the smallest archive may hold
TOTAL = 16 << 30
MEMBERS = 500_000
_CHUNK = 1 << 20


class Member(NamedTuple):
    name: str
    size: int
    """As the archive says."""
    file: IO[bytes]


class Budget:
    """How much may still come out of an archive."""

    def __init__(self, packed: int, total: int = TOTAL) -> None:
        """packed: bytes of the archive. total: what even the largest may hold."""
        self._left = min(total, max(FREE, RATIO * packed))

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Unreadable("unpacks to far more than its size: a zip bomb")

    def copy(self, source: IO[bytes], out: IO[bytes]) -> None:
        while True:
            with faults():
                chunk = source.read(_CHUNK)
            if not chunk:
                return
            self.spend(len(chunk))
            out.write(chunk)


class Zipped:
    """Members of an open zip file, by name."""

    def __init__(self, archive: zipfile.ZipFile, budget: Budget) -> None:
        self._archive, self._budget = archive, budget
        self.names = _checked([info.filename for info in archive.infolist() if not info.is_dir()])

    def read(self, name: str) -> bytes:
        """Raises Unreadable where there is none of that name."""
        out = io.BytesIO()
        with self.open(name) as source:
            self._budget.copy(source, out)
        return out.getvalue()

    def tree(self, name: str) -> ET.Element:
        """A part that is XML. (The parser itself stops entities that grow without bound.)"""
        try:
            return ET.parse(io.BytesIO(self.read(name))).getroot()
        except (ET.ParseError, LookupError, ValueError) as e:
            raise Unreadable(f"{name} is no XML: {e}") from e

    def open(self, name: str) -> IO[bytes]:
        with faults():
            return self._archive.open(name)


@contextmanager
def zipped(source: Path | bytes, total: int = TOTAL) -> Iterator[Zipped]:
    """source: where the archive lies, or what it is. total: bytes that may come out of it."""
    packed = len(source) if isinstance(source, bytes) else source.stat().st_size
    with faults():
        archive = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    with archive:
        yield Zipped(archive, Budget(packed, total))


@contextmanager
def faults() -> Iterator[None]:
    """What the libraries raise for files that are damaged, encrypted or packed in a way they do not know."""
    try:
        yield
    except (
        zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error, EOFError, OSError,
        NotImplementedError, RuntimeError, ValueError, KeyError, OverflowError,
    ) as e:  # fmt: skip
        raise Unreadable(f"cannot be unpacked: {str(e) or type(e).__name__}") from e


def inside(name: str) -> PurePosixPath:
    """The name as a path that stays below where it is unpacked."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name or path.parts[0].endswith(":"):
        raise Unreadable(f"holds a file called {name[:80]!r}: its path climbs out of the archive")
    return path


def members(path: Path) -> Iterator[Member]:
    """Each regular file, in order; links and devices are passed over."""
    if not zipfile.is_zipfile(path):
        yield from _of_tar(path)
        return
    with zipped(path) as archive:
        for name in archive.names:
            with archive.open(name) as source:
                yield Member(name, 0, source)


def _of_tar(path: Path) -> Iterator[Member]:
    with faults():
        archive = tarfile.open(path, "r|*")  # noqa: SIM115
    with archive:
        for _ in range(MEMBERS):
            with faults():
                info = archive.next()
            if info is None:
                return
            inside(info.name)
            if info.isreg() and (source := archive.extractfile(info)) is not None:
                yield Member(info.name, info.size, source)
    raise Unreadable(f"holds more than {MEMBERS:,} files")


def unpack(path: Path, folder: Path) -> None:
    """Every regular file of the archive into folder."""
    budget = Budget(path.stat().st_size)
    for member in members(path):
        target = folder / inside(member.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            budget.copy(member.file, out)


def _checked(names: list[str]) -> list[str]:
    if len(names) > MEMBERS:
        raise Unreadable(f"holds more than {MEMBERS:,} files")
    for name in names:
        inside(name)
    return names
