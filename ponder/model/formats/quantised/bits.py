"""Small integers packed into words: every form here is a little-endian stream of bits along some axis."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


def unpack(words: NDArray[Any], bits: int) -> Codes:
    """Words or bytes [n, W] -> codes [n, all bits / `bits`], the low bits first."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    n, width = raw.shape
    if bits == 8:
        return raw
    if bits in (2, 4):
        per = 8 // bits
        out = np.empty((n, width, per), np.uint8)
        for i in range(per):
            np.right_shift(raw, np.uint8(bits * i), out=out[:, :, i])
        out &= np.uint8((1 << bits) - 1)
        return out.reshape(n, width * per)
    stream = np.unpackbits(raw, axis=1, bitorder="little")  # 3, 5 and 6 bits cross bytes
    return np.packbits(stream.reshape(n, -1, bits), axis=2, bitorder="little")[:, :, 0]
