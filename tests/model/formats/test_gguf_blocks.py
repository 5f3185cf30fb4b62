"""Every block format against the `gguf` package, bit for bit, on random bytes and on the sizes of real rows."""

import gguf.quants
import numpy as np
import pytest
from gguf import GGMLQuantizationType as T
from gguf_tiny import random_blocks

from ponder.model.formats.ggml_blocks import BLOCK, codes, dequantise, quantise


@pytest.mark.parametrize("type_", BLOCK)
def test_dequantise_equals_the_gguf_package(type_: str) -> None:
    raw = random_blocks(type_, 1024)
    with np.errstate(invalid="ignore"):  # random bf16 / f16 bits hold some signalling NaN
        ours, theirs = dequantise(type_, raw), gguf.quants.dequantize(raw.reshape(1, -1), T[type_]).reshape(-1)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32))


@pytest.mark.parametrize("type_", [t for t, (elements, _) in BLOCK.items() if elements > 1])
def test_codes_have_whole_groups(type_: str) -> None:
    elements, _ = BLOCK[type_]
    q, scale, offset = codes(type_, random_blocks(type_, 7))
    assert q.dtype == np.int8 and q.shape[0] == 7 and q.shape[1] * q.shape[2] == elements
    assert scale.shape == q.shape[:2] and (offset is None or offset.shape == scale.shape)


@pytest.mark.parametrize("type_", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-9, 1e3])
def test_quantise_equals_the_gguf_package(type_: str, scale: float) -> None:
    x = (np.random.default_rng(1).standard_normal((33, 256)) * scale).astype(np.float32)
    x[3] = 0
    x[4, :32] = -0.0
    x[5] = np.round(x[5] / scale * 4) / 4 * scale  # many exact halves
    np.testing.assert_array_equal(quantise(type_, x), gguf.quants.quantize(x, T[type_]).view(np.uint8))


def test_bf16_keeps_nan_and_infinity() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 3.4e38, 1e-45, 0.0, -0.0, 1.00390625, 1.01171875], np.float32)
    back = dequantise("BF16", quantise("BF16", x))
    np.testing.assert_array_equal(back, gguf.quants.dequantize(gguf.quants.quantize(x, T.BF16), T.BF16))
    assert np.isnan(back[0])
