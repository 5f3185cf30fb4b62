"""The text of zipped documents, part by part: docx, pptx, xlsx, epub. Plain XML in archives; no library is needed.

    for where, text in READERS[".pptx"](data): ...      # "slide 3"

Raises Unreadable, or KeyError for what lacks a part.
"""

import re
from collections.abc import Callable, Iterator
from posixpath import join, normpath
from xml.etree import ElementTree

from ponder.agent.tools.html_text import html_text
from ponder.data.packed import Zipped, zipped
from ponder.data.read.docx import document_text
from ponder.data.read.epub import chapters

UNPACKED = 200_000_000  # bytes of all parts
DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"

Parts = Iterator[tuple[str, str]]


def docx(data: bytes) -> Parts:
    with zipped(data, UNPACKED) as archive:
        yield "", document_text(archive)


def pptx(data: bytes) -> Parts:
    with zipped(data, UNPACKED) as archive:
        found = (re.fullmatch(r"ppt/slides/slide(\d+)\.xml", name) for name in archive.names)
        for number, name in sorted((int(slide[1]), slide[0]) for slide in found if slide):
            paragraphs = archive.tree(name).iter(f"{DRAWING}p")
            lines = ("".join(t.text or "" for t in p.iter(f"{DRAWING}t")) for p in paragraphs)
            yield f"slide {number}", "\n".join(line for line in lines if line.strip())


def xlsx(data: bytes) -> Parts:
    """Each sheet as lines of cells between tabs."""
    with zipped(data, UNPACKED) as archive:
        shared = _shared(archive)
        targets = _targets(archive, "xl/workbook.xml")
        for sheet in archive.tree("xl/workbook.xml").iter(f"{SHEET}sheet"):
            rows = archive.tree(targets[sheet.attrib[RELATION]]).iter(f"{SHEET}row")
            lines = ("\t".join(_cells(row, shared)).rstrip() for row in rows)
            yield f"sheet {sheet.get('name')}", "\n".join(line for line in lines if line)


def _shared(archive: Zipped) -> list[str]:
    """Texts that cells name by number."""
    if "xl/sharedStrings.xml" not in archive.names:
        return []
    items = archive.tree("xl/sharedStrings.xml").iter(f"{SHEET}si")
    return ["".join(t.text or "" for t in item.iter(f"{SHEET}t")) for item in items]


def _targets(archive: Zipped, name: str) -> dict[str, str]:
    """The parts that a part names, by their ids."""
    folder, _, file = name.rpartition("/")
    relations = archive.tree(f"{folder}/_rels/{file}.rels")
    return {r.get("Id", ""): normpath(join(folder, r.get("Target", ""))).lstrip("/") for r in relations}


def _cells(row: ElementTree.Element, shared: list[str]) -> Iterator[str]:
    """A cell that is left out in the file leaves its column empty."""
    at = 0
    for cell in row.iter(f"{SHEET}c"):
        place = _column(cell.get("r", ""))
        yield from [""] * max(0, min(place, at + 100) - at)
        at = max(at, place) + 1
        value = cell.findtext(f"{SHEET}v", "")
        match cell.get("t"):
            case "s":
                yield shared[int(value)] if value.isdigit() and int(value) < len(shared) else ""
            case "inlineStr":
                yield "".join(t.text or "" for t in cell.iter(f"{SHEET}t"))
            case _:
                yield value


def _column(reference: str) -> int:
    """0 for A1, 27 for AB3."""
    number = 0
    for letter in re.match(r"[A-Z]{0,3}", reference)[0]:  # type: ignore[index]
        number = 26 * number + ord(letter) - 64
    return number - 1


def epub(data: bytes) -> Parts:
    """Chapters in the order of reading."""
    with zipped(data, UNPACKED) as book:
        for number, name in enumerate(chapters(book), 1):
            if name in book.names and (text := html_text(book.read(name).decode("utf-8", "replace"))):
                yield f"chapter {number}", text


READERS: dict[str, Callable[[bytes], Parts]] = {".docx": docx, ".pptx": pptx, ".xlsx": xlsx, ".epub": epub}
