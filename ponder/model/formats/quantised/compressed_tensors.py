"""compressed-tensors (llm-compressor, vLLM): packed integers, int8, and FP8.

pack-quantized: `X.weight_packed` I32 [N, K / per], codes plus half of their range, low bits first, `X.weight_shape`
[2], `X.weight_scale` [N, G], and for asymmetric ones `X.weight_zero_point`, packed along the outputs; `X.weight_g_idx`
names each column's group. int-quantized: `X.weight` I8, `X.weight_scale`, `X.weight_zero_point` I8. float-quantized is
fp8.py's.
"""

import numpy as np
from numpy.typing import NDArray

from ponder.model.formats.quantised.bits import unpack
from ponder.model.formats.quantised.gptq import scattered
from ponder.model.formats.quantised.matrix import Grouped, by_groups
from ponder.model.formats.quantised.parts import Parts
from ponder.model.weights.checkpoint import Source

_ACTIVATIONS = ("input_scale", "input_zero_point", "output_scale", "output_zero_point")


def packed(parts: Parts) -> Source:
    words = parts.take("weight_packed", "I32")
    shape = parts.take("weight_shape", "I64", "I32", dims=1)
    parts.expect("weight_shape", shape.shape, (2,))
    n, k = int(shape[0]), int(shape[1])
    bits = next((b for b in (2, 4, 8) if k > 0 and (n, -(-k // (32 // b))) == words.shape), None)
    if bits is None:
        raise parts.odd("weight_packed", f"has shape {list(words.shape)}, which cannot hold {[n, k]} in 2, 4 or 8 bits")
    scale = parts.scale("weight_scale")
    half = np.int16(1 << bits - 1)
    zero: NDArray[np.int16] = np.full(scale.shape, half, np.int16)
    if parts.has("weight_zero_point"):
        stored = unpack(parts.take("weight_zero_point", "I32").T, bits).T[:n]
        parts.expect("weight_zero_point", stored.shape, scale.shape)
        zero = stored.astype(np.int16)
    parts.without(*_ACTIVATIONS)
    return _source(parts, Grouped((n, k), bits, lambda a, b: unpack(words[a:b], bits)[:, :k], zero, scale))


def int8(parts: Parts) -> Source:
    raw = parts.take("weight", "I8")
    scale = parts.scale("weight_scale")
    if scale.shape == (1, 1):
        scale = np.repeat(scale, len(raw), axis=0)
    zero: NDArray[np.int16] = np.full(scale.shape, 128, np.int16)
    if parts.has("weight_zero_point"):
        offset = parts.take("weight_zero_point", "I8")
        parts.expect("weight_zero_point", offset.shape, scale.shape)
        zero += offset
    parts.without(*_ACTIVATIONS)
    (n, k), sign = raw.shape, np.uint8(128)
    return _source(parts, Grouped((n, k), 8, lambda a, b: raw[a:b].view(np.uint8) ^ sign, zero, scale))


def _source(parts: Parts, matrix: Grouped) -> Source:
    (n, k), groups = matrix.shape, matrix.scale.shape[1]
    if len(matrix.scale) != n or k % groups:
        raise parts.odd("weight_scale", f"has shape {list(matrix.scale.shape)}, not scales of {[n, k]}")
    group_of = scattered(parts, "weight_g_idx", k, groups)
    whole = Grouped(matrix.shape, matrix.bits, matrix.codes, matrix.zero, matrix.scale, group_of)
    return by_groups(parts.name, parts.nbytes, whole)
