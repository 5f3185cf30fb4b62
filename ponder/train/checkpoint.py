"""Checkpoints: everything that the next step depends on, written beside the old one and renamed when it is whole.

    step-000120/        weights, moments and random state by torch.distributed.checkpoint, readable by any number of
                        processes; state.json has the counters, the data cursor and the recipe it belongs to

A run that goes on from one computes, on one process, the same bits as a run that was never interrupted.
"""

import json
import os
import shutil
import warnings
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException

from ponder.core.errors import UserError
from ponder.train import parallel
from ponder.train.record.metrics import by_step
from ponder.train.step import Progress, Trainer

PARTIAL = ".partial"
STATE = "state.json"


class Resumed(NamedTuple):
    offset: int
    """Of metrics.jsonl."""
    cursor: Any
    """What the stage handed to `save`: where its data and its own random numbers stand."""


def save(folder: Path, trainer: Trainer, recipe: Mapping[str, Any], *, cursor: Any, offset: int, keep: int = 2) -> Path:
    """folder/step-N, of JSON values: recipe (a flat table, names to values) and cursor. keep: older ones go."""
    path = folder / f"step-{trainer.progress.step:06d}"
    partial = path.with_name(path.name + PARTIAL)
    together, leads = trainer.processes > 1, trainer.processes == 1 or parallel.first()
    if leads:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed here
        partial.mkdir(parents=True)
    if together:
        parallel.wait()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")
        try:
            state_dict_saver.save(_tensors(trainer), checkpoint_id=partial, no_dist=not together)
        except CheckpointException as e:
            raise _reason(e) from None
    if leads:
        _finish(partial, path, trainer, recipe, cursor, offset)
        for old in _whole(folder)[:-keep]:
            shutil.rmtree(old)
    if together:
        parallel.wait()
    return path


def _reason(error: CheckpointException) -> BaseException:
    """The error of a file that is behind it, such as a full disk, which torch meets first and hides behind others."""
    for failure, _ in error.failures.values():
        found: BaseException | None = failure
        while found is not None:
            if isinstance(found, OSError):
                return found
            found = found.__cause__ or found.__context__
    return error


def _finish(
    partial: Path, path: Path, trainer: Trainer, recipe: Mapping[str, Any], cursor: Any, offset: int
) -> None:  # fmt: skip
    state = {"progress": asdict(trainer.progress), "offset": offset, "cursor": cursor, "recipe": dict(recipe)}
    with (partial / STATE).open("w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)


def latest(folder: Path) -> Path | None:
    """The newest whole one; what was being written when a run died does not count."""
    return next(reversed(_whole(folder)), None)


def load(path: Path, trainer: Trainer, recipe: Mapping[str, Any], *, accept: Collection[str] = ()) -> Resumed:
    """Into a trainer that was made as the first time. accept: recipe fields that may differ.

    Raises UserError for another recipe, and for files that are damaged."""
    try:
        state = json.loads((path / STATE).read_text())
    except (OSError, ValueError) as e:
        raise _damaged(path, e) from e
    _check_recipe(path, state["recipe"], recipe, accept)
    tensors = _tensors(trainer)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")
        try:
            state_dict_loader.load(tensors, checkpoint_id=path, no_dist=trainer.processes == 1)  # in place
        except CheckpointException as e:
            raise _damaged(path, next((failure for failure, _ in e.failures.values()), e)) from e
    torch.set_rng_state(tensors["random"])
    trainer.progress = Progress(**state["progress"])
    return Resumed(state["offset"], state["cursor"])


def _damaged(path: Path, error: BaseException) -> UserError:
    said = (str(error).strip() or repr(error)).splitlines()[0]
    return UserError(
        f"the checkpoint {path} cannot be read ({said}): delete that "
        "folder, and the same command goes on from the one before it, or begins the stage again",
        param="checkpoint",
    )


def _tensors(trainer: Trainer) -> dict[str, Tensor]:
    weights = {f"weight/{name}": p.detach() for name, p in trainer.parameters.items()}
    moments = {f"optim/{name}": m for name, m in trainer.optimiser.state().items()}
    return {**weights, **moments, "random": torch.get_rng_state()}


def _whole(folder: Path) -> list[Path]:
    return by_step(p for p in folder.glob("step-*") if not p.name.endswith(PARTIAL))


def _check_recipe(path: Path, old: dict[str, Any], new: Mapping[str, Any], accept: Collection[str]) -> None:
    new = json.loads(json.dumps(dict(new)))  # a tuple comes back from the file as a list
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name) and name not in accept:
            raise UserError(
                f"{path} belongs to another recipe: {name} was {old.get(name)!r} and is {new.get(name)!r} now. "
                f"Put it back, start in another folder, or go on all the same with --accept {name}",
                param=name,
            )
