"""Archives of crawlers (WARC, WET; ISO 28500): pages as their servers gave them, or as text."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from ponder.data.document import UNREADABLE, Left, Unreadable
from ponder.data.packed import faults
from ponder.data.read.html import main_text, page
from ponder.data.read.plain import LARGEST
from ponder.data.read.reading import Reading, Texts

PAGES = ("text/html", "application/xhtml+xml")
LINE, LINES = 1 << 16, 1_000  # of headers
PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""Encodings of bodies, and zlib's number for each."""

Headers = dict[str, str]


class Record(NamedTuple):
    headers: Headers
    body: bytes
    """Its first LARGEST + 1 bytes."""


def warc(path: Path, how: Reading) -> Texts:
    for record in _records(path):
        kind = record.headers.get("warc-type")
        if kind not in ("response", "conversion", "resource"):
            continue  # requests, notes of the crawler
        address = record.headers.get("warc-target-uri", "")
        try:
            text = _text(record, http=kind == "response")
        except Unreadable as e:
            yield Left(UNREADABLE, f"{address} {e}")
        else:
            if text is not None:
                yield text or Left("no main text", address)


def _records(path: Path) -> Iterator[Record]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
        with faults():
            while line := file.readline(LINE):
                if not line.strip():
                    continue
                if not line.startswith(b"WARC/"):
                    raise Unreadable(f"is no archive of pages: a record begins with {line[:40]!r}")
                headers = _headers(file)
                length = int(headers.get("content-length", "-1"))
                if length < 0:
                    raise Unreadable("is no archive of pages: a record has no length")
                body = file.read(min(length, LARGEST + 1))
                rest = length - len(body)
                while rest > 0 and (skipped := file.read(min(rest, 1 << 20))):
                    rest -= len(skipped)
                if rest > 0:
                    raise Unreadable("ends inside a record")
                yield Record(headers, body)


def _headers(file: IO[bytes]) -> Headers:
    """Up to the empty line, names in small letters."""
    found: Headers = {}
    for _ in range(LINES):
        name, _, value = file.readline(LINE).decode("utf-8", "replace").partition(":")
        if not name.strip():
            return found
        found[name.strip().lower()] = value.strip()
    raise Unreadable(f"has a record with more than {LINES} headers")


def _text(record: Record, *, http: bool) -> str | None:
    """None for what is no text; empty for a page without any."""
    headers, body = record
    if http:
        head, _, body = body.partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    kind, _, rest = headers.get("content-type", "").lower().partition(";")
    kind = kind.strip()
    if kind not in (*PAGES, "text/plain"):
        return None
    if len(record.body) > LARGEST:
        raise Unreadable(f"is larger than {LARGEST >> 20} MB")
    body = _decoded(body, headers) if http else body
    charset = rest.partition("charset=")[2].partition(";")[0].strip(" \"'") or None
    return (main_text(body, charset) or "") if kind in PAGES else page(body, charset)


def _decoded(body: bytes, headers: Headers) -> bytes:
    """As it was before the server packed it; crawlers that unpack say so by leaving the headers out."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _joined(body)
    packing = headers.get("content-encoding", "identity").lower()
    if packing in ("identity", ""):
        return body
    if packing not in PACKED:
        raise Unreadable(f"is packed as {packing}")
    try:
        body = zlib.decompressobj(PACKED[packing]).decompress(body, LARGEST + 1)
    except zlib.error as e:
        raise Unreadable(f"cannot be unpacked: {e}") from e
    if len(body) > LARGEST:
        raise Unreadable(f"unpacks to more than {LARGEST >> 20} MB")
    return body


def _joined(body: bytes) -> bytes:
    """Chunks without their lengths; a body that has none is left as it is."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\r\n", at)
        try:
            size = int(body[at:end].partition(b";")[0], 16)
        except ValueError:
            return body
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
