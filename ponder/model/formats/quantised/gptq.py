"""GPTQ and AWQ: words of small codes, zero points packed alike, a scale for each group of inputs.

GPTQ, of a linear layer X: `X.qweight` I32 [K / per, N], packed along the inputs, `X.qzeros` [G, N / per], `X.scales`
[G, N], `X.g_idx` [K], the group of each input. Zero points are stored less one where checkpoint_format is gptq. With
desc_act the groups lie scattered, so no kind of Ponder's holds the codes as they are.
AWQ (version gemm): `X.qweight` [K, N / 8], packed along the outputs, which a word holds in the order 0 2 4 6 1 3 5 7.
Layouts as AutoGPTQ (GPTQModel) and AutoAWQ write them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponder.model.formats.quantised.bits import unpack
from ponder.model.formats.quantised.matrix import Grouped, by_groups
from ponder.model.formats.quantised.parts import Parts
from ponder.model.quantisation_config import Awq, Gptq
from ponder.model.weights.checkpoint import Source

_COLUMN = np.array([0, 4, 1, 5, 2, 6, 3, 7])  # where in an AWQ word output 0, 1, ... lies


def gptq(parts: Parts, form: Gptq) -> Source:
    words, bits = parts.take("qweight", "I32"), form.bits
    k, n = words.shape[0] * (32 // bits), words.shape[1]
    zero = unpack(parts.take("qzeros", "I32"), bits)[:, :n]
    if form.checkpoint_format == "gptq":
        zero = (zero + np.uint8(1)) & np.uint8((1 << bits) - 1)
    return _source(parts, (n, k), bits, zero, form.group_size, lambda a, b: unpack(words[:, a:b].T, bits))


def awq(parts: Parts, form: Awq) -> Source:
    words = parts.take("qweight", "I32")
    zero = _columns(parts.take("qzeros", "I32"))

    def codes(first: int, end: int) -> NDArray[np.uint8]:
        return _columns(words[:, first // 8 : end // 8]).T

    return _source(parts, (words.shape[1] * 8, words.shape[0]), 4, zero, form.group_size, codes)


def _source(
    parts: Parts, shape: tuple[int, int], bits: int, zero: NDArray[np.uint8], group_size: int, codes: Any
) -> Source:
    """zero: [G, N]"""
    n, k = shape
    size = k if group_size == -1 else group_size
    scale = parts.floats("scales")
    parts.expect("scales", scale.shape, (-(-k // size), n))
    parts.expect("qzeros", zero.shape, scale.shape)
    group_of: NDArray[Any] | None = scattered(parts, "g_idx", k, len(scale))
    if group_of is None and k % size:  # the last group is a short one
        group_of = np.arange(k) // size
    matrix = Grouped(shape, bits, codes, zero.T.astype(np.int16), np.ascontiguousarray(scale.T), group_of)
    return by_groups(parts.name, parts.nbytes, matrix)


def scattered(parts: Parts, part: str, k: int, groups: int) -> NDArray[np.int32] | None:
    """The group of each column, None where the file does not say or groups lie side by side."""
    if not parts.has(part):
        return None
    group_of = parts.take(part, "I32", dims=1)
    parts.expect(part, group_of.shape, (k,))
    if group_of.min() < 0 or group_of.max() >= groups:
        raise parts.odd(part, f"names a group that is not one of {groups}")
    if k % groups == 0 and np.array_equal(group_of, np.arange(k) // (k // groups)):
        return None
    return group_of


def _columns(words: NDArray[np.int32]) -> NDArray[np.uint8]:
    """AWQ words [R, W] -> codes [R, 8 W], outputs in order."""
    stream = unpack(words, 4)
    return stream.reshape(len(stream), -1, 8)[:, :, _COLUMN].reshape(stream.shape)
