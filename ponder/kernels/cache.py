"""The paged key/value cache as plain arrays, shared by the numpy and the native op set.

The engine owns the block numbers (`Batch.block_tables`); attention writes and reads here. Position p of a sequence
lives in block `table[p // block_size]`, slot `p % block_size`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CACHE_DTYPES: dict[str, type[Any]] = {"f32": np.float32, "bf16": np.uint16}


@dataclass(frozen=True, eq=False)
class Cache:
    """k and v: [layers, blocks, Hk, block_size, C], float32, or uint16 holding bfloat16 bits."""

    k: NDArray[Any]
    v: NDArray[Any]

    @classmethod
    def empty(cls, layers: int, blocks: int, block_size: int, heads: int, head_dim: int, dtype: str) -> "Cache":
        """Zeroed; the system hands out pages only when they are written. Raises ValueError for an unknown dtype."""
        if dtype not in CACHE_DTYPES:
            raise ValueError(f"cache dtype must be one of {', '.join(CACHE_DTYPES)}, not {dtype!r}")
        shape = (layers, blocks, heads, block_size, head_dim)
        return cls(np.zeros(shape, CACHE_DTYPES[dtype]), np.zeros(shape, CACHE_DTYPES[dtype]))

    @property
    def block_size(self) -> int:
        return int(self.k.shape[3])

    @property
    def nbytes(self) -> int:
        return self.k.nbytes + self.v.nbytes
