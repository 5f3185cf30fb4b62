"""Matrices of files -> Tensor in C++: bit-equal to the numpy versions, and block formats to the gguf package."""

from pathlib import Path

import gguf.quants
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.core.gguf import TYPES
from ponder.kernels import _native, native
from ponder.kernels.packing.pack import convert, from_rows
from ponder.kernels.reference.scale_search import search
from ponder.kernels.tensor import Kind, Tensor, unpack_int4
from ponder.model.formats.ggml_blocks import LOW_BITS, codes

FORMATS = {name: (elements, nbytes) for name, elements, nbytes in TYPES.values() if name not in LOW_BITS}
KINDS: list[Kind] = ["f32", "bf16", "int8", "int4"]
# where a block has float16 numbers; random bits there would be infinite now and then
HALVES = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}


def stored(format: str, n: int, k: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random rows in a format, uint8 [n, bytes of a row], scales of all sizes (subnormal ones, zeros, both signs)."""
    rng = np.random.default_rng(seed)
    elements, nbytes = FORMATS[format]
    if elements == 1:
        x = nasty(n, k, rng)
        if format == "F16":
            return np.clip(x, -6e4, 6e4).astype("<f2").view(np.uint8)
        if format == "BF16":
            x = np.clip(x, -5e5, 5e5)  # 65504 * 8 would be rounded up, beyond float16 scales
        return gguf.quants.quantize(x, GGMLQuantizationType[format]).view(np.uint8).reshape(n, k * nbytes)
    blocks = rng.integers(0, 256, (n * k // elements, nbytes), np.uint8)
    for at in HALVES.get(format, (0,)):
        scale = rng.standard_normal(len(blocks)) * 2.0 ** rng.integers(-26, 4, len(blocks))
        blocks[:, at : at + 2] = scale.astype("<f2").view(np.uint8).reshape(-1, 2)
    return blocks.reshape(n, -1)


def nasty(n: int, k: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Rows of every size, with zeros, ties of the largest value, exact halves of a step, and scales near the limits."""
    x = (rng.standard_normal((n, k)) * 2.0 ** rng.integers(-30, 8, (n, 1))).astype(np.float32)
    x[0], x[1], x[2] = 0, -0.0, x[2] * np.float32(1e-38)  # the last one: below the smallest float16
    x[3] = rng.integers(-127, 128, k) + np.float32(0.5)
    x[3, ::32] = 127  # scale 1: every other value of the row is a tie
    x[4], x[5] = np.where(rng.random((2, k)) < 0.5, 3, -3)  # which of the largest ones comes first
    x[6] = rng.choice(np.float32([65504 * 8, -65504 * 8, 1, 0]), k)
    x[7] = rng.choice(np.float32([2.0**-24, 2.0**-25, 3 * 2.0**-25, -(2.0**-18), 127 * 2.0**-25]), k)
    return x


def quantise(x: NDArray[np.float32], kind: Kind, group: int = 32) -> Tensor:
    return search(x, group) if kind == "int4" else Tensor.quantise(x, kind, group)


def same_bits(a: Tensor, b: Tensor) -> bool:
    assert a.kind == b.kind and a.group == b.group
    assert np.array_equal(a.grid, b.grid) if a.grid is not None and b.grid is not None else a.grid is b.grid
    pairs = [(a.data, b.data)] + ([(a.scale, b.scale)] if a.scale is not None and b.scale is not None else [])
    return all(np.array_equal(p.view(np.uint8), q.view(np.uint8)) for p, q in pairs)


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("group", [2, 6, 16, 32, 64, 96, 192])
def test_packing_floats_is_numpys(isa: str, kind: Kind, group: int) -> None:
    x = nasty(200, 576, np.random.default_rng(group))
    want = quantise(x, kind, group)
    assert same_bits(convert("F32", x.view(np.uint8), x.shape, kind, group), want)
    assert same_bits(from_rows(np.array_split(x, 7), x.shape, kind, group), want)


def test_odd_groups_of_int8(isa: str) -> None:
    x = nasty(20, 45 * 7, np.random.default_rng(0))
    for group in (1, 3, 45):
        assert same_bits(convert("F32", x.view(np.uint8), x.shape, "int8", group), Tensor.quantise(x, "int8", group))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", FORMATS)
def test_formats_are_those_of_the_gguf_package(isa: str, format: str, kind: Kind) -> None:
    shape = (37, 768)
    raw = stored(format, *shape)
    exact = gguf.quants.dequantize(raw, GGMLQuantizationType[format]).reshape(shape)
    got = convert(format, raw, shape, kind)
    if (format, kind) in (("Q8_0", "int8"), ("Q5_0", "int8"), ("Q4_0", "int4"), ("IQ4_NL", "int4")):
        np.testing.assert_array_equal(got.dequantise(), exact)  # value for value, with the scales of the file
        assert got.scale is not None and np.array_equal(
            got.scale, raw.reshape(37, 24, -1)[:, :, :2].view("<f2")[..., 0]
        )
    else:
        assert same_bits(got, quantise(exact, kind))


@pytest.mark.parametrize("format", ["Q4_1", "Q4_K"])
def test_codes_with_offsets_are_copied(isa: str, format: str) -> None:
    shape = (37, 768)
    raw = stored(format, *shape)
    if format == "Q4_K":
        raw.reshape(37, 3, -1)[:, :, :4] = (np.float16(0.01) * np.arange(1, 3).astype("<f2")).view(np.uint8)
    got, want = convert(format, raw, shape, "uint4"), codes(format, raw)
    assert got.scale is not None and want.offset is not None
    assert np.array_equal(unpack_int4(got.data, 32).reshape(want.q.shape), want.q.view(np.uint8))
    pairs = np.stack([want.scale, want.offset], axis=2).reshape(37, 24, 2).astype(np.float16)
    assert np.array_equal(got.scale.view(np.uint16), pairs.view(np.uint16))
    if format == "Q4_1":  # whose scales are float16 in the file
        exact = gguf.quants.dequantize(raw, GGMLQuantizationType.Q4_1).reshape(shape)
        np.testing.assert_array_equal(got.dequantise(), exact)
    raw[5, :2] = np.float16(np.nan).reshape(1).view(np.uint8)
    with pytest.raises(UserError, match="not finite"):
        convert(format, raw, shape, "uint4")
    for other, group in ((format, 64), ("Q6_K", 32), ("F32", 32)):
        with pytest.raises(ValueError, match="uint4 is made of Q4_1 and Q4_K in groups of 32"):
            convert(other, stored(other, *shape), shape, "uint4", group)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_and_a_mapped_file(threads: int, tmp_path: Path) -> None:
    native.set_threads(threads)
    raw = stored("Q4_K", 9000, 2048)  # 10 MB: more than is read before pages are given back
    (tmp_path / "w").write_bytes(b"odd" + raw.tobytes())
    mapped = np.memmap(tmp_path / "w", np.uint8, "r")[3:].reshape(raw.shape)
    want = convert("Q4_K", raw, (9000, 2048), "int4")
    assert same_bits(convert("Q4_K", mapped, (9000, 2048), "int4", mapped=True), want)
    assert np.array_equal(mapped, raw)  # given back is not gone


def test_what_a_file_has_is_not_copied() -> None:
    x = np.ones((4, 32), np.float32)
    assert np.shares_memory(convert("F32", x.view(np.uint8), (4, 32), "f32").data, x)
    assert np.shares_memory(convert("BF16", x.view(np.uint8), (4, 64), "bf16").data, x)


def test_refusals_name_the_reason() -> None:
    for value, reason in ((np.nan, "not finite"), (-np.inf, "not finite"), (1e30, "too large")):
        x = np.ones((300, 64), np.float32)
        x[299, 63] = value
        for kind in ("int8", "int4"):
            with pytest.raises(UserError, match=reason):
                convert("F32", x.view(np.uint8), x.shape, kind)
    for format in FORMATS.keys() - {"F32", "F16", "BF16"}:
        raw = stored(format, 3, 256)
        at = HALVES.get(format, (0,))[-1]
        raw[2, at : at + 2] = np.float16(np.inf).reshape(1).view(np.uint8)
        for kind in KINDS:
            with pytest.raises(UserError, match="not finite"):
                convert(format, raw, (3, 256), kind)
    with pytest.raises(UserError, match="do not divide"):
        convert("F32", np.zeros((2, 48 * 4), np.uint8), (2, 48), "int8")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "Q2_K"}, {"kind": "fp8"}, {"raw": np.zeros((4, 33), np.uint8)}, {"raw": np.zeros((3, 34), np.uint8)},
        {"raw": np.zeros((4, 34), np.int8)}, {"raw": np.zeros((4, 68), np.uint8)[:, ::2]}, {"group": 0}, {"group": 5},
        {"data": np.zeros((4, 64), np.int8)}, {"data": np.zeros((4, 32), np.uint8)}, {"scale": None},
        {"scale": np.zeros((4, 2), np.float16)}, {"scale": np.zeros((4, 1), np.float32)}, {"kind": "int4"},
    ],
)  # fmt: skip
def test_the_extension_checks_its_arguments(change: dict[str, object]) -> None:
    right = {
        "format": "Q8_0", "raw": np.zeros((4, 34), np.uint8), "kind": "int8", "group": 32,
        "data": np.zeros((4, 32), np.int8), "scale": np.zeros((4, 1), np.float16), "importance": None, "grid": None,
        "mapped": False,
    }  # fmt: skip
    assert _native.convert(**right) == 0  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError)):
        _native.convert(**{**right, **change})  # type: ignore[arg-type]
