"""The files of the weight cache, wherever they lie: for `ponder list` and `ponder rm --packed`.

Those beside a source outside $PONDER_HOME are known by a link in $PONDER_HOME/packed, so nothing is searched.
"""

from pathlib import Path

from msgspec import Struct

from ponder.model.hub.store import home
from ponder.model.weights.cache import folders, stem


class CachedWeights(Struct, frozen=True):
    """path: of the file."""

    path: Path
    nbytes: int


def cached_weights(source: Path | None = None) -> list[CachedWeights]:
    """All of them, or those of one model: its folder or .gguf file."""
    found = {path.resolve() for path in (home() / "packed").rglob("*.safetensors") if path.exists()}
    found |= {path.resolve() for path in (home() / "models").glob("*/.ponder/*.safetensors")}
    if source is not None:
        first = source / "config.json" if source.is_dir() else source
        places = [place.resolve() for place in folders(first)]
        near = {p.resolve() for place in places for p in place.glob(f"{stem(first)}-*.safetensors")}
        found = {p for p in found if p.parent in places and p.name.startswith(f"{stem(first)}-")} | near
    return [CachedWeights(path, path.stat().st_size) for path in sorted(found)]


def remove_cached_weights(files: list[CachedWeights]) -> int:
    """Delete them and the links that lead nowhere. -> bytes freed. A process that has one mapped keeps it until it
    ends."""
    for file in files:
        file.path.unlink(missing_ok=True)
    for link in (home() / "packed").glob("*.safetensors"):
        if link.is_symlink() and not link.exists():
            link.unlink()
    return sum(file.nbytes for file in files)
