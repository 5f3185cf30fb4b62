"""What a base model makes of ids: the log-probability of each next one, and whether it would have said it itself."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ponder.core.batch import Batch
from ponder.core.sample import Floats, Ints
from ponder.model.decoder import HEAD
from ponder.model.model import Model
from ponder.model.torch.ops import TorchOps
from ponder.train.batch import in_order


class Scores(NamedTuple):
    """Of a text of n ids: n - 1 each, of the ids after the first."""

    logprobs: Floats
    greedy: NDArray[np.bool_]
    """Empty unless it was asked for."""


def scores(
    model: Model, texts: Sequence[Ints], *, factor: float = 1.0, last: int | None = None, max_tokens: int = 8192
) -> Iterator[Scores]:
    """In their order. factor: of YaRN. last: only so many ids at each end, with `greedy`; None: all, without.
    max_tokens: ids computed at once, where a text is not longer."""
    for group in in_order(texts, max_tokens):
        yield from _scored(model, group, factor, last)


def _scored(model: Model, texts: Sequence[Ints], factor: float, last: int | None) -> Iterator[Scores]:
    lengths = [len(ids) - 1 for ids in texts]
    batch = Batch.packed(lengths, rope_factor=factor)
    ends = np.cumsum(lengths)
    counts = lengths if last is None else [min(last, n) for n in lengths]
    rows = np.concatenate([np.arange(end - count, end) for end, count in zip(ends, counts)])
    targets = torch.from_numpy(np.concatenate([ids[-count:] for ids, count in zip(texts, counts)])).long()
    assert isinstance(model.ops, TorchOps)
    head = model.weights[HEAD]
    with torch.no_grad():
        hidden = model.hidden_states(np.concatenate([ids[:-1] for ids in texts]), batch)[torch.from_numpy(rows)]
        logprobs, _ = model.ops.token_losses(hidden, head, targets)
        greedy = np.zeros(0, np.bool_) if last is None else _greedy(hidden, head, targets)
    at = np.cumsum(counts)[:-1]
    for n, own in enumerate(np.split(logprobs.numpy(), at)):
        yield Scores(own, greedy if last is None else np.split(greedy, at)[n])


def _greedy(hidden: Tensor, head: Tensor, targets: Tensor) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = ((hidden @ head.mT).argmax(-1) == targets).numpy()
    return found
