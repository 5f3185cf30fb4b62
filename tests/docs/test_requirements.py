"""docs/requirements.md is true: every test that it names exists, and every requirement has a line."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "requirements.md").read_text("utf-8")
COUNTS = {
    "TH": 6, "TB": 7, "RL": 3, "RS": 6, "TC": 8, "SO": 3, "HC": 5, "LC": 6, "UT": 3, "ML": 2, "DT": 2, "QU": 4,
    "CPU": 5, "MOE": 4, "SR": 8, "API": 6, "SEC": 8, "MCP": 6, "CI": 5, "AG": 3, "UI": 6, "CLI": 3, "IN": 4, "DOC": 2,
    "EV": 5, "FT": 9,
}  # fmt: skip
ROWS = [row.strip("|").split("|") for row in PAGE.splitlines() if re.match(r"\| [A-Z]+-\d+ \|", row)]


@cache
def functions(module: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text("utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([\w/]+)::(\w+)`", PAGE)
    assert len(named) > 150
    missing = [f"{module}::{name}" for module, name in named if name not in functions(module)]
    assert not missing


def test_every_requirement_has_one_line_that_proves_or_admits() -> None:
    ids = [row[0].strip() for row in ROWS]
    assert sorted(ids) == sorted(f"{theme}-{n}" for theme, count in COUNTS.items() for n in range(1, count + 1))
    for id_, what, proof in ROWS:
        assert what.strip() and ("::" in proof or "**open**" in proof or "performance.md" in proof), id_


def test_every_file_that_a_page_names_exists() -> None:
    """`sampler.cpp`, `ponder/engine/decoding/request_state.py`: a page that speaks of a file that has gone misleads."""
    here = {p.name for folder in ("ponder", "tests", "bench", "packaging") for p in (ROOT / folder).rglob("*")}
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(r"`(?:[\w-]+/)*(\w+\.(?:py|js|cpp|h))(?:[:.]\w+)*`", page.read_text("utf-8")):
            assert name in here, f"{page.name} names {name}"
