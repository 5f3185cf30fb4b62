"""The text of a document, page by page: PDF, docx, pptx, xlsx, epub, HTML, and whatever is text."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePath

from ponder.agent.tools.documents.office import READERS
from ponder.agent.tools.html_text import html_text
from ponder.agent.tools.text_encoding import decoded
from ponder.core.errors import UserError
from ponder.data.document import Unreadable
from ponder.sandbox.workspace import read

BYTES = 200_000_000


def content(path: Path, workspace: Path | None) -> bytes:
    """workspace: where sandboxed code may be swapping files for links at this moment; None for what the user
    attached."""
    if workspace is not None:
        return read(workspace, path.relative_to(workspace).as_posix(), BYTES)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file", param="files")
    if path.stat().st_size > BYTES:
        raise UserError(f"{path} is larger than {BYTES // 1_000_000} MB", param="files")
    return path.read_bytes()


def pages(path: PurePath, data: bytes) -> Iterator[tuple[str, str]]:
    """(where, text): "page 3" of a PDF, "" of what has no pages. path: says what kind it is. Raises UserError for what
    cannot be read."""
    match path.suffix.lower():
        case ".pdf":
            yield from _pdf(path, data)
        case kind if kind in READERS:
            yield from _zipped(path, data)
        case ".html" | ".htm" | ".xhtml":
            yield "", html_text(_plain(path, data))
        case _:
            yield "", _plain(path, data)


def _pdf(path: PurePath, data: bytes) -> Iterator[tuple[str, str]]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        for n, page in enumerate(PdfReader(BytesIO(data)).pages, 1):
            yield f"page {n}", page.extract_text()
    except PyPdfError as e:
        raise UserError(f"{path} is not a PDF that can be read: {e}", param="files") from e


def _zipped(path: PurePath, data: bytes) -> Iterator[tuple[str, str]]:
    kind = path.suffix.lower()
    try:
        yield from READERS[kind](data)
    except (Unreadable, KeyError) as e:
        raise UserError(f"{path} is not a {kind[1:]} that can be read: {e}", param="files") from e


def _plain(path: PurePath, data: bytes) -> str:
    if (text := decoded(data)) is None:
        raise UserError(
            f"{path} is not a text, or of an unknown encoding; known are PDF, {', '.join(READERS)}, HTML and any text",
            param="files",
        )
    return text
