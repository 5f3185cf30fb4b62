"""What convert and quantize share: find the source, count what is read from it, write a folder all or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli.announce import announce
from ponder.cli.terminal.progress import Tick, progress
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.kernels.tensor import Floats, Tensor
    from ponder.model.weights.checkpoint import Checkpoint, Source


def locate(source: str) -> Path:
    """The folder or .gguf file that a name stands for, downloaded if it must be. Raises UserError or LoadError."""
    from ponder.model.hub import fetch

    with progress(f"downloading {source}", "B") as tick:
        local = fetch.locate(source, tick, announce)
    if local.name.kind == "scripted":
        raise UserError(f"{source} is a script, not a model with weights")
    return local.path


@contextmanager
def opened(path: Path, label: str) -> "Iterator[Checkpoint]":
    """The checkpoint at `path`, with a progress bar that moves as its tensors are read."""
    from ponder.model.load import open_checkpoint

    with progress(label, "B") as tick:
        yield counted(open_checkpoint(path), tick)


def counted(checkpoint: "Checkpoint", tick: Tick) -> "Checkpoint":
    """The same checkpoint, which tells `tick` how many of its bytes were read."""
    total, done = sum(s.nbytes for s in checkpoint.tensors.values()), 0

    def watch(source: "Source") -> "Source":
        def read() -> "Floats | Tensor":
            nonlocal done
            done += source.nbytes
            tick(min(done, total), total)
            return source.read()

        return replace(source, read=read)

    return replace(checkpoint, tensors={name: watch(s) for name, s in checkpoint.tensors.items()})


def refuse_existing(target: Path) -> None:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} exists already; choose another name or delete it first")


def size_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size
