"""What `ponder train` does, behind its flags."""

import errno
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.kernels import native
from ponder.kernels.cpu import usable_cpus
from ponder.train import parallel
from ponder.train.recipe.estimate import estimate, table
from ponder.train.recipe.graph import Node, context_of, nodes_of, part, run
from ponder.train.recipe.hours import in_hours
from ponder.train.recipe.inspect import show
from ponder.train.recipe.read import Recipe, read_recipe
from ponder.train.recipe.report import write_report
from ponder.train.recipe.shrink import shrunk
from ponder.train.scale.ladder import LAW, climb, page, read_ladder
from ponder.train.scale.mixing import PAGE, look_for, read_mixing
from ponder.train.stage import MODEL, Interrupted
from ponder.train.stages.pretrain import Pretrain
from ponder.train.stages.training import TrainingStage

HOME = Path("runs/train")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NARROW = 128  # hidden_size up to which a second thread costs more in waiting than it computes (docs/performance.md)


def train(
    path: Path, out: Path | None, *, from_: str | None, until: str | None, accept: Collection[str],
    threads: int | None = None, dry_run: bool = False, hours: float | None = None, shrink: bool = False,
) -> int:  # fmt: skip
    """The exit code: 130 when Ctrl-C was pressed and all is saved. threads: of torch; a resumed run has the same bits
    only with as many as before. dry_run: says what it would take, and leaves nothing behind. hours, shrink: see
    `hours.py` and `shrink.py`."""
    whole = read_recipe(path)
    recipe, why = in_numbers_of_this_cpu(shrunk(whole) if shrink else whole)
    torch.set_num_threads(threads or threads_for(recipe))
    out = out or HOME / recipe.name
    if dry_run:
        print(table(estimate(part(nodes_of(recipe, out), from_, until))))
        return 0
    if hours is not None:
        recipe = in_hours(recipe, out, hours, _say)
    with parallel.group() as aside, open(os.devnull, "w") as nowhere:
        log = nowhere if aside else sys.stderr
        print(why, file=log)
        try:
            nodes = run(recipe, out, from_=from_, until=until, accept=accept, log=log, aside=aside)
        except Interrupted:
            print("saved; the same command goes on from here", file=log)
            return 130
        except OSError as e:
            if e.errno not in FULL:
                raise
            raise UserError(
                f"{e.strerror}{f' ({e.filename})' if e.filename else ''}: what was finished and the last checkpoint "
                "are whole. Make room, and the same command goes on",
                param="out", code="disk_full",
            ) from e  # fmt: skip
        return 0 if aside else finish(recipe, nodes, out)


def finish(recipe: Recipe, nodes: Sequence[Node], out: Path) -> int:
    page = write_report(recipe, nodes, out)
    _say(f"report: {page}")
    if models := [node.folder / MODEL for node in nodes if (node.folder / MODEL).is_dir()]:
        _say(f'model: {models[-1]}\ntry it: ponder run {models[-1]} "..."')
    return 0


def ladder(path: Path, out: Path | None, *, threads: int | None = None) -> int:
    recipe, rungs = read_ladder(path)
    torch.set_num_threads(threads or threads_for(recipe))
    out = out or HOME / recipe.name
    with open(os.devnull, "w") as nowhere:
        try:
            outcome = climb(recipe, rungs, out, nowhere)
        except Interrupted:
            _say("saved; the same command goes on from here")
            return 130
    print(page(recipe.name, outcome), end="")
    _say(f"law: {out / LAW}")
    return 0


def mix(path: Path, out: Path | None) -> int:
    recipe, mixing = read_mixing(path)
    torch.set_num_threads(threads_for(recipe))
    out = out or HOME / recipe.name
    with open(os.devnull, "w") as nowhere:
        try:
            look_for(recipe, mixing, out, nowhere)
        except Interrupted:
            _say("saved; the same command goes on from here")
            return 130
    print((out / PAGE).read_text(), end="")
    return 0


def inspect(path: Path, out: Path | None, *, stage: str | None, count: int) -> int:
    recipe, _ = in_numbers_of_this_cpu(read_recipe(path))
    node = _trained(nodes_of(recipe, out or HOME / recipe.name), stage)
    for parent in node.parents.values():
        if not parent.finished:
            name = parent.stage.name
            text = (
                f"{node.stage.name} needs the stage {name}, which is not finished: ponder train {path} --until {name}"
            )
            raise UserError(text, param="stage")
    assert isinstance(node.stage, TrainingStage)
    context = context_of(node)
    role = "tokenizer" if "tokenizer" in node.parents else "from"
    show(node.stage.preview(context)[:count], context.tokenizer(role), sys.stdout)
    return 0


def threads_for(recipe: Recipe) -> int:
    widths = [stage.model.hidden_size for stage in recipe.stages if isinstance(stage, Pretrain) and stage.model]
    return 1 if max(widths, default=0) <= NARROW else usable_cpus()


def _trained(nodes: list[Node], wanted: str | None) -> Node:
    """The stage of that name, or the first of that kind."""
    fits = [n for n in nodes if isinstance(n.stage, TrainingStage)]
    if not fits:
        raise UserError("no stage of this recipe trains anything", param="stage")
    for node in fits:
        if wanted in (None, node.stage.name):
            return node
    for node in fits:
        if wanted == node.stage.fields()["kind"]:
            return node
    names = ", ".join(node.stage.name for node in fits)
    raise UserError(f"no stage that trains is called {wanted!r}; there are {names}", param="stage")


def in_numbers_of_this_cpu(recipe: Recipe) -> tuple[Recipe, str]:
    """The recipe with the type of weights that pays here, and the reason in words."""
    half = [stage.name for stage in recipe.stages if isinstance(stage, TrainingStage) and stage.dtype == "bf16"]
    if native.isa() in ("avx512bf16", "amx"):
        if recipe.dtype == "f32" and not half:
            return recipe, ("weights and sums in float32: engine and trainer agree to the last digits then, and small "
                            "models are bound by other things")  # fmt: skip
        where = "" if recipe.dtype == "bf16" else f" in {', '.join(half)}; the rest in float32"
        return recipe, f"weights in bfloat16, their masters and all sums in float32{where}"
    stages = tuple(replace(s, dtype=None) if s.name in half else s for s in recipe.stages)
    why = f"this CPU ({native.isa()}) has no bfloat16 products of its own, and float32 is faster there"
    return replace(recipe, dtype="f32", stages=stages), f"weights and sums in float32: {why}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
