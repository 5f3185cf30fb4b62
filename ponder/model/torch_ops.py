"""The op set in torch: autograd through everything, any device. Training uses it; the only file that imports torch.

Follows `ponder/kernels/ops.py`. Weights are float32 or bfloat16 tensors, activations have the weights' dtype. Index
arrays, cos and sin arrive as numpy from the batch. Attention runs per packed sequence; with a cache it is a plain
gather, for sampling from a model under training, without gradients.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.kernels.reference import largest_panels
from ponder.kernels.tensor import Tensor as Stored

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class TorchCache(NamedTuple):
    """k and v: [layers, blocks, Hk, block_size, C]"""

    k: Tensor
    v: Tensor

    @property
    def nbytes(self) -> int:
        return self.k.nbytes + self.v.nbytes


class TorchOps:
    """See `ops.Ops`. Weights come without requires_grad: who trains them sets it."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)

    def weight(self, tensor: Stored | NDArray[Any]) -> Tensor:
        if isinstance(tensor, np.ndarray):
            return torch.tensor(tensor, device=self.device)
        if tensor.kind not in DTYPES:
            raise UserError(
                f"torch has no {tensor.kind} weights; load the model with dtype f32 or bf16.", param="dtype"
            )
        bits = torch.tensor(tensor.data)  # a copy: the file's mapping is read-only, weights are written
        return bits.view(DTYPES[tensor.kind]).to(self.device)

    def embed(self, weight: Tensor, ids: Any) -> Tensor:
        return F.embedding(self._index(ids), weight)  # [T, D]

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        h = x.float()
        h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + eps)
        return weight.to(x.dtype) * h.to(x.dtype)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))

    def rope(self, x: Tensor, cos: Any, sin: Any) -> Tensor:
        cos, sin = (torch.as_tensor(a, dtype=x.dtype, device=x.device)[:, None, :] for a in (cos, sin))  # [T, 1, C/2]
        a, b = x.chunk(2, dim=-1)  # [T, H, C/2]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, batch: Batch, cache: TorchCache | None, layer: int) -> Tensor:
        if batch.block_tables is not None:
            assert cache is not None, "a batch with block tables needs a cache"
            _write(cache, layer, batch, k, v)
        out = []
        for b, (start, end) in enumerate(zip(batch.starts, batch.starts[1:])):
            own_k, own_v = k[start:end], v[start:end]  # [S, Hk, C]
            if batch.block_tables is not None and cache is not None:
                own_k, own_v = _read(cache, layer, batch.block_tables[b], int(batch.positions[end - 1]) + 1)
            out.append(_attend(q[start:end], own_k.to(q.dtype), own_v.to(q.dtype)))
        return torch.cat(out)

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        return F.silu(gate) * up

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def take(self, x: Tensor, rows: Any) -> Tensor:
        return x[self._index(rows)]

    def route(self, logits: Tensor, top_k: int, normalise: bool) -> tuple[Tensor, Tensor]:
        weights = logits.softmax(-1, dtype=torch.float32)  # [T, E]
        ordered = weights.sort(stable=True, dim=-1, descending=True)  # stable: ties go to the lower index
        chosen, ids = ordered.values[:, :top_k], ordered.indices[:, :top_k]  # [T, k]
        if normalise:
            chosen = chosen / chosen.sum(-1, keepdim=True)
        return ids, chosen.to(logits.dtype)

    def experts(
        self, x: Tensor, ids: Tensor, weights: Tensor, gate: list[Tensor], up: list[Tensor], down: list[Tensor]
    ) -> Tensor:
        tokens, slots = x.shape[0], ids.shape[1]
        order = ids.flatten().argsort(stable=True)  # the T*k (token, slot) pairs, grouped by expert
        counts = ids.flatten().bincount(minlength=len(gate)).tolist()
        parts = []
        for expert, pairs in enumerate(torch.split(order, counts)):
            if len(pairs):
                h = x[pairs // slots]
                h = self.swiglu(self.linear(h, gate[expert]), self.linear(h, up[expert]))
                parts.append(self.linear(h, down[expert]))
        mixed = torch.cat(parts)[order.argsort()].view(tokens, slots, -1)  # back in token order: [T, k, D]
        return (mixed * weights[:, :, None]).sum(1)

    def rescore(self, logits: Tensor, x: Tensor, weight: Tensor, panels: int, margin: float) -> Tensor:
        chosen = largest_panels(logits.detach().float().cpu().numpy(), panels, margin)
        return torch.where(torch.from_numpy(chosen).to(self.device), self.linear(x, weight), logits)

    def cache(self, layers: int, blocks: int, block_size: int, heads: int, head_dim: int, dtype: str) -> TorchCache:
        if dtype not in DTYPES:
            raise UserError(f"torch has no {dtype} cache; take one of {', '.join(DTYPES)}.", param="kv_dtype")
        shape = (layers, blocks, heads, block_size, head_dim)
        k, v = (torch.zeros(shape, dtype=DTYPES[dtype], device=self.device) for _ in "kv")
        return TorchCache(k, v)

    def _index(self, ids: Any) -> Tensor:
        return torch.as_tensor(ids, dtype=torch.long, device=self.device)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One sequence whose last tokens are the queries. q [T, H, C], k and v [S, Hk, C] -> [T, H*C]"""
    t, s = q.shape[0], k.shape[0]
    mask = None
    if s > t:  # query i stands at position s - t + i
        mask = torch.ones(t, s, dtype=torch.bool, device=q.device).tril(s - t)
    q, k, v = (a.transpose(0, 1)[None] for a in (q, k, v))  # [1, H, T, C]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
    return y[0].transpose(0, 1).reshape(t, -1)


def _write(cache: TorchCache, layer: int, batch: Batch, k: Tensor, v: Tensor) -> None:
    assert batch.block_tables is not None
    size = cache.k.shape[3]
    sequence = np.repeat(np.arange(len(batch.starts) - 1), np.diff(batch.starts))  # [T]
    blocks = batch.block_tables[sequence, batch.positions // size]
    assert (blocks >= 0).all(), "a token has no cache block"
    at = torch.as_tensor(blocks).long(), slice(None), torch.as_tensor(batch.positions % size).long()
    cache.k[layer][at] = k.detach().to(cache.k.dtype)
    cache.v[layer][at] = v.detach().to(cache.v.dtype)


def _read(cache: TorchCache, layer: int, table: NDArray[np.int32], length: int) -> tuple[Tensor, Tensor]:
    size = cache.k.shape[3]
    at = np.arange(length)
    where = torch.as_tensor(table[at // size]).long(), slice(None), torch.as_tensor(at % size).long()
    return cache.k[layer][where], cache.v[layer][where]  # [S, Hk, C]
