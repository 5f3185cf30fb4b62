"""Files of Debian packages, downloaded with apt-get and unpacked beside each other; nothing is installed."""

import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

from ponder.core.atomic import new_folder
from ponder.core.errors import UserError


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


def unpacked(package: str, store: Path) -> tuple[Path, str]:
    """The package's files below a folder of `store`, and its version. Downloaded once for each version."""
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        _need(tool, package)
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", "--", package], capture_output=True, text=True)
    version = next((v for k, _, v in (x.partition(": ") for x in shown.stdout.splitlines()) if k == "Version"), None)
    if version is None:
        why = shown.stderr.strip()
        raise UserError(
            f"apt knows no package {package}: run apt-get update, or correct the recipe. {why}".strip(), param="debian"
        )
    folder = store / f"{package}_{version.replace(':', '%3a')}"
    if folder.is_dir():
        return folder, version
    with new_folder(folder) as made:
        _run(["apt-get", "download", "-qq", f"{package}={version}"], made, f"download {package}")
        archive = next(made.glob("*.deb"))
        _run(["dpkg-deb", "-x", str(archive), str(made)], made, f"unpack {package}")
        archive.unlink()
    return folder, version


def _need(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        raise UserError(f"the package {package} needs {tool}, which this system has not", param="debian")


def _run(command: list[str], folder: Path, what: str) -> None:
    # apt-get download has a user of its own, who may not write here; that is a warning, and it goes on as root
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UserError(f"cannot {what}: {done.stderr.strip().splitlines()[-1:]}", param="debian")
