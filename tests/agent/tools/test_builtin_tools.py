"""Calculator, clock, page reader, document search: right answers, and words for what cannot be."""

import http.server
import threading
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.agent.tools.bm25 import BM25, words
from ponder.agent.tools.calculator import calculate
from ponder.agent.tools.clock import now
from ponder.agent.tools.doc_search import DocSearch
from ponder.agent.tools.html_text import html_text
from ponder.agent.tools.tool import ToolContext
from ponder.agent.tools.web_fetch import WebFetch, is_public
from ponder.core.errors import UserError

pytestmark = pytest.mark.anyio


# -- calculator --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("17 + 25", "42"),
        ("2^10", "1024"),
        ("1/3 + 1/6", "1/2 = 0.5"),
        ("6/3", "2"),
        ("7 // 2 * 2 + 7 % 2", "7"),
        ("sqrt(2)", "1.4142135623731"),
        ("factorial(20)", "2432902008176640000"),
        ("2**0.5 - sqrt(2)", "0"),
        ("-(3 - 5)", "2"),
        ("max(1, 2.5, 2)", "2.5"),
        ("0.1 + 0.2", "0.3"),
        ("sin(pi)", "1.22464679914735e-16"),
    ],
)
def test_values(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["", "1 +", "1/0", "__import__('os')", "x", "9**9**9", "factorial(10**9)", "'a' * 9", "(-8)**0.5", "sqrt(-1)",
     "[1]*9", "open('f')", "1 if 1 else 2", "10**5000 * 10**5000", "(" * 900, "a" * 3000, "min()", "True + 1",
     "2**(10**100)", "log(0)", "sqrt(10**9999)", "1 << 9"],
)  # fmt: skip
def test_what_has_no_value(expression: str) -> None:
    with pytest.raises(UserError):
        calculate(expression)


@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda e: st.tuples(e, st.sampled_from("+-*/"), e).map(lambda t: f"({''.join(t)})"),
        max_leaves=8,
    )
)
def test_fractions_are_exact(expression: str) -> None:
    try:
        wanted = eval(expression.replace("/", "/ONE/"), {"ONE": Fraction(1)})
    except ZeroDivisionError:
        with pytest.raises(UserError):
            calculate(expression)
        return
    assert calculate(expression).split(" = ")[0] in (str(Fraction(wanted)), f"{float(wanted):.15g}")


# -- clock -------------------------------------------------------------------------------------------------------------


def test_the_time() -> None:
    assert now("Asia/Shanghai").endswith("CST (UTC+0800)") and now()[:3] in "MonTueWedThuFriSatSun"
    for zone in ("Mars/Base", "../etc/passwd", "/etc/localtime", "\0"):
        with pytest.raises(UserError, match="time zone"):
            now(zone)


# -- pages -------------------------------------------------------------------------------------------------------------


PAGE = "<title>T</title><script>x()</script><h2>Hé</h2><p>a<a href='/b'>link</a>"


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path
        bodies = {
            "/page": (200, "text/html; charset=utf-8", PAGE),
            "/latin": (200, "text/html; charset=iso-8859-1", None),
            "/long": (200, "text/plain", "0123456789" * 3000),
            "/json": (200, "application/json", '{"a": [1, 2]}'),
            "/image": (200, "image/png", "x"),
            "/gone": (410, "text/plain", "x"),
            "/huge": (200, "text/plain", "x" * 6_000_000),
        }  # fmt: skip
        if path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", path[4:])
            self.end_headers()
            return
        status, kind, body = bodies[path]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write("é".encode("latin-1") if body is None else body.encode())

    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


async def fetched(url: str, start: int = 0, **options: object) -> str:
    tool = WebFetch(**{"allow_private": True, "seconds": 5.0, **options})
    return (await tool.call({"url": url, "start": start}, ToolContext("c", Path()))).text


async def test_a_page_is_read(site: str) -> None:
    text = await fetched(f"{site}/page")
    assert "# T" in text and "## Hé" in text and "a[link](/b)" in text and "x()" not in text
    assert (await fetched(f"{site}/latin")).endswith("é")
    assert '{"a": [1, 2]}' in await fetched(f"{site}/json")
    assert "## Hé" in await fetched(f"{site}/to?/page"), "redirects are followed"


async def test_a_long_page_comes_in_parts(site: str) -> None:
    text = await fetched(f"{site}/long", chars=100)
    assert "29,900 characters more: start=100" in text
    assert "9\n" not in (await fetched(f"{site}/long", 29_995, chars=100)).rpartition("\n\n")[2]


@pytest.mark.parametrize(
    ("path", "why"),
    [("/image", "not a text"), ("/gone", "410"), ("/huge", "larger than"), ("", "redirect")],
)  # fmt: skip
async def test_what_cannot_be_read(site: str, path: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        target = f"{site}{path}"
        if why == "redirect":
            target = f"{site}/to?{site}/to?{site}/to?{site}/to?{site}/to?{site}/to?{site}/to?/page"
        await fetched(target)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0.0.0.0/", "http://169.254.169.254/latest/",
     "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://2130706433/", "http://0x7f000001/",
     "http://0177.0.0.1/", "http://127.1/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
     "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[fe80::1]/", "http://[fc00::1]/",
     "http://224.0.0.1/", "http://255.255.255.255/", "http://100.64.0.1/", "http://user@127.0.0.1/",
     "http://example.com@127.0.0.1/", "http://127.0.0.1#@example.com/", "file:///etc/passwd", "ftp://1.1.1.1/",
     "gopher://1.1.1.1/", "http://", "//127.0.0.1/", "http://127.0.0.1:99999/", "http://exa mple/", "http://\0/",
     "data:text/html,x", "http://localhost.:80/", "http://LOCALHOST/", "http://①②⑦.0.0.1/", "http://[::1/",
     "http://[64:ff9b:1::7f00:1]/", "http://[::ffff:0:127.0.0.1]/", "http://[::127.0.0.1]/", "http://[::169.254.169.254]/",
     "http://[fec0::1]/", "http://[fd00:ec2::254]/", "http://192.0.0.192/", "http://192.88.99.1/", "http://[5f00::1]/",
     "http://168.63.129.16/", "http://[2600::5efe:7f00:1]/", "http://[2600::200:5efe:a00:1]/",
     "http://[2001:20::1]/", "http://[2001:0:7f00:1::]/", "http://[100::1]/", "http://[3fff::1]/", "http://[ff02::1]/",
     "http://198.18.0.1/", "http://192.0.2.1/", "http://240.0.0.1/"],
)  # fmt: skip
async def test_addresses_that_are_not_public_are_never_asked(url: str) -> None:
    with pytest.raises(UserError):
        await fetched(url, allow_private=False)


async def test_a_redirect_to_a_private_address_is_not_followed(site: str, monkeypatch) -> None:
    """The first hop is let through by name; the second must be stopped although nobody named it."""
    from ponder.agent.tools import web_fetch

    allowed = [True, False]
    real = web_fetch.is_public
    monkeypatch.setattr(web_fetch, "is_public", lambda a: allowed.pop(0) if allowed else real(a))
    with pytest.raises(UserError, match="not a public address"):
        await fetched(f"{site}/to?{site}/page", allow_private=False)


def test_public_addresses() -> None:
    public = (
        "1.1.1.1",
        "2606:4700:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "192.0.1.1",
        "2001:4860:4860::8888",
    )
    assert all(map(is_public, public))


def test_broken_html_is_read_as_far_as_it_goes() -> None:
    assert html_text("<p>a<b>c</i></p><script>bad") == "ac"
    assert html_text("") == "" and html_text("<" * 1000) is not None
    assert html_text("<table><tr><td>1<td>2</table>") == "| 1 | 2"


# -- documents ---------------------------------------------------------------------------------------------------------


def docx(path: Path, *paragraphs: str) -> None:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = "".join(f"<w:p><w:r><w:t>{p}</w:t></w:r></w:p>" for p in paragraphs)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>')


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / "whales.md").write_text("The blue whale is the largest animal that ever lived. " * 3)
    (tmp_path / "tea.html").write_text("<h1>Tea</h1><p>Green tea is steamed or pan-fired after plucking.</p>")
    (tmp_path / "hutong.txt").write_text("北京的胡同是老城区的小巷。四合院是传统的住宅。")
    docx(tmp_path / "contract.docx", "Either party may terminate with thirty days notice.", "Rent is due monthly.")
    (tmp_path / "data.bin").write_bytes(b"\0\1\2")
    return tmp_path


@pytest.mark.parametrize(
    ("query", "file"),
    [("largest animal", "whales.md"), ("how is green tea made", "tea.html"), ("四合院", "hutong.txt"),
     ("胡同", "hutong.txt"),
     ("terminate notice", "contract.docx")],
)  # fmt: skip
def test_the_passage_that_fits_comes_first(library: Path, query: str, file: str) -> None:
    text = DocSearch().search(query, library).text
    assert text.startswith(f"[1] {file}\n")


def test_a_pdf_is_found_by_page(tmp_path: Path) -> None:
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(tmp_path / "empty.pdf")
    assert "Nothing in 1 documents" in DocSearch(files=[str(tmp_path / "empty.pdf")]).search("x", tmp_path).text


def test_changed_files_are_read_again(library: Path) -> None:
    search = DocSearch(files=[str(library)])
    assert "Nothing" in search.search("zebra", library).text
    (library / "new.txt").write_text("A zebra has stripes.")
    assert "[1] new.txt" in search.search("zebra", library).text


def test_embeddings_find_what_words_do_not(library: Path) -> None:
    import numpy as np

    def embed(texts):
        near = [("whale" in t) or ("sea mammal" in t) for t in texts]
        return np.array([[1.0, 0.0] if n else [0.0, 1.0] for n in near])

    assert "Nothing" in DocSearch().search("sea mammal", library).text
    assert DocSearch(embed=embed).search("sea mammal", library).text.startswith("[1] whales.md")


@pytest.mark.parametrize("name", ["missing.txt", "data.bin", "broken.pdf", "broken.docx"])
def test_documents_that_cannot_be_read(library: Path, name: str) -> None:
    if name.startswith("broken"):
        (library / name).write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=name):
        DocSearch(files=[str(library / name)]).search("x", library / "empty")


def test_bm25_is_that_of_the_paper() -> None:
    """By hand: N = 2, "cat" in one text of three words; mean length 2.5."""
    import math

    scores = BM25(["the cat sat", "the dog"]).scores("cat")
    assert scores == [pytest.approx(math.log(1 + 1.5 / 1.5) * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 3 / 2.5))), 0.0]
    assert words("Hello, WORLD 北京") == ["hello", "world", "北", "京", "北京"]
    assert BM25([]).scores("x") == [] and BM25(["", "a"]).scores("") == [0, 0]
