"""GGUF types of two and three bits, and of four bits with floats: bytes of whole blocks -> `Codes`."""

import numpy as np

from ponder.model.formats.ggml.codes import Bytes, Codes, bits, half, nibbles, twos

# Twice the values of e2m1, the four-bit float of MXFP4, by its sixteen codes.
_E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)


def q2_k(b: Bytes) -> Codes:
    """16 groups of 16: scale d * (low half of a byte), offset -dmin * (its high half)."""
    q = twos(b[:, 16:80].reshape(len(b), 2, 32)).reshape(len(b), 16, 16)
    scale = half(b[:, 80:82]) * (b[:, :16] & 15).astype(np.float32)
    return Codes(q.view(np.int8), scale, -(half(b[:, 82:84]) * (b[:, :16] >> 4).astype(np.float32)))


def q3_k(b: Bytes) -> Codes:
    """Two bits in the middle, the third in the first 32 bytes: bit g of them belongs to the g-th run of 32 weights, and
    a weight without it is 4 less. Scales of six bits, less 32: four in bytes 96..103, two in bytes 104..107."""
    low = twos(b[:, 32:96].reshape(len(b), 2, 32))  # [n, 8, 32]
    high = bits(b[:, :32]).reshape(len(b), 32, 8).swapaxes(1, 2)
    q = (low | high << 2).astype(np.int8) - np.int8(4)
    fours = nibbles(b[:, None, 96:104]).reshape(len(b), 16)
    top = twos(b[:, None, 104:108]).reshape(len(b), 16)
    scales = (fours | top << 4).astype(np.float32) - np.float32(32)
    return Codes(q.reshape(len(b), 16, 16), half(b[:, 108:110]) * scales)


def tq1_0(b: Bytes) -> Codes:
    """Five weights of -1, 0, 1 a byte: its value times 3/256 has the first as its whole part, and so on."""
    digits = [_thirds(b[:, :32], 5), _thirds(b[:, 32:48], 5), _thirds(b[:, 48:52], 4)]
    q = np.concatenate(digits, axis=1).astype(np.int8) - np.int8(1)
    return Codes(q[:, None], half(b[:, 52:54]))


def _thirds(raw: Bytes, count: int) -> Bytes:
    """[n, S] bytes -> [n, count * S]: the first digit of all S, then the second."""
    shifted = raw[:, None] * np.array([3**i for i in range(count)], np.uint8)[:, None]  # what leaves the byte is done
    return ((shifted.astype(np.uint16) * 3) >> 8).astype(np.uint8).reshape(len(raw), -1)


def tq2_0(b: Bytes) -> Codes:
    q = twos(b[:, :64].reshape(len(b), 2, 32)).astype(np.int8) - np.int8(1)
    return Codes(q.reshape(len(b), 1, 256), half(b[:, 64:66]))


def mxfp4(b: Bytes) -> Codes:
    """The scale is a power of two, its exponent one byte; halved, because the values are doubled."""
    exponent = b[:, :1].astype(np.uint32)
    as_bits = np.where(exponent < 2, np.uint32(0x200000) << exponent, (exponent - 1) << np.uint32(23))
    return Codes(_E2M1[nibbles(b[:, None, 1:]).reshape(len(b), 1, 32)], as_bits.astype(np.uint32).view(np.float32))
