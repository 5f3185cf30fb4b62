"""What a recipe reads, before anything is read: the files of each source, in lots of a few megabytes.

A lot is the unit of work: it is done by one process, and done once. Its name holds a hash of everything that decides
what comes out of it, so a recipe that changed does again only what changed.
"""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.fetch import debian, pypi
from ponder.data.fetch.hub import DataSet, data_set
from ponder.data.fetch.licences import Licences
from ponder.data.languages import of_locale
from ponder.data.patterns import matches
from ponder.data.read.code import is_code
from ponder.data.recipe import DataRecipe, Source, names_in

LOT = 16 << 20  # bytes of the files of a lot, at least, unless it is the last
TOGETHER = 25  # packages in one download
FORMAT = 6  # raise it when the same lot gives other bits


Say = Callable[[str], None]


class File(Struct, frozen=True):
    path: Path
    origin: str
    """The path inside its source."""
    size: int
    language: str = ""
    licence_file: str = ""
    """Of source code, inside its source."""


class Lot(Struct, frozen=True):
    source: Source
    number: int
    files: tuple[File, ...]
    identity: str


class Plan(Struct, frozen=True):
    lots: tuple[Lot, ...]
    versions: dict[str, dict[str, str]]
    """Of the packages of a source, where it has any: name -> version."""


def plan(recipe: DataRecipe, store: Path, sample: int | None, say: Say, hub: DataSet | None = None) -> Plan:
    """store: where packages are unpacked. sample: bytes to read in all, an equal share from each source. hub: fetches a
    data set."""
    lots: list[Lot] = []
    versions: dict[str, dict[str, str]] = {}
    share = None if sample is None else sample // len(recipe.sources)
    for source in recipe.sources:
        files, versions[source.name] = _gathered(
            source,
            _places(source, recipe.folder, store, hub, TOGETHER if share is None else 1),
            recipe.seed,
            share,
            say,
        )
        lots += [
            _lot(source, n, group, recipe.cleaning.identity + recipe.models.identity(source.name))
            for n, group in enumerate(_groups(files))
        ]
    return Plan(tuple(lots), versions)


Place = tuple[str, Callable[[], dict[str, tuple[Path, str]]]]
"""What is fetched together, as messages name it, and how: -> by package its folder and its version."""


def _places(source: Source, folder: Path, store: Path, hub: DataSet | None, together: int) -> list[Place]:
    """together: packages that are downloaded at once."""
    found: list[Place] = []
    packages = [name for pattern in names_in(source.debian) for name in debian.named(pattern)]
    for n in range(0, len(packages), together):
        some = packages[n : n + together]
        found.append((" ".join(some), partial(debian.unpacked, some, store)))
    found += [(name, partial(pypi.unpacked, name, store)) for name in names_in(source.pypi)]
    if source.hub:
        found.append((source.hub, partial(data_set, source.hub, source.files, store, hub)))
    return found or [("", lambda: {"": (folder, "")})]


def _gathered(
    source: Source, places: list[Place], recipe_seed: int, share: int | None, say: Say
) -> tuple[list[File], dict[str, str]]:
    """The files of a source and the versions of its packages. share: bytes that are enough."""
    seed = f"{recipe_seed} {source.name}"
    if share is not None:
        random.Random(seed).shuffle(places)  # of many packages, a sample fetches as few as it needs
    found: list[File] = []
    versions: dict[str, str] = {}
    for names, fetch in places:
        if names:
            say(f"{source.name}: {names}")
        for name, (root, version) in fetch().items():
            found += _files(source, root, package=bool(name), say=say)
            if name:
                versions[name] = version
        if share is not None and sum(file.size for file in found) >= share:
            break
    if not found:
        raise UserError(f"source {source.name}: no file below it is called {' or '.join(source.files)}", param="files")
    found.sort(key=lambda file: file.path)
    if source.per_language is not None:
        found = _of_each_language(found, source.per_language, seed)
    return (found if share is None else _some(found, share, seed)), versions


def _files(source: Source, root: Path, *, package: bool, say: Say) -> list[File]:
    found: dict[Path, File] = {}
    licences, unlicensed = Licences(root, package=package), 0
    for pattern in source.files:
        for path, locale in matches(pattern, root):
            language = (source.language or "") if locale is None else of_locale(locale)
            if language is None or not path.is_file():
                continue
            licence = None
            if source.format == "code":
                licence = licences.over(path) if is_code(path) else None
                unlicensed += is_code(path) and licence is None
                if licence is None:
                    continue
            found[path] = File(
                path, os.path.relpath(path, root), path.stat().st_size, language,
                "" if licence is None else os.path.relpath(licence, root),
            )  # fmt: skip
    if unlicensed:
        say(f"left out: {source.name}: {unlicensed:,} source files with no licence file over them")
    return list(found.values())


def _of_each_language(files: Sequence[File], size: int, seed: str) -> list[File]:
    by_language: dict[str, list[File]] = {}
    for file in files:
        by_language.setdefault(file.language, []).append(file)
    some = [file for of_one in by_language.values() for file in _some(of_one, size, seed)]
    return sorted(some, key=lambda file: file.path)


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
