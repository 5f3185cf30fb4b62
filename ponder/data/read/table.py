"""Which reader a file gets, by the format that its source names or by its suffix."""

import errno
from pathlib import Path, PurePath
from typing import Literal

from ponder.core.errors import UserError
from ponder.data.document import UNREADABLE, Left, Unreadable
from ponder.data.read.archive import each
from ponder.data.read.code import code
from ponder.data.read.docx import docx
from ponder.data.read.epub import epub
from ponder.data.read.html import html
from ponder.data.read.lines import jsonl
from ponder.data.read.messages import gettext_catalog, json_messages
from ponder.data.read.mozilla import language_pack
from ponder.data.read.parquet import parquet
from ponder.data.read.pdf.document import pdf
from ponder.data.read.plain import plain
from ponder.data.read.reading import Reader, Reading, Texts
from ponder.data.read.warc import warc

Format = Literal[
    "auto", "text", "jsonl", "messages", "gettext", "mozilla", "html", "pdf", "docx", "epub", "parquet", "warc", "code",
    "archive",
]  # fmt: skip
SUFFIXES = {
    ".jsonl": "jsonl", ".json": "messages", ".mo": "gettext", ".xpi": "mozilla", ".html": "html", ".htm": "html",
    ".xhtml": "html", ".pdf": "pdf", ".docx": "docx", ".epub": "epub", ".parquet": "parquet", ".warc": "warc",
    ".warc.gz": "warc", ".wet.gz": "warc", ".zip": "archive", ".tar": "archive", ".tgz": "archive", ".gz": "archive",
    ".xz": "archive", ".bz2": "archive", ".whl": "archive",
}  # fmt: skip
"""All others are text."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def kind_of(path: PurePath) -> str:
    endings = ("".join(path.suffixes[-2:]).lower(), path.suffix.lower())
    return next((SUFFIXES[ending] for ending in endings if ending in SUFFIXES), "text")


def texts_of(path: Path, format: Format, how: Reading | None = None) -> Texts:
    """The texts of a file. Raises Unreadable where it is not what it is taken for (what came before is fine), and
    UserError where its kind needs a package that is not there."""
    kind = kind_of(path) if format == "auto" else format
    found, first = 0, None
    try:
        for text in READERS[kind](path, how or Reading()):
            if isinstance(text, str):
                found += 1
            elif text.rule == UNREADABLE:
                first = first or text.what
            yield text
    except OSError as e:
        if e.errno in FULL:  # our disk, not the file
            raise
        raise Unreadable(e.strerror or str(e)) from e
    except ModuleNotFoundError as e:
        extra = "parquet" if e.name == "pyarrow" else "data"
        raise UserError(
            f"files of the format {kind} need {e.name}: pip install 'ponder-llm[{extra}]'", param="format"
        ) from e
    if first is not None and not found:
        raise Unreadable(first)


def _archive(path: Path, how: Reading) -> Texts:
    def read(inner: Path) -> Texts:
        if kind_of(inner) == "archive":
            return iter([Left(UNREADABLE, "is an archive inside an archive")])
        return texts_of(inner, "auto", how)

    return each(path, read)


READERS: dict[str, Reader] = {
    "text": plain, "jsonl": jsonl, "messages": json_messages, "gettext": gettext_catalog, "mozilla": language_pack,
    "html": html, "pdf": pdf, "docx": docx, "epub": epub, "parquet": parquet, "warc": warc, "code": code,
    "archive": _archive,
}  # fmt: skip
