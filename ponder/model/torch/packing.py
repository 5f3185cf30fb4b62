"""How packed sequences lie for attention: as they are when all have one length, else gathered into a few rectangles.

A rectangle [B, S] holds sequences of about the same length, each padded at its end. A token attends to earlier ones
only, so no real token sees the padding and no mask is needed; what the padding computes is thrown away. Computed once a
batch, with numpy, before anything runs.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ponder.core.batch import Batch

if TYPE_CHECKING:
    from ponder.model.torch.context import Context

SLACK, LEAST = 0.2, 16  # a sequence joins a rectangle that is longer by this share, or by this many tokens


class Packing(NamedTuple):
    """batch: for the paged cache, which only sampling uses. shapes: (B, S) of each rectangle. starts: int32 [B + 1] on
    the device, and the longest length, for kernels that take sequences of any length.
    gather: [sum of B*S] the token at each place, token 0 at padding; place: [T] where each token lies. Both are None if
    the tokens already lie so.
    shared: [P] of a batch whose sequences share tokens; first: [T] the place of each token in its first sequence. Then
    all others speak of places.
    context: how the tokens are divided among processes, if they are.
    """

    batch: Batch
    shapes: tuple[tuple[int, int], ...]
    starts: Tensor
    longest: int
    gather: Tensor | None = None
    place: Tensor | None = None
    shared: Tensor | None = None
    first: Tensor | None = None
    context: "Context | None" = None


def pack(batch: Batch, device: torch.device) -> Packing:
    packing = _placed(batch, device)
    if batch.shared is None:
        return packing
    shared, first = (torch.as_tensor(a, dtype=torch.long, device=device) for a in (batch.shared, batch.first_places()))
    return packing._replace(shared=shared, first=first)


def _placed(batch: Batch, device: torch.device) -> Packing:
    lengths = np.diff(batch.starts)
    starts = torch.as_tensor(batch.starts, dtype=torch.int32, device=device)
    longest = int(lengths.max(initial=0))
    if (lengths == longest).all():
        return Packing(batch, ((len(lengths), longest),), starts, longest)
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    shapes, gather = [], []
    for group in _groups(lengths[order]):
        rows = order[group]
        n = int(lengths[rows[0]])
        at = np.arange(n)[None]  # [1, S]
        gather.append(np.where(at < lengths[rows, None], batch.starts[rows, None] + at, -1).ravel())
        shapes.append((len(rows), n))
    table = np.concatenate(gather)
    place = np.empty(batch.starts[-1], np.int64)
    place[table[table >= 0]] = np.flatnonzero(table >= 0)
    token, where = (torch.as_tensor(a, dtype=torch.long, device=device) for a in (np.maximum(table, 0), place))
    return Packing(batch, tuple(shapes), starts, longest, token, where)


def _groups(falling: NDArray[np.int32]) -> list[slice]:
    """Runs of falling lengths that share a rectangle."""
    cuts = [0]
    for i, n in enumerate(falling.tolist()):
        most = int(falling[cuts[-1]])
        if most - n > max(LEAST, SLACK * most):
            cuts.append(i)
    return [slice(a, b) for a, b in zip(cuts, [*cuts[1:], len(falling)])]


class Gather(torch.autograd.Function):
    """x [T, ...] -> [P, ...]: the rows that padding repeats get no gradient, so that of the others is a gather too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gather: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        return x.index_select(0, gather)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (place,) = ctx.saved_tensors
        return grad.index_select(0, place), None, None


class Scatter(torch.autograd.Function):
    """y [P, ...] -> [T, ...], back in the order of the batch; padding is dropped."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, gather: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        ctx.places = len(gather)
        return y.index_select(0, place)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (place,) = ctx.saved_tensors
        return grad.new_zeros(ctx.places, *grad.shape[1:]).index_copy_(0, place, grad), None, None


class Spread(torch.autograd.Function):
    """x [T, ...] -> [P, ...]: a row that several sequences share, to each; their gradients are added in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shared: Tensor) -> Tensor:
        ctx.save_for_backward(shared)
        ctx.rows = len(x)
        return x.index_select(0, shared)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (shared,) = ctx.saved_tensors
        total = grad.new_zeros(ctx.rows, *grad.shape[1:], dtype=torch.float32)
        return total.index_add_(0, shared, grad.float()).to(grad.dtype), None
