"""Weights in memory: bf16 rounding against torch, quantisation against the gguf package, refusals."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.kernels.tensor import LINEAR, Kind, Tensor, from_bf16, pack_int4, to_bf16, unpack_int4


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_bf16_equals_torch_for_all_kinds_of_bits() -> None:
    import torch

    bits = np.random.default_rng(1).integers(0, 1 << 32, 100_000, np.uint32)
    x = np.concatenate([bits.view(np.float32), np.float32([0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, 1e-40])])
    ours, theirs = to_bf16(x), torch.from_numpy(x).bfloat16().view(torch.int16).numpy().view(np.uint16)
    nan = np.isnan(x)
    assert (ours[~nan] == theirs[~nan]).all()
    assert np.isnan(from_bf16(ours[nan])).all()
    every = np.arange(1 << 16).astype(np.uint16)
    finite = ~np.isnan(from_bf16(every))
    assert (to_bf16(from_bf16(every))[finite] == every[finite]).all()


@pytest.mark.parametrize("kind, ggml", [("int4", GGMLQuantizationType.Q4_0), ("int8", GGMLQuantizationType.Q8_0)])
def test_layout_is_that_of_gguf(kind: Kind, ggml: GGMLQuantizationType) -> None:
    x = normal(7, 160)
    raw = quants.quantize(x, ggml)
    blocks = raw.reshape(7, 5, -1)  # float16 scale, then the values of a group
    scale = np.ascontiguousarray(blocks[:, :, :2]).view(np.float16).reshape(7, 5)
    data = np.ascontiguousarray(blocks[:, :, 2:]).reshape(7, -1)
    tensor = Tensor(
        kind, (7, 160), data if kind == "int4" else data.view(np.int8), scale, 32, LINEAR if kind == "int4" else None
    )
    assert (tensor.dequantise() == quants.dequantize(raw, ggml)).all()


@pytest.mark.parametrize("group", [2, 8, 32, 64])
@pytest.mark.parametrize("kind, steps", [("int4", 8), ("int8", 127)])
def test_quantisation_error_is_within_half_a_step(kind: Kind, steps: int, group: int) -> None:
    x = normal(20, 192)
    x[3] = 0
    tensor = Tensor.quantise(x, kind, group)
    assert tensor.scale is not None
    step = np.repeat(np.abs(tensor.scale.astype(np.float32)), group, axis=1)
    # half a step inside; int4 clips one end by up to one step, and float16 rounds the scale by 2^-11
    bound = step * (1.0 if kind == "int4" else 0.5) * 1.001 + step * steps * 2**-11
    assert (np.abs(tensor.dequantise() - x) <= bound).all()
    assert (tensor.dequantise()[3] == 0).all()
    assert tensor.nbytes == 20 * 192 // (2 if kind == "int4" else 1) + 20 * 192 // group * 2


@pytest.mark.parametrize("kind", ["f32", "bf16", "int8", "int4"])
def test_rows_are_the_rows(kind: Kind) -> None:
    tensor = Tensor.quantise(normal(9, 64), kind)
    ids = np.int32([8, 0, 3, 3])
    assert (tensor.rows(ids) == tensor.dequantise()[ids]).all()
    for bad in ([9], [-1]):
        with pytest.raises(ValueError, match=r"0\.\.8"):
            tensor.rows(np.int32(bad))


@given(st.integers(1, 5), st.integers(1, 6), st.sampled_from([2, 6, 32]), st.integers(0, 2**32 - 1))
def test_nibbles_come_back(n: int, groups: int, group: int, seed: int) -> None:
    q = np.random.default_rng(seed).integers(0, 16, (n, groups * group)).astype(np.uint8)
    assert (unpack_int4(pack_int4(q, group), group) == q).all()


def test_large_tensor_is_quantised_in_chunks_like_a_small_one() -> None:
    x = normal(5000, 1024)
    whole, part = Tensor.quantise(x, "int4"), Tensor.quantise(x[4500:], "int4")
    assert (whole.data[4500:] == part.data).all()


def test_refusals_name_the_reason() -> None:
    with pytest.raises(UserError, match="do not divide"):
        Tensor.quantise(normal(2, 48), "int8")
    with pytest.raises(UserError, match="even group"):
        Tensor.quantise(normal(2, 45), "int4", 9)
    for value in (np.nan, np.inf):
        with pytest.raises(UserError, match="not finite"):
            Tensor.quantise(np.full((1, 32), value, np.float32), "int8")
    with pytest.raises(UserError, match="too large"):
        Tensor.quantise(np.full((1, 32), 1e30, np.float32), "int4")
    with pytest.raises(AssertionError):
        Tensor("bf16", (2, 4), np.zeros((2, 4), np.float32))
