"""PDF files: the order of columns and tables, titles of pages, divided words, pictures, and files that are damaged."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pdf_files import Word, lines, pdf_of

from ponder.data.document import Left, Unreadable
from ponder.data.read.pdf import document
from ponder.data.read.pdf.layout import Piece
from ponder.data.read.pdf.picture import png
from ponder.data.read.reading import Reading, ReadPage
from ponder.data.read.table import texts_of

PROSE = [
    "The first line of this column is about as long",
    "as the others of it, since it is prose that goes",
    "on from line to line until the column has come",
    "to its very end, which is here.",
]


def read(folder: Path, pages: list[list[Word]], how: Reading | None = None, **more: list[int]) -> list[str | Left]:
    path = folder / "a.pdf"
    path.write_bytes(pdf_of(pages, **more))
    return list(texts_of(path, "auto", how))


def text_of(folder: Path, *pages: list[Word]) -> str:
    (text,) = read(folder, list(pages))
    assert isinstance(text, str)
    return text


def test_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    """Under a title that stands over both, and drawn line by line from left to right."""
    right = [line.replace("column", "second") for line in PROSE]
    words = [(60.0, 740.0, "A title that stands over both of the columns of this page and is long")]
    for a, b in zip(lines(60, 700, PROSE), lines(330, 700, right), strict=True):
        words += [a, b]
    words.append((60.0, 600.0, "And a last paragraph below both of the columns."))
    assert text_of(tmp_path, words).split("\n\n") == [
        "A title that stands over both of the columns of this page and is long",
        " ".join(PROSE), " ".join(right), "And a last paragraph below both of the columns.",
    ]  # fmt: skip


def test_columns_whose_lines_do_not_meet(tmp_path: Path) -> None:
    words = lines(60, 700, PROSE) + lines(330, 694, [line.replace("column", "second") for line in PROSE])
    text = text_of(tmp_path, words)
    assert text.index("which is here") < text.index("The first line of this second")


def test_tables_keep_their_rows(tmp_path: Path) -> None:
    rows = [("Name", "Size", "What it is"), ("alpha", "12", "the first"), ("beta", "7", "the second of them")]
    words = [(60.0 + 150 * c, 700.0 - 14 * r, cell) for r, row in enumerate(rows) for c, cell in enumerate(row)]
    assert text_of(tmp_path, words) == "Name | Size | What it is\nalpha | 12 | the first\nbeta | 7 | the second of them"


def test_a_cell_of_two_lines_is_one(tmp_path: Path) -> None:
    words = [
        (60.0, 700.0, "one"), (200.0, 700.0, "the first line of a"), (200.0, 688.0, "cell of two"),
        (60.0, 668.0, "two"), (200.0, 668.0, "short"),
    ]  # fmt: skip
    assert text_of(tmp_path, words) == "one | the first line of a cell of two\ntwo | short"


def test_titles_and_numbers_of_pages_are_left_out(tmp_path: Path) -> None:
    pages = [
        [(60.0, 760.0, f"The book of tests {n}"), (60.0, 700.0, f"Text {c} of this page."), (300.0, 40.0, f"{n + 1}")]
        for n, c in enumerate("abcd")
    ]  # fmt: skip
    assert text_of(tmp_path, *pages).split("\n\n") == [f"Text {c} of this page." for c in "abcd"]


def test_divided_words_are_mended(tmp_path: Path) -> None:
    text = text_of(tmp_path, lines(60, 700, [
        "The words at the end of these lines are divi-", "ded, but a well-known compound stays a well-",
        "known one, and what was divided by the ma-", "chine is whole again.",
    ]))  # fmt: skip
    assert text == (
        "The words at the end of these lines are divided, but a well-known compound stays a well-known one, and what "
        "was divided by the machine is whole again."
    )


def test_lines_of_a_poem_stay(tmp_path: Path) -> None:
    poem = ["Short is the first,", "longer is the second of them all,", "the third", "is fourth."]
    assert text_of(tmp_path, lines(60, 700, poem)) == "\n".join(poem)


def test_a_page_without_text_goes_to_whoever_reads_pictures(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def read_page(picture: bytes) -> str | None:
        seen.append(picture)
        return "What the picture says."

    pages = [lines(60, 700, ["A page of words that can be read."]), []]
    (text,) = read(tmp_path, pages, Reading(read_page=read_page), picture=[1])
    assert text == "A page of words that can be read.\n\nWhat the picture says."
    assert len(seen) == 1 and seen[0].startswith(b"\x89PNG")


@pytest.mark.parametrize("read_page", [None, lambda picture: None])
def test_a_page_without_text_is_named(read_page: ReadPage | None, tmp_path: Path) -> None:
    pages = [lines(60, 700, ["A page of words that can be read."]), []]
    assert read(tmp_path, pages, Reading(read_page=read_page), picture=[1]) == [
        Left("page without text", "page 2 of a.pdf"), "A page of words that can be read.",
    ]  # fmt: skip


def test_letters_without_a_meaning_are_read_as_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A font that does not say which letters its signs are: what comes out is of a private area, or unknown."""
    for sign in ("\ue123", "\ufffd"):
        words = [
            Piece(60, 60, 300, 70, f"{sign * 5} but some letters are known"),
            Piece(60, 80, 300, 90, "and more of them"),
        ]
        monkeypatch.setattr(document, "pieces", lambda page, words=words: words)
        page = [lines(60, 700, PROSE)]
        assert read(tmp_path, page, Reading(read_page=lambda picture: "As it is printed.")) == ["As it is printed."]
    words = [Piece(60, 60, 300, 70, "\ue123 is one sign of many in this line, which is well known")]
    monkeypatch.setattr(document, "pieces", lambda page: words)
    assert read(tmp_path, page) == [words[0].text]


def test_files_without_text(tmp_path: Path) -> None:
    for pages, picture in (([], []), ([[]], []), ([[]], [0])):
        with pytest.raises(Unreadable, match=r"no pages|no text|is no PDF"):
            read(tmp_path, pages, picture=picture)


def test_encrypted(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    (tmp_path / "plain.pdf").write_bytes(pdf_of([lines(60, 700, PROSE)]))
    writer = PdfWriter(clone_from=PdfReader(tmp_path / "plain.pdf"))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    with pytest.raises(Unreadable, match="is encrypted"):
        list(texts_of(tmp_path / "locked.pdf", "auto"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 1200), at=st.integers(0, 1200), byte=st.binary(max_size=3))
def test_damaged_files_are_read_or_refused(cut: int, at: int, byte: bytes, tmp_path: Path) -> None:
    raw = pdf_of([lines(60, 700, PROSE)])
    path = tmp_path / "a.pdf"
    path.write_bytes((raw[:at] + byte + raw[at + len(byte) :])[: len(raw) - cut])
    try:
        assert all(isinstance(text, str | Left) for text in texts_of(path, "auto"))
    except Unreadable as e:
        assert str(e)


def test_a_picture_has_its_values(tmp_path: Path) -> None:
    from matplotlib.image import imread

    for values in (np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(36, dtype=np.uint8).reshape(3, 4, 3)):
        (tmp_path / "a.png").write_bytes(png(values))
        found = np.asarray(imread(tmp_path / "a.png"))
        assert np.array_equal(np.round(found * 255).astype(np.uint8)[..., : values.shape[-1]], values)
