"""The text of a file that was attached in the web chat, with its pages marked, and how many tokens it has."""

import re
from functools import cache
from pathlib import PurePath

from pypdf.errors import PyPdfError

from ponder.agent.tools.doc_text import pages
from ponder.agent.tools.documents.office import READERS
from ponder.core.errors import UserError
from ponder.server.http.errors import ApiError
from ponder.text.tokenizer.tokenizer import Tokenizer

KNOWN = (".pdf", *READERS)
MARK = re.compile(r"^\[((?:page|slide|chapter) \d+|sheet [^\]\n]{1,60})\]$", re.MULTILINE)


def read(name: str, raw: bytes) -> tuple[str, int]:
    """-> the text, and its tokens as Qwen3 counts them. Raises ApiError 415 for a file without text, 400 for one that
    is damaged."""
    if raw.startswith(b"%PDF-") and not name.lower().endswith(".pdf"):
        name += ".pdf"
    try:
        parts = [(where, text) for where, text in pages(PurePath(name), raw) if text.strip()]
    except UserError as e:
        known = PurePath(name).suffix.lower() in KNOWN
        text = (
            f"this file cannot be read: {e}"
            if known
            else f"{name}: not a text and not a PDF, nor {', '.join(KNOWN[1:])}"
        )
        raise ApiError(400 if known else 415, text, param="file") from e
    except (PyPdfError, ValueError, KeyError, TypeError, RecursionError, AttributeError) as e:
        raise ApiError(400, f"{name} cannot be read: {type(e).__name__}", param="file") from e
    if not parts:
        raise ApiError(415, f"{name} holds no text; scanned pages are pictures", param="file")
    text = "\n\n".join(f"[{where}]\n{text.strip()}" if where else text for where, text in parts)
    return text, len(_tokenizer().encode(text))


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.packaged("qwen3")
