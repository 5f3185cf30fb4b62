"""int4 with searched scales: never worse than plain rounding, equal in C++ and numpy, any group, any values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from test_pack import nasty, same_bits

from ponder.core.errors import UserError
from ponder.kernels import _native
from ponder.kernels.packing.pack import from_rows
from ponder.kernels.reference.scale_search import search
from ponder.kernels.tensor import LINEAR, NORMAL, Grid, Tensor

Floats = NDArray[np.float32]
values = st.floats(-(2.0**18), 2.0**18, width=32) | st.floats(-1, 1, width=32)


def weighted_error(x: Floats, tensor: Tensor, importance: Floats) -> NDArray[np.float64]:
    """[N, K/group]"""
    x = x.astype(np.float64)
    off = x - tensor.dequantise()
    weights = importance * np.sqrt(2 * np.square(x).mean(axis=1, keepdims=True) + x * x)
    return (weights * off * off).reshape(len(x), -1, tensor.group).sum(axis=2)


@settings(max_examples=200, deadline=None)
@given(arrays(np.float32, (3, 48), elements=values), arrays(np.float32, 48, elements=st.floats(0, 100, width=32)),
       st.sampled_from([2, 6, 8, 16, 24, 48]))  # fmt: skip
def test_never_worse_than_plain_rounding_and_equal_in_cpp(x: Floats, importance: Floats, group: int) -> None:
    found = search(x, group, importance, LINEAR)
    ours, plain = (weighted_error(x, t, importance) for t in (found, Tensor.quantise(x, "int4", group)))
    assert (ours <= plain * (1 + 1e-4) + 1e-30).all()  # both errors were compared in float32
    assert same_bits(from_rows([x], x.shape, "int4", group, importance, LINEAR), found)
    assert same_bits(from_rows([x], x.shape, "int4", group, importance), search(x, group, importance))


@pytest.mark.parametrize("grid", [LINEAR, NORMAL, np.r_[-128:-124, -1:3, 5:9, 124:128].astype(np.int8)])
@pytest.mark.parametrize("group", [2, 30, 32, 64, 192])
def test_weighted_search_is_numpys(isa: str, group: int, grid: Grid) -> None:
    rng = np.random.default_rng(group)
    x, importance = nasty(100, 960, rng), rng.random(960, np.float32) ** 4
    importance[::3] = 0
    want = search(x, group, importance, grid)
    assert same_bits(from_rows(np.array_split(x, 3), x.shape, "int4", group, importance, grid), want)


def test_normal_numbers_gain_a_tenth_and_a_quarter_on_their_grid() -> None:
    """The squared error of normal numbers, even though the large ones count more (docs/weights.md)."""
    x = np.random.default_rng(0).standard_normal((500, 1024), np.float32)
    tensors = Tensor.quantise(x, "int4"), search(x, grid=LINEAR), search(x)
    plain, linear, ours = (np.square(t.dequantise() - x).mean() for t in tensors)
    assert plain == pytest.approx(0.0074, rel=0.01) and linear < 0.0068 and ours < 0.0056
    rare = np.where(np.arange(1024) % 8 == 0, np.float32(50), np.float32(1))
    weighed = [(np.square(t.dequantise() - x) * rare).mean() for t in (search(x), search(x, importance=rare))]
    assert weighed[1] < 0.8 * weighed[0]


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -3.0, 1e-7, 1e-12, 1e-38, 1e-45, 8e6, -8e6])
def test_constant_rows(isa: str, value: float) -> None:
    x = np.full((2, 64), value, np.float32)
    out = from_rows([x], x.shape, "int4")
    assert same_bits(out, search(x))
    np.testing.assert_allclose(out.dequantise(), x, rtol=1e-3, atol=4e-7)  # float16 scales end at 6e-8


def test_refusals() -> None:
    for value, reason in ((np.nan, "not finite"), (np.inf, "not finite"), (8.4e6, "too large"), (-3e38, "too large")):
        x = np.ones((9, 64), np.float32)
        x[8, 63] = value
        for make in (lambda x: search(x), lambda x: from_rows([x], x.shape, "int4")):
            with pytest.raises(UserError, match=reason):
                make(x)
    with pytest.raises(UserError, match="do not divide"):
        search(np.zeros((2, 48), np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"importance": None}, {"grid": None}, {"importance": np.ones(31, np.float32)}, {"importance": np.ones(32)},
        {"grid": np.zeros(16, np.int8)}, {"grid": LINEAR[::-1].copy()}, {"grid": LINEAR[:8].copy()},
        {"grid": np.arange(16, dtype=np.int8)}, {"grid": LINEAR.astype(np.int16)},
    ],
)  # fmt: skip
def test_the_extension_checks_importance_and_grid(change: dict[str, object]) -> None:
    right = {
        "format": "F32", "raw": np.zeros((4, 128), np.uint8), "kind": "int4", "group": 32,
        "data": np.zeros((4, 16), np.uint8), "scale": np.zeros((4, 1), np.float16),
        "importance": np.ones(32, np.float32), "grid": LINEAR, "mapped": False,
    }  # fmt: skip
    assert _native.convert(**right) == 0  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError)):
        _native.convert(**{**right, **change})  # type: ignore[arg-type]
