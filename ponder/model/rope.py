"""Rotary positions: plain RoPE and YaRN, with a factor for every sequence of a batch (arXiv 2309.00071; LC-3, LC-4).

`Rope(config).rows(batch)` gives the cos and sin rows of a batch. The arithmetic is float32 in HF's order, so that long
positions, where one bit of an inverse frequency matters, agree with transformers. Rows come from tables computed once
per factor and chunk of positions: a position has the same bits in every batch (DT-1).
"""

import math

import numpy as np

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.kernels.tensor import Floats
from ponder.model.config import ModelConfig, Yarn

CHUNK = 1024  # positions per table: 1 MB for a head of 128; csrc/program/program.h checks for the same number


class Rope:
    """The tables of one model. A yarn factor in the config wins over any factor of a batch."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self._tables: dict[tuple[float, int], tuple[Floats, Floats]] = {}

    def rows(self, batch: Batch) -> tuple[Floats, Floats]:
        """-> cos, sin [T, C/2]"""
        cos = np.empty((len(batch.positions), self.config.head_dim // 2), np.float32)
        sin = np.empty_like(cos)
        factor = np.repeat(batch.rope_factor, np.diff(batch.starts))[batch.first_places()]  # [T]
        chunk, row = np.divmod(batch.positions, CHUNK)
        for f in np.unique(factor):
            for c in np.unique(chunk[factor == f]):
                here = (factor == f) & (chunk == c)
                table_cos, table_sin = self.table(float(f), int(c))
                cos[here], sin[here] = table_cos[row[here]], table_sin[row[here]]
        return cos, sin

    def table(self, factor: float, chunk: int) -> tuple[Floats, Floats]:
        """-> cos, sin [CHUNK, C/2] of the positions chunk * CHUNK ..."""
        if (factor, chunk) not in self._tables:
            inverse, attention_factor = frequencies(self.config, factor)
            positions = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK, dtype=np.float32)
            angles = (positions[:, None] * inverse).astype(np.float64)  # rounded to float32 first, as HF does
            scale = np.float32(attention_factor)
            self._tables[factor, chunk] = (
                np.cos(angles).astype(np.float32) * scale,
                np.sin(angles).astype(np.float32) * scale,
            )
        return self._tables[factor, chunk]


def frequencies(config: ModelConfig, factor: float = 1.0) -> tuple[Floats, float]:
    """-> inverse frequencies [C/2] and what cos and sin are multiplied by. A factor in the config wins."""
    yarn = config.rope_scaling
    if yarn is None and factor != 1.0:
        yarn = Yarn(factor=factor, original_max_position_embeddings=config.native_context)
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    freqs = np.power(config.rope_theta, exponents.astype(np.float64)).astype(np.float32)
    if yarn is None:
        return np.float32(1) / freqs, 1.0
    return _yarn(freqs, yarn, config.head_dim, config.rope_theta)


def _yarn(freqs: Floats, yarn: Yarn, dim: int, theta: float) -> tuple[Floats, float]:
    """Fast dimensions keep their frequency, slow ones are divided by the factor, a ramp between."""
    one = np.float32(1)

    def correction_dim(rotations: float) -> float:
        """The dimension that turns `rotations` times within the original context."""
        length = yarn.original_max_position_embeddings
        return dim * math.log(length / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(correction_dim(yarn.beta_fast)), 0)
    high: float = min(math.ceil(correction_dim(yarn.beta_slow)), dim - 1)
    if low == high:
        high += 0.001  # as HF: no division by zero
    ramp = np.clip((np.arange(dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    keep = one - ramp
    slow, fast = one / (np.float32(yarn.factor) * freqs), one / freqs
    attention_factor = yarn.attention_factor or 0.1 * math.log(max(yarn.factor, 1.0)) + 1.0
    return slow * (one - keep) + fast * keep, attention_factor


def factor_for(length: int, native: int, max_context: int) -> float:
    """The YaRN factor of a request that will hold `length` tokens: the smallest of 1, 2, 4, ... max_context/native
    that fits (LC-3, LC-4), so that a short request computes exactly what it does without long context.

    Raises UserError when it does not fit into max_context.
    """
    if length > max_context:
        raise UserError(
            f"{length} tokens do not fit into a context of {max_context}; start with --max-context {length}.",
            param="max_context",
        )
    factor = 1.0
    while length > native * factor:
        factor *= 2
    return min(factor, max(1.0, max_context / native))
