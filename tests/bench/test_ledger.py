"""docs/performance.md says what the kept results say, and the command that writes it refuses what does not fit."""

import json
from pathlib import Path

import ledger
import pytest

TABLE = {
    "command": "make x", "when": "2026-11-22", "machine": "a CPU", "columns": ["what", "tok/s"],
    "rows": [["fast", 1234.5], ["slow", 0.0123], ["none", None], ["count", 2048]],
}  # fmt: skip


def test_the_page_is_what_the_results_say() -> None:
    page = ledger.PAGE.read_text()
    assert ledger.fill(page, ledger.tables()) == page, "run `make ledger`"


def test_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(TABLE | {"title": "A title", "note": "A note."}))
    text = ledger.tables(tmp_path)["a"]
    assert text.splitlines() == [
        "**A title**", "", "`make x`, 2026-11-22, a CPU:", "", "| what | tok/s |", "|---|---|", "| fast | 1,234 |",
        "| slow | 0.012 |", "| none |  |", "| count | 2,048 |", "", "A note.",
    ]  # fmt: skip
    page = "before\n<!-- table a -->\nold\n<!-- end -->\nafter\n<!-- table b-* -->\n<!-- end -->\n"
    filled = ledger.fill(page, {"a": "A", "b-1": "B1", "b-2": "B2"})
    assert filled == ("before\n<!-- table a -->\nA\n<!-- end -->\nafter\n<!-- table b-* -->\nB1\n\nB2\n<!-- end -->\n")
    assert ledger.fill(filled, {"a": "A", "b-1": "B1", "b-2": "B2"}) == filled


def test_what_does_not_fit_is_refused() -> None:
    for change in ({"rows": [["one cell"]]}, {"colour": "red"}):
        with pytest.raises(ValueError, match=r"^x\.json: "):
            ledger.render("x", TABLE | change)
    page = "<!-- table a -->\n<!-- end -->\n"
    for found in ({}, {"a": "A", "b": "B"}):
        with pytest.raises(ValueError, match="table"):
            ledger.fill(page, found)
