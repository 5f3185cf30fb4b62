"""Every public name has a docstring with an example that runs, on the model that comes with Ponder."""

import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ponder.tasks.table import PLAYED, TASKS
from ponder.train.recipe.table import STAGES

ROOT = Path(__file__).parents[2]

NAMES = [
    (module, name) for module in ("ponder", "ponder.agent") for name in import_module(module).__all__
    if name != "__version__"
] + [("ponder.engine", "chat")]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_example_of_a_public_name_runs(module: str, name: str) -> None:
    public = import_module("ponder.engine.chat") if name == "chat" else getattr(import_module(module), name)
    test = doctest.DocTestParser().get_doctest(public.__doc__ or "", {}, name, None, 0)
    assert test.examples, f"{module}.{name} has no example"
    done = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert done.failed == 0


@pytest.mark.slow
def test_the_reference_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::UserWarning", str(ROOT / "docs" / "build_reference.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "ponder.html").read_text()
    assert all(f'id="{name}"' in page for name in import_module("ponder").__all__ if name != "__version__")
    links = re.findall(r'href="(ponder[^"]*)"', (tmp_path / "index.html").read_text())
    assert len(links) > 30 and all((tmp_path / link).is_file() for link in links)


def test_the_page_names_each_module_of_the_reference() -> None:
    built = (ROOT / "docs" / "build_reference.py").read_text()
    page = (ROOT / "docs" / "reference.md").read_text()
    modules = set(re.findall(r'"(ponder[.\w]*)"', built))
    assert len(modules) > 30 and modules == set(re.findall(r"^\| `(ponder[.\w]*)` ", page, re.M))


def test_each_kind_of_stage_is_listed() -> None:
    """Tasks of one's own, too; released ones stand with their sources."""
    rows = set(re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "train.md").read_text(), re.M))
    assert set(STAGES) <= rows
    page = (ROOT / "docs" / "tasks.md").read_text()
    assert not [name for name in (*TASKS, *PLAYED) if f"`{name}`" not in page]
