"""Causal attention over packed sequences, the fastest exact way of each device (measured: docs/performance.md).

On a CPU Ponder's own kernel, forward and backward, sequence by sequence. On a GPU `varlen_attn` where its number format
allows it. Else, and to compile, torch's attention over a few rectangles.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ponder.model.torch import fused
from ponder.model.torch.packing import Gather, Packing, Scatter, Spread


def packed_attention(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """q [T, H, C], k and v [T, Hk, C], all sequences from their first token on -> [T, H*C]. Where the tokens are
    divided among processes, T are those of this one.

    A token that several sequences share is the same in each of them, since it sees what comes before it alone: its
    keys and values go to every one, its output is taken from the first."""
    if (context := packing.context) is not None:
        q, k, v = (context.by_heads(a) for a in (q, k, v))
        out = packed_attention(q, k, v, packing._replace(context=None))
        return context.by_tokens(out.unflatten(1, q.shape[1:])).flatten(1)
    if packing.shared is not None and packing.first is not None:
        q, k, v = (Spread.apply(a, packing.shared) for a in (q, k, v))
        out = packed_attention(q, k, v, packing._replace(shared=None))
        return Scatter.apply(out, packing.shared, packing.first)  # type: ignore[no-any-return]
    if fused.fits(q):
        out = fused.Attention.apply(q, k, v, packing.starts)
        return out.flatten(1)  # type: ignore[no-any-return]
    if q.is_cuda and q.dtype in (torch.bfloat16, torch.float16):
        return _varlen(q, k, v, packing).flatten(1)
    if packing.gather is None or packing.place is None:
        return _rectangle(q, k, v, packing.shapes[0]).flatten(1)
    sizes = [b * s for b, s in packing.shapes]
    parts = (Gather.apply(a, packing.gather, packing.place).split(sizes) for a in (q, k, v))
    joined = torch.cat([_rectangle(*qkv, shape) for *qkv, shape in zip(*parts, packing.shapes)])
    return Scatter.apply(joined, packing.gather, packing.place).flatten(1)


def _varlen(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn  # needs a GPU build

    starts, longest = packing.starts, packing.longest
    out: Tensor = varlen_attn(q, k, v, starts, starts, longest, longest, window_size=(-1, 0), enable_gqa=True)
    return out


def _rectangle(q: Tensor, k: Tensor, v: Tensor, shape: tuple[int, int]) -> Tensor:
    """q [B*S, H, C] -> [B*S, H, C]"""
    b, s = shape
    q, k, v = (a.view(b, s, *a.shape[1:]).transpose(1, 2) for a in (q, k, v))  # [B, H, S, C]
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return y.transpose(1, 2).reshape(b * s, *y.shape[1::2])
