"""Powers of two that even out the channels of queries and keys before an int8 cache rounds them.

Some channels of keys are 50 times larger than the rest (Qwen2.5 by its biases, Qwen3 by the weights of the key norm),
and one scale for a head leaves the small ones no digits. q k is the same when q is multiplied and k divided, so each
channel is scaled by the root of (size of its keys / size of its queries), sizes as estimated from the weights. RoPE
mixes channels i and i + C/2, which therefore share a factor. Powers of two change nothing but the rounding.
"""

import numpy as np
from numpy.typing import NDArray

from ponder.kernels.ops import Ops, Weight
from ponder.model.config import ModelConfig

Floats = NDArray[np.float32]


def equalisation(weights: dict[str, Weight], config: ModelConfig, ops: Ops) -> Floats:
    """[layers, 2, Hk, C]: factors of queries and of keys."""
    layers = range(config.num_hidden_layers)
    sizes = np.stack([[_sizes(weights, f"model.layers.{i}.", name, config, ops) for name in "qk"] for i in layers])
    largest = np.maximum(sizes, 1e-6 * sizes.max(axis=-1, keepdims=True) + 1e-30)
    wanted = np.log2(largest[:, 1] / largest[:, 0]) / 2  # [layers, Hk, C]
    exponent = np.rint(wanted - wanted.mean(axis=-1, keepdims=True))
    factors: Floats = np.exp2(np.stack([exponent, -exponent], axis=1)).astype(np.float32)
    return factors


def _sizes(weights: dict[str, Weight], layer: str, name: str, config: ModelConfig, ops: Ops) -> Floats:
    """[Hk, C] root mean square of a channel, for queries over the heads that share a key head, and of RoPE's pairs."""
    c, kv_heads = config.head_dim, config.num_key_value_heads
    if config.qk_norm:
        size = np.tile(np.abs(weights[f"{layer}self_attn.{name}_norm.weight"]), kv_heads)
    else:
        n = (config.num_attention_heads if name == "q" else kv_heads) * c
        size = _outputs(weights, layer, f"self_attn.{name}_proj.", n, ops)
    square = np.square(size.astype(np.float64)).reshape(kv_heads, -1, c).mean(axis=1)
    pairs = square[:, : c // 2] + square[:, c // 2 :]
    both: Floats = np.sqrt(np.concatenate([pairs, pairs], axis=1)).astype(np.float32)
    return both


def _outputs(weights: dict[str, Weight], layer: str, name: str, n: int, ops: Ops) -> Floats:
    """[N] the size of a projection's outputs for a normalised input, bias included."""
    norm, matrix = weights[layer + "input_layernorm.weight"], weights[layer + name + "weight"]
    bias = weights.get(layer + name + "bias", np.float32(0))
    rows = ops.embed(matrix, np.arange(n, dtype=np.int32))  # [N, D]
    size: Floats = np.sqrt(np.square(rows * norm).sum(axis=1) + np.square(bias))
    return size
