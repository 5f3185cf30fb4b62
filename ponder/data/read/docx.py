"""Word documents: paragraphs, and tables as rows with ` | ` between cells. What was struck out is not read."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from ponder.data.document import Left
from ponder.data.packed import Zipped, zipped
from ponder.data.read.reading import Reading, Texts

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_BREAKS = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}


def docx(path: Path, how: Reading) -> Texts:
    with zipped(path) as archive:
        yield document_text(archive) or Left("no text", path.name)


def document_text(archive: Zipped) -> str:
    """Blocks between empty lines. Raises Unreadable."""
    body = archive.tree("word/document.xml").find(f"{W}body")
    return "\n\n".join(_blocks(body)) if body is not None else ""


def _blocks(parent: ET.Element) -> Iterator[str]:
    """Paragraphs and tables below, in order, without the empty ones."""
    for element in parent:
        if element.tag == f"{W}p":
            if text := _paragraph(element):
                yield text
        elif element.tag == f"{W}tbl":
            rows = [" | ".join(_cell(cell) for cell in row.iter(f"{W}tc")) for row in element.iterfind(f"{W}tr")]
            yield "\n".join(rows)
        elif element.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}ins"):
            yield from _blocks(element)


def _paragraph(element: ET.Element) -> str:
    parts = [part.text or "" if part.tag == f"{W}t" else _BREAKS.get(part.tag, "") for part in element.iter()]
    return "".join(parts).strip()


def _cell(element: ET.Element) -> str:
    return " ".join(" ".join(_blocks(element)).split())
