"""The folder where downloaded models lie: $PONDER_HOME/models, by default ~/.cache/ponder/models.

Each model has one folder. `ponder-model.json` in it is written last and lists the files with their sizes: without it
the folder is a download that was interrupted, which the next one resumes. A lock file keeps two processes from
downloading the same model at once; the kernel drops it when a process dies.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock
from msgspec import Struct

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.model.hub.elsewhere import find
from ponder.model.hub.registry import ModelName
from ponder.model.hub.shipped import shipped

Progress = Callable[[int, int], None]  # bytes so far, bytes in all (0: not known)
MARKER = "ponder-model.json"


class Download(Struct, frozen=True):
    """A complete download. path: what the loader opens, a folder or a .gguf file. source: where it came from."""

    name: str
    path: Path
    nbytes: int
    source: str


class _Marker(Struct, forbid_unknown_fields=True):
    name: str
    source: str
    load: str  # "" for the folder itself, else the .gguf file in it
    files: dict[str, int]


def home() -> Path:
    return Path(os.environ.get("PONDER_HOME") or Path.home() / ".cache" / "ponder")


def slot(name: ModelName) -> Path:
    """The folder of a model, whether it is there or not. The hub and ModelScope share one: the files are the same."""
    text = f"{name.repository}/{name.file}".rstrip("/") if name.repository else name.text
    return home() / "models" / re.sub(r"[^\w.-]+", "--", text)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches or removes this model."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        yield


def complete(folder: Path) -> Download | None:
    """The model in this folder, None if it is not there, was interrupted, or lost a file since."""
    try:
        marker = msgspec.json.decode((folder / MARKER).read_bytes(), type=_Marker)
        if any((folder / f).stat().st_size != size for f, size in marker.files.items()):
            return None
    except (OSError, msgspec.DecodeError):
        return None
    return Download(marker.name, folder / marker.load, sum(marker.files.values()), marker.source)


def here(name: ModelName) -> Path | None:
    """Where a model lies, if it is here, in Ponder's folder or another program's: nothing is downloaded."""
    if name.path is not None:
        return name.path
    if name.kind == "shipped":
        return shipped(name.text)
    if (have := complete(slot(name))) is not None:
        return have.path
    if name.repository and (path := find(name.repository, name.file)) is not None:
        return path
    return here(ModelName(name.full, "repository", repository=name.full)) if name.full else None


def finish(folder: Path, name: str, source: str, files: list[str], load: str = "") -> None:
    """Declare the download complete."""
    marker = _Marker(name, source, load, {f: (folder / f).stat().st_size for f in files})
    with replacing(folder / MARKER) as out:
        out.write(msgspec.json.format(msgspec.json.encode(marker)))


def downloads() -> list[Download]:
    """Every complete download, by name."""
    folders = (home() / "models").glob("*/")
    return sorted((c for f in folders if (c := complete(f))), key=lambda c: c.name)


def remove(name: ModelName) -> int:
    """Delete a download, complete or not. -> bytes freed. Raises UserError if nothing is there."""
    if name.kind == "shipped":
        raise UserError(f"{name.text} comes with Ponder and is no download", param="model")
    folder = slot(name)
    if not folder.is_dir():
        have = ", ".join(c.name for c in downloads()) or "none"
        raise UserError(f"{name.text!r} is not downloaded. Downloaded models: {have}.", param="model")
    with locked(folder):
        size = size_of(folder)
        shutil.rmtree(folder)
    return size


def size_of(folder: Path) -> int:
    """Bytes on disk; files may vanish while we look."""
    size = 0
    for parent, folders, files in os.walk(folder):  # passes over a folder that is gone; Path.rglob raises
        for name in folders + files:
            try:
                size += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return size
