"""A text file is one document: UTF-8, or UTF-16 with its mark."""

import codecs
from pathlib import Path

from ponder.data.document import Unreadable
from ponder.data.read.reading import Reading, Texts

LARGEST = 64 << 20
"""Bytes of a file that is one document, or of a line: more is a dump, which has lines of its own."""


def plain(path: Path, how: Reading) -> Texts:
    yield decoded(bounded(path))


def bounded(path: Path) -> bytes:
    if path.stat().st_size > LARGEST:
        raise Unreadable(f"larger than {LARGEST >> 20} MB: cut it into documents, one a line of a .jsonl file")
    return path.read_bytes()


def decoded(raw: bytes) -> str:
    encoding = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in raw:
        raise Unreadable("has zero bytes: no text")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as e:
        raise Unreadable(f"is not {encoding}: {e.reason} at byte {e.start}") from e
