"""The settings of the wheels agree with each other; that a wheel runs is shown by packaging/smoke.py in it."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def constant(program: str, name: str) -> object:
    """Of packaging/program.py."""
    tree = ast.parse((ROOT / "packaging" / f"{program}.py").read_text("utf-8"))
    (value,) = (n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == name)
    return ast.literal_eval(value)


def test_files_that_a_wheel_must_have_are_in_the_package() -> None:
    needed = constant("audit", "NEEDED")
    assert isinstance(needed, tuple) and "ponder/py.typed" in needed
    assert [name for name in needed if not (ROOT / name).is_file()] == []


def test_both_ways_of_making_wheels_promise_the_same_systems() -> None:
    policy = f"manylinux_{constant('build_wheels', 'GLIBC')}".replace(".", "_")
    linux = SETTINGS["tool"]["cibuildwheel"]["linux"]
    assert set(linux.values()) == {policy}
    stable = SETTINGS["tool"]["scikit-build"]["wheel"]["py-api"]
    assert SETTINGS["tool"]["cibuildwheel"]["build"] == f"cp311-* {stable}-*"
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    (pythons,) = re.findall(r"python: (\[.*\])", workflow)
    assert [f"cp{version.replace('.', '')}" for version in ast.literal_eval(pythons)][:2] == ["cp311", stable]


def test_sizes_of_an_environment_count_every_package_once() -> None:
    done = subprocess.run([sys.executable, ROOT / "packaging" / "audit.py"], capture_output=True, text=True, check=True)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[2:]]
    *packages, small, total = cells
    assert "ponder-llm" in next(needed for name, _, needed in packages if name == "numpy")
    assert small[0].endswith("smaller ones") and total[0] == "all"
    assert abs(float(total[1]) - sum(float(size) for _, size, _ in cells[:-1])) < 0.1 * len(cells)
    assert [float(size) for _, size, _ in packages] == sorted((float(size) for _, size, _ in packages), reverse=True)
