"""The op set in numpy: the oracle that the native and torch sets are tested against. Readable, not fast.

Follows the contract in `ops.py`. Weights are dequantised to float32 once, in `weight()`.
`linear_q8` repeats the exact arithmetic of the native int8 / int4 kernels, which quantise activations too, so that
those can be compared tightly.
"""

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.kernels.cache import Cache, quantise_rows
from ponder.kernels.ops import HostOps
from ponder.kernels.tensor import Floats, Tensor

Ints = NDArray[np.int32]
SMALLEST_ACTIVATION = 1e-30  # a group below this counts as zero when it is quantised (csrc/runtime/kernels.h)


class ReferenceOps(HostOps):
    """See `ops.Ops`. A weight is its float32 matrix [N, K]."""

    def weight(self, tensor: Tensor | Floats) -> Floats:
        return tensor.dequantise() if isinstance(tensor, Tensor) else np.asarray(tensor, np.float32)

    def embed(self, weight: Floats, ids: Ints) -> Floats:
        return weight[ids]  # [T, D]

    def rms_norm(self, x: Floats, weight: Floats, eps: float) -> Floats:
        mean_square = np.mean(np.square(x), axis=-1, keepdims=True)
        out: Floats = x / np.sqrt(mean_square + np.float32(eps)) * weight
        return out

    def linear(self, x: Floats, weight: Floats, bias: Floats | None = None) -> Floats:
        y = x @ weight.T  # [T, D] [D, N] -> [T, N]
        return y if bias is None else y + bias

    def rope(self, x: Floats, cos: Floats, sin: Floats) -> Floats:
        half = x.shape[-1] // 2
        a, b = x[..., :half], x[..., half:]  # [T, H, C/2]
        cos, sin = cos[:, None, :], sin[:, None, :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def attention(self, q: Floats, k: Floats, v: Floats, batch: Batch, cache: Cache | None, layer: int) -> Floats:
        out = np.empty((q.shape[0], q.shape[1] * q.shape[2]), np.float32)
        if batch.block_tables is not None:
            assert cache is not None, "a batch with block tables needs a cache"
            _write(cache, layer, batch, k, v)
        for b, (start, end) in enumerate(zip(batch.starts, batch.starts[1:])):
            if start == end:
                continue
            positions = batch.positions[start:end]
            keys, values = k[start:end], v[start:end]  # [S, Hk, C]
            if batch.block_tables is not None and cache is not None:
                keys, values = _read(cache, layer, batch.block_tables[b], int(positions[-1]) + 1)
            queries = q[start:end]
            if batch.block_tables is not None and cache is not None and cache.dtype == "int8":
                queries = _round_queries(queries, cache.balance[layer])
            out[start:end] = attend(queries, keys, values, positions)
        return out

    def swiglu(self, gate: Floats, up: Floats) -> Floats:
        with np.errstate(over="ignore"):  # exp(-gate) = inf gives the right limit, 0
            out: Floats = gate / (1 + np.exp(-gate)) * up
        return out

    def add(self, a: Floats, b: Floats) -> Floats:
        return a + b

    def gather_rows(self, x: Floats, rows: Ints) -> Floats:
        return x[rows]

    def route(self, logits: Floats, top_k: int, normalise: bool) -> tuple[Ints, Floats]:
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)  # [T, E]
        ids = np.argsort(-weights, axis=-1, kind="stable")[:, :top_k]  # stable: ties go to the lower index
        chosen = np.take_along_axis(weights, ids, axis=-1)  # [T, k]
        if normalise:
            chosen = chosen / chosen.sum(axis=-1, keepdims=True)
        return ids.astype(np.int32), chosen

    def experts(
        self, x: Floats, ids: Ints, weights: Floats, gate: list[Floats], up: list[Floats], down: list[Floats]
    ) -> Floats:
        parts = np.zeros((*ids.shape, x.shape[1]), np.float32)  # [T, k, D]
        for expert in np.unique(ids):
            tokens, slots = np.nonzero(ids == expert)
            h = self.swiglu(self.linear(x[tokens], gate[expert]), self.linear(x[tokens], up[expert]))
            parts[tokens, slots] = self.linear(h, down[expert])
        out = np.zeros_like(x)
        for slot in range(ids.shape[1]):
            out += weights[:, slot, None] * parts[:, slot]
        return out

    def rescore(self, logits: Floats, x: Floats, weight: Floats, panels: int, margin: float) -> Floats:
        return np.where(largest_panels(logits, panels, margin), self.linear(x, weight), logits)

    def cache(self, layers: int, blocks: int, block_size: int, heads: int, head_dim: int, dtype: str) -> Cache:
        return Cache.empty(layers, blocks, block_size, heads, head_dim, dtype)


def largest_panels(logits: Floats, panels: int, margin: float) -> NDArray[np.bool_]:
    """logits [T, N] -> the places [T, N] that `Ops.rescore` computes again."""
    t, n = logits.shape
    filled = np.pad(np.where(np.isnan(logits), np.inf, logits), ((0, 0), (0, -n % 16)), constant_values=-np.inf)
    maxima = filled.reshape(t, -1, 16).max(axis=2)
    order = np.argsort(-maxima, axis=1, kind="stable")[:, :panels]
    chosen = np.zeros(maxima.shape, np.bool_)
    np.put_along_axis(chosen, order, True, axis=1)
    top = maxima.max(axis=1, keepdims=True)
    chosen &= (maxima >= top - np.float32(margin)) | (top == np.inf)
    return np.repeat(chosen, 16, axis=1)[:, :n]


def attend(q: Floats, k: Floats, v: Floats, positions: Ints) -> Floats:
    """One sequence. q [T, H, C] at `positions` [T]; k, v [S, Hk, C] at positions 0..S-1 -> [T, H*C]"""
    t, heads, c = q.shape
    k, v = (np.repeat(a, heads // k.shape[1], axis=1) for a in (k, v))  # query head h reads kv head h // (H/Hk)
    scores = np.einsum("thc,shc->hts", q, k) / np.sqrt(np.float32(c))
    scores = np.where(np.arange(len(k)) > positions[:, None], -np.inf, scores)
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    out: Floats = np.einsum("hts,shc->thc", p, v).reshape(t, heads * c).astype(np.float32)
    return out


def _write(cache: Cache, layer: int, batch: Batch, k: Floats, v: Floats) -> None:
    assert batch.block_tables is not None
    sequence = np.repeat(np.arange(len(batch.starts) - 1), np.diff(batch.starts))  # [T]
    blocks = batch.block_tables[sequence, batch.positions // cache.block_size]
    assert (blocks >= 0).all(), "a token has no cache block"
    cache.write(layer, blocks, batch.positions % cache.block_size, k, v)


def _round_queries(q: Floats, balance: Floats) -> Floats:
    """q [T, H, C] as the native kernels round it to int8; balance [2, Hk, C]."""
    balance = np.repeat(balance, q.shape[1] // balance.shape[1], axis=1)  # [2, H, C]
    integers, scales = quantise_rows(q * balance[0])
    rounded: Floats = integers * scales[..., None] * balance[1]
    return rounded


def _read(cache: Cache, layer: int, table: Ints, length: int) -> tuple[Floats, Floats]:
    at = np.arange(length, dtype=np.int32)
    return cache.read(layer, table[at // cache.block_size], at % cache.block_size)


def quantise_activations(x: Floats, group: int) -> tuple[NDArray[np.int8], Floats]:
    """x [T, K] -> q [T, K] in -127..127 and float32 scales [T, K/group], as the native kernels do it."""
    grouped = x.reshape(len(x), -1, group)
    largest = np.abs(grouped).max(axis=2)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > SMALLEST_ACTIVATION)
    q = np.rint(grouped * inverse[:, :, None]).astype(np.int8).reshape(x.shape)
    return q, largest * np.float32(1 / 127)


def linear_q8(x: Floats, weight: Tensor) -> Floats:
    """x [T, K] with a weight [N, K] of a grouped kind -> [T, N]: integer dot products by group, scaled, summed, and for
    uint4 the offsets times the sums of the activations.

    The native kernels do the same integer arithmetic and differ only in the order of the float32 sum over groups.
    """
    assert weight.scale is not None
    group, (n, k) = weight.group, weight.shape
    q, scale = quantise_activations(x, group)
    dots = np.einsum(
        "tgj,ngj->tng",
        q.reshape(len(x), k // group, group).astype(np.int64),
        weight.integers().reshape(n, k // group, group),
    )
    weight_scale, offset = weight.scales()
    scales = scale[:, None, :] * weight_scale[None]  # [T, N, G]
    out = (dots * scales.astype(np.float64)).sum(axis=2)
    if offset is not None:
        sums = q.reshape(len(x), k // group, group).sum(axis=2, dtype=np.int64) * scale.astype(np.float64)  # [T, G]
        out += sums @ offset.T.astype(np.float64)
    result: Floats = out.astype(np.float32)
    return result
