"""Replies as HTML: a model's line breaks are kept, and emphasis works where a language writes no spaces."""

from itertools import product

import pytest
from markdown_it import MarkdownIt

from ponder.server.web.markdown.emphasis import CjkInline
from ponder.server.web.markdown.html import to_html


def test_a_haiku_keeps_its_lines() -> None:
    haiku = "An old silent pond\nA frog jumps into the pond\nSplash! Silence again.\n\n- one\n  two\n\n```\na\nb\n```"
    html = to_html(haiku)
    assert "An old silent pond<br />\nA frog jumps into the pond<br />\nSplash! Silence again.</p>" in html
    assert "<li>one<br />\ntwo</li>" in html
    assert "a\nb\n" in html, "code has its lines anyway"


BOLD = [
    "**步骤一：**首先",
    "然后**（可选）**重启",
    "他说**“好。”**然后走了",
    "**注意！**请**“保存”**文件",
    "**真，**她",
    "真**（她**",
    "これは**「重要」**です。",
    "**強調できます（例）**と書く。",
    "税込**¥10,000**です",
    "**C#**や**「.NET」**は",
    "**스크립트(script)**라고",
    "패키지는 **`npm`**으로",
    "**[链接](https://e.com)**也一样",
    "正解は**④**です",
    "𠮟**(正式)**と",
    "葛󠄀**(正式)**城",  # an ideographic variation selector
    "塚︀**(U+FE00)** x",  # a general one
    "她说“︁**(x)** a",  # a quotation mark that asks for its wide form
    "a**〽**a",
    "a**🈂**a",
]


@pytest.mark.parametrize("text", BOLD)
def test_bold_next_to_cjk(text: str) -> None:
    html = to_html(text)
    assert "**" not in html and html.count("<strong>") == text.count("**") / 2


def test_what_is_bold_is_what_was_marked() -> None:
    assert to_html("**步骤一：**首先").strip() == "<p><strong>步骤一：</strong>首先</p>"
    assert to_html("重*点。*和~~旧（的）~~新").strip() == "<p>重<em>点。</em>和<s>旧（的）</s>新</p>"


@pytest.mark.parametrize(
    "text",
    [
        "a**b.**c",
        "a**「 b",
        "中 ** 文 ** 字",
        "文**　字　**",
        "a**✅**b",
        "中_文。_字",
        "a**a«**a",
        r"中\*\*文。\*\*字",
        "`中**文。**`",
    ],
)
def test_what_is_not_bold_stays(text: str) -> None:
    """Emoji are no CJK, an ideographic space is a space, and `_` splits no word of any language."""
    html = to_html(text)
    assert "<strong>" not in html and "<em>" not in html


def test_without_cjk_it_is_commonmark() -> None:
    assert to_html("foo_bar_baz a*b*c **b**.").strip() == "<p>foo_bar_baz a<em>b</em>c <strong>b</strong>.</p>"
    ours, theirs = MarkdownIt(), MarkdownIt()
    ours.inline = CjkInline()
    ours.configure("commonmark")
    for letters in product("a*_ .", repeat=5):
        text = "x" + "".join(letters)
        assert ours.render(text) == theirs.render(text), text
