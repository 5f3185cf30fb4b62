"""Native linear and experts on every instruction set against the oracle; bit-identity in any batch (DT-1, MOE-1)."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from ponder.kernels import native
from ponder.kernels.native import NativeOps
from ponder.kernels.reference.ops import ReferenceOps, linear_q8
from ponder.kernels.reference.scale_search import search
from ponder.kernels.tensor import LINEAR, NORMAL, Kind, Tensor

OPS, REF = NativeOps(), ReferenceOps()
Floats = NDArray[np.float32]
KINDS: list[Kind] = ["f32", "bf16", "int8", "int4", "uint4"]


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def expected(x: Floats, w: Tensor) -> Floats:
    """In float64; for int8 and int4 with the native kernel's own integer arithmetic."""
    if w.scale is not None:
        return linear_q8(x, w)
    return (x.astype(np.float64) @ w.dequantise().T.astype(np.float64)).astype(np.float32)


def bound(x: Floats, w: Tensor) -> Floats:
    """Each output's own. K terms in 4 to 16 partial sums: the rounding of float32 (2^-24) adds up to a few units of
    the sum of absolute terms; 2^-20 of it leaves room, and an indexing mistake is many thousand times larger. With
    AMX an activation for bf16 weights is two bf16, within 2^-18 of it."""
    room = 2.0**-17 if w.kind == "bf16" and native.isa() == "amx" else 2.0**-20
    return room * (np.abs(x) @ np.abs(w.dequantise()).T) + 1e-7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [32, 64, 96, 160, 1024, 1056])
def test_linear_equals_oracle(isa: str, kind: Kind, k: int) -> None:
    for n, tokens in [(1, 1), (3, 2), (4, 3), (5, 4), (7, 5), (33, 8), (67, 17)]:
        x, values = normal(tokens, k, seed=n), normal(n, k, seed=tokens)
        w = search(values) if kind == "int4" else Tensor.quantise(values, kind)
        bias = normal(n, seed=3)
        weight = OPS.weight(w)
        assert (np.abs(OPS.linear(x, weight) - expected(x, w)) <= bound(x, w)).all()
        assert (np.abs(OPS.linear(x, weight, bias) - bias - expected(x, w)) <= bound(x, w) + 1e-6).all()


@pytest.mark.parametrize("kind", ["f32", "bf16"])
def test_any_k(isa: str, kind: Kind) -> None:
    for k in range(1, 70):
        x, w = normal(3, k, seed=k), Tensor.quantise(normal(6, k), kind)
        assert (np.abs(OPS.linear(x, OPS.weight(w)) - expected(x, w)) <= bound(x, w)).all(), k


@pytest.mark.parametrize("kind", ["int8", "int4", "int4 on NORMAL", "uint4"])
@pytest.mark.parametrize("group", [2, 6, 16, 48, 64, 128])
def test_other_groups(isa: str, kind: str, group: int) -> None:
    x, values = normal(5, 3 * group), normal(9, 3 * group, seed=1)
    w = search(values, group) if kind.endswith("NORMAL") else Tensor.quantise(values, kind, group)  # type: ignore[arg-type]
    assert (np.abs(OPS.linear(x, OPS.weight(w)) - expected(x, w)) <= bound(x, w)).all()


@pytest.mark.parametrize("kind, most", [("int8", 0.012), ("int4", 0.012), ("uint4", 0.012)])
def test_quantised_activations_cost_little(isa: str, kind: Kind, most: float) -> None:
    """Against the exact product with the dequantised weight: relative error in the 2-norm, for normal activations
    theory says about 3 / 127 / sqrt(12) = 0.7 percent."""
    x, w = normal(16, 1024), Tensor.quantise(normal(256, 1024, seed=1), kind)
    exact = x @ w.dequantise().T
    assert np.linalg.norm(OPS.linear(x, OPS.weight(w)) - exact) < most * np.linalg.norm(exact)


def test_extreme_quantised_values(isa: str) -> None:
    """Byte products at their limits (no saturation), a weight of -128 as a foreign file may hold, odd scales."""
    k = 192
    for weight_value, x_value in [(-128, 1.0), (127, -1.0), (-128, -1.0), (127, 1.0)]:
        data = np.full((5, k), weight_value, np.int8)
        w = Tensor("int8", (5, k), data, np.full((5, k // 32), 6e-8, np.float16), 32)  # a subnormal scale
        x = np.full((3, k), x_value, np.float32)
        assert np.allclose(OPS.linear(x, OPS.weight(w)), linear_q8(x, w), rtol=1e-6, atol=0)
    widest = np.r_[-128:-120, 120:128].astype(np.int8)
    for byte, grid in product((0x00, 0xFF, 0x0F, 0xF0), (LINEAR, NORMAL, widest)):
        w = Tensor(
            "int4", (5, k), np.full((5, k // 2), byte, np.uint8), np.full((5, k // 32), -3, np.float16), 32, grid
        )
        x = normal(3, k)
        assert (np.abs(OPS.linear(x, OPS.weight(w)) - linear_q8(x, w)) <= bound(x, w)).all()
    for byte, scale, offset in [(0x00, 1, -5), (0xFF, 3, 0), (0xFF, -2, 60000), (0x5A, 6e-8, 6e-8)]:
        scales = np.broadcast_to(np.float16([scale, offset]), (5, k // 32, 2)).copy()
        w = Tensor("uint4", (5, k), np.full((5, k // 2), byte, np.uint8), scales, 32)
        for x in (normal(3, k), np.ones((2, k), np.float32), np.full((1, k), -1, np.float32)):
            room = 2.0**-20 * np.abs(x).sum(axis=1, keepdims=True) * (15 * abs(scale) + abs(offset)) + 1e-7
            assert (np.abs(OPS.linear(x, OPS.weight(w)) - linear_q8(x, w)) <= room).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_shows(isa: str, kind: Kind) -> None:
    x, weight = normal(4, 96), OPS.weight(Tensor.quantise(normal(6, 96), kind))
    clean = OPS.linear(x, weight)
    for value in (np.nan, np.inf, -np.inf):
        y = x.copy()
        y[2, 70] = value
        out = OPS.linear(y, weight)
        assert not np.isfinite(out[2]).any()
        assert (out[[0, 1, 3]] == clean[[0, 1, 3]]).all()
    tiny = np.full((1, 96), 1e-38, np.float32)
    assert (np.abs(OPS.linear(tiny, weight)) < 1e-30).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bits_do_not_depend_on_batch_or_threads(isa: str, kind: Kind) -> None:
    rng = np.random.default_rng(5)
    x, weight = normal(64, 416), OPS.weight(Tensor.quantise(normal(131, 416, seed=2), kind))
    native.set_threads(1)
    alone = np.concatenate([OPS.linear(x[i : i + 1], weight) for i in range(64)])
    for count in (1, 2, 3, 5):
        native.set_threads(count)
        for size in (2, 3, 4, 5, 7, 16, 33, 64):
            rows = rng.choice(64, size, replace=False)
            assert (OPS.linear(x[rows], weight) == alone[rows]).all(), (count, size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [1, 2, 17, 512])
def test_experts_equal_naive_loop(isa: str, kind: Kind, tokens: int) -> None:
    """MOE-1: 1e-5 relative; random routing, all to one expert, empty experts."""
    count, d, inner, k = 6, 64, 96, 3
    if isa == "amx":
        tokens = min(tokens, 70)  # an emulated instruction takes a microsecond
    rng = np.random.default_rng(tokens)
    sets = [
        [Tensor.quantise(normal(*shape, seed=10 * s + e) / 8, kind) for e in range(count)]
        for s, shape in enumerate([(inner, d), (inner, d), (d, inner)])
    ]
    x, weights = normal(tokens, d), rng.random((tokens, k), np.float32)
    one = np.tile(np.int32([4, 1, 0]), (tokens, 1))
    for ids in (np.argsort(rng.random((tokens, count)), axis=1)[:, :k].astype(np.int32), one):
        native_sets = [[OPS.weight(t) for t in part] for part in sets]
        out = OPS.experts(x, ids, weights, *native_sets)
        naive = np.zeros_like(x)
        for t in range(tokens):
            for slot, e in enumerate(ids[t]):
                gate, up, down = (part[e] for part in native_sets)
                row = x[t : t + 1]
                h = OPS.swiglu(OPS.linear(row, gate), OPS.linear(row, up))
                naive[t] += weights[t, slot] * OPS.linear(h, down)[0]
        assert np.abs(out - naive).max() <= 1e-5 * np.abs(naive).max()
        if kind in ("f32", "bf16"):
            oracle = REF.experts(x, ids, weights, *([REF.weight(t) for t in part] for part in sets))
            assert np.abs(out - oracle).max() <= 1e-5 * np.abs(oracle).max()
        part = OPS.experts(x[-1:], ids[-1:], weights[-1:], *native_sets)
        assert (part == out[-1:]).all()
