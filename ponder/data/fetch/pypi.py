"""Files of Python packages, fetched with pip and unpacked; nothing is installed, and no code of theirs runs.

Wheels only: to fetch a source archive, pip runs the package's own build.
"""

import re
import subprocess
import sys
from pathlib import Path

from ponder.core.atomic import new_folder
from ponder.core.errors import UserError
from ponder.data.document import Unreadable
from ponder.data.packed import unpack

REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")


def unpacked(requirement: str, store: Path) -> dict[str, tuple[Path, str]]:
    """requirement: `name==version`. By the name, its files below a folder of `store`, and the version."""
    match = REQUIREMENT.fullmatch(requirement)
    if match is None:
        raise UserError(f"a Python package is name==version, not {requirement!r}", param="pypi")
    name, version = match.groups()
    folder = store / f"pypi-{name}-{version}"
    if folder.is_dir():
        return {name: (folder, version)}
    with new_folder(folder) as made:
        wheel = _downloaded(requirement, made)
        try:
            unpack(wheel, made)
        except Unreadable as e:
            raise UserError(f"{requirement}: {wheel.name} {e}", param="pypi") from e
        wheel.unlink()
    return {name: (folder, version)}


def _downloaded(requirement: str, folder: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--no-input",
        "--disable-pip-version-check", "--dest", str(folder), "--", requirement,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
        raise UserError(
            f"pip gave no wheel of {requirement} (source archives are not taken: they would run code): "
            f"{' '.join(said) or 'it said nothing'}",
            param="pypi",
        )
    return wheels[0]
