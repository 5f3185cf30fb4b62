"""Tensor names of GGUF <-> HF. The same table serves reading and writing.

Qwen files in GGUF use the NEOX (half-split) rotary layout, so the rows of q and k are not permuted, unlike llama's.
Names: ggml-org/llama.cpp gguf-py/gguf/constants.py; HF names: `ModelConfig.shapes`.
"""

import re

# Outside the layers.
GLOBAL = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
# `blk.N.` + key <-> `model.layers.N.` + value.
LAYER = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_q.bias": "self_attn.q_proj.bias",
    "attn_k.bias": "self_attn.k_proj.bias",
    "attn_v.bias": "self_attn.v_proj.bias",
    "attn_output.weight": "self_attn.o_proj.weight",
    "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "ffn_gate_inp.weight": "mlp.gate.weight",
}
# One GGUF tensor [E, N, K] holds E HF tensors `mlp.experts.E.` + value.
EXPERTS = {
    "ffn_gate_exps.weight": "gate_proj.weight",
    "ffn_up_exps.weight": "up_proj.weight",
    "ffn_down_exps.weight": "down_proj.weight",
}
FUSED = "ffn_gate_up_exps.weight"  # [E, 2N, K]: of each expert first the gate, then up
_LAYER_NAME = re.compile(r"blk\.(0|[1-9]\d{0,4})\.(.+)", re.ASCII)


def to_hf(name: str) -> tuple[str, str | None] | None:
    """(HF name, None), or (`model.layers.N.mlp.experts.`, suffix) for a stack of experts, where the suffix FUSED stands
    for two; None for an unknown name."""
    if name in GLOBAL:
        return GLOBAL[name], None
    match = _LAYER_NAME.fullmatch(name)
    if not match:
        return None
    prefix = f"model.layers.{match[1]}."
    if match[2] in LAYER:
        return prefix + LAYER[match[2]], None
    if match[2] == FUSED:
        return prefix + "mlp.experts.", FUSED
    return (prefix + "mlp.experts.", EXPERTS[match[2]]) if match[2] in EXPERTS else None
