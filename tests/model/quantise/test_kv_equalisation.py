"""The factors that even out queries and keys before an int8 cache rounds them."""

import msgspec
import numpy as np
import pytest

from ponder.core.batch import Batch
from ponder.kernels.native import NativeOps
from ponder.model.config import PRESETS
from ponder.model.kv_equalisation import equalisation
from ponder.model.load import make_ops
from ponder.model.model import Model
from ponder.model.weights.build import build, random_checkpoint


def outliers(preset: str) -> Model:
    """A model whose keys have a few channels far larger than the others, by the bias or by the norm of the keys."""
    config = msgspec.structs.replace(PRESETS[preset], initializer_range=0.2)
    model = build(random_checkpoint(config), make_ops("native"), "f32")
    name = "k_norm.weight" if config.qk_norm else "k_proj.bias"
    for layer in range(config.num_hidden_layers):
        vector = model.weights[f"model.layers.{layer}.self_attn.{name}"].copy()
        vector[[3, 9]] = 60
        model.weights[f"model.layers.{layer}.self_attn.{name}"] = vector
        if config.qk_norm:
            norm = model.weights[f"model.layers.{layer}.self_attn.q_norm.weight"].copy()
            norm[[3, 9]] = 1 / 16  # or the softmax sees nothing but these
            model.weights[f"model.layers.{layer}.self_attn.q_norm.weight"] = norm
    return model


def hidden(model: Model, kv: str, plain: bool = False) -> np.ndarray:
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, 100).astype(np.int32)
    cache = model.new_cache(4, 32, kv)
    if plain:
        cache.balance[...] = 1
    batch = paged_batch(len(ids))
    return np.asarray(model.hidden_states(ids, batch, cache))


def paged_batch(n: int) -> Batch:
    packed = Batch.packed([n])
    return Batch(
        packed.positions, packed.starts, packed.logit_rows, packed.rope_factor, np.arange(4, dtype=np.int32)[None]
    )


@pytest.mark.parametrize("preset", ["tiny", "tiny-qwen2"])
def test_large_channels_cost_less(preset: str) -> None:
    model = outliers(preset)
    exact = hidden(model, "f32")
    error, plain = (np.abs(hidden(model, "int8", p) - exact).mean() for p in (False, True))
    assert error < 0.5 * plain


@pytest.mark.parametrize("preset", ["tiny", "tiny-qwen2"])
def test_powers_of_two_shared_by_the_pairs_of_rope(preset: str) -> None:
    model = outliers(preset)
    factors = equalisation(model.weights, model.config, NativeOps())
    half = model.config.head_dim // 2
    assert factors.shape == (2, 2, model.config.num_key_value_heads, model.config.head_dim)
    assert (np.frexp(factors)[0] == 0.5).all() and (factors[:, 0] * factors[:, 1] == 1).all()
    assert (factors[..., :half] == factors[..., half:]).all()
    assert (factors[:, 0, 0, 3] > factors[:, 0, 0, 4]).all(), "the query's factor is the larger where keys are large"
    assert (model.new_cache(1, 32, "int8").balance == factors).all() and (
        model.new_cache(1, 32, "bf16").balance == 1
    ).all()
