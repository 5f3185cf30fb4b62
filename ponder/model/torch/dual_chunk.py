"""Dual chunk attention in torch: the same values as `ponder/model/dual_chunk.py`, chunk by chunk of the queries."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ponder.core.batch import Batch
from ponder.kernels.ops import Step
from ponder.model.dual_chunk import Chunks, Turned, turned
from ponder.model.model import Model
from ponder.model.rope import Rope
from ponder.model.torch.ops import TorchOps


class DualChunkOps(TorchOps):
    """Turning happens inside attention, so `rope` leaves all as it is."""

    def __init__(self, chunks: Chunks, rope: Rope) -> None:
        super().__init__()
        self.chunks, self._rope = chunks, rope

    def prepare(self, batch: Batch, cos: Any, sin: Any) -> Step:
        step = super().prepare(batch, cos, sin)
        return step._replace(sequences=turned(batch, self.chunks, self._rope))

    def rope(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return x

    def attention(self, q: Tensor, k: Tensor, v: Tensor, sequences: Turned, cache: Any, layer: int) -> Tensor:  # type: ignore[override]
        """q [T, H, C], k and v [T, Hk, C] -> [T, H*C]"""
        tables = [[torch.from_numpy(a)[:, None, :] for a in rows] for rows in sequences.rows]
        sharp = torch.from_numpy(sequences.sharpness)[:, None, None]
        queries = [super(DualChunkOps, self).rope(q, cos, sin) * sharp for cos, sin in tables]
        keys = super().rope(k, *tables[0])
        starts = sequences.batch.starts
        parts = [self._one([one[a:b] for one in queries], keys[a:b], v[a:b]) for a, b in pairwise(starts)]
        return torch.cat(parts).flatten(1)

    def _one(self, queries: list[Tensor], keys: Tensor, values: Tensor) -> Tensor:
        """One sequence -> [T, H, C]"""
        group, length = queries[0].shape[1] // keys.shape[1], self.chunks.length
        own, before, far = (one.transpose(0, 1) for one in queries)  # [H, T, C]
        k, v = (a.repeat_interleave(group, 1).transpose(0, 1) for a in (keys, values))
        out = []
        for a in range(0, k.shape[1], length):
            b, left = min(a + length, k.shape[1]), max(0, a - length)
            rows = slice(a, b)
            inside = own[:, rows] @ k[:, rows].mT
            hidden = torch.ones(b - a, b - a, dtype=torch.bool).triu(1)
            scores = torch.cat(
                [far[:, rows] @ k[:, :left].mT, before[:, rows] @ k[:, left:a].mT,
                 inside.masked_fill(hidden, -torch.inf)], -1,
            )  # fmt: skip
            out.append((scores * k.shape[2] ** -0.5).softmax(-1) @ v[:, :b])
        return torch.cat(out, 1).transpose(0, 1)


def dual_chunk(model: Model, chunks: Chunks) -> Model:
    """The same weights, read so."""
    return replace(model, ops=DualChunkOps(chunks, model.rope))
