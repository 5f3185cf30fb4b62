"""The forward pass: Qwen3 dense, Qwen3 MoE and Qwen2, written once, for training, prefill and paged decode.

`forward` runs over any op set (ponder/kernels/ops.py), on a flat batch of tokens from several sequences
(ponder/core/batch.py). Weights are a plain dict under the HF tensor names. Recipe: facts 1.2.

Shapes: T tokens of the batch, R rows with logits, D hidden, H query heads, Hk key/value heads, C head size, V words.
"""

from typing import Any

from ponder.core.batch import Batch
from ponder.kernels.ops import Array, Cache, Ops, Weight
from ponder.model.config import ModelConfig
from ponder.model.rope import Rope

Weights = dict[str, Weight]
HEAD, COARSE = "lm_head.weight", "lm_head.coarse"
RESCORED, MARGIN = 64, 8.0  # panels of 16 outputs at most, nats below the likeliest word; why: docs/decisions.md


def forward(
    weights: Weights, config: ModelConfig, rope: Rope, ops: Ops, ids: Any, batch: Batch, cache: Cache | None = None
) -> Array:
    """ids [T] -> logits [R, V] of `batch.logit_rows`."""
    h = hidden_states(weights, config, rope, ops, ids, batch, cache)
    return logits(weights, ops, ops.take(h, batch.logit_rows))


def logits(weights: Weights, ops: Ops, x: Array) -> Array:
    """x [R, D] after the final norm -> [R, V]. Where there is a coarse copy of the head, that one, and the head itself
    for the largest logits."""
    head = weights[HEAD]  # the loader puts the embedding here when they are tied
    if COARSE not in weights:
        return ops.linear(x, head)
    return ops.rescore(ops.linear(x, weights[COARSE]), x, head, RESCORED, MARGIN)


def rescored_share(words: int, rows: int) -> float:
    """The most that is read of a head of so many words when so many rows are rescored."""
    return min(1.0, 16 * RESCORED * rows / words)


def hidden_states(
    weights: Weights, config: ModelConfig, rope: Rope, ops: Ops, ids: Any, batch: Batch, cache: Cache | None = None
) -> Array:
    """ids [T] -> [T, D], after the final norm."""
    cos, sin = rope.rows(batch)  # [T, C/2]
    h = ops.embed(weights["model.embed_tokens.weight"], ids)
    for layer in range(config.num_hidden_layers):
        p = f"model.layers.{layer}."
        x = ops.rms_norm(h, weights[p + "input_layernorm.weight"], config.rms_norm_eps)
        h = ops.add(h, attention(weights, p + "self_attn.", config, ops, x, cos, sin, batch, cache, layer))
        x = ops.rms_norm(h, weights[p + "post_attention_layernorm.weight"], config.rms_norm_eps)
        mlp = experts if config.is_moe_layer(layer) else dense
        h = ops.add(h, mlp(weights, p + "mlp.", config, ops, x))
    return ops.rms_norm(h, weights["model.norm.weight"], config.rms_norm_eps)


def attention(
    w: Weights, p: str, config: ModelConfig, ops: Ops, x: Array, cos: Array, sin: Array, batch: Batch,
    cache: Cache | None, layer: int,
) -> Array:  # fmt: skip
    """x [T, D] -> [T, D]. Qwen3 normalises each head of q and k before RoPE; Qwen2 has biases instead."""
    heads, kv_heads, c = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    q, k, v = (
        ops.linear(x, w[f"{p}{name}_proj.weight"], w[f"{p}{name}_proj.bias"] if config.attention_bias else None)
        for name in "qkv"
    )
    q, k, v = q.reshape(-1, heads, c), k.reshape(-1, kv_heads, c), v.reshape(-1, kv_heads, c)
    if config.qk_norm:
        q = ops.rms_norm(q, w[p + "q_norm.weight"], config.rms_norm_eps)
        k = ops.rms_norm(k, w[p + "k_norm.weight"], config.rms_norm_eps)
    q, k = ops.rope(q, cos, sin), ops.rope(k, cos, sin)
    return ops.linear(ops.attention(q, k, v, batch, cache, layer), w[p + "o_proj.weight"])


def dense(w: Weights, p: str, config: ModelConfig, ops: Ops, x: Array) -> Array:
    """x [T, D] -> [T, D]"""
    gate, up = ops.linear(x, w[p + "gate_proj.weight"]), ops.linear(x, w[p + "up_proj.weight"])
    return ops.linear(ops.swiglu(gate, up), w[p + "down_proj.weight"])


def experts(w: Weights, p: str, config: ModelConfig, ops: Ops, x: Array) -> Array:
    """x [T, D] -> [T, D]: each token goes through its num_experts_per_tok experts."""
    scores = ops.linear(x, w[p + "gate.weight"])  # [T, E]
    ids, mix = ops.route(scores, config.num_experts_per_tok, config.norm_topk_prob)  # [T, k]
    gate, up, down = (
        [w[f"{p}experts.{e}.{name}_proj.weight"] for e in range(config.num_experts)] for name in ("gate", "up", "down")
    )
    return ops.experts(x, ids, mix, gate, up, down)
