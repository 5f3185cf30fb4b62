"""Files of Debian packages, downloaded with apt-get and unpacked beside each other; nothing is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ponder.core.atomic import new_folder
from ponder.core.errors import UserError

TOOLS = ("apt-get", "apt-cache", "dpkg-deb")


def named(pattern: str) -> list[str]:
    """The packages that apt knows by a pattern such as `firefox-esr-l10n-*`; a name without stars stands for itself."""
    start = pattern.partition("*")[0]
    if start == pattern:
        return [pattern]
    _need("apt-cache", pattern)
    known = subprocess.run(["apt-cache", "pkgnames", "--", start], capture_output=True, text=True)
    found = sorted(name for name in known.stdout.split() if fnmatchcase(name, pattern))
    if not found:
        raise UserError(
            f"apt knows no package like {pattern}: run apt-get update, or correct the recipe", param="debian"
        )
    return found


def unpacked(packages: Sequence[str], store: Path) -> dict[str, tuple[Path, str]]:
    """Of each package its files, below a folder of `store`, and its version. Downloaded once for each version."""
    for tool in TOOLS:
        _need(tool, packages[0])
    versions = _versions(packages)
    folders = {name: store / f"{name}_{version.replace(':', '%3a')}" for name, version in versions.items()}
    missing = [name for name, folder in folders.items() if not folder.is_dir()]
    if missing:
        with new_folder(store / "downloads") as made:
            wanted = [f"{name}={versions[name]}" for name in missing]
            _run(["apt-get", "download", "-qq", *wanted], made, f"download {' '.join(missing)}")
            for name in missing:
                (archive,) = made.glob(f"{name}_*.deb")
                with new_folder(folders[name]) as folder:
                    _run(["dpkg-deb", "-x", str(archive.resolve()), str(folder.resolve())], made, f"unpack {name}")
        shutil.rmtree(store / "downloads")
    return {name: (folder, versions[name]) for name, folder in folders.items()}


def _versions(packages: Sequence[str]) -> dict[str, str]:
    """The candidates', in order of the packages. Raises UserError where there is none."""
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", "--", *packages], capture_output=True, text=True)
    found: dict[str, str] = {}
    name = ""
    for key, _, value in (line.partition(": ") for line in shown.stdout.splitlines()):
        if key == "Package":
            name = value
        elif key == "Version":
            found.setdefault(name, value)
    for package in packages:
        if package not in found:
            raise UserError(
                f"apt knows no package {package}: run apt-get update, or correct the recipe. {shown.stderr.strip()}",
                param="debian",
            )
    return {package: found[package] for package in packages}


def _need(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        raise UserError(f"the package {package} needs {tool}, which this system has not", param="debian")


def _run(command: list[str], folder: Path, what: str) -> None:
    # apt-get download has a user of its own, who may not write here; that is a warning, and it goes on as root
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UserError(f"cannot {what}: {done.stderr.strip().splitlines()[-1:]}", param="debian")
