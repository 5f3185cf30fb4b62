"""GPTQ: rounding for a text beats rounding without one on what the text puts in, and never touches what int4 does not
pack."""

from pathlib import Path

import numpy as np
import pytest
from gguf_tiny import CONFIGS, random_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.batch import Batch
from ponder.kernels.native import NativeOps
from ponder.kernels.reference.ops import ReferenceOps
from ponder.kernels.reference.scale_search import search
from ponder.kernels.tensor import Tensor
from ponder.model.formats.hf import read_hf
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load
from ponder.model.quantise import calibrate
from ponder.model.quantise.calibrate import Observing, calibrated, rounded
from ponder.model.weights.build import build


def inputs(rng: np.random.Generator, rows: int, k: int) -> np.ndarray:
    """Correlated columns of very different sizes, as hidden states have them."""
    mix = rng.standard_normal((k, k)) * rng.random(k)[:, None] ** 3
    return (rng.standard_normal((rows, k)) @ mix).astype(np.float32)


def output_error(x: np.ndarray, w: np.ndarray, tensor: Tensor) -> float:
    return float(np.square(x @ (w - tensor.dequantise()).T).mean())


@pytest.mark.parametrize(("k", "group"), [(64, 32), (192, 64), (200, 8), (320, 32)])
def test_beats_rounding_without_a_text(k: int, group: int) -> None:
    rng = np.random.default_rng(k)
    x, w = inputs(rng, 4 * k, k), rng.standard_normal((48, k)).astype(np.float32)
    seen, held_out = x[: 3 * k], x[3 * k :]
    tensor = rounded(w, seen.T @ seen, group)
    assert output_error(held_out, w, tensor) < 0.6 * output_error(held_out, w, search(w, group))


def test_is_gptq_as_published() -> None:
    """Column after column of the inverse's Cholesky factor (Frantar et al.), in the same order, same scales."""
    rng = np.random.default_rng(0)
    k, group = 96, 32
    x, w = inputs(rng, 400, k), rng.standard_normal((5, k)).astype(np.float32)
    gram = x.T @ x
    tensor = rounded(w, gram, group)
    assert tensor.scale is not None and tensor.grid is not None
    importance = gram.diagonal() / gram.diagonal().mean() + np.float32(calibrate.DAMPING)
    order = np.argsort(importance, kind="stable")[::-1]
    h = gram[np.ix_(order, order)].astype(np.float64)
    h += np.eye(k) * calibrate.DAMPING * h.diagonal().mean()
    u = np.linalg.cholesky(np.linalg.inv(h)).T
    left, want = w[:, order].astype(np.float64), np.empty((5, k))
    step = tensor.scale.astype(np.float64)[:, order // group]
    for i in range(k):
        whole = np.rint(left[:, i] / step[:, i])
        want[:, i] = tensor.grid[np.abs(whole[:, None] - tensor.grid).argmin(axis=1)] * step[:, i]
        left[:, i + 1 :] -= np.outer((left[:, i] - want[:, i]) / u[i, i], u[i, i + 1 :])
    np.testing.assert_allclose(tensor.dequantise()[:, order], want, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 40]), st.sampled_from([0.0, 1e-20, 1.0, 1e8]))
def test_any_inputs(seed: int, rows: int, size: float) -> None:
    """Fewer inputs than columns, columns that are never used, none at all: finite, and as good as rounding."""
    rng = np.random.default_rng(seed)
    x = inputs(rng, rows, 64) * np.float32(size)
    x[:, ::5] = 0
    w = rng.standard_normal((7, 64)).astype(np.float32)
    w[3] = 0
    tensor = rounded(w, x.T @ x, 16)
    assert np.isfinite(tensor.dequantise()).all() and not tensor.dequantise()[3].any()
    assert output_error(x, w, tensor) <= output_error(x, w, search(w, 16)) * 1.5 + 1e-30


@pytest.mark.parametrize("name", ["tied", "moe", "qwen2"])
def test_models(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense, MoE and biased ones: closer to the original than searched int4 on the text; saved and loaded as it is; one
    layer at a time gives nearly the same."""
    checkpoint = random_checkpoint(CONFIGS[name])
    ids = np.random.default_rng(0).integers(0, 320, (8, 96)).astype(np.int32)
    seen: list[tuple[int, int]] = []
    tuned = calibrated(checkpoint, ids, progress=lambda *a: seen.append(a))
    assert seen[-1][0] == seen[-1][1] == sum("_proj.weight" in n for n in checkpoint.tensors)
    batch, text = Batch.packed([96] * 8), ids.reshape(-1)
    exact = build(checkpoint, ReferenceOps(), "f32").forward(text, batch)
    ours, plain = (build(c, ReferenceOps(), "int4").forward(text, batch) for c in (tuned, checkpoint))
    assert np.square(ours - exact).mean() < 0.9 * np.square(plain - exact).mean()
    save_hf(tmp_path / "m", tuned, "int4")
    np.testing.assert_array_equal(load(tmp_path / "m", ops="numpy").forward(text, batch), ours)
    assert {n for n, s in read_hf(tmp_path / "m").tensors.items() if s.auto == "int4"} == {
        n for n in checkpoint.tensors if "_proj.weight" in n
    }
    monkeypatch.setattr(calibrate, "GRAM_BYTES", 0)
    again = build(calibrated(checkpoint, ids), ReferenceOps(), "int4").forward(text, batch)
    assert np.square(again - exact).mean() < 0.9 * np.square(plain - exact).mean()


def test_observing_changes_nothing() -> None:
    checkpoint = random_checkpoint(CONFIGS["moe"])
    ids, ops = np.arange(20, dtype=np.int32), Observing()
    watched, plain = (build(checkpoint, o, "f32") for o in (ops, NativeOps()))
    name = "model.layers.0.self_attn.q_proj.weight"
    ops.watch = {id(watched.weights[name]): name}
    batch = Batch.packed([20])
    ours, theirs = (m.hidden_states(ids, batch) for m in (watched, plain))  # op by op
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert list(ops.grams) == [name] and (ops.grams[name].diagonal() > 0).all()
