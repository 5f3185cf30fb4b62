"""Small integers packed into words: every form here is a little-endian stream of bits along some axis."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


def _table(bits: int) -> NDArray[Any]:
    """The codes of each byte, as one word of as many bytes."""
    per = 8 // bits
    codes = np.arange(256)[:, None] >> np.arange(per) * bits & (1 << bits) - 1
    return codes.astype(np.uint8).view(f"<u{per}")[:, 0]


_CODES = {2: _table(2), 4: _table(4)}


def unpack(words: NDArray[Any], bits: int) -> Codes:
    """Words or bytes [n, W] -> codes [n, all bits / `bits`], the low bits first."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    n, width = raw.shape
    if bits == 8:
        return raw
    if bits in _CODES:
        return _CODES[bits][raw].view(np.uint8).reshape(n, width * 8 // bits)
    stream = np.unpackbits(raw, axis=1, bitorder="little")  # 3, 5 and 6 bits cross bytes
    return np.packbits(stream.reshape(n, -1, bits), axis=2, bitorder="little")[:, :, 0]
