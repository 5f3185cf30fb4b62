"""The text of a document, page by page: PDF, docx, HTML, and whatever is text."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from ponder.agent.html_text import html_text
from ponder.core.errors import UserError

BYTES = 200_000_000
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def pages(path: Path) -> Iterator[tuple[str, str]]:
    """(where, text): "page 3" of a PDF, "" of what has no pages. Raises UserError for what cannot be read."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file", param="files")
    if path.stat().st_size > BYTES:
        raise UserError(f"{path} is larger than {BYTES // 1_000_000} MB", param="files")
    match path.suffix.lower():
        case ".pdf":
            yield from _pdf(path)
        case ".docx":
            yield "", _docx(path)
        case ".html" | ".htm" | ".xhtml":
            yield "", html_text(_plain(path))
        case _:
            yield "", _plain(path)


def _pdf(path: Path) -> Iterator[tuple[str, str]]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        for n, page in enumerate(PdfReader(path).pages, 1):
            yield f"page {n}", page.extract_text()
    except PyPdfError as e:
        raise UserError(f"{path} is not a PDF that can be read: {e}", param="files") from e


def _docx(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("word/document.xml")
            if info.file_size > BYTES:
                raise UserError(f"{path} unpacks to more than {BYTES // 1_000_000} MB", param="files")
            root = ElementTree.fromstring(archive.read(info))
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError) as e:
        raise UserError(f"{path} is not a docx that can be read: {e}", param="files") from e
    return "\n".join("".join(run.text or "" for run in p.iter(f"{WORD}t")) for p in root.iter(f"{WORD}p"))


def _plain(path: Path) -> str:
    data = path.read_bytes()
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path} is not a text; known are PDF, docx, HTML and text of any kind", param="files")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return data.decode(encoding, "replace")
