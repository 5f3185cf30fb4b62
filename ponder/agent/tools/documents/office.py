"""The text of zipped documents, part by part: docx, pptx, xlsx, epub. Plain XML in archives; no library is needed.

    for where, text in READERS[".pptx"](data): ...      # "slide 3"

Raises BadZipFile, KeyError, ParseError or UserError for what is damaged or unpacks to too much.
"""

import re
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from posixpath import dirname, join, normpath
from urllib.parse import unquote
from xml.etree import ElementTree

from ponder.agent.tools.html_text import html_text
from ponder.core.errors import UserError

UNPACKED = 200_000_000  # bytes of one part
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
OPF = "{http://www.idpf.org/2007/opf}"

Parts = Iterator[tuple[str, str]]


class _Archive:
    def __init__(self, data: bytes) -> None:
        self._zip = zipfile.ZipFile(BytesIO(data))
        self.names = self._zip.namelist()

    def read(self, name: str) -> bytes:
        info = self._zip.getinfo(name)
        if info.file_size > UNPACKED:
            raise UserError(f"it unpacks to more than {UNPACKED // 1_000_000} MB", param="files")
        return self._zip.read(info)

    def tree(self, name: str) -> ElementTree.Element:
        return ElementTree.fromstring(self.read(name))

    def targets(self, name: str) -> dict[str, str]:
        """The parts that a part names, by their ids."""
        folder, _, file = name.rpartition("/")
        relations = self.tree(f"{folder}/_rels/{file}.rels")
        return {r.get("Id", ""): normpath(join(folder, r.get("Target", ""))).lstrip("/") for r in relations}


def docx(data: bytes) -> Parts:
    root = _Archive(data).tree("word/document.xml")
    yield "", "\n".join("".join(run.text or "" for run in p.iter(f"{WORD}t")) for p in root.iter(f"{WORD}p"))


def pptx(data: bytes) -> Parts:
    archive = _Archive(data)
    slides = [
        (int(found[1]), name) for name in archive.names if (found := re.fullmatch(r"ppt/slides/slide(\d+)\.xml", name))
    ]
    for number, name in sorted(slides):
        lines = ("".join(t.text or "" for t in p.iter(f"{DRAWING}t")) for p in archive.tree(name).iter(f"{DRAWING}p"))
        yield f"slide {number}", "\n".join(line for line in lines if line.strip())


def xlsx(data: bytes) -> Parts:
    """Each sheet as lines of cells between tabs."""
    archive = _Archive(data)
    shared: list[str] = []
    if "xl/sharedStrings.xml" in archive.names:
        shared = [
            "".join(t.text or "" for t in item.iter(f"{SHEET}t")) for item in archive.tree("xl/sharedStrings.xml")
        ]
    targets = archive.targets("xl/workbook.xml")
    for sheet in archive.tree("xl/workbook.xml").iter(f"{SHEET}sheet"):
        rows = archive.tree(targets[sheet.attrib[RELATION]]).iter(f"{SHEET}row")
        lines = ("\t".join(_cells(row, shared)).rstrip() for row in rows)
        yield f"sheet {sheet.get('name')}", "\n".join(line for line in lines if line)


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
    archive = _Archive(data)
    container = archive.tree("META-INF/container.xml").find(f".//{CONTAINER}rootfile")
    if container is None:
        raise KeyError("rootfile")
    package = container.attrib["full-path"]
    root = archive.tree(package)
    files = {item.get("id"): item.get("href", "") for item in root.iter(f"{OPF}item")}
    for number, item in enumerate(root.iter(f"{OPF}itemref"), 1):
        name = normpath(join(dirname(package), unquote(files.get(item.get("idref"), ""))))
        if name in archive.names and (text := html_text(archive.read(name).decode("utf-8", "replace"))):
            yield f"chapter {number}", text


READERS: dict[str, Callable[[bytes], Parts]] = {".docx": docx, ".pptx": pptx, ".xlsx": xlsx, ".epub": epub}
