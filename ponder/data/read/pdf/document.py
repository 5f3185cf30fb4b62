"""PDF files: a document a file. The words of a page are placed by `layout`; a page without words is a picture, and goes
to `Reading.read_page` if there is one.

What stands on top or at the foot of many pages is left out, and words divided at the end of a line are mended.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.data.document import Left, Unreadable
from ponder.data.read.pdf.layout import HYPHENS, Row, blocks, rows
from ponder.data.read.pdf.picture import png
from ponder.data.read.pdf.words import pieces
from ponder.data.read.reading import Reading, Texts

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

EDGE = 2  # rows on top and at the foot that may be a running title
REPEATED = 3  # pages on which it stands at least
FEWEST = 8  # letters of a page that is no picture
UNKNOWN = 0.1  # share of characters without a meaning, from which a page is read as a picture
PICTURE = 2.0  # points of a picture for one of the page: 144 dots an inch
_NUMBER = re.compile(r"\W*(\d+|[ivxlc]+)\W*((/|of|von|de|sur|di)\W*\d+\W*)?", re.IGNORECASE)
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b")
_DIVIDED = re.compile(rf"(\w+)[{HYPHENS}]\n(\w+)")
_SOFT = re.compile(r"[\u0002\u00ad\ufffe]")


def pdf(path: Path, how: Reading) -> Texts:
    with _opened(path) as document:
        pages: list[list[Row] | str] = []
        for number in range(len(document)):
            found = _words(document, number)
            if found is not None:
                pages.append(found)
            elif how.read_page is not None and (read := how.read_page(_picture(document, number))):
                pages.append(read)
            else:
                yield Left("page without text", f"page {number + 1} of {path.name}")
    text = joined(_without_titles(pages))
    if not text.strip():
        raise Unreadable("has no text: its pages are pictures, or empty")
    yield text


@contextmanager
def _opened(path: Path) -> Iterator["PdfDocument"]:
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as e:
        raise Unreadable("is encrypted" if "assword" in str(e) else f"is no PDF: {e}") from e
    try:
        if len(document) == 0:
            raise Unreadable("has no pages")
        yield document
    finally:
        document.close()


def _words(document: "PdfDocument", number: int) -> list[Row] | None:
    """None for a page that must be read as a picture; an empty page has no rows."""
    import pypdfium2 as pdfium

    try:
        page = document[number]
    except pdfium.PdfiumError:
        return []
    try:
        found = pieces(page)
        text = "".join(piece.text for piece in found)
        if sum(map(str.isalpha, text)) < FEWEST:
            return None if any(True for _ in page.get_objects(max_depth=2)) else []
        unknown = sum(c == "\ufffd" or "\ue000" <= c <= "\uf8ff" for c in text)
        return None if unknown > UNKNOWN * len(text) else rows(found)
    finally:
        page.close()


def _picture(document: "PdfDocument", number: int) -> bytes:
    page = document[number]
    try:
        return png(page.render(scale=PICTURE, grayscale=True).to_numpy())
    finally:
        page.close()


def _without_titles(pages: Sequence[list[Row] | str]) -> Iterator[list[Row] | str]:
    edges = Counter(key for page in pages if isinstance(page, list) for key in {_key(row) for row in _edge(page)})
    for page in pages:
        if isinstance(page, str) or len(pages) < REPEATED:
            yield page
            continue
        titles = [r for r in _edge(page) if edges[_key(r)] >= REPEATED or _NUMBER.fullmatch(r.text)]
        yield [row for row in page if not any(row is title for title in titles)]


def _edge(page: list[Row]) -> list[Row]:
    return page if len(page) <= 2 * EDGE else page[:EDGE] + page[-EDGE:]


def _key(row: Row) -> str:
    return _DIGITS.sub("0", row.text)


def joined(pages: Iterator[list[Row] | str]) -> str:
    """Paragraphs with an empty line between them; one that goes on over the page is one."""
    parts: list[str] = []
    for page in pages:
        found = [page] if isinstance(page, str) else blocks(page)
        if parts and found and found[0][:1].islower() and parts[-1][-1:] not in ".!?:|":
            parts[-1] += "\n" + found[0]
            found = found[1:]
        parts += found
    text = "\n\n".join(parts)
    known = Counter(re.findall(r"\w+(?:-\w+)*", text))
    return _SOFT.sub("-", _DIVIDED.sub(lambda divided: _mended(divided, known), text))


def _mended(divided: re.Match[str], known: Counter[str]) -> str:
    """Wait-ing: as it stands elsewhere; else without the hyphen, unless a capital or a number follows it."""
    first, second = divided[1], divided[2]
    whole, compound = first + second, f"{first}-{second}"
    if known[whole] > known[compound]:
        return whole
    return compound if known[compound] or not second[0].islower() or not first[-1].isalpha() else whole
