"""The block formats of GGUF: bytes -> integers and scales -> float32, and float32 -> bytes for export.

Every quantised format is read into one shape, `Codes`: a weight is `scale * q + offset`, with one scale (and, where
the format has it, one offset) per group of 16 weights or more. From there float32 is one multiply-add. Matrices of a
model take the quick way, ponder/kernels/packing/pack.py, which is bit-equal; this is how to read it, its oracle, and
what export uses. Types of few bits (`LOW_BITS`) have only this way.
Layouts: ggml-org/llama.cpp ggml/src/ggml-common.h. Oracle in the tests: `gguf.quants` (not used at run time).
"""

from collections.abc import Callable

import numpy as np

from ponder.core.gguf import TYPES
from ponder.kernels.tensor import NORMAL, from_bf16, to_bf16
from ponder.model.formats.ggml import grid_blocks, low_bits
from ponder.model.formats.ggml.codes import F32, Bytes, Codes, bits, half, nibble_pairs, nibbles

BLOCK = {name: (elements, nbytes) for name, elements, nbytes in TYPES.values()}


def _q4_0(b: Bytes) -> Codes:
    q = nibbles(b[:, None, 2:]).reshape(len(b), 1, 32).view(np.int8)
    q -= 8
    return Codes(q, half(b[:, :2]))


def _q4_1(b: Bytes) -> Codes:
    q = nibbles(b[:, None, 4:]).reshape(len(b), 1, 32).view(np.int8)
    return Codes(q, half(b[:, :2]), half(b[:, 2:4]))


def _q5_0(b: Bytes) -> Codes:
    q = nibbles(b[:, None, 6:]).reshape(len(b), 32)
    q |= bits(b[:, 2:6]) << np.uint8(4)
    codes = q.reshape(len(b), 1, 32).view(np.int8)
    codes -= 16
    return Codes(codes, half(b[:, :2]))


def _q5_1(b: Bytes) -> Codes:
    q = nibbles(b[:, None, 8:]).reshape(len(b), 32)
    q |= bits(b[:, 4:8]) << np.uint8(4)
    return Codes(q.reshape(len(b), 1, 32).view(np.int8), half(b[:, :2]), half(b[:, 2:4]))


def _q8_0(b: Bytes) -> Codes:
    return Codes(b[:, 2:].reshape(len(b), 1, 32).view(np.int8), half(b[:, :2]))


def _k_scales(b: Bytes) -> tuple[F32, F32]:
    """Scale and offset of the 8 groups of a Q4_K / Q5_K block: d * sc and -(dmin * m), both sixes of bits packed
    into 12 bytes: 4 bytes sc, 4 bytes m, 4 bytes with the low halves of the last four of each."""
    low, mid, high = b[:, 4:8], b[:, 8:12], b[:, 12:16]
    sc = np.concatenate([low & 63, (high & 15) | ((low >> 2) & 48)], axis=1)
    m = np.concatenate([mid & 63, (high >> 4) | ((mid >> 2) & 48)], axis=1)
    return half(b[:, :2]) * sc.astype(np.float32), -(half(b[:, 2:4]) * m.astype(np.float32))


def _q4_k(b: Bytes) -> Codes:
    q = nibbles(b[:, 16:].reshape(len(b), 4, 32))
    return Codes(q.view(np.int8), *_k_scales(b))


def _q5_k(b: Bytes) -> Codes:
    q = nibbles(b[:, 48:].reshape(len(b), 4, 32))  # [n, 8, 32]
    for group in range(8):  # bit g of the 32 high bytes belongs to group g
        q[:, group] |= ((b[:, 16:48] >> np.uint8(group)) & 1) << 4
    return Codes(q.view(np.int8), *_k_scales(b))


def _q6_k(b: Bytes) -> Codes:
    q = nibbles(b[:, :128].reshape(len(b), 2, 64)).reshape(len(b), 2, 4, 32)
    high = b[:, 128:192].reshape(len(b), 2, 32)
    for pair in range(4):  # bits 2p, 2p + 1 of the high bytes belong to the p-th run of 32 of each half
        q[:, :, pair] |= ((high >> np.uint8(2 * pair)) & 3) << 4
    codes = q.reshape(len(b), 16, 16).view(np.int8)
    codes -= 32
    scales = np.ascontiguousarray(b[:, 192:208]).view(np.int8).astype(np.float32)
    return Codes(codes, half(b[:, 208:]) * scales)


def _iq4_nl(b: Bytes) -> Codes:
    return Codes(NORMAL[nibbles(b[:, None, 2:]).reshape(len(b), 1, 32)], half(b[:, :2]))


def _iq4_xs(b: Bytes) -> Codes:
    """The scale of group g is d * (s - 32), s of six bits: four in the bytes 4..7, two in bytes 2 and 3."""
    low = nibble_pairs(b[:, 4:8])
    high = (b[:, 2:4, None] >> np.array([0, 2, 4, 6], np.uint8) & 3).reshape(len(b), 8)
    s = (low | high << 4).astype(np.float32) - np.float32(32)
    return Codes(NORMAL[nibbles(b[:, 8:].reshape(len(b), 8, 16)).reshape(len(b), 8, 32)], half(b[:, :2]) * s)


_CODES: dict[str, Callable[[Bytes], Codes]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "IQ4_NL": _iq4_nl,
    "IQ4_XS": _iq4_xs,
}
# What the C++ extension does not read: decoded here, a run of rows at a time.
LOW_BITS: dict[str, Callable[[Bytes], Codes]] = {
    "Q2_K": low_bits.q2_k,
    "Q3_K": low_bits.q3_k,
    "TQ1_0": low_bits.tq1_0,
    "TQ2_0": low_bits.tq2_0,
    "MXFP4": low_bits.mxfp4,
    "IQ1_S": grid_blocks.iq1_s,
    "IQ1_M": grid_blocks.iq1_m,
    "IQ2_XXS": grid_blocks.iq2_xxs,
    "IQ2_XS": grid_blocks.iq2_xs,
    "IQ2_S": grid_blocks.iq2_s,
    "IQ3_XXS": grid_blocks.iq3_xxs,
    "IQ3_S": grid_blocks.iq3_s,
}


def codes(type_: str, raw: Bytes) -> Codes:
    """Integers and scales of whole blocks of a quantised type. raw: uint8, any length that is whole blocks."""
    return (_CODES.get(type_) or LOW_BITS[type_])(raw.reshape(-1, BLOCK[type_][1]))


def dequantise(type_: str, raw: Bytes) -> F32:
    """Flat float32 values of whole blocks of any type in `ponder.core.gguf.TYPES`."""
    if type_ == "F32":
        return raw.view("<f4").astype(np.float32)
    if type_ == "F16":
        return raw.view("<f2").astype(np.float32)
    if type_ == "BF16":
        return from_bf16(raw.view("<u2"))
    q, scale, offset = codes(type_, raw)
    values = q.astype(np.float32)
    values *= scale[:, :, None]
    if offset is not None:
        values += offset[:, :, None]
    return values.reshape(-1)


def quantise(type_: str, values: F32) -> Bytes:
    """Bytes of float32 values, for export: F32, F16, BF16, Q8_0 or Q4_0; the rounding is llama.cpp's reference.

    values: [..., K], K divisible by the block size. Returns uint8 [..., bytes of a row].
    """
    shape = (*values.shape[:-1], values.shape[-1] // BLOCK[type_][0] * BLOCK[type_][1])
    if type_ == "F32":
        return np.ascontiguousarray(values, "<f4").view(np.uint8)
    if type_ == "F16":
        return values.astype("<f2").view(np.uint8)
    if type_ == "BF16":
        return to_bf16(values).view(np.uint8)
    blocks = values.reshape(-1, 32)
    return {"Q8_0": _to_q8_0, "Q4_0": _to_q4_0}[type_](blocks).reshape(shape)


def _inverse(d: F32) -> F32:
    with np.errstate(divide="ignore"):
        return np.where(d == 0, np.float32(0), 1 / d)


def _to_q8_0(blocks: F32) -> Bytes:
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    x = blocks * _inverse(d)
    a = np.abs(x)  # round half away from zero, as C's roundf; adding 0.5 first would round 0.49999997 up
    whole = np.floor(a)
    q = np.copysign(whole + (a - whole >= 0.5), x).astype(np.int8)
    return np.concatenate([d.astype("<f2").view(np.uint8), q.view(np.uint8)], axis=1)


def _to_q4_0(blocks: F32) -> Bytes:
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    d = largest / np.float32(-8)
    q = (blocks * _inverse(d) + np.float32(8.5)).astype(np.uint8)
    np.minimum(q, 15, out=q)
    return np.concatenate([d.astype("<f2").view(np.uint8), q[:, :16] | (q[:, 16:] << 4)], axis=1)
