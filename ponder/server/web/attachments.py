"""The text of a file that was attached in the web chat: PDF by pypdf, everything else as text."""

import io

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from ponder.agent.tools.text_encoding import decoded
from ponder.server.http.errors import ApiError

MAX_PAGES = 2000


def text_of(name: str, raw: bytes) -> str:
    """Raises ApiError 415 for a file without text, 400 for one that is damaged."""
    if raw.startswith(b"%PDF-") or name.lower().endswith(".pdf"):
        return _pdf(raw)
    if (text := decoded(raw)) is not None:
        return text
    raise ApiError(415, f"{name}: not a text and not a PDF", param="file")


def _pdf(raw: bytes) -> str:
    try:
        pages = [page.extract_text() for page in PdfReader(io.BytesIO(raw)).pages[:MAX_PAGES]]
    except (PyPdfError, ValueError, KeyError, TypeError, RecursionError, AttributeError) as e:
        raise ApiError(400, f"this PDF cannot be read: {type(e).__name__}", param="file") from e
    text = "\n\n".join(p.strip() for p in pages if p.strip())
    if not text:
        raise ApiError(415, "this PDF holds pictures of pages only, no text", param="file")
    return text
