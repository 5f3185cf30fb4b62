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

from ponder.model.torch.packing import Gather, Packing, Scatter

QUERIES = 128  # of a block


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


class BlockAttention(torch.autograd.Function):
    """The flash kernel forward, and backward by matrix products that recompute the probabilities of a block of queries.
    q [B, H, S, C], k and v [B, Hk, S, C] -> [B, H, S, C]"""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(q, k, v)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = ctx.saved_tensors
        (b, h, s, c), hk = q.shape, k.shape[1]
        scale, heads = c**-0.5, (b * hk, h // hk)
        q, grad = (a.reshape(*heads, s, c) for a in (q, grad))  # [B*Hk, G, S, C]
        k, v = (a.reshape(b * hk, s, c) for a in (k, v))
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for first in range(0, s, QUERIES):
            last = min(first + QUERIES, s)
            n = last - first
            later = torch.full((n, last), -torch.inf, dtype=q.dtype).triu_(first + 1).repeat(heads[1], 1)
            qs, gs = (a[:, :, first:last].reshape(b * hk, -1, c) for a in (q, grad))  # [B*Hk, G*n, C]
            keys, values = k[:, :last], v[:, :last]
            p = torch.baddbmm(later, qs, keys.mT, alpha=scale).softmax(-1)  # [B*Hk, G*n, last]
            ds = torch._softmax_backward_data(torch.bmm(gs, values.mT), p, -1, p.dtype)
            dv[:, :last] += torch.bmm(p.mT, gs)
            dk[:, :last] += torch.bmm(ds.mT, qs).mul_(scale)
            dq[:, :, first:last] = torch.bmm(ds, keys).mul_(scale).view(*heads, n, c)
        return dq.view(b, h, s, c), dk.view(b, hk, s, c), dv.view(b, hk, s, c)
