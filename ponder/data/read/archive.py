"""Archives of files, and files packed by themselves (.gz, .xz, .bz2): each is read as if it lay there unpacked.

Files lie unpacked one at a time, in a temporary folder. Only kinds that are text of themselves are read.
"""

import bz2
import gzip
import lzma
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from ponder.data.document import UNREADABLE, Left, Unreadable
from ponder.data.packed import Budget, Member, faults, members
from ponder.data.read.reading import Texts

READ = frozenset((
    ".txt", ".md", ".rst", ".html", ".htm", ".xhtml", ".pdf", ".docx", ".epub", ".jsonl", ".json", ".mo", ".parquet",
    ".zip", ".gz", ".tar", ".tgz", ".xz", ".bz2",
))  # fmt: skip
ALONE: dict[str, Callable[..., object]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


def each(path: Path, read: Callable[[Path], Texts]) -> Texts:
    """read: what reads a file that lies unpacked."""
    budget = Budget(path.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="ponder-") as folder:
        for member in _alone(path) if _is_alone(path) else members(path):
            name = PurePosixPath(member.name)
            if name.suffix.lower() not in READ:
                budget.spend(member.size)
                yield Left("no kind of text", member.name)
                continue
            inner = Path(folder) / f"file{''.join(name.suffixes[-2:])[-20:]}"
            with inner.open("wb") as out:
                budget.copy(member.file, out)
            try:
                for text in read(inner):
                    yield text if isinstance(text, str) else Left(text.rule, f"{member.name}: {text.what}")
            except Unreadable as e:
                yield Left(UNREADABLE, f"{member.name} {e}")
            inner.unlink()


def _is_alone(path: Path) -> bool:
    if path.suffix.lower() not in ALONE or zipfile.is_zipfile(path):
        return False
    with faults():
        return not tarfile.is_tarfile(path)


def _alone(path: Path) -> Iterator[Member]:
    with faults():
        file = cast("IO[bytes]", ALONE[path.suffix.lower()](path, "rb"))
    with file:
        # a name without a kind of its own is text
        name = path.stem if PurePosixPath(path.stem).suffix.lower() in READ else f"{path.stem}.txt"
        yield Member(name, 0, file)
