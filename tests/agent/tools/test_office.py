"""docx, pptx, xlsx and epub as text, part by part; damaged ones say so."""

import zipfile
from io import BytesIO
from pathlib import PurePath

import pytest

from ponder.agent.tools.doc_text import pages
from ponder.core.errors import UserError

A = "http://schemas.openxmlformats.org/drawingml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELS = "http://schemas.openxmlformats.org/package/2006/relationships"


def zipped(**parts: str) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


def slide(*lines: str) -> str:
    runs = "".join(f"<a:p><a:r><a:t>{line[:2]}</a:t></a:r><a:r><a:t>{line[2:]}</a:t></a:r></a:p>" for line in lines)
    return f'<p:sld xmlns:p="p" xmlns:a="{A}">{runs}<a:p/></p:sld>'


def test_slides_in_their_order() -> None:
    data = zipped(**{f"ppt/slides/slide{n}.xml": slide(f"Slide {n}", "图表") for n in (10, 2, 1)})
    assert list(pages(PurePath("a.PPTX"), data)) == [(f"slide {n}", f"Slide {n}\n图表") for n in (1, 2, 10)]


def test_sheets_as_lines_of_cells() -> None:
    rows = (
        '<row><c r="A1" t="s"><v>0</v></c><c r="C1"><v>1.5</v></c></row><row/>'
        '<row><c r="B3" t="inlineStr"><is><t>in line</t></is></c><c t="s"><v>7</v></c></row>'
    )
    book = f'<workbook xmlns="{S}" xmlns:r="{R}"><sheets><sheet name="Q1 销售" r:id="r9"/></sheets></workbook>'
    relation = '<Relationship Id="r9" Target="worksheets/one.xml"/>'
    data = zipped(**{
        "xl/workbook.xml": book,
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{RELS}">{relation}</Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{S}"><si><r><t>To</t></r><r><t>tal</t></r></si></sst>',
        "xl/worksheets/one.xml": f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData></worksheet>',
    })  # fmt: skip
    assert list(pages(PurePath("a.xlsx"), data)) == [("sheet Q1 销售", "Total\t\t1.5\n\tin line")]


def test_chapters_in_the_order_of_reading() -> None:
    data = zipped(**{
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
                                  '<rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="b" href="b%20b.xhtml"/>'
                          '<item id="a" href="a.xhtml"/></manifest><spine><itemref idref="b"/><itemref idref="a"/>'
                          '<itemref idref="gone"/></spine></package>',
        "OEBPS/a.xhtml": "<html><body><p>Second.</p></body></html>", "OEBPS/b b.xhtml": "<h1>First</h1>",
    })  # fmt: skip
    assert list(pages(PurePath("a.epub"), data)) == [("chapter 1", "# First"), ("chapter 2", "Second.")]


def test_tables_of_word_documents() -> None:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    cells = "".join(f"<w:tc><w:p><w:r><w:t>{c}</w:t></w:r></w:p></w:tc>" for c in ("Rent", "900"))
    body = f"<w:p><w:r><w:t>Costs</w:t></w:r></w:p><w:tbl><w:tr>{cells}</w:tr></w:tbl>"
    data = zipped(**{"word/document.xml": f'<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>'})
    assert list(pages(PurePath("a.docx"), data)) == [("", "Costs\n\nRent | 900")]


def test_a_part_that_unpacks_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ponder.agent.tools.documents.office.UNPACKED", 1000)
    with pytest.raises(UserError, match="unpacks to far more than its size"):
        list(pages(PurePath("a.pptx"), zipped(**{"ppt/slides/slide1.xml": slide("x" * 2000)})))


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx", "epub"])
def test_damaged_files_say_so(kind: str) -> None:
    damaged = [b"PK nonsense", b""] + ([] if kind == "pptx" else [zipped(other="x")])  # no slides are none
    for data in damaged:
        with pytest.raises(UserError, match=f"is not a {kind} that can be read"):
            list(pages(PurePath(f"a.{kind}"), data))
