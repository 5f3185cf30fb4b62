"""Runs the stages of a recipe, each in a folder that is named by what made it; those that are finished are skipped.

    runs/train/smoke/
        text-1f0c.../        stage.json: section, seed, parents; `finished` when `run` returned
        base-93ab.../

A changed field gives another hash, so another folder; what did not change is found again. A stage that was interrupted
under another section is not thrown away in silence: it is an error that names the field.
"""

import hashlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import msgspec
from filelock import FileLock, Timeout

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.sections import check_names
from ponder.train import parallel
from ponder.train.recipe.read import Recipe
from ponder.train.record.metrics import duration
from ponder.train.scale.layout import Layout
from ponder.train.stage import Context, Dtype, Interrupted, Stage
from ponder.train.stages.training import TrainingStage

FORMAT = 3  # raise it when the same section gives other bits
MADE, FINISHED, LOCK = "stage.json", "finished", ".lock"


@dataclass(frozen=True)
class Node:
    """A stage with its place."""

    stage: Stage
    folder: Path
    identity: dict[str, Any]
    """Flat table of what made it."""
    seed: int
    dtype: Dtype
    parents: dict[str, "Node"]
    layout: Layout

    @property
    def finished(self) -> bool:
        return (self.folder / FINISHED).exists()


def nodes_of(recipe: Recipe, out: Path) -> list[Node]:
    made: dict[str, Node] = {}
    for stage in recipe.stages:
        parents = {role: made[name] for role, name in stage.parents().items()}
        hashes = {role: node.folder.name for role, node in parents.items()}
        dtype = (stage.dtype if isinstance(stage, TrainingStage) else None) or recipe.dtype
        identity = {**flat(stage.fields()), **hashes, "seed": recipe.seed, "format": FORMAT, "dtype": dtype}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]
        seed = int.from_bytes(hashlib.sha256(f"{recipe.seed} {stage.name}".encode()).digest()[:4], "big")
        made[stage.name] = Node(stage, out / f"{stage.name}-{digest}", identity, seed, dtype, parents,
                                recipe.layout)  # fmt: skip
    return list(made.values())


def run(
    recipe: Recipe, out: Path, *, from_: str | None = None, until: str | None = None, accept: Collection[str] = (),
    log: TextIO | None = None, aside: Path | None = None,
) -> list[Node]:  # fmt: skip
    """from_: this stage and those after it are done again. until: the last one. aside: see `Context`.

    Raises Interrupted when Ctrl-C was pressed and everything is saved."""
    log = log or sys.stderr
    nodes = nodes_of(recipe, out)
    wanted = part(nodes, from_, until)
    check_names(dict.fromkeys(accept), {field for node in nodes for field in node.identity}, "--accept")
    with nullcontext() if aside else locked(out), _ctrl_c(log) as stop:
        if from_ is not None and not aside:
            for node in wanted[[n.stage.name for n in wanted].index(from_) :]:
                (node.folder / FINISHED).unlink(missing_ok=True)
                _empty(node.folder)
        for node in wanted:
            parallel.wait()  # all see the same stages finished
            if node.finished:
                print(f"{node.stage.name}: finished before, {node.folder}", file=log)
                continue
            _run(node, accept, stop, log, aside)
            if stop():
                raise Interrupted
    return wanted


def context_of(
    node: Node, *, accept: Collection[str] = (), stop: Callable[[], bool] = lambda: False, log: TextIO | None = None,
    aside: Path | None = None,
) -> Context:  # fmt: skip
    return Context(
        folder=node.folder, parents={role: parent.folder for role, parent in node.parents.items()},
        identity=node.identity, seed=node.seed, dtype=node.dtype, layout=node.layout, accept=accept, stop=stop,
        aside=aside, out=log or sys.stderr,
    )  # fmt: skip


def part(nodes: list[Node], from_: str | None, until: str | None) -> list[Node]:
    """Up to `until`. Raises UserError for a stage that there is not."""
    names = [node.stage.name for node in nodes]
    for word, name in (("from", from_), ("until", until)):
        if name is not None and name not in names:
            raise UserError(f"the recipe has no stage {name!r}; there are {', '.join(names)}", param=word)
    wanted = nodes if until is None else nodes[: names.index(until) + 1]
    if from_ is not None and from_ not in names[: len(wanted)]:
        raise UserError(f"--from {from_} stands below --until {until}: nothing would be done", param="from")
    return wanted


def _run(node: Node, accept: Collection[str], stop: "Stop", log: TextIO, aside: Path | None) -> None:
    if not aside:
        _adopt(node, accept)
        node.folder.mkdir(parents=True, exist_ok=True)
        with replacing(node.folder / MADE) as file:
            file.write(msgspec.json.format(msgspec.json.encode(node.identity), indent=1) + b"\n")
    parallel.wait()
    print(f"{node.stage.name}: {node.folder}", file=log)
    began = time.monotonic()
    if node.stage.together or not aside:
        with _made_by(node.parents):
            node.stage.run(context_of(node, accept=accept, stop=stop, log=log, aside=aside))
    parallel.wait()
    if not aside:
        with replacing(node.folder / FINISHED) as file:
            file.write(b"")
    print(f"{node.stage.name}: took {duration(time.monotonic() - began)}", file=log)


@contextmanager
def _made_by(parents: Mapping[str, Node]) -> Iterator[None]:
    """What another stage did not make is an error that names this stage's field."""
    try:
        yield
    except FileNotFoundError as e:
        for role, parent in parents.items():
            if e.filename and parent.folder in Path(e.filename).parents:
                raise UserError(
                    f"{role} = {parent.stage.name!r}: a stage of kind {parent.stage.fields()['kind']} makes no "
                    f"{Path(e.filename).relative_to(parent.folder)}; name one that does",
                    param=role,
                ) from e
        raise


def _adopt(node: Node, accept: Collection[str]) -> None:
    """An unfinished run of this stage under another section becomes this one's, if all that differs is accepted."""
    if (node.folder / "checkpoints").exists():
        return
    for other in sorted(node.folder.parent.glob(f"{node.stage.name}-*")):
        if (other / FINISHED).exists() or not any((other / "checkpoints").glob("step-*")):
            continue
        old = json.loads((other / MADE).read_text())
        if old.get("name") != node.stage.name:
            continue
        fields = [k for k in sorted(old.keys() | node.identity.keys()) if old.get(k) != node.identity.get(k)]
        refused = [k for k in fields if k not in accept]
        if refused:
            name = refused[0]
            raise UserError(
                f"{other} is an unfinished run of {node.stage.name} from another recipe: {name} was {old.get(name)!r} "
                f"and is {node.identity.get(name)!r} now. Put it back, delete that folder to begin again, or go on "
                f"from it with --accept {name}",
                param=name,
            )
        _empty(node.folder)
        if node.folder.exists():
            node.folder.rmdir()
        other.rename(node.folder)
        return


def _empty(folder: Path) -> None:
    for path in folder.iterdir() if folder.exists() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"layers": 3}} -> {"model.layers": 3}"""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Raises UserError where another process trains."""
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as e:
        raise UserError(
            f"{out} is in use by another `ponder train`; wait for it, or take another --out", param="out"
        ) from e
    try:
        yield
    finally:
        lock.release()


class Stop:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked


@contextmanager
def _ctrl_c(log: TextIO) -> Iterator[Stop]:
    """The first one asks to stop, the second one stops."""
    stop = Stop()

    def pressed(number: int, frame: object) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        print("\nsaving after this step; Ctrl-C again stops at once", file=log, flush=True)

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
