"""Several processes train one model: each holds a part of every weight, and learns from a part of every step.

    torchrun --nproc_per_node 2 -m ponder.train recipes/tiny.toml

How a model is divided is in `scale.divide`. The samples of a step are the same as for one process, and so are the sums;
only their order is another, so that the two curves agree to rounding. Stages without such sharing (`Stage.together` is
false) run in the first process while the others wait.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, distributed

from ponder.core.sample import Sample
from ponder.train.batch import micro_batches

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # how long the others wait for a stage of the first process


@contextmanager
def group() -> Iterator[Path | None]:
    """Joins the processes that torchrun started, if it did; gives a folder for what only the first one's is read of,
    None in the first."""
    if not distributed.is_torchelastic_launched():
        yield None
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        with tempfile.TemporaryDirectory() as aside:
            yield None if first() else Path(aside)
    finally:
        distributed.destroy_process_group()


def processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def first() -> bool:
    return not distributed.is_initialized() or distributed.get_rank() == 0


def wait() -> None:
    if distributed.is_initialized():
        distributed.barrier()


def any_of(flag: bool) -> bool:
    """Whether it is true in any process."""
    if processes() == 1:
        return flag
    told = torch.tensor(float(flag))
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return bool(told)


def summed(value: Tensor) -> Tensor:
    """Added up over the processes."""
    distributed.all_reduce(value)
    return value


def gather(value: T) -> list[T]:
    """That of every process, in their order."""
    if processes() == 1:
        return [value]
    found: list[T] = [value] * processes()
    distributed.all_gather_object(found, value)
    return found


def own_part(
    samples: Sequence[Sample], max_tokens: int, readers: int, reader: int
) -> tuple[list[list[Sample]], int]:  # fmt: skip
    """The micro-batches of one of those who share a step, and how many the others have at most: all must come as often
    to a layer."""
    shares: list[list[Sample]] = [[] for _ in range(readers)]
    for sample in sorted(samples, key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(sample)
    split = [micro_batches(share, max_tokens) if share else [] for share in shares]
    return split[reader], max(map(len, split))
