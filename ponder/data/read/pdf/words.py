"""The characters of a page of a PDF with their places, as pieces of lines."""

import ctypes
from typing import TYPE_CHECKING

from ponder.data.read.pdf.layout import Piece

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

GAP = 0.7  # of a line's height: a wider blank ends the piece, as between columns
BLANK = 0.12  # of a line's height: a wider gap is a blank, if the file has none there
_SHAPES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}


def pieces(page: "PdfPage") -> list[Piece]:
    """In the order in which the file draws them."""
    import pypdfium2.raw as pdfium

    height = page.get_height()
    textpage = page.get_textpage()
    try:
        box, place = pdfium.FS_RECTF(), textpage.raw
        pointer = ctypes.byref(box)
        found: list[Piece] = []
        open_: _Open | None = None
        for n in range(pdfium.FPDFText_CountChars(place)):
            point = pdfium.FPDFText_GetUnicode(place, n)
            if point in (10, 13) or point == 0:
                if point == 10 and open_ is not None:
                    found.append(open_.piece(height))
                    open_ = None
                continue
            text = _SHAPES.get(point) or chr(point)
            if text.isspace():
                if open_ is not None:
                    open_.blank = True
                continue
            pdfium.FPDFText_GetLooseCharBox(place, n, pointer)
            left, top, right, bottom = box.left, box.top, box.right, box.bottom
            if open_ is not None and not open_.goes_on(left, top, right, bottom):
                found.append(open_.piece(height))
                open_ = None
            if open_ is None:
                open_ = _Open(text, left, top, right, bottom)
            else:
                open_.add(text, left, top, right, bottom)
        if open_ is not None:
            found.append(open_.piece(height))
        return found
    finally:
        textpage.close()


class _Open:
    """A piece to which characters are added."""

    def __init__(self, text: str, left: float, top: float, right: float, bottom: float) -> None:
        self.parts, self.blank = [text], False
        self.left, self.top, self.right, self.bottom = left, top, right, bottom
        self.last_left, self.last_right = left, right

    def goes_on(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Whether a character stands on the same line, and near."""
        middle, height = (top + bottom) / 2, self.top - self.bottom
        gap = max(left - self.last_right, self.last_left - right)  # scripts run both ways
        return self.bottom <= middle <= self.top and gap <= GAP * height

    def add(self, text: str, left: float, top: float, right: float, bottom: float) -> None:
        gap = max(left - self.last_right, self.last_left - right)
        self.parts += [" ", text] if self.blank or gap > BLANK * (top - bottom) else [text]
        self.blank = False
        self.left, self.right = min(self.left, left), max(self.right, right)
        self.top, self.bottom = max(self.top, top), min(self.bottom, bottom)
        self.last_left, self.last_right = left, right

    def piece(self, page: float) -> Piece:
        return Piece(self.left, page - self.top, self.right, page - self.bottom, "".join(self.parts))
