"""FP8 (e4m3): a byte a weight, and a scale for a block, a row, a group of a row, or the matrix.

`X.weight` F8_E4M3 [N, K] beside `X.weight_scale_inv` [N / 128, K / 128], as Qwen3 is published; in spite of the
name the value is byte * scale. Files of compressed-tensors and the older per-matrix ones call it `X.weight_scale`.
"""

import numpy as np

from ponder.kernels.tensor import Floats
from ponder.model.formats.quantised.matrix import by_rows
from ponder.model.formats.quantised.parts import Parts
from ponder.model.weights.checkpoint import Source


def _table() -> Floats:
    """The 256 values of e4m3fn: sign, four bits of exponent (bias 7), three of fraction; no infinity, NaN last."""
    byte = np.arange(256)
    exponent, fraction = byte >> 3 & 15, byte & 7
    size = np.where(exponent == 0, fraction / 8 * 2.0**-6, (1 + fraction / 8) * 2.0 ** (exponent - 7))
    size[byte & 127 == 127] = np.nan
    return np.where(byte & 128, -size, size).astype(np.float32)


E4M3 = _table()


def fp8(parts: Parts, block: tuple[int, int] | None) -> Source:
    """block: rows and columns that share a scale, None where shapes say it."""
    raw = parts.take("weight", "F8_E4M3")
    name = "weight_scale_inv" if parts.has("weight_scale_inv") else "weight_scale"
    scale = parts.scale(name)
    parts.without("input_scale", "activation_scale")
    n, k = raw.shape
    if block is None or scale.shape[1] == 1 or scale.shape[0] == n:
        down, right = -(-n // scale.shape[0]), -(-k // scale.shape[1])
    else:
        down, right = block
    parts.expect(name, scale.shape, (-(-n // down), -(-k // right)))

    def rows(first: int, end: int) -> Floats:
        values: Floats = E4M3[raw[first:end]]
        values *= np.repeat(scale[np.arange(first, end) // down], right, axis=1)[:, :k]
        return values

    return by_rows(parts.name, (n, k), parts.nbytes, "int8", rows)
