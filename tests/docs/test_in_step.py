"""DOC-2: a page in Chinese has what the English one has: its commands, ids, tables, lists and links, in its order."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.zh.md"), *(ROOT / "docs").glob("*.zh.md")])
MARKS = {
    "code": re.compile(r"^```.*?^```$|^    \S[^\n]*$", re.M | re.S),
    "layout": re.compile(r"^(#+ |\* |\|(?:-+\|)+$|\| )", re.M),
    "quoted": re.compile(r"`([^`\n]+)`"),
    "numbers": re.compile(r"\d[\d.,]*\d|\d"),
    "links": re.compile(r"\]\(([^)]+)\)"),
}


def found(text: str, mark: str) -> list[str]:
    text = re.sub(r"（?\[(?:English|中文)\]\([^)]*\)）?", "", text)
    return [m.strip() for m in MARKS[mark].findall(text)]


def test_there_are_pages() -> None:
    assert [p.name for p in PAGES] == ["README.zh.md", "thinking.zh.md"]


@pytest.mark.parametrize("mark", ["code", "layout", "links"])
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_same_in_the_same_order(page: Path, mark: str) -> None:
    english = page.with_name(page.name.replace(".zh", ""))
    assert found(page.read_text(), mark) == found(english.read_text(), mark)


@pytest.mark.parametrize("mark", ["quoted", "numbers"])
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_same_names_and_numbers(page: Path, mark: str) -> None:
    """Sentences are built differently, so their order may differ."""
    english = page.with_name(page.name.replace(".zh", ""))
    assert sorted(found(page.read_text(), mark)) == sorted(found(english.read_text(), mark))
