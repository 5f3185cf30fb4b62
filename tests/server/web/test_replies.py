"""Replies as models write them, in four languages, and the HTML that they become (replies/): text beside its page."""

from pathlib import Path

import pytest

from ponder.server.web.markdown.html import to_html

REPLIES = sorted((Path(__file__).parent / "replies").glob("*.md"))


@pytest.mark.parametrize("reply", REPLIES, ids=lambda path: path.stem)
def test_a_reply_becomes_its_page(reply: Path) -> None:
    """What is new here was looked at in a browser first (tests/web/pictures.py)."""
    assert to_html(reply.read_text("utf-8")) == reply.with_suffix(".html").read_text("utf-8")


def test_prices_and_formulas() -> None:
    prices = (
        "$5 or $10",
        "$5/$10",
        "$1,000–$2,000",
        "from $5 a day to 10$ a day",
        "涨了$5到10$左右",
        "$ 5 $",
        "5$",
        "$$",
        "$5",
    )
    formulas = (
        "$5x + 3$",
        "$x$",
        "2$\\times$2",
        "$n$th",
        "$5$",
        "$10\\%$",
        "$-1$",
        "为$3$。",
        "\\(5\\)",
        "$3 < 5$",
        "$2n$",
    )
    assert [text for text in prices if "math" in to_html(text)] == []
    assert [text for text in formulas if 'class="math"' not in to_html(text)] == []


def test_a_formula_keeps_its_lines_and_its_place() -> None:
    shown = to_html("1. One\n   \\[\n   a\n   = b\n   - c\n   \\]\n2. Two\n\n$$\n# x\n$$\n\n\\[ open")
    assert '<div class="math display">a\n= b\n- c</div>' in shown and '<div class="math display"># x</div>' in shown
    assert shown.count("<ol>") == 1 and shown.count("<li>") == 2 and "<h1>" not in shown
    assert "[ open" in shown, "what does not end is text"


def test_an_address_ends_with_its_sentence() -> None:
    for text, href in (
        ("See https://a.example/b_c_d.", "https://a.example/b_c_d"),
        ("(https://a.example/x_(y))", "https://a.example/x_(y)"),
        ("访问https://a.example/路径", "https://a.example/"),
        ("www.a.example, then", "https://www.a.example"),
        ("**https://a.example**", "https://a.example"),
    ):
        assert f'href="{href}"' in to_html(text), text
    for text in ("`https://a.example`", "ftp://a.example", "xwww.a.example", "http://"):
        assert "<a " not in to_html(text), text
