"""What a recipe reads, before anything is read: the files of each source, in lots of a few megabytes.

A lot is the unit of work: it is done by one process, and done once. Its name holds a hash of everything that decides
what comes out of it, so a recipe that changed does anew only what changed.
"""

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.debian import unpacked
from ponder.data.languages import of_locale
from ponder.data.recipe import DataRecipe, Source

LOT = 16 << 20  # bytes of the files of a lot, at least, unless it is the last
FORMAT = 2  # raise it when the same lot gives other bits


class File(Struct, frozen=True):
    path: Path
    origin: str
    """The path inside its source."""
    size: int
    language: str = ""


class Lot(Struct, frozen=True):
    source: Source
    number: int
    files: tuple[File, ...]
    identity: str


class Plan(Struct, frozen=True):
    lots: tuple[Lot, ...]
    versions: dict[str, str]
    """Of the package of a source, where it is one."""


def plan(recipe: DataRecipe, store: Path, sample: int | None = None) -> Plan:
    """store: where packages are unpacked. sample: bytes to read in all, an equal share from each source."""
    lots: list[Lot] = []
    versions: dict[str, str] = {}
    for source in recipe.sources:
        root = recipe.folder
        if source.debian is not None:
            root, versions[source.name] = unpacked(source.debian, store)
        files = _files(source, root)
        if sample is not None:
            files = _some(files, sample // len(recipe.sources), f"{recipe.seed} {source.name}")
        lots += [_lot(source, n, group, recipe.cleaning.identity) for n, group in enumerate(_groups(files))]
    return Plan(tuple(lots), versions)


def _files(source: Source, root: Path) -> list[File]:
    found: dict[Path, File] = {}
    for pattern in source.files:
        start = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else root
        for path in start.glob(pattern.lstrip("/")):
            language = _language(source, path)
            if language is not None and path.is_file():
                found[path] = File(path, os.path.relpath(path, root), path.stat().st_size, language)
    if not found:
        raise UserError(
            f"source {source.name}: no file below {root} is called {' or '.join(source.files)}", param="files"
        )
    return [found[path] for path in sorted(found)]


def _language(source: Source, path: Path) -> str | None:
    if source.language_from == "name":
        return of_locale(path.stem)
    if source.language_from == "folder":
        return of_locale(path.parent.parent.name)
    return source.language or ""


def _some(files: Sequence[File], size: int, seed: str) -> list[File]:
    """Files until `size` bytes are reached, one at least, drawn in an order of the seed."""
    order = list(files)
    random.Random(seed).shuffle(order)
    taken: list[File] = []
    for file in order:
        if taken and size <= 0:
            break
        taken.append(file)
        size -= file.size
    return sorted(taken, key=lambda file: file.path)


def _groups(files: Sequence[File]) -> Iterator[tuple[File, ...]]:
    group: list[File] = []
    for file in files:
        group.append(file)
        if sum(f.size for f in group) >= LOT:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)


def _lot(source: Source, number: int, files: tuple[File, ...], cleaning: str) -> Lot:
    stamps = [(f.origin, f.size, f.path.stat().st_mtime_ns, f.language) for f in files]
    made_by = msgspec.json.encode([FORMAT, source, cleaning, stamps])
    return Lot(source, number, files, hashlib.sha256(made_by).hexdigest()[:12])
