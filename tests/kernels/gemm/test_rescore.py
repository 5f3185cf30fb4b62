"""Logits of a coarse head whose largest are computed again: which panels, to which bits, on every instruction set."""

import numpy as np
import pytest
from amx import needs_amx

from ponder.kernels import _native, native
from ponder.kernels.native import NativeOps
from ponder.kernels.reference.ops import Floats, ReferenceOps, largest_panels
from ponder.kernels.tensor import Tensor
from ponder.kernels.weight import Weight

N, K, OPS = 1003, 64, NativeOps()  # the last panel has 11 outputs


def heads(seed: int = 0, n: int = N) -> tuple[Weight, Weight]:
    values = np.random.default_rng(seed).standard_normal((n, K), np.float32)
    return OPS.weight(Tensor.quantise(values, "int8", 32)), OPS.weight(Tensor.quantise(values, "int4", 32))


def inputs(rows: int) -> Floats:
    return np.random.default_rng(1).standard_normal((rows, K), np.float32)


def check(rows: int, panels: int, margin: float) -> Floats:
    """-> what was checked against the oracle's choice of panels, and the head's own bits there."""
    exact, coarse = heads()
    x = inputs(rows)
    logits = OPS.linear(x, coarse)
    before = logits.copy()
    got = OPS.rescore(logits, x, exact, panels, margin)
    np.testing.assert_array_equal(logits, before)  # ops leave their inputs alone
    chosen = largest_panels(logits, panels, margin)
    np.testing.assert_array_equal(got, np.where(chosen, OPS.linear(x, exact), logits))
    return chosen


@pytest.mark.parametrize("rows", [1, 3, 9, 130])  # 130: more than are done at once
def test_the_chosen_are_the_heads_own(isa: str, rows: int) -> None:
    assert (check(rows, 5, 1e9).sum(axis=1) >= 4 * 16 + 11).all()
    check(rows, 40, 8.0)


@needs_amx
@pytest.mark.parametrize("isa", ["amx"], indirect=True)
def test_on_tiles(isa: str) -> None:
    check(9, 63, 1e9)  # nine rows want every panel, so tiles take them


def test_margin_and_number_both_bind() -> None:
    counts = [check(20, panels, margin).sum() for panels, margin in [(60, 3.0), (60, 12.0), (10, 12.0), (10, 0.0)]]
    assert counts[0] < counts[1] > counts[2] > counts[3] > 0


def test_a_rule_by_itself_in_the_reference() -> None:
    """By hand: 40 outputs, panels 0 to 2, the last of 8."""
    logits = np.zeros((1, 40), np.float32)
    logits[0, [3, 20, 33]] = 5.0, 7.0, 6.0
    assert [np.flatnonzero(largest_panels(logits, n, 9.0)[0])[[0, -1]].tolist() for n in (1, 2)] == [[16, 31], [16, 39]]
    assert largest_panels(logits, 3, 1.0).sum() == 16 + 8
    exact, x = np.ones((40, 4), np.float32), np.ones((1, 4), np.float32)
    assert ReferenceOps().rescore(logits, x, exact, 1, 9.0)[0, [3, 16, 20, 33]].tolist() == [5, 4, 4, 6]


@pytest.mark.parametrize("n", [1, 15, 16, 40, 127, 129])
def test_a_small_vocabulary_is_all_exact(n: int) -> None:
    exact, coarse = heads(n=n)
    x = inputs(4)
    got = OPS.rescore(OPS.linear(x, coarse), x, exact, 9, 1e9)
    np.testing.assert_array_equal(got, OPS.linear(x, exact))


@pytest.mark.parametrize("rows", [1, 12])
def test_of_equals_the_lower_panel_is_taken(isa: str, rows: int) -> None:
    """Zeros of both signs are equal, too."""
    exact, _ = heads()
    logits = np.zeros((rows, N), np.float32)
    logits[:, ::2] = -0.0
    logits[:, 500] = 3.0
    got = OPS.rescore(logits, inputs(rows), exact, 4, 8.0)
    changed = sorted({place // 16 for place in np.flatnonzero((got != logits).any(axis=0))})
    assert changed == [0, 1, 2, 500 // 16]
    np.testing.assert_array_equal(changed, np.unique(np.flatnonzero(largest_panels(logits, 4, 8.0)[0]) // 16))


@pytest.mark.parametrize("strange", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 500, N - 1])
def test_what_is_not_finite_is_rescored_first_or_last(isa: str, strange: float, place: int) -> None:
    exact, coarse = heads()
    x = inputs(2)
    logits = OPS.linear(x, coarse)
    logits[1, place] = strange
    got = OPS.rescore(logits, x, exact, 3, 8.0)
    np.testing.assert_array_equal(got, np.where(largest_panels(logits, 3, 8.0), OPS.linear(x, exact), logits))
    assert np.isfinite(got[1, place]) or strange == -np.inf  # what looked the largest was computed again


def test_activations_that_are_not_finite_stay_visible(isa: str) -> None:
    exact, coarse = heads()
    x = inputs(3)
    x[1, 7] = np.nan
    got = OPS.rescore(OPS.linear(x, coarse), x, exact, 3, 8.0)
    assert np.isnan(got[1]).all() and np.isfinite(got[[0, 2]]).all()
    all_low = np.full((1, N), -np.inf, np.float32)
    assert np.isfinite(OPS.rescore(all_low, x[:1], exact, 3, 8.0)).sum() == 48


def test_same_bits_in_any_company_and_on_any_threads(isa: str) -> None:
    exact, coarse = heads()
    x = inputs(70)
    whole = OPS.rescore(OPS.linear(x, coarse), x, exact, 8, 5.0)
    native.set_threads(1)
    for rows in (slice(0, 1), slice(5, 14), slice(69, 70)):
        alone = OPS.rescore(OPS.linear(x[rows], coarse), x[rows], exact, 8, 5.0)
        np.testing.assert_array_equal(alone, whole[rows])


def test_wrong_input_is_refused() -> None:
    exact, _ = heads()
    x, logits = inputs(2), np.zeros((2, N), np.float32)
    bf16 = OPS.weight(Tensor.quantise(np.zeros((N, K), np.float32), "bf16"))
    for message, args in {
        "an int8, int4 or uint4 matrix": (logits, x, bf16.handle, 1, 1.0),
        "one panel": (logits, x, exact.handle, 0, 1.0),
        "margin": (logits, x, exact.handle, 1, float("nan")), "x has shape": (logits, x[:1], exact.handle, 1, 1.0),
        "logits has shape": (logits[:, :16].copy(), x, exact.handle, 1, 1.0),
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=message):
            _native.rescore(*args)
