"""Dual chunk attention: a model reads texts longer than it was trained on, without training (arXiv 2402.17463).

RoPE fails where two tokens lie farther apart than any two did in training. Here no distance is larger: a text is cut
into chunks, and the distance between a query and a key is

    in one chunk               as it is
    in neighbouring chunks     as it is, up to `size`
    farther apart              size - place of the key in its chunk: near `size`, whatever the distance is

So keys are turned by their place in the chunk, and queries in three ways. This numpy set says what is meant;
`model/torch/dual_chunk.py` computes the same by chunks. Both work on whole texts, without a cache: to score, not to
generate.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.kernels.ops import Step
from ponder.kernels.reference.ops import ReferenceOps
from ponder.kernels.tensor import Floats
from ponder.model.rope import Rope

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Chunks:
    size: int
    """The largest distance; below the trained length."""
    local: int
    """How far a query sees into the chunk before it at true distances, at least. Chunks have size - local tokens."""
    trained: int
    """Behind this many tokens scores are sharpened as YaRN does, by 0.1 ln(tokens / trained) + 1."""

    def __post_init__(self) -> None:
        if not 0 < self.local < self.size < self.trained:
            raise UserError(
                f"chunks want 0 < local < size < trained, not {self.local}, {self.size}, {self.trained}", param="chunks"
            )

    @classmethod
    def of(cls, trained: int) -> Self:
        """Three quarters of the trained length, a third of that at true distances."""
        size = max(2, trained * 3 // 4)
        return cls(size, max(1, size // 3), trained)

    @property
    def length(self) -> int:
        return self.size - self.local

    def places(self, positions: Ints) -> tuple[Ints, Ints, Ints]:
        """Of keys and of queries to their own chunk; of queries to the chunk before; of queries to all before that."""
        own = positions % self.length
        return own, np.minimum(own + self.length, self.size).astype(np.int32), np.full_like(own, self.size)

    def sharpness(self, positions: Ints) -> Floats:
        """[T]"""
        return (0.1 * np.log(np.maximum(positions + 1, self.trained) / self.trained) + 1).astype(np.float32)


class Turned(NamedTuple):
    """cos and sin [T, C/2] of a batch, three times (`Chunks.places`), and how sharp each query is [T]."""

    batch: Batch
    rows: tuple[tuple[Floats, Floats], ...]
    sharpness: Floats


def turned(batch: Batch, chunks: Chunks, rope: Rope) -> Turned:
    if batch.block_tables is not None:
        raise UserError("dual chunk attention reads whole texts, without a cache", param="chunks")
    rows = tuple(
        rope.rows(Batch(places, batch.starts, batch.logit_rows, batch.rope_factor))
        for places in chunks.places(batch.positions)
    )
    return Turned(batch, rows, chunks.sharpness(batch.positions))


class DualChunkReference(ReferenceOps):
    """Turning happens inside attention, so `rope` leaves all as it is."""

    def __init__(self, chunks: Chunks, rope: Rope) -> None:
        self.chunks, self._rope = chunks, rope

    def prepare(self, batch: Batch, cos: Any, sin: Any) -> Step:
        return Step(turned(batch, self.chunks, self._rope), cos, sin, batch.logit_rows)

    def rope(self, x: Floats, cos: Any, sin: Any) -> Floats:
        return x

    def attention(self, q: Floats, k: Floats, v: Floats, where: Turned, cache: None, layer: int) -> Floats:  # type: ignore[override]
        """q [T, H, C], k and v [T, Hk, C] -> [T, H*C]"""
        heads = q.shape[1]
        turn = super().rope
        queries = [turn(q, *rows) * where.sharpness[:, None, None] for rows in where.rows]
        keys, values = (np.repeat(a, heads // a.shape[1], axis=1) for a in (turn(k, *where.rows[0]), v))
        out = np.empty_like(q)
        for a, b in zip(where.batch.starts, where.batch.starts[1:]):
            at = where.batch.positions[a:b]
            apart = at[:, None] // self.chunks.length - at // self.chunks.length  # [T, T] chunks between
            parts = [np.einsum("thc,shc->hts", one[a:b], keys[a:b]) for one in queries]
            scores = np.select([apart == 0, apart == 1], parts[:2], parts[2]) / np.sqrt(np.float32(q.shape[2]))
            scores = np.where(at > at[:, None], -np.inf, scores)
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[a:b] = np.einsum("hts,shc->thc", p / p.sum(axis=-1, keepdims=True), values[a:b])
        return out.reshape(len(q), -1)
