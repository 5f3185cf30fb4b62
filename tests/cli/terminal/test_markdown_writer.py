"""Markdown that streams into a terminal: colours, whole words, and not one character of the model's lost."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.cli.terminal.markdown import BOLD, CODE, HEADING, ITALIC, PLAIN, MarkdownWriter, width

COLOUR = re.compile(r"\x1b\[[\d;]*m")


def written(text: str, *, columns: int = 40, piece: int = 3) -> str:
    writer = MarkdownWriter(columns)
    return "".join(writer.feed(text[i : i + piece]) for i in range(0, len(text), piece)) + writer.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# A title\nand text", f"{HEADING}# A title{PLAIN}\nand text"),
        ("use `x = 1` here", f"use {CODE}`x = 1`{PLAIN} here"),
        ("a **bold word** b", f"a {BOLD}**bold word**{PLAIN} b"),
        ("an *italic* word", f"an {ITALIC}*italic*{PLAIN} word"),
        ("2 * 3 * 4 = 24", "2 * 3 * 4 = 24"),
        ("snake_case * star", "snake_case * star"),
        ("```\na * b *\n```\n*c*", f"{CODE}```{PLAIN}\n{CODE}a * b *{PLAIN}\n{CODE}```{PLAIN}\n{ITALIC}*c*{PLAIN}"),
        ("| a | b |\n|---|---|", "| a | b |\n|---|---|"),
    ],
)
def test_marks_are_coloured(text: str, shown: str) -> None:
    for piece in (1, 2, 1000):
        assert written(text, piece=piece) == shown


def test_code_of_a_known_language_is_highlighted() -> None:
    shown = written("```python\nimport os\n```\n")
    assert COLOUR.search(shown.split("\n")[1]) and COLOUR.sub("", shown) == "```python\nimport os\n```\n"


def test_words_are_not_cut() -> None:
    text = "seven words that are longer than forty columns 再见再见再见再见"
    for line in written(text, columns=20).split("\n"):
        assert width(COLOUR.sub("", line).rstrip()) <= 20
    assert written(text, columns=20).replace("\n", "") == text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab *`#\n|-1.再é", max_size=60), st.integers(1, 7))
def test_nothing_is_lost_however_it_comes(text: str, piece: int) -> None:
    shown = COLOUR.sub("", written(text, columns=1000, piece=piece))
    assert shown == text


def test_what_can_be_shown_is_shown_at_once() -> None:
    writer = MarkdownWriter(80)
    assert writer.feed("The answer is ") == "The answer is "
    assert writer.feed("forty-") == "" and writer.feed("two, ") == "forty-two, "


def test_chinese_is_shown_as_it_comes_and_broken_between_characters() -> None:
    writer = MarkdownWriter(80)
    assert writer.feed("首先，我们") == "首先，我", "what may close a phrase does not begin a line"
    assert writer.feed("看") == "们"
    text = "首先我们看一个简单的例子，然后给出（完整）的证明。"
    lines = written(text, columns=20).split("\n")
    assert "".join(lines) == text and all(width(line) <= 20 for line in lines)
    assert len(lines) == 3 and not any(line[0] in "，。）" or line[-1] == "（" for line in lines)


def test_without_colours_words_stay_whole_and_nothing_is_added() -> None:
    text = "# Title\nseven **bold** words that are `longer` than twenty\n```python\nimport os\n```\n"
    writer = MarkdownWriter(20, colours=False)
    shown = writer.feed(text) + writer.close()
    assert "\x1b" not in shown and shown.split() == text.split()
    assert all(len(line.rstrip()) <= 20 for line in shown.split("\n"))


def test_an_address_longer_than_a_line_does_not_shift_what_follows() -> None:
    shown = written("see https://example.org/a/very/long/address and more words here", columns=20)
    assert shown.split("\n") == ["see ", "https://example.org/a/very/long/address and more words here"]
