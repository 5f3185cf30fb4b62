"""Attention through a paged cache, one sequence after the other: for sampling from a model under training."""

from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ponder.core.batch import Batch
from ponder.core.errors import UserError

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class TorchCache(NamedTuple):
    """k and v: [layers, blocks, Hk, block_size, C]"""

    k: Tensor
    v: Tensor

    @classmethod
    def empty(
        cls, layers: int, blocks: int, block_size: int, heads: int, head_dim: int, dtype: str, device: torch.device
    ) -> Self:
        if dtype not in DTYPES:
            raise UserError(f"torch has no {dtype} cache; take one of {', '.join(DTYPES)}.", param="kv_dtype")
        shape = (layers, blocks, heads, block_size, head_dim)
        return cls(*(torch.zeros(shape, dtype=DTYPES[dtype], device=device) for _ in "kv"))

    @property
    def nbytes(self) -> int:
        return self.k.nbytes + self.v.nbytes


def paged_attention(q: Tensor, k: Tensor, v: Tensor, batch: Batch, cache: TorchCache, layer: int) -> Tensor:
    """q [T, H, C], k and v [T, Hk, C] -> [T, H*C]; k and v are written first."""
    assert batch.block_tables is not None
    _write(cache, layer, batch, k, v)
    out = []
    for b, (start, end) in enumerate(zip(batch.starts, batch.starts[1:])):
        keys, values = _read(cache, layer, batch.block_tables[b], int(batch.positions[end - 1]) + 1)
        out.append(_attend(q[start:end], keys.to(q.dtype), values.to(q.dtype)))
    return torch.cat(out)


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
