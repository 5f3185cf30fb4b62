"""Norm, rotation, activation and routing on every instruction set against float64, torch and the oracle."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ponder.kernels import native
from ponder.kernels.native import NativeOps
from ponder.kernels.reference.ops import ReferenceOps

OPS, REF = NativeOps(), ReferenceOps()


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize("n", [1, 3, 16, 37, 128, 1024])
def test_rms_norm(isa: str, n: int) -> None:
    for shape in [(1, n), (7, n), (3, 5, n)]:
        x, weight = normal(*shape) * 3, normal(n, seed=1)
        wide = x.astype(np.float64)
        exact = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * weight
        for ops in (OPS, REF):
            assert np.abs(ops.rms_norm(x, weight, 1e-6) - exact).max() <= 1e-6 * np.abs(exact).max()
        alone = np.stack([OPS.rms_norm(row[None], weight, 1e-6)[0] for row in x.reshape(-1, n)])
        assert (OPS.rms_norm(x, weight, 1e-6).reshape(-1, n) == alone).all()


@pytest.mark.parametrize("c", [2, 8, 20, 64, 128])
def test_rope(isa: str, c: int) -> None:
    """Against complex multiplication: element i and i + C/2 are one number, turned by the angle."""
    x, angle = normal(9, 3, c), normal(9, c // 2, seed=1) * 100
    turned = (x[..., : c // 2].astype(np.complex128) + 1j * x[..., c // 2 :]) * np.exp(1j * angle[:, None])
    exact = np.concatenate([turned.real, turned.imag], -1)
    for ops in (OPS, REF):
        out = ops.rope(x, np.cos(angle), np.sin(angle))
        assert np.abs(out - exact).max() < 2e-5


def test_swiglu_over_the_whole_range(isa: str) -> None:
    import torch

    gate = np.concatenate([np.linspace(-100, 100, 20_001), [0, -0.0, -1e30, 1e30, 1e-40]]).astype(np.float32)[None]
    up = normal(*gate.shape)
    exact = torch.nn.functional.silu(torch.from_numpy(gate).double()).numpy() * up
    for ops in (OPS, REF):
        assert (np.abs(ops.swiglu(gate, up) - exact) <= 1e-6 * np.abs(exact) + 1e-30).all()
    assert np.isnan(OPS.swiglu(np.float32([[np.nan, 1]]), np.float32([[1, np.nan]]))).all()


def test_embed_take_add() -> None:
    table = OPS.weight(normal(10, 32))
    ids = np.int32([3, 9, 0])
    assert (OPS.embed(table, ids) == table.matrix.rows(ids)).all()
    x = normal(4, 8)
    assert (OPS.gather_rows(x, np.int32([2, 0])) == x[[2, 0]]).all()
    assert (OPS.add(x, x) == 2 * x).all()


@pytest.mark.parametrize("normalise", [True, False])
def test_route(normalise: bool) -> None:
    import torch

    logits = normal(200, 128) * 4
    ids, weights = OPS.route(logits, 8, normalise)
    oracle_ids, oracle = REF.route(logits, 8, normalise)
    p, theirs = torch.topk(torch.softmax(torch.from_numpy(logits), -1), 8)
    p = p / p.sum(-1, keepdim=True) if normalise else p
    assert (ids == theirs.numpy()).all() and (ids == oracle_ids).all()
    assert np.allclose(weights, p.numpy(), rtol=1e-5) and np.allclose(weights, oracle, rtol=1e-5)
    ties = np.float32([[1, 2, 2, 1, 2]])
    for ops in (OPS, REF):
        assert ops.route(ties, 4, True)[0].tolist() == [[1, 2, 4, 0]]
        assert ops.route(ties, 5, False)[1].sum() == pytest.approx(1)


def test_thread_count_does_not_change_bits(isa: str) -> None:
    x, angle = normal(300, 4, 64), normal(300, 32)
    native.set_threads(1)
    one = OPS.rope(x, angle, angle), OPS.rms_norm(x, angle[0].repeat(2), 1e-6), OPS.swiglu(x[0], x[1])
    native.set_threads(3)
    three = OPS.rope(x, angle, angle), OPS.rms_norm(x, angle[0].repeat(2), 1e-6), OPS.swiglu(x[0], x[1])
    assert all((a == b).all() for a, b in zip(one, three))


def test_normal_numbers(isa: str) -> None:
    """Bit-equal on every instruction set, in any chunks, on any number of threads; normal by the Kolmogorov test."""
    whole = np.empty((600, 1000), np.float32)
    native.normal(3, 0, 1.0, whole)
    native.set_threads(1)
    part = np.empty((7, 1000), np.float32)
    native.normal(3, 100, 1.0, part)
    assert np.array_equal(part, whole[100:107])
    native.set_isa("scalar")
    native.normal(3, 100, 1.0, part)
    assert np.array_equal(part, whole[100:107])
    native.normal(4, 100, 1.0, part)
    assert not np.isin(part, whole[100:107]).all(axis=1).any()
    x = np.sort(whole.ravel())
    at = np.arange(0, x.size, 300)
    below = np.array([0.5 * (1 + math.erf(v / 2**0.5)) for v in x[at]])
    assert np.abs(below - (at + 0.5) / x.size).max() * x.size**0.5 < 1.95  # one in a thousand for a fair one
    rows = whole @ whole.T / 1000 - np.diag((whole * whole).mean(axis=1))
    assert np.abs(rows).max() * 1000**0.5 < 6  # no two rows alike
