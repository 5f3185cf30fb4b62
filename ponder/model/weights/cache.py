"""The weight cache: converted weights on disk, so that the second start of a model converts nothing.

    entry = cache_entry(checkpoint, plan, "int8", 32)  # None where it does not pay
    cached = entry.find(warn) or entry.make(warn)      # a CacheFile, None where it cannot be written
    cached.value("lm_head.weight")                     # Panels

What must be converted at load (int8, int4, other float types) is written once, one matrix at a time, to a file that is
mapped from then on; the first start uses the same mapping, so both compute with the same bytes. What a source file
already holds in the right form stays mapped there.

Where: in `.ponder/` beside the source, or in $PONDER_HOME/packed when that folder cannot be written or is another
program's. The name has a digest of everything the bytes depend on (see `identity`); files of the same source, dtype and
group with another digest are outdated and are deleted when the new one is complete. Every reason not to have a file
(read-only, disk full) is a warning, and the weights are made in memory as ever.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock

from ponder.core.errors import LoadError
from ponder.core.fingerprint import fingerprint
from ponder.kernels.tensor import FOUR_BITS, Kind
from ponder.model.hub.elsewhere import is_foreign
from ponder.model.hub.store import Progress, home
from ponder.model.weights.cache_file import LAYOUT, CacheFile, Piece, bytes_of, write_cache_file
from ponder.model.weights.checkpoint import Checkpoint, Source, read
from ponder.model.weights.finite import check_finite

Plan = Mapping[str, tuple[Source, Kind]]
Warn = Callable[[str], None]

FOLDER = ".ponder"
WORTH = 64 << 20  # bytes to convert: below, converting takes less than 0.1 s


@dataclass(frozen=True)
class CacheEntry:
    """The file that a plan needs. pieces: what is in it. digest: its identity. places: where it may lie."""

    checkpoint: Checkpoint
    plan: Plan
    group: int
    pieces: dict[str, Piece]
    digest: str
    places: tuple[Path, ...]

    def find(self, warn: Warn) -> CacheFile | None:
        for path in self.places:
            if (found := _valid(path, self, warn)) is not None:
                return found
        return None

    def make(self, warn: Warn, progress: Progress | None = None) -> CacheFile | None:
        """None when no place takes it: then the weights are made in memory as ever."""
        refusals = []
        for path in self.places:
            try:
                return _make(path, self, warn, progress)
            except OSError as e:
                refusals.append(f"{path.parent}: {e.strerror or e}")
        warn(f"the packed weights cannot be kept for the next start: {'; '.join(refusals)}")
        return None


def cache_entry(checkpoint: Checkpoint, plan: Plan, dtype: str, group: int) -> CacheEntry | None:
    """None for weights that are in memory anyway, or where converting is a matter of a tenth of a second."""
    pieces = {name: piece for name, (source, kind) in plan.items() if (piece := piece_of(source, kind, group))}
    files = checkpoint.files
    if not (files or checkpoint.made) or sum(piece.nbytes() for piece in pieces.values()) < WORTH:
        return None
    digest = identity(files, checkpoint.made, pieces)
    adapter = f"+{_word(checkpoint.adapter)}" if checkpoint.adapter else ""  # its own, beside that of the model alone
    name = f"{stem(files[0]) if files else 'random'}{adapter}-{dtype}-g{group}-{digest[:16]}.safetensors"
    places = tuple(folder / name for folder in (folders(files[0]) if files else [home() / "packed" / digest[:8]]))
    return CacheEntry(checkpoint, plan, group, pieces, digest, places)


def piece_of(source: Source, kind: Kind, group: int) -> Piece | None:
    """What of a tensor goes into the file; None if it is used where its source is mapped."""
    if source.mapped == kind:
        return None
    if kind not in ("int8", *FOUR_BITS):
        return Piece(kind, source.shape)
    own = source.auto == kind and source.group
    return Piece(kind, source.shape, own or group)


def identity(files: tuple[Path, ...], made: str, pieces: Mapping[str, Piece]) -> str:
    """A digest of what the bytes depend on: the layout, the pieces, the state of the source files."""
    parts = [LAYOUT, made, dict(pieces), [fingerprint(file) for file in files]]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def stem(source: Path) -> str:
    """What the packed files of a source are called: the GGUF file's name, or the folder's."""
    return _word(source.absolute().parent.name if source.name == "config.json" else source.stem) or "model"


def _word(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def folders(source: Path) -> list[Path]:
    """Where the packed files of a source may lie, best first. source: its first file."""
    beside = source.absolute().parent
    place = hashlib.sha256(os.fsencode(beside)).hexdigest()[:8]
    own = home() / "packed" / f"{stem(source)}-{place}"
    return [own] if is_foreign(beside) else [beside / FOLDER, own]


def _valid(path: Path, entry: CacheEntry, warn: Warn) -> CacheFile | None:
    """The file if it is there and is the one of this entry. One that is damaged will be replaced."""
    if not path.exists():
        return None
    try:
        found = CacheFile(path)
    except LoadError as e:
        warn(f"{e}; it is made again")
        return None
    return found if found.metadata.get("identity") == entry.digest and found.pieces == entry.pieces else None


def _make(path: Path, entry: CacheEntry, warn: Warn, progress: Progress | None) -> CacheFile:
    """Convert and write. Another process that makes the same file is waited for, and its file taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / ".lock"):
        if (found := _valid(path, entry, warn)) is not None:
            return found
        for left_over in path.parent.glob(f".{path.name}.*"):  # of a process that was killed: we hold the lock
            left_over.unlink()
        total, done = sum(entry.plan[name][0].nbytes for name in entry.pieces), 0
        about = {"identity": entry.digest, "source": entry.checkpoint.made or entry.checkpoint.origin}
        with write_cache_file(path, entry.pieces, about) as put:
            for name in entry.pieces:
                source, kind = entry.plan[name]
                value = read(source, kind, entry.group)
                check_finite(entry.checkpoint.origin, name, value)
                put(name, bytes_of(value))
                done += source.nbytes
                if progress:
                    progress(done, total)
        for old in _outdated(path):
            old.unlink()
    _link(path)
    return CacheFile(path)


def _link(path: Path) -> None:
    """Leave a trace for `ponder list` of a file outside Ponder's own folder."""
    if path.is_relative_to(home().absolute()):
        return
    link = home() / "packed" / path.name
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    except OSError:
        return  # it is only not listed


def _outdated(path: Path) -> Iterator[Path]:
    """Files of the same source, dtype and group for another state of the source or another version."""
    prefix = path.name.removesuffix(".safetensors")[:-16]
    for other in path.parent.glob(f"{prefix}*.safetensors"):
        if other != path and re.fullmatch(r"[0-9a-f]{16}", other.name[len(prefix) : -len(".safetensors")]):
            yield other
