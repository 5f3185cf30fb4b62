"""The forward pass: Qwen3 dense, Qwen3 MoE and Qwen2, written once, for training, prefill and paged decode.

`forward` runs over any op set (ponder/kernels/ops.py), on a flat batch of tokens from several sequences
(ponder/core/batch.py). Weights are a plain dict under the HF tensor names. Recipe: transformers' modeling_qwen3.py.

Shapes: T tokens of the batch, R rows with logits, D hidden, H query heads, Hk key/value heads, C head size, V words.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ponder.core.batch import Batch
from ponder.kernels.ops import Array, Cache, Ops, Step, Weight
from ponder.model.config import ModelConfig
from ponder.model.rope import Rope

Weights = Mapping[str, Weight]
EMBED, NORM, HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"
COARSE = "lm_head.coarse"
RESCORED, MARGIN = 64, 8.0  # panels of 16 outputs at most, nats below the likeliest word; why: docs/decisions.md


def forward(
    weights: Weights, config: ModelConfig, rope: Rope, ops: Ops, ids: Any, batch: Batch, cache: Cache | None = None
) -> Array:
    """ids [T] -> logits [R, V] of `batch.logit_rows`."""
    step = ops.prepare(batch, *rope.rows(batch))
    h = hidden_states(weights, config, ops, ids, step, cache)
    return logits(weights, ops, ops.gather_rows(h, step.logit_rows))


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


def layer(
    w: Weights, p: str, i: int, config: ModelConfig, ops: Ops, h: Array, step: Step, cache: Cache | None = None
) -> tuple[Array, Array | None]:
    """h [T, D] -> [T, D], and the scores of its router [T, E], None if the layer is dense. Layer i is the unit of
    compiling, of recomputing activations and of sharding; the names of its weights begin with p."""
    x = ops.rms_norm(h, w[p + "input_layernorm.weight"], config.rms_norm_eps)
    h = ops.add(h, attention(w, p + "self_attn.", i, config, ops, x, step, cache))
    x = ops.rms_norm(h, w[p + "post_attention_layernorm.weight"], config.rms_norm_eps)
    if not config.is_moe_layer(i):
        return ops.add(h, dense(w, p + "mlp.", ops, x)), None
    scores = ops.linear(x, w[p + "mlp.gate.weight"])  # [T, E]
    return ops.add(h, experts(w, p + "mlp.experts.", config, ops, x, scores)), scores


def hidden_states(
    weights: Weights, config: ModelConfig, ops: Ops, ids: Any, step: Step, cache: Cache | None = None,
    run: Callable[..., tuple[Array, Array | None]] = layer,
) -> Array:  # fmt: skip
    """ids [T] -> [T, D], after the final norm. run: what stands for `layer`, which a trainer may compile or shard."""
    h = ops.embed(weights[EMBED], ids)
    for i in range(config.num_hidden_layers):
        h, _ = run(weights, f"model.layers.{i}.", i, config, ops, h, step, cache)
    return ops.rms_norm(h, weights[NORM], config.rms_norm_eps)


def attention(
    w: Weights, p: str, i: int, config: ModelConfig, ops: Ops, x: Array, step: Step, cache: Cache | None
) -> Array:
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
    q, k = ops.rope(q, step.cos, step.sin), ops.rope(k, step.cos, step.sin)
    return ops.linear(ops.attention(q, k, v, step.sequences, cache, i), w[p + "o_proj.weight"])


def dense(w: Weights, p: str, ops: Ops, x: Array) -> Array:
    """x [T, D] -> [T, D]"""
    gate, up = ops.linear(x, w[p + "gate_proj.weight"]), ops.linear(x, w[p + "up_proj.weight"])
    return ops.linear(ops.swiglu(gate, up), w[p + "down_proj.weight"])


def experts(w: Weights, p: str, config: ModelConfig, ops: Ops, x: Array, scores: Array) -> Array:
    """x [T, D], scores [T, E] -> [T, D]: each token goes through its num_experts_per_tok experts."""
    ids, mix = ops.route(scores, config.num_experts_per_tok, config.norm_topk_prob)  # [T, k]
    return ops.experts(x, ids, mix, *ops.expert_weights(w, p, config.num_experts))
