"""The tables of docs/performance.md, made from the results that are kept in bench/results/.

    python bench/ledger.py            # write the tables between their markers
    python bench/ledger.py --check    # exit 1 when the page says something else (a test runs this)

A result is one JSON file, `bench/results/NAME.json`:

    {"command": "what to run to repeat it", "when": "2026-11-22", "machine": "...",
     "columns": ["model", "tok/s"], "rows": [["Qwen3-0.6B", 67.3]],
     "title": "optional", "note": "optional"}

and appears where the page says `<!-- table NAME -->` ... `<!-- end -->`; `NAME-*` takes every file of such a name.
Every file must have its place and every marker without a star its file.
"""

import fnmatch
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "bench" / "results", ROOT / "docs" / "performance.md"
MARK = re.compile(r"(<!-- table ([\w*-]+) -->\n).*?(<!-- end -->)", re.S)
KEYS = {"command", "when", "machine", "columns", "rows"}
MORE = {"title", "note"}


def tables(folder: Path = RESULTS) -> dict[str, str]:
    """Every result as Markdown. Raises ValueError for a file that is no table."""
    return {file.stem: render(file.stem, json.loads(file.read_text())) for file in sorted(folder.glob("*.json"))}


def render(name: str, result: dict[str, Any]) -> str:
    unknown, missing = result.keys() - KEYS - MORE, KEYS - result.keys()
    if unknown or missing:
        raise ValueError(f"{name}.json: unknown {sorted(unknown)}, missing {sorted(missing)}")
    columns, rows = result["columns"], result["rows"]
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"{name}.json: a row has not {len(columns)} cells")
    lines = [
        *([f"**{result['title']}**", ""] if "title" in result else []),
        f"`{result['command']}`, {result['when']}, {result['machine']}:",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(map(cell, row)) + " |" for row in rows),
    ]
    return "\n".join([*lines, "", result["note"]] if "note" in result else lines)


def cell(value: Any) -> str:
    """Numbers with three digits that matter; null is nothing."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def fill(page: str, found: dict[str, str]) -> str:
    """The page with its tables. Raises ValueError when markers and results do not match."""
    placed: list[str] = []

    def place(match: re.Match[str]) -> str:
        names = fnmatch.filter(found, match[2])
        if not names and "*" not in match[2]:
            raise ValueError(f"the page wants a table {match[2]}, bench/results has none")
        placed.extend(names)
        return match[1] + "".join(f"{found[name]}\n\n" for name in names)[:-1] + match[3]

    filled = MARK.sub(place, page)
    if sorted(placed) != sorted(found):
        raise ValueError(f"tables without one place on the page: {sorted(set(found) - set(placed))}")
    return filled


def main() -> None:
    page = PAGE.read_text()
    filled = fill(page, tables())
    if "--check" in sys.argv[1:]:
        sys.exit("docs/performance.md is not what bench/ledger.py writes" if filled != page else 0)
    PAGE.write_text(filled)


if __name__ == "__main__":
    main()
