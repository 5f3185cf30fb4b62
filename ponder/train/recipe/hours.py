"""A recipe in so many hours: its steps are scaled, never its shapes.

What a step takes is measured on this machine, once: the factor is kept beside the stages, so that the same command goes
on with the same recipe.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.train.recipe.estimate import Line, estimate, table
from ponder.train.recipe.graph import Node, nodes_of
from ponder.train.recipe.read import Recipe
from ponder.train.stage import Stage
from ponder.train.stages.pretrain import Pretrain
from ponder.train.stages.training import TrainingStage

KEPT = "hours.json"


class Kept(Struct, kw_only=True):
    hours: float
    factor: float
    recipe: str
    """Hash of the stages as they were written."""


def in_hours(recipe: Recipe, out: Path, hours: float, say: Callable[[str], None], seconds: float = 20.0) -> Recipe:
    """Says what each stage will take. seconds: of measuring. Raises UserError where the rest alone takes longer."""
    nodes = nodes_of(recipe, out)
    own = hashlib.sha256(json.dumps([node.folder.name for node in nodes]).encode()).hexdigest()
    kept = _kept(out / KEPT)
    if kept is not None and (kept.hours, kept.recipe) == (hours, own):
        say(f"{hours:g} hours: steps times {kept.factor:.3g}, as measured when this run began")
    else:
        kept = Kept(hours=hours, factor=_factor(nodes, hours, say, seconds), recipe=own)
        out.mkdir(parents=True, exist_ok=True)
        with replacing(out / KEPT) as file:
            file.write(msgspec.json.encode(kept) + b"\n")
    return replace(recipe, stages=tuple(scaled(stage, kept.factor) for stage in recipe.stages))


def scaled(stage: Stage, factor: float) -> Stage:
    """Steps, warm-up and decay times `factor`."""
    if not isinstance(stage, TrainingStage):
        return stage
    if isinstance(stage, Pretrain) and stage.tokens is not None:
        tokens = max(stage.batch_tokens, round(stage.tokens * factor))
        steps, more = max(1, tokens // stage.batch_tokens), {"tokens": tokens}
    else:
        steps, more = max(1, round(stage.steps * factor)), {}
    warmup = min(steps, round(stage.warmup * factor))
    decay = min(steps - warmup, round(stage.decay * factor))
    return replace(stage, steps=steps, warmup=warmup, decay=decay, **more)


def _factor(nodes: Sequence[Node], hours: float, say: Callable[[str], None], seconds: float) -> float:
    lines = estimate(nodes, seconds)
    learns = [isinstance(node.stage, TrainingStage) for node in nodes]
    learning = sum(line.seconds or 0.0 for line, own in zip(lines, learns) if own)
    rest = sum(line.seconds or 0.0 for line, own in zip(lines, learns) if not own)
    if not learning:
        raise UserError("no stage is left that trains: there is nothing to scale", param="hours")
    factor = (3600 * hours - rest) / learning
    if factor <= 0:
        raise UserError(
            f"{hours:g} hours are too few: evaluation alone takes {rest / 3600:.2g}", param="hours"
        )  # fmt: skip
    say(table([_times(line, factor) if own else line for line, own in zip(lines, learns)]))
    return factor


def _times(line: Line, factor: float) -> Line:
    seconds = None if line.seconds is None else line.seconds * factor
    return line._replace(ids=round(line.ids * factor), seconds=seconds)


def _kept(path: Path) -> Kept | None:
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except msgspec.DecodeError as e:
        raise UserError(f"{path} is damaged ({e}): delete it, and the machine is measured again", param="hours") from e
