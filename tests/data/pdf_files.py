"""PDF files made by hand: words at places, and pictures."""

import zlib
from collections.abc import Sequence

Word = tuple[float, float, str]  # from the left lower corner, in points; a page has 612 x 792
SIZE = 10


def pdf_of(pages: Sequence[Sequence[Word]], *, picture: Sequence[int] = ()) -> bytes:
    """picture: numbers of the pages that also show a grey picture."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for n, words in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        drawn = b"".join(_drawn(word) for word in words)
        if n in picture:
            drawn += b"q 200 0 0 200 %d 300 cm BI /W 2 /H 2 /CS /G /BPC 8 ID \x00\x80\x80\x00 EI Q\n" % (100 + 10 * n)
        packed = zlib.compress(drawn)
        objects.append(f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream")
    raw, places = b"%PDF-1.4\n", []
    for n, body in enumerate(objects):
        places.append(len(raw))
        raw += f"{n + 1} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{table}"
    return raw + f"{end}trailer << /Size {len(places) + 1} /Root 1 0 R >>\nstartxref\n{len(raw)}\n%%EOF\n".encode()


def lines(left: float, top: float, texts: Sequence[str]) -> list[Word]:
    return [(left, top - 12 * n, text) for n, text in enumerate(texts)]


def _drawn(word: Word) -> bytes:
    left, low, text = word
    raw = text.encode("cp1252")
    for special in (b"\\", b"(", b")"):
        raw = raw.replace(special, b"\\" + special)
    return b"BT /F1 %d Tf %.1f %.1f Td (%s) Tj ET\n" % (SIZE, left, low, raw)
