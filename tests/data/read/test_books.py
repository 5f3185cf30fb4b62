"""Pages, Word documents, books: their text, without menus and markup, and files that only claim to be one."""

from pathlib import Path

import pytest
from test_packed import zip_of

from ponder.data.document import UNREADABLE, Left, Unreadable
from ponder.data.read.html import page
from ponder.data.read.table import texts_of

SENTENCE = "Grüße aus dem Süden, wo die Äpfel blühen und jeder Satz lang genug ist, um einer zu sein."
PAGE = f"""<html><head><title>T</title>{{}}</head><body><nav><a href="/">Home</a> <a href="/b">About</a></nav>
<main><h1>A heading</h1><p>{SENTENCE}</p><p>{SENTENCE.upper()}</p>
<table><tr><td>one</td><td>two</td></tr></table></main><footer>Copyright by nobody</footer></body></html>"""


def read(path: Path, raw: bytes) -> list[str | Left]:
    path.write_bytes(raw)
    return list(texts_of(path, "auto"))


def test_a_page(tmp_path: Path) -> None:
    (text,) = read(tmp_path / "a.html", PAGE.format("").encode())
    assert isinstance(text, str) and SENTENCE in text and SENTENCE.upper() in text and "one" in text
    assert "About" not in text and "Copyright" not in text and "<" not in text


@pytest.mark.parametrize(("written", "declared"), [
    ("utf-8", "utf-8"), ("utf-8", "iso-8859-1"), ("cp1252", "windows-1252"), ("cp1252", "utf-8"),
    ("cp1252", "nonsense"), ("utf-16", "utf-8"), ("utf-8-sig", "ascii"),
])  # fmt: skip
def test_encodings_that_lie(written: str, declared: str, tmp_path: Path) -> None:
    (text,) = read(tmp_path / "a.html", PAGE.format(f'<meta charset="{declared}">').encode(written))
    assert isinstance(text, str) and SENTENCE in text
    xml = f'<?xml version="1.0" encoding="{declared}"?>' + PAGE.format("")
    (text,) = read(tmp_path / "a.xhtml", xml.encode(written))
    assert isinstance(text, str) and SENTENCE in text


def test_what_a_server_says_counts_before_the_page() -> None:
    assert page("<meta charset=utf-8>Привет".encode("koi8-r"), "koi8-r").endswith("Привет")


@pytest.mark.parametrize(
    "raw", [b"", b"<html></html>", b"<div>" * 50_000, b"\0" * 100, b"<html><body><script>x</script>"]
)
def test_pages_without_text(raw: bytes, tmp_path: Path) -> None:
    try:
        assert all(isinstance(text, Left) for text in read(tmp_path / "a.html", raw))
    except Unreadable as e:
        assert str(e)


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
WORDS = f"""<?xml version="1.0"?><w:document {W}><w:body>
<w:p><w:r><w:t>First </w:t></w:r><w:ins><w:r><w:t>added</w:t></w:r></w:ins><w:del><w:r>
<w:delText>gone</w:delText></w:r></w:del></w:p><w:p/><w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p>
<w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
<w:p><w:r><w:t>Last</w:t><w:br/><w:t>line</w:t></w:r></w:p></w:body></w:document>"""


def test_a_word_document(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.docx", {"word/document.xml": WORDS.encode()})
    assert list(texts_of(path, "auto")) == ["First added\n\na | b c\n\nLast\nline"]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize("raw", [
    b"", b"<a>", "<a/>".encode("utf-16")[:-1], f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l11;</a>'.encode(),
    b'<?xml version="1.0" encoding="nonsense"?><a/>',
])  # fmt: skip
def test_word_documents_that_are_none(raw: bytes, tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.docx", {"word/document.xml": raw})
    with pytest.raises(Unreadable, match="is no XML"):
        list(texts_of(path, "auto"))
    with pytest.raises(Unreadable, match="cannot be unpacked"):
        list(texts_of(zip_of(tmp_path / "b.docx", {"other": b""}), "auto"))


BOOK = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
    "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="b" href="second%20one.xhtml"/>'
    '<item id="a" href="../first.xhtml"/><item id="c" href="cover.xhtml"/></manifest>'
    '<spine><itemref idref="c"/><itemref idref="a"/><itemref idref="b"/></spine></package>',
    "first.xhtml": PAGE.format("").replace(SENTENCE, f"{SENTENCE} One."),
    "OEBPS/second one.xhtml": PAGE.format("").replace(SENTENCE, f"{SENTENCE} Two."),
    "OEBPS/cover.xhtml": "<html><body><img src='a.png'/></body></html>",
}


def epub(path: Path, changes: dict[str, str]) -> Path:
    return zip_of(path, {name: text.encode() for name, text in (BOOK | changes).items()})


def test_a_book_is_read_in_its_order(tmp_path: Path) -> None:
    cover, first, second = texts_of(epub(tmp_path / "a.epub", {}), "auto")
    assert cover == Left("no main text", "OEBPS/cover.xhtml")
    assert isinstance(first, str) and f"{SENTENCE} One." in first
    assert isinstance(second, str) and f"{SENTENCE} Two." in second


def test_books_that_are_locked_or_damaged(tmp_path: Path) -> None:
    lock = (
        '<encryption><EncryptedData><CipherData><CipherReference URI="{}"/></CipherData></EncryptedData></encryption>'
    )
    changes = {"META-INF/encryption.xml": lock.format("first.xhtml")}
    with pytest.raises(Unreadable, match="is encrypted"):
        list(texts_of(epub(tmp_path / "a.epub", changes), "auto"))
    fonts_only = {"META-INF/encryption.xml": lock.format("fonts/a.otf")}
    assert len(list(texts_of(epub(tmp_path / "a.epub", fonts_only), "auto"))) == 3
    with pytest.raises(Unreadable, match="names no chapters"):
        list(texts_of(epub(tmp_path / "a.epub", {"OEBPS/book.opf": "<package/>"}), "auto"))
    missing = {"OEBPS/book.opf": BOOK["OEBPS/book.opf"].replace("../first", "nowhere")}
    assert [text.rule for text in texts_of(epub(tmp_path / "a.epub", missing), "auto") if isinstance(text, Left)] == [
        "no main text", UNREADABLE,
    ]  # fmt: skip
