"""The paged key/value cache in memory, shared by the numpy and the native op set: f32, bf16 or int8.

The engine owns the block numbers (`Batch.block_tables`); attention writes and reads here. Position p of a sequence
lives in block `table[p // block_size]`, slot `p % block_size`. int8 has one float32 scale for each position and head,
of keys and of values: value = integer * scale, scale = largest / 127.

A block of one layer is one contiguous piece of bytes, laid out for dot products with many positions at once
(csrc/attention/kv.h says how): for each head, for each 32 slots, a tile of keys, values and scales. So a block can be
copied whatever it holds. Block sizes that divide by 32 are the fast ones; others are padded.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.kernels.tensor import Floats, from_bf16, to_bf16

CACHE_DTYPES: dict[str, type[Any]] = {"f32": np.float32, "bf16": np.uint16, "int8": np.int8}
TILE = 32  # positions of a tile
SMALLEST = 1e-30  # keys or values below this count as zero when they are rounded to int8 (csrc/runtime/kernels.h)

Ints = NDArray[np.int32]
Part = tuple[NDArray[Any], NDArray[Any], Floats | None]  # keys, values, scales


@dataclass(frozen=True, eq=False)
class Cache:
    """data: [layers, blocks, bytes of a block], 64-byte aligned. heads: of keys and values; head_dim: C.

    balance: [layers, 2, Hk, C], for int8: what queries (0) and keys (1) are multiplied by before they are rounded, each
    the inverse of the other, powers of two; ones to begin with. `read` gives keys with it taken off.
    """

    data: NDArray[np.uint8]
    block_size: int
    heads: int
    head_dim: int
    dtype: str
    balance: Floats

    @classmethod
    def empty(cls, layers: int, blocks: int, block_size: int, heads: int, head_dim: int, dtype: str) -> "Cache":
        """Zeroed; the system hands out pages only when they are written (`touch`). Raises ValueError for an unknown
        dtype."""
        if dtype not in CACHE_DTYPES:
            raise ValueError(f"cache dtype must be one of {', '.join(CACHE_DTYPES)}, not {dtype!r}")
        tiles = -(-block_size // TILE)
        shape = (layers, blocks, tiles * TILE * bytes_per_token(heads, head_dim, dtype))
        raw = np.zeros(int(np.prod(shape)) + 64, np.uint8)
        first = -raw.ctypes.data % 64
        data = raw[first : first + int(np.prod(shape))].reshape(shape)
        return cls(data, block_size, heads, head_dim, dtype, np.ones((layers, 2, heads, head_dim), np.float32))

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    def copy_block(self, source: int, target: int) -> None:
        """All layers of a block, whatever part of it is written."""
        self.data[:, target] = self.data[:, source]

    def touch(self, layer: int, first: int, end: int) -> None:
        """Have the system hand out the memory of blocks of a layer. They must be unused: their content is lost."""
        self.data[layer, first:end] = 0

    def write(self, layer: int, blocks: Ints, slots: Ints, k: Floats, v: Floats) -> None:
        """k and v [T, Hk, C] to slot slots[t] of block blocks[t]."""
        keys, values, scales = self._views(layer)
        tiles, at = slots // TILE, slots % TILE
        t, per, padded = len(k), keys.shape[-1], values.shape[3] * TILE
        stored: list[NDArray[Any]] = []
        if scales is not None:
            k = k * self.balance[layer, 1]
        for i, floats in enumerate((k, v)):
            new: NDArray[Any] = np.pad(floats, ((0, 0), (0, 0), (0, padded - self.head_dim)))
            if scales is not None:
                new, scales[blocks, :, tiles, i, at] = quantise_rows(new)
            stored.append(to_bf16(new) if self.dtype == "bf16" else new)
        if self.dtype == "int8":
            stored[0] = stored[0].view(np.uint8) ^ np.uint8(0x80)  # keys are kept as value + 128
        keys[blocks, :, tiles, :, at] = stored[0].reshape(t, self.heads, -1, per)
        values[blocks, :, tiles, :, at // per, :, at % per] = stored[1].reshape(t, self.heads, -1, TILE)

    def read(self, layer: int, blocks: Ints, slots: Ints) -> tuple[Floats, Floats]:
        """Two [T, Hk, C] float32: what slot slots[t] of block blocks[t] holds."""
        keys, values, scales = self._views(layer)
        tiles, at, per = slots // TILE, slots % TILE, keys.shape[-1]
        k = keys[blocks, :, tiles, :, at]
        v = values[blocks, :, tiles, :, at // per, :, at % per]
        if self.dtype == "int8":
            k = (k ^ np.uint8(0x80)).view(np.int8)
        out = []
        for i, stored in enumerate((k, v)):
            rows = stored.reshape(len(slots), self.heads, -1)[..., : self.head_dim]
            rows = from_bf16(rows) if self.dtype == "bf16" else rows.astype(np.float32)
            out.append(rows if scales is None else rows * scales[blocks, :, tiles, i, at][..., None])
        return out[0] * self.balance[layer, 0] if self.dtype == "int8" else out[0], out[1]

    def _views(self, layer: int) -> Part:
        """keys [blocks, Hk, tiles, padded/P, 32, P], values [blocks, Hk, tiles, padded/32, 32/P, 32, P] and scales
        [blocks, Hk, tiles, 2, 32] or None; P values make four bytes."""
        blocks, padded = self.data.shape[1], -(-self.head_dim // TILE) * TILE
        kind = np.dtype(CACHE_DTYPES[self.dtype])
        per, matrix = 4 // kind.itemsize, TILE * padded * kind.itemsize
        tiles = self.data[layer].reshape(blocks, self.heads, -(-self.block_size // TILE), -1)
        place = tiles.shape[:3]
        keys, values = (tiles[..., i * matrix : (i + 1) * matrix].view(kind) for i in (0, 1))
        if self.dtype == "int8":
            keys = keys.view(np.uint8)
        scales = tiles[..., 2 * matrix :].view(np.float32) if self.dtype == "int8" else None
        return (
            keys.reshape((*place, padded // per, TILE, per)),
            values.reshape((*place, padded // TILE, TILE // per, TILE, per)),
            None if scales is None else scales.reshape((*place, 2, TILE)),
        )


def in_use(batch: Batch, cache: Cache | None) -> tuple[NDArray[np.uint8] | None, str, int, Floats | None]:
    """The cache of a batch as the extension takes it: data, dtype, block size, balance."""
    if batch.block_tables is None or cache is None:
        return None, "f32", 1, None
    return cache.data, cache.dtype, cache.block_size, cache.balance


def bytes_per_token(heads: int, head_dim: int, dtype: str) -> int:
    """Of one layer, keys and values. Heads are padded to a multiple of 32 values."""
    padded = -(-head_dim // TILE) * TILE
    return 2 * heads * (padded * np.dtype(CACHE_DTYPES[dtype]).itemsize + (4 if dtype == "int8" else 0))


def quantise_rows(x: Floats) -> tuple[NDArray[np.int8], Floats]:
    """x [..., C] -> int8 of the same shape and float32 scales [...], as the native kernels do it."""
    largest = np.abs(x).max(axis=-1)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > SMALLEST)
    return np.rint(x * inverse[..., None]).astype(np.int8), largest * np.float32(1 / 127)
