"""Causal attention over packed sequences, the fastest exact way of each device (measured: docs/performance.md).

On a CPU in float32: torch's flash kernel, forward and backward. In bfloat16 its backward pass is 3 to 10 times slower
than plain matrix products, so those are used there, a block of queries at a time. On a GPU: `varlen_attn` where its
number format allows it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ponder.model.torch.packing import Packing

QUERIES = 256  # of a block


def packed_attention(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """q [T, H, C], k and v [T, Hk, C], all sequences from their first token on -> [T, H*C]"""
    if q.is_cuda and q.dtype in (torch.bfloat16, torch.float16):
        return _varlen(q, k, v, packing).flatten(1)
    if packing.gather is None or packing.place is None:
        return _rectangle(q, k, v, packing.shapes[0]).flatten(1)
    sizes = [b * s for b, s in packing.shapes]
    parts = (Gather.apply(a, packing.gather, packing.place).split(sizes) for a in (q, k, v))
    out = torch.cat([_rectangle(*qkv, shape) for *qkv, shape in zip(*parts, packing.shapes)])
    return Scatter.apply(out, packing.gather, packing.place).flatten(1)


def _varlen(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn  # needs a GPU build

    starts, longest = packing.starts, packing.longest
    out: Tensor = varlen_attn(q, k, v, starts, starts, longest, longest, window_size=(-1, 0), enable_gqa=True)
    return out


def _rectangle(q: Tensor, k: Tensor, v: Tensor, shape: tuple[int, int]) -> Tensor:
    """q [B*S, H, C] -> [B*S, H, C]"""
    b, s = shape
    q, k, v = (a.view(b, s, *a.shape[1:]).transpose(1, 2) for a in (q, k, v))  # [B, H, S, C]
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        y = BlockAttention.apply(q, k, v)
    else:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return y.transpose(1, 2).reshape(b * s, *y.shape[1::2])


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


class BlockAttention(torch.autograd.Function):
    """The flash kernel forward, and backward by matrix products that recompute the probabilities of a block of queries.
    q [B, H, S, C], k and v [B, Hk, S, C] -> [B, H, S, C]"""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        repeated = (a.repeat_interleave(q.shape[1] // k.shape[1], 1) for a in (k, v))
        y, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, *repeated, 0.0, True)
        ctx.save_for_backward(q, k, v, y, lse)
        return y  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, y, lse = ctx.saved_tensors
        (b, h, s, c), hk = q.shape, k.shape[1]
        scale, heads = c**-0.5, (b * hk, h // hk)
        q, y, grad = (a.reshape(*heads, s, c) for a in (q, y, grad))  # [B*Hk, G, S, C]
        k, v = (a.reshape(b * hk, s, c) for a in (k, v))
        lse = lse.reshape(*heads, s, 1)
        row = (grad * y).sum(-1, keepdim=True)  # [B*Hk, G, S, 1]
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for first in range(0, s, QUERIES):
            last = min(first + QUERIES, s)
            n = last - first
            qs, ys, norm, r = (a[:, :, first:last].reshape(b * hk, -1, a.shape[-1]) for a in (q, grad, lse, row))
            keys, values = k[:, :last], v[:, :last]
            p = torch.bmm(qs, keys.transpose(1, 2)).float().mul_(scale).sub_(norm).exp_()  # [B*Hk, G*n, last]
            p = p.view(-1, n, last).tril_(first).view(b * hk, -1, last)
            ds = torch.bmm(ys, values.transpose(1, 2)).sub_(r).mul_(p).mul_(scale).to(q.dtype)
            dv[:, :last] += torch.bmm(p.to(q.dtype).transpose(1, 2), ys)
            dk[:, :last] += torch.bmm(ds.transpose(1, 2), qs)
            dq[:, :, first:last] = torch.bmm(ds, keys).view(*heads, n, c)
        return dq.view(b, h, s, c), dk.view(b, hk, s, c), dv.view(b, hk, s, c)
