"""RoPE and YaRN: the facts' golden numbers, transformers' own tables, and the choice of a factor per request."""

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.model.config import PRESETS, Yarn
from ponder.model.rope import Rope, factor_for, frequencies

QWEN3 = PRESETS["qwen3:8b"]


def _batch(positions: np.ndarray, factor: float = 1.0) -> Batch:
    starts = np.array([0, len(positions)], np.int32)
    return Batch(positions.astype(np.int32), starts, starts[:1], np.array([factor], np.float32))


def test_golden_numbers() -> None:
    """By the formula, for d=128, theta 1e6, L=32768, s=4."""
    plain, one = frequencies(QWEN3)
    scaled, attention_factor = frequencies(QWEN3, 4.0)
    ratio = scaled / plain
    assert one == 1.0
    assert attention_factor == pytest.approx(1.138629436111989, rel=1e-12)
    assert frequencies(QWEN3, 2.0)[1] == pytest.approx(1.0693147180559945, rel=1e-12)
    assert ratio[:24] == pytest.approx(1.0)
    assert ratio[40:] == pytest.approx(0.25, rel=1e-6)
    for index, want in {24: 0.9558823529, 30: 0.6911764706, 39: 0.2941176471}.items():
        assert ratio[index] == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("head_dim", [32, 64, 128])
@pytest.mark.parametrize(
    "yarn",
    [
        None,
        Yarn(factor=2.0, original_max_position_embeddings=32768),
        Yarn(factor=4.0, original_max_position_embeddings=32768),
        Yarn(factor=3.5, original_max_position_embeddings=8192, beta_fast=16, beta_slow=2, attention_factor=1.3),
    ],
)
def test_equal_to_transformers(head_dim: int, yarn: Yarn | None) -> None:
    config = replace(QWEN3, head_dim=head_dim, rope_scaling=yarn, max_position_embeddings=131072)
    hf = Qwen3RotaryEmbedding(Qwen3Config(**config.to_hf()))
    inverse, attention_factor = frequencies(config)
    np.testing.assert_allclose(inverse, hf.inv_freq.numpy(), rtol=2.5e-7)  # two bits
    assert attention_factor == pytest.approx(hf.attention_scaling)
    positions = np.arange(0, 131072, 997)
    cos, sin = Rope(config).rows(_batch(positions))
    hf_cos, hf_sin = (t[0, :, : head_dim // 2].numpy() for t in hf(torch.zeros(1), torch.tensor(positions)[None]))
    # One bit of an inverse frequency near 1e-4 moves an angle by up to 1e-5 at position 131072.
    np.testing.assert_allclose(cos, hf_cos, atol=1e-5)
    np.testing.assert_allclose(sin, hf_sin, atol=1e-5)


def test_a_factor_of_the_batch_is_the_factor_of_a_config() -> None:
    positions = np.arange(0, 5000, 7)
    static = replace(QWEN3, rope_scaling=Yarn(factor=4.0, original_max_position_embeddings=32768))
    for mine, theirs in zip(Rope(QWEN3).rows(_batch(positions, 4.0)), Rope(static).rows(_batch(positions))):
        np.testing.assert_array_equal(mine, theirs)


def test_a_factor_in_the_config_wins() -> None:
    static = replace(QWEN3, rope_scaling=Yarn(factor=4.0, original_max_position_embeddings=32768))
    positions = np.arange(100)
    np.testing.assert_array_equal(Rope(static).rows(_batch(positions, 2.0)), Rope(static).rows(_batch(positions)))


def test_a_position_has_the_same_bits_in_every_batch() -> None:
    rng = np.random.default_rng(0)
    everything = np.stack(Rope(QWEN3).rows(_batch(np.arange(3000), 2.0)))
    rope = Rope(QWEN3)
    for _ in range(50):
        parts = [np.arange(s, s + rng.integers(1, 40), dtype=np.int32) for s in rng.integers(0, 2900, 4)]
        positions, lengths = np.concatenate(parts), [len(p) for p in parts]
        factors = np.array([2.0, 1.0, 2.0, 4.0], np.float32)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        got = np.stack(rope.rows(Batch(positions, starts, starts[1:] - 1, factors)))
        for b in (0, 2):
            np.testing.assert_array_equal(got[:, starts[b] : starts[b + 1]], everything[:, parts[b]])


def test_factor_for() -> None:
    n = 32768
    for length, max_context, want in [
        (10, n, 1.0),
        (n, n, 1.0),
        (100, 1000, 1.0),
        (10, 4 * n, 1.0),
        (n, 4 * n, 1.0),
        (n + 1, 4 * n, 2.0),
        (2 * n, 4 * n, 2.0),
        (2 * n + 1, 4 * n, 4.0),
        (4 * n, 4 * n, 4.0),
        (2 * n + 1, 3 * n, 3.0),
        (n + 1, 40960, 1.25),
    ]:
        assert factor_for(length, n, max_context) == want, (length, max_context)
    with pytest.raises(UserError, match="--max-context"):
        factor_for(4 * n + 1, n, 4 * n)
