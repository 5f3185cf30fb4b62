"""The IQ types of one to three bits: bytes of whole blocks -> `Codes`.

A code is a number in a table of good patterns (grids.py) of eight or four weights; signs lie beside it, as eight bits
or as seven whose parity is the eighth. IQ1 has no signs: its patterns are of -1, 0, 1, and all weights of a group are
shifted by an eighth, so its integers here are eight times the pattern, plus or minus 1, and its scale is an eighth.
"""

import numpy as np
from numpy.typing import NDArray

from ponder.model.formats.ggml.codes import F32, Bytes, Codes, bits, half, nibble_pairs, twos, words
from ponder.model.formats.ggml.grids import grid

_Index = NDArray[np.unsignedinteger]
_SEVENS = np.array([0, 7, 14, 21], np.uint32)
# Eight signs from seven bits: their number is even.
_SIGNS = np.array([i | (i.bit_count() & 1) << 7 for i in range(128)], np.uint8)


def _signed(patterns: NDArray[np.int8], signs: Bytes, group: int) -> NDArray[np.int8]:
    """patterns: any shape with the weights of a block in order; signs: [n, 32] bytes, a bit each -> [n, G, group]."""
    n = len(signs)
    sign = (1 - 2 * bits(signs).astype(np.int8)).reshape(n, -1, group)
    return patterns.reshape(n, -1, group) * sign


def _sevens(word: _Index) -> Bytes:
    """[n, 8] uint32 whose low 28 bits are four times seven signs -> [n, 32]."""
    signs: Bytes = _SIGNS[(word[:, :, None] >> _SEVENS) & np.uint32(127)]
    return signs.reshape(len(word), -1)


def _quarter_steps(d: F32, scales: _Index) -> F32:
    return d * (np.float32(0.5) + scales.astype(np.float32)) * np.float32(0.25)


def iq2_xxs(b: Bytes) -> Codes:
    """Eight groups of 32: four bytes of codes, then 28 bits of signs and four of scale."""
    pairs = words(b[:, 2:], "<u4").reshape(len(b), 8, 2)
    codes = np.ascontiguousarray(pairs[:, :, 0]).view(np.uint8)
    q = _signed(grid("IQ2_XXS")[codes], _sevens(pairs[:, :, 1]), 32)
    return Codes(q, _quarter_steps(half(b[:, :2]), pairs[:, :, 1] >> np.uint32(28)))


def iq2_xs(b: Bytes) -> Codes:
    """16 groups of 16: two words of nine bits of code and seven of signs."""
    word = words(b[:, 2:66], "<u2")
    q = _signed(grid("IQ2_XS")[word & np.uint16(511)], _SIGNS[word >> np.uint16(9)], 16)
    return Codes(q, _quarter_steps(half(b[:, :2]), nibble_pairs(b[:, 66:74])))


def iq2_s(b: Bytes) -> Codes:
    """As IQ2_XS with codes of ten bits, the top two apart, and eight bits of signs."""
    top = twos(b[:, 66:74, None]).reshape(len(b), 32)
    codes = b[:, 2:34] | top.astype(np.uint16) << np.uint16(8)
    q = _signed(grid("IQ2_S")[codes], b[:, 34:66], 16)
    return Codes(q, _quarter_steps(half(b[:, :2]), nibble_pairs(b[:, 74:82])))


def iq3_xxs(b: Bytes) -> Codes:
    """Eight groups of 32: eight codes of four weights each; signs and scale as in IQ2_XXS, in steps of a half."""
    word = words(b[:, 66:98], "<u4")
    scale = half(b[:, :2]) * (np.float32(0.5) + (word >> np.uint32(28)).astype(np.float32)) * np.float32(0.5)
    return Codes(_signed(grid("IQ3_XXS")[b[:, 2:66]], _sevens(word), 32), scale)


def iq3_s(b: Bytes) -> Codes:
    """Codes of nine bits, the top one apart."""
    codes = b[:, 2:66] | bits(b[:, 66:74]).astype(np.uint16) << np.uint16(8)
    scale = half(b[:, :2]) * (1 + 2 * nibble_pairs(b[:, 106:110])).astype(np.float32)
    return Codes(_signed(grid("IQ3_S")[codes], b[:, 74:106], 32), scale)


def _eighths(codes: _Index, minus: NDArray[np.bool_], group: int) -> NDArray[np.int8]:
    """codes: [n, 32]; minus: [n, 32], whether a pattern is shifted down -> [n, G, group]."""
    shift = np.where(minus, -1, 1).astype(np.int8)
    return (grid("IQ1")[codes] * np.int8(8) + shift[:, :, None]).reshape(len(codes), -1, group)


def iq1_s(b: Bytes) -> Codes:
    """Eight groups of 32: four codes of eleven bits, their top threes in a word with the scale and the shift."""
    word = words(b[:, 34:50], "<u2")
    top = ((word[:, :, None] >> np.array([0, 3, 6, 9], np.uint16)) & np.uint16(7)).reshape(len(b), 32)
    q = _eighths(b[:, 2:34] | top << np.uint16(8), np.repeat(word >= 0x8000, 4, axis=1), 32)
    odd = (2 * ((word >> np.uint16(12)) & np.uint16(7)) + 1).astype(np.float32)
    return Codes(q, half(b[:, :2]) * odd / np.float32(8))


def iq1_m(b: Bytes) -> Codes:
    """16 groups of 16: two codes, each with its own shift. Scales of three bits; d lies in the top halves of the four
    words that hold them."""
    word = words(b[:, 48:56], "<u2")
    parts = (word & np.uint16(0xF000)) >> np.array([12, 8, 4, 0], np.uint16)
    d = np.bitwise_or.reduce(parts, axis=1, keepdims=True).astype("<u2").view("<f2").astype(np.float32)
    threes = ((word[:, :, None] >> np.array([0, 3, 6, 9], np.uint16)) & np.uint16(7)).reshape(len(b), 16)
    high = nibble_pairs(b[:, 32:48])
    codes = b[:, :32] | (high & 7).astype(np.uint16) << np.uint16(8)
    return Codes(_eighths(codes, (high & 8) != 0, 16), d * (2 * threes + 1).astype(np.float32) / np.float32(8))
