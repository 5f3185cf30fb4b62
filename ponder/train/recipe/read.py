"""A recipe: TOML with a name, a seed and a list of stages. An unknown word is an error that shows the nearest one.

`extends = "mini.toml"` begins with the stages of another recipe, and has its name, seed and numbers where it says
nothing: run into the same folder, the stages that are done there are found.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.sections import check_names, read_toml, section, unknown
from ponder.train.recipe.table import STAGES
from ponder.train.scale.by_law import settled
from ponder.train.scale.layout import Layout
from ponder.train.stage import Dtype, Stage

LONGEST = 60  # letters of a name: with its hash, and where a letter takes four bytes, a folder's name has 255


class Recipe(Struct, frozen=True, kw_only=True):
    name: str
    stages: tuple[Stage, ...]
    """Each after those that it needs."""
    seed: int = 0
    dtype: Dtype = "f32"
    """Of the weights in training; masters, moments and sums are float32."""
    layout: Layout = Layout()
    """How several processes share a model."""


def read_recipe(path: Path) -> Recipe:
    """Raises UserError that names the file, the stage and the field."""
    return recipe_of(_extended(path, ()), str(path), default_name=path.stem, folder=path.parent)


def _extended(path: Path, by: tuple[Path, ...]) -> dict[str, Any]:
    """The table of a recipe, what it extends in front. by: the recipes that extend this one."""
    if path.resolve() in by:
        raise UserError(f"{path} extends itself", param="extends")
    raw = read_toml(path)
    other = raw.pop("extends", None)
    if other is None:
        return raw
    if not isinstance(other, str):
        raise UserError(f"{path}: extends is the file of another recipe, beside this one", param="extends")
    first = _extended(path.parent / other, (*by, path.resolve()))
    parts = [table.get("stage", []) for table in (first, raw)]
    both = parts[0] + parts[1] if all(isinstance(part, list) for part in parts) else None
    return first | raw | {"stage": both}


def recipe_of(
    raw: Mapping[str, Any], source: str, *, default_name: str = "recipe", folder: Path = Path()
) -> Recipe:  # fmt: skip
    """folder: where the path of a law begins."""
    check_names(raw, ("name", "seed", "dtype", "law", "layout", "stage"), source)
    sections = raw.get("stage")
    if not isinstance(sections, list) or not sections or not all(isinstance(s, dict) for s in sections):
        raise UserError(f"{source} has no stages: a recipe is a list of [[stage]] sections", param="stage")
    if not isinstance(raw.get("law", ""), str):
        raise UserError(f"{source}: law is a file that `ponder train ladder` wrote, beside this recipe", param="law")
    sections = settled(sections, folder / raw["law"] if "law" in raw else None, source)
    stages = [_stage(each, f"{source}, stage {n + 1}") for n, each in enumerate(sections)]
    _check_graph(stages, source)
    if isinstance(raw.get("layout"), dict):
        check_names(raw["layout"], (f.encode_name for f in msgspec.structs.fields(Layout)), f"{source}, layout")
    head = {"name": default_name, **{key: raw[key] for key in ("name", "seed", "dtype", "layout") if key in raw}}
    name = head["name"]
    if isinstance(name, str) and (name in ("", ".", "..") or set(name) & set("/\\\0") or len(name) > LONGEST):
        raise UserError(
            f"{source}: {name!r} cannot be the name of a folder in runs/train: up to {LONGEST} letters, no slash",
            param="name",
        )
    try:
        return msgspec.structs.replace(msgspec.convert(head | {"stages": ()}, Recipe), stages=tuple(stages))
    except msgspec.ValidationError as e:
        raise UserError(f"{source}: {e}", param="recipe") from e


def _stage(raw: dict[str, Any], where: str) -> Stage:
    where += f" ({raw['name']})" if "name" in raw else ""
    if "kind" not in raw:
        raise UserError(f"{where} has no kind; there are {', '.join(STAGES)}", param="kind")
    kind = raw["kind"]
    if not isinstance(kind, str) or kind not in STAGES:
        raise UserError(f"{where}: {unknown('kind', kind, STAGES)}", param="kind")
    cls = STAGES[kind]
    fields = msgspec.structs.fields(cls)
    for f in fields:
        for table in (f.type, *get_args(f.type)):  # Shape, or Shape | None
            if isinstance(table, type) and issubclass(table, Struct) and isinstance(raw.get(f.encode_name), dict):
                inner = (i.encode_name for i in msgspec.structs.fields(table))
                check_names(raw[f.encode_name], inner, f"{where}, {f.encode_name}")
    return section(raw, cls, where)


def _check_graph(stages: list[Stage], source: str) -> None:
    before: list[str] = []
    for stage in stages:
        if not stage.name or not stage.name.replace("-", "").replace("_", "").isalnum():
            raise UserError(f"{source}: {stage.name!r} is no name of a stage: letters, digits, - and _", param="name")
        if len(stage.name) > LONGEST:
            raise UserError(f"{source}: a stage's name has up to {LONGEST} letters: {stage.name[:20]}...", param="name")
        if stage.name in before:
            raise UserError(f"{source}: two stages are called {stage.name}", param="name")
        for role, parent in stage.parents().items():
            if parent not in before:
                problem = unknown("stage", parent, before) if before else f"no stage stands before it, so no {parent!r}"
                raise UserError(f"{source}, stage {stage.name}, {role}: {problem} (it must stand above)", param=role)
        before.append(stage.name)
