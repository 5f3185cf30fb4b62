"""Tensors of the loss from plain rows, for tests that have no packed batch."""

import torch
from torch import Tensor

from ponder.train.loss import Streams


def streams(rows: int, **given: Tensor | None) -> Streams:
    """Zeros where nothing is given; one sequence."""
    dtype = next((t.dtype for t in given.values() if t is not None and t.is_floating_point()), torch.float32)
    zero = torch.zeros(rows, dtype=dtype)
    plain: dict[str, Tensor | None] = dict.fromkeys(("ce", "rl", "advantage", "behaviour"), zero)
    plain |= {"reference": None, "sequence": torch.zeros(rows, dtype=torch.long), "kl": zero[:0]}
    return Streams(**{**plain, **given})  # type: ignore[arg-type]
