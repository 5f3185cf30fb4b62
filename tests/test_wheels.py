"""The settings of the wheels agree with each other; that a wheel runs is shown by packaging/smoke.py in it."""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def constant(name: str) -> object:
    """Of packaging/build_wheels.py."""
    tree = ast.parse((ROOT / "packaging" / "build_wheels.py").read_text("utf-8"))
    (value,) = (n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == name)
    return ast.literal_eval(value)


def test_files_that_a_wheel_must_have_are_in_the_package() -> None:
    needed = constant("NEEDED")
    assert isinstance(needed, tuple) and "ponder/py.typed" in needed
    assert [name for name in needed if not (ROOT / name).is_file()] == []


def test_both_ways_of_making_wheels_promise_the_same_systems() -> None:
    policy = f"manylinux_{constant('GLIBC')}".replace(".", "_")
    linux = SETTINGS["tool"]["cibuildwheel"]["linux"]
    assert set(linux.values()) == {policy}
    stable = SETTINGS["tool"]["scikit-build"]["wheel"]["py-api"]
    assert SETTINGS["tool"]["cibuildwheel"]["build"] == f"cp311-* {stable}-*"
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    (pythons,) = re.findall(r"python: (\[.*\])", workflow)
    assert [f"cp{version.replace('.', '')}" for version in ast.literal_eval(pythons)][:2] == ["cp311", stable]
