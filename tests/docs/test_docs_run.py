"""Every fenced `bash` and `python` block of README.md and docs/ is run, page by page, in one scratch folder a page.

A block whose info string says `slow` needs the network or the real weights and runs in `make test-slow`; blocks
without a language, or `text`, are output. Pages share nothing.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
# A page in Chinese has the same blocks (test_in_step.py)
PAGES = [
    page for page in sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
    if not page.name.endswith(".zh.md")
]  # fmt: skip
FENCE = re.compile(r"^ *```(bash|python)( slow)?\n(.*?)^ *```$", re.M | re.S)  # in a list, too


def blocks(page: Path, slow: bool) -> list[tuple[str, str]]:
    return [(lang, dedent(code)) for lang, mark, code in FENCE.findall(page.read_text()) if bool(mark) == slow]


def run_page(page: Path, folder: Path, slow: bool, home: Path) -> None:
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PONDER_HOME": str(home),
        "NO_COLOR": "1",
    }
    for name in ("tests", "bench", "docs", "recipes", "pyproject.toml"):  # pages speak from the root of the checkout
        (folder / name).symlink_to(ROOT / name)
    for lang, code in blocks(page, slow):
        command = ["bash", "-euo", "pipefail", "-c", code] if lang == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, f"{page.name}: {code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, slow=False)], ids=lambda p: p.name)
def test_commands_of_the_page_run(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path, slow=False, home=tmp_path / "home")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, slow=True)], ids=lambda p: p.name)
def test_slow_commands_of_the_page_run(page: Path, tmp_path: Path) -> None:
    home = Path(os.environ.get("PONDER_HOME", Path.home() / ".cache" / "ponder"))
    run_page(page, tmp_path, slow=True, home=home)
