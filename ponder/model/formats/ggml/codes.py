"""What every quantised block format is read into, and the few bit patterns that several of them share."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
F32 = NDArray[np.float32]


class Codes(NamedTuple):
    """q: [n, G, S] int8; scale: [n, G] float32; offset: [n, G] float32 or None. n blocks of G groups of S weights."""

    q: NDArray[np.int8]
    scale: F32
    offset: F32 | None = None


def half(raw: Bytes) -> F32:
    """[n, 2k] bytes -> [n, k], as little-endian float16."""
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)


def words(raw: Bytes, dtype: str) -> NDArray[np.unsignedinteger]:
    """[n, k * size] bytes -> [n, k] little-endian unsigned integers."""
    return np.ascontiguousarray(raw).view(dtype)


def nibbles(raw: Bytes) -> Bytes:
    """[n, P, S] bytes -> [n, 2P, S]: for each of P runs, first the low halves, then the high halves."""
    n, runs, size = raw.shape
    out = np.empty((n, runs, 2, size), np.uint8)
    np.bitwise_and(raw, 15, out=out[:, :, 0])
    np.right_shift(raw, 4, out=out[:, :, 1])
    return out.reshape(n, 2 * runs, size)


def nibble_pairs(raw: Bytes) -> Bytes:
    """[n, k] bytes -> [n, 2k]: the low half of each byte, then its high half."""
    return nibbles(raw[:, :, None]).reshape(len(raw), -1)


def twos(raw: Bytes) -> Bytes:
    """[n, P, S] bytes -> [n, 4P, S]: for each of P runs, bits 0 and 1 of all S, then bits 2 and 3, 4 and 5, 6 and 7."""
    n, runs, size = raw.shape
    shifted: Bytes = raw[:, :, None] >> np.array([0, 2, 4, 6], np.uint8)[:, None]
    return (shifted & np.uint8(3)).reshape(n, 4 * runs, size)


def bits(raw: Bytes) -> Bytes:
    """[n, k] bytes -> [n, 8k], the lowest bit of each byte first."""
    return np.unpackbits(raw, axis=1, bitorder="little")
