"""What lies at a path: a model folder, a GGUF file, the parts of a split one, a repository in the hub's own cache.

Other programs keep the same files in other places and under other names: `MODEL.GGUF`, a blob without an ending, a
folder with one GGUF file in it, `models--Qwen--Qwen3-8B` with snapshots. `opened` says what of it the loader opens.
"""

import re
from pathlib import Path

from ponder.core.errors import LoadError, UserError

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)


def opened(path: Path) -> Path | None:
    """A folder with config.json, or a GGUF file, of a split one its first part; None where no model is.
    Raises UserError for a folder of several models."""
    if path.is_dir():
        return _in_folder(path)
    if path.is_file() and is_gguf(path):
        return parts_of(path)[0]
    return None


def parts_of(path: Path) -> list[Path]:
    """All parts of a split GGUF file, in order, by the name of any of them; [path] for a whole one.
    Raises LoadError when one is missing."""
    parts = [path.with_name(name) for name in part_names(path.name)]
    if len(parts) == 1:
        return [path]
    if missing := [part.name for part in parts if not part.is_file()]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise LoadError(f"{path}: a part of a split file, and {', '.join(missing[:3])}{more} is not beside it")
    return parts


def is_gguf(path: Path) -> bool:
    if path.suffix.lower() == ".gguf":
        return True  # what is wrong with its content, the loader says
    with path.open("rb") as f:
        return f.read(4) == b"GGUF"


def whole_name(path: Path) -> str:
    """What a file is called, without its ending and without the number of a part."""
    match = _PART.fullmatch(path.name)
    return match[1] if match else path.stem


def ggufs(names: list[str]) -> list[str]:
    """The GGUF files among the names, of split ones the first part."""
    found = sorted(n for n in names if n.lower().endswith(".gguf"))
    return [n for n in found if (match := _PART.fullmatch(n)) is None or int(match[2]) == 1]


def part_names(name: str) -> list[str]:
    """As `parts_of`, of names alone."""
    match = _PART.fullmatch(name)
    if match is None:
        return [name]
    stem, _, count, ending = match.groups()
    return [f"{stem}-{n:05}-of-{count}{ending}" for n in range(1, int(count) + 1)]


def _in_folder(folder: Path) -> Path | None:
    if (folder / "config.json").is_file():
        return folder
    if (folder / "snapshots").is_dir():
        return _snapshot(folder)
    models = ggufs([f.name for f in folder.iterdir() if f.is_file()])
    if len(models) > 1:
        raise UserError(
            f"{folder} holds {len(models)} models: {', '.join(models[:8])}. Name one of them.", param="model"
        )
    return parts_of(folder / models[0])[0] if models else None


def _snapshot(folder: Path) -> Path | None:
    """The newest version in a repository of the hub's cache: the one that `main` names, if it is there."""
    main = folder / "refs" / "main"
    named = [folder / "snapshots" / main.read_text().strip()] if main.is_file() else []
    others = sorted((folder / "snapshots").iterdir(), key=lambda f: f.stat().st_mtime, reverse=True)
    for version in [*named, *others]:
        if version.is_dir() and (found := _in_folder(version)) is not None:
            return found
    return None
