"""Pages of the web: their main text, without menus, banners and footers. By trafilatura."""

import logging
import re
from pathlib import Path

from ponder.data.document import Left, Unreadable
from ponder.data.read.plain import bounded
from ponder.data.read.reading import Reading, Texts

_DECLARED = re.compile(rb"""<(?:meta[^>]*charset|\?xml[^>]*encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_XML = re.compile(r"^\s*<\?xml[^>]*\?>")


def html(path: Path, how: Reading) -> Texts:
    yield main_text(bounded(path)) or Left("no main text", path.name)


def main_text(raw: bytes, charset: str | None = None, *, all_of_it: bool = False) -> str | None:
    """None for a page without one. charset: as its server said. all_of_it: a chapter of a book, which has no menus."""
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.ERROR)  # a page without text is counted, not warned of
    text = _XML.sub("", page(raw, charset))  # what it declares is no longer true
    try:
        return trafilatura.extract(text, include_comments=False, include_tables=True, favor_recall=all_of_it)
    except (RecursionError, ValueError, AssertionError) as e:
        raise Unreadable(f"is no page: {e}") from e


def page(raw: bytes, charset: str | None = None) -> str:
    """UTF-8 where it is that, whatever is declared: a text of another encoding is hardly ever valid UTF-8. Else as
    declared, where that works out; else what its bytes look like."""
    for encoding in ("utf-8-sig", *_utf16(raw), charset, _declared(raw)):
        if encoding is not None and (text := _decoded(raw, encoding)) is not None:
            return text
    from charset_normalizer import from_bytes

    best = from_bytes(raw).best()
    if best is None:
        raise Unreadable("has no encoding that its bytes agree with")
    return str(best)


def _utf16(raw: bytes) -> tuple[str, ...]:
    return ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ()


def _declared(raw: bytes) -> str | None:
    found = _DECLARED.search(raw[:4096])
    return found[1].decode("ascii", "replace") if found else None


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        text = raw.decode(encoding)
    except (UnicodeError, LookupError):
        return None
    return None if "\0" in text else text
