"""Files of many documents: JSON lines, tables, archives of crawlers, language packs, source trees."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_packed import zip_of

from ponder.data.document import UNREADABLE, Left, Unreadable
from ponder.data.read import plain
from ponder.data.read.code import is_code
from ponder.data.read.reading import Reading
from ponder.data.read.table import kind_of, texts_of

SENTENCE = "Here is a sentence that is long enough to be taken for the text of a page, and another one follows it."


def test_a_line_that_is_none_does_not_end_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "one"}\n{"txt": 1}\n{"text": 2}\n\xff\n{"text": "two"}')
    texts = list(texts_of(tmp_path / "a.jsonl", "auto"))
    assert [text for text in texts if isinstance(text, str)] == ["one", "two"]
    assert [text.rule for text in texts if isinstance(text, Left)] == [UNREADABLE] * 3


def test_the_text_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"content": "one", "text": "two"}')
    assert list(texts_of(tmp_path / "a.jsonl", "auto", Reading(field="content"))) == ["one"]


@pytest.mark.parametrize("size", [100 << 20, pytest.param(2 << 30, marks=pytest.mark.slow)])
def test_a_line_of_two_gigabytes(size: int, tmp_path: Path) -> None:
    """Never in memory as a whole: a file with a hole has it."""
    with (tmp_path / "a.jsonl").open("wb") as file:
        file.write(b'{"text": "one"}\n')
        file.seek(size)
        file.write(b'\n{"text": "two"}\n')
    first, long, last = texts_of(tmp_path / "a.jsonl", "auto")
    assert (first, last) == ("one", "two")
    assert long == Left(UNREADABLE, f"line 2 is longer than {plain.LARGEST >> 20} MB")
    with pytest.raises(Unreadable, match="larger than"):
        list(texts_of(tmp_path / "a.jsonl", "text"))


def test_tables(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"text": ["one", None, "two"], "n": [1, 2, 3]}), tmp_path / "a.parquet")
    assert list(texts_of(tmp_path / "a.parquet", "auto")) == [
        "one", Left(UNREADABLE, "a row whose text is no text"), "two",
    ]  # fmt: skip
    with pytest.raises(Unreadable, match="no column words; there are text, n"):
        list(texts_of(tmp_path / "a.parquet", "auto", Reading(field="words")))
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(Unreadable, match="is no table"):
        list(texts_of(tmp_path / "b.parquet", "auto"))


def record(kind: str, content: str, raw: bytes, **headers: str) -> bytes:
    """Of a crawl. headers: of the server's answer."""
    if kind == "response":
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        raw = f"HTTP/1.1 200 OK\r\nContent-Type: {content}\r\n{more}\r\n".encode() + raw
        content = "application/http; msgtype=response"
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://example.com/\r\nContent-Type: {content}\r\n"
    return head.encode() + f"Content-Length: {len(raw)}\r\n\r\n".encode() + raw + b"\r\n\r\n"


HTML = f"<html><body><main><p>{SENTENCE} Naïve.</p><p>{SENTENCE}</p></main></body></html>"


@pytest.mark.parametrize("packed", [False, True])
def test_crawls(packed: bool, tmp_path: Path) -> None:
    latin, path = HTML.encode("latin-1"), tmp_path / "a.warc"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (latin[:50], latin[50:])) + b"0\r\n\r\n"
    records = [
        record("warcinfo", "application/warc-fields", b"software: none"),
        record("response", "text/html; charset=ISO-8859-1", latin),
        record("request", "text/html", b"GET"),
        record("response", "image/png", b"\x89PNG"),
        record("conversion", "text/plain", "Wörter".encode()),
        record("response", "text/html;charset=latin1", gzip.compress(latin), Content_Encoding="gzip"),
        record("response", "text/html; charset='latin1'", chunks, Transfer_Encoding="chunked"),
        record("response", "text/html", b"<html></html>"),
        record("response", "text/html", b"?", Content_Encoding="br"),
    ]
    path.write_bytes(b"".join(map(gzip.compress, records)) if packed else b"".join(records))
    *texts, empty, unknown = texts_of(path, "auto")
    page = f"{SENTENCE} Naïve."
    assert [page in text if page in str(text) else text for text in texts] == [True, "Wörter", True, True]
    assert empty == Left("no main text", "http://example.com/")
    assert unknown == Left(UNREADABLE, "http://example.com/ is packed as br")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(Unreadable, match=r"ends inside a record|end-of-stream"):
        list(texts_of(path, "auto"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 300), byte=st.binary(min_size=1, max_size=4), packed=st.booleans())
def test_damaged_crawls_are_read_or_refused(at: int, byte: bytes, packed: bool, tmp_path: Path) -> None:
    raw = record("conversion", "text/plain", b"some words") + record("response", "text/plain", b"others")
    raw = gzip.compress(raw) if packed else raw
    (tmp_path / "a.warc").write_bytes(raw[:at] + byte + raw[at + len(byte) :])
    try:
        assert all(isinstance(text, str | Left) for text in texts_of(tmp_path / "a.warc", "auto"))
    except Unreadable as e:
        assert str(e)


def test_language_packs(tmp_path: Path) -> None:
    fluent = """# a comment
-brand = Firefox
hello = Willkommen bei { -brand-short-name }, schön, dass Sie da sind
    .title = Noch ein Satz, der lang genug ist
many = { $n ->
    [one] Ein Fenster wird jetzt geschlossen
   *[other] { $n } Fenster werden jetzt geschlossen
}
long =
    Ein Satz, der auf zwei
    Zeilen steht
"""
    properties = "# comment\nkey=Die Datei %S wurde nicht gefunden\nother=Gr\\u00fc\\u00dfe aus der \\\nFerne\n"
    path = zip_of(tmp_path / "de.xpi", {"a/de.ftl": fluent.encode(), "b.properties": properties.encode(), "c.js": b"x"})
    assert list(texts_of(path, "auto")) == [
        "Willkommen bei Firefox, schön, dass Sie da sind\nNoch ein Satz, der lang genug ist\n"
        "Fenster werden jetzt geschlossen\nEin Satz, der auf zwei Zeilen steht\n"
        "Die Datei wurde nicht gefunden\nGrüße aus der Ferne"
    ]


@pytest.mark.parametrize(("text", "rule"), [
    ("# a program\nprint(1)\n", None),
    ("// Code generated by protoc. DO NOT EDIT.\nint a;\n", "generated"),
    ("var a=1;" * 300, "minified"),
    ("\n".join(["a" * 150] * 20), "minified"),
    ("# it is generated later\n" * 3, None),
])  # fmt: skip
def test_source_code(text: str, rule: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(text)
    assert list(texts_of(tmp_path / "a.py", "code")) == [text if rule is None else Left(rule, "a.py")]


def test_what_is_code() -> None:
    assert is_code(Path("a/b.py")) and is_code(Path("A.C"))
    assert not is_code(Path("jquery.min.js")) and not is_code(Path("a.png"))


def test_kinds() -> None:
    names = {"a.warc.gz": "warc", "a.jsonl.gz": "archive", "a.tar.gz": "archive", "A.PDF": "pdf", "README": "text"}
    assert {name: kind_of(Path(name)) for name in names} == names


def test_a_packed_file_is_read_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one"}\n{"text": "two"}\n'))
    assert list(texts_of(tmp_path / "a.jsonl.gz", "auto")) == ["one", "two"]
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"plain"))
    assert list(texts_of(tmp_path / "b.gz", "auto")) == ["plain"]
