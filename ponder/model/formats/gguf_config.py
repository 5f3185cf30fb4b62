"""GGUF metadata <-> ModelConfig: the `{architecture}.*` keys of qwen2, qwen3 and qwen3moe.

A key of the architecture that Ponder does not know is refused by name: it may change what the model computes (LC-5).
`general.*`, `tokenizer.*`, `quantize.*` and `split.*` hold no part of the forward pass.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from ponder.core.errors import LoadError
from ponder.core.gguf import GGUF, TensorInfo
from ponder.model.config import ModelConfig
from ponder.model.formats import gguf_reranker

MODEL_TYPES = {"qwen2": "qwen2", "qwen3": "qwen3", "qwen3moe": "qwen3_moe"}
TOKENIZER_IDS = {
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
}

# Key after the architecture's name -> ModelConfig field.
_FIELDS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_weights_norm": "norm_topk_prob",
}
_YARN = {
    "factor": "factor",
    "original_context_length": "original_max_position_embeddings",
    "yarn_beta_fast": "beta_fast",
    "yarn_beta_slow": "beta_slow",
}
# Keys that may be there, with the values for which Ponder computes the same as the key says.
_FIXED: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "attention.sliding_window": (0,),
    "expert_gating_func": (1,),  # softmax
    "expert_shared_count": (0,),
    "expert_shared_feed_forward_length": (0,),
    "expert_weights_scale": (0.0, 1.0),
    "leading_dense_block_count": (0,),
    "nextn_predict_layers": (0,),
    # how texts become vectors: 3, the last state, is how /v1/embeddings does it; 4, a reranker, is checked by itself
    "pooling_type": (0, 3, 4),
    "rope.scaling.attn_factor": (1.0,),
    "rope.scaling.finetuned": (True, False),
    "rope.scaling.type": ("none", "yarn"),
    "rope.scaling.yarn_attn_factor": (1.0,),
    "rope.scaling.yarn_ext_factor": (1.0, -1.0),  # on, and "the default", which is on for yarn
}
_OLLAMA = {"norm_top_k_prob": "expert_weights_norm"}  # as its own conversions call it
_CHECKED_BELOW = {
    gguf_reranker.TOLD,
    "attention.value_length",
    "rope.dimension_count",
    "vocab_size",
    "tensor_data_layout",
}


def read_config(gguf: GGUF, tensors: Mapping[str, TensorInfo]) -> ModelConfig:
    """gguf: the file with the metadata; tensors: its own and those of the other parts, if it is split.
    Raises LoadError that names the file and the key."""
    arch = gguf.metadata.get("general.architecture")
    if arch not in list(MODEL_TYPES):  # a list: the value may be anything
        raise LoadError(f"{gguf.path}: architecture {arch!r}; Ponder loads GGUF files of {', '.join(MODEL_TYPES)}")
    if gguf.metadata.get("general.type") == "adapter":
        raise LoadError(f"{gguf.path}: a LoRA adapter, not a model: open the model it was made for")
    prefix = f"{arch}."
    keys = {k.removeprefix(prefix): _one(v) for k, v in gguf.metadata.items() if k.startswith(prefix)}
    keys = {_OLLAMA.get(key, key): value for key, value in keys.items()}
    try:
        _check_keys(keys)
        return msgspec.convert(_fields(gguf, tensors, MODEL_TYPES[arch], keys), ModelConfig)
    except ValueError as e:  # msgspec.ValidationError is one
        raise LoadError(f"{gguf.path}: {e}") from e


def _one(value: Any) -> Any:
    """Some converters write a list with a value for each layer, which here must all be one."""
    return value[0] if isinstance(value, list) and value and all(v == value[0] for v in value) else value


def _check_keys(keys: dict[str, Any]) -> None:
    known = {*_FIELDS, *_FIXED, *_CHECKED_BELOW, *(f"rope.scaling.{k}" for k in _YARN)}
    if unknown := sorted(keys.keys() - known):
        raise ValueError(f"unknown key {', '.join(map(repr, unknown))}: it may change what the model computes")
    if "rope.scaling.factor" in keys and "rope.scaling.type" not in keys:
        raise ValueError("rope.scaling.factor without rope.scaling.type, which llama.cpp reads as linear scaling")
    for key, allowed in _FIXED.items():
        if key in keys and keys[key] not in allowed:
            raise ValueError(f"{key} {keys[key]!r}; Ponder implements only {' or '.join(map(repr, allowed))}")


def _fields(gguf: GGUF, tensors: Mapping[str, TensorInfo], model_type: str, keys: dict[str, Any]) -> dict[str, Any]:
    fields = {hf: keys[key] for key, hf in _FIELDS.items() if key in keys}
    if missing := [k for k in ("block_count", "embedding_length", "attention.head_count") if k not in keys]:
        raise ValueError(f"metadata key {', '.join(map(repr, missing))} is missing")
    if "token_embd.weight" not in tensors:
        raise ValueError("tensor 'token_embd.weight' is missing")
    heads, hidden = fields["num_attention_heads"], fields["hidden_size"]
    if not isinstance(heads, int) or not isinstance(hidden, int) or heads < 1:
        raise ValueError("attention.head_count and embedding_length must be positive whole numbers")
    fields.setdefault("num_key_value_heads", heads)
    fields.setdefault("head_dim", hidden // heads)
    fields.setdefault("rope_theta", 10000.0)  # llama.cpp's default
    for key in ("attention.value_length", "rope.dimension_count"):
        if keys.get(key, fields["head_dim"]) != fields["head_dim"]:
            raise ValueError(f"{key} {keys[key]!r} differs from the head size {fields['head_dim']!r}")
    for key in ("rms_norm_eps", "rope_theta"):
        fields[key] = _decimal(fields.get(key))
    fields["vocab_size"] = tensors["token_embd.weight"].shape[0]
    fields["tie_word_embeddings"] = "output.weight" not in tensors
    if model_type == "qwen3_moe":
        fields.setdefault("norm_topk_prob", True)  # qwen3moe: always, in llama.cpp
        fields.setdefault("intermediate_size", fields.get("moe_intermediate_size"))
    if keys.get("rope.scaling.type") == "yarn":
        fields["rope_scaling"] = {
            hf: keys[f"rope.scaling.{k}"] for k, hf in _YARN.items() if f"rope.scaling.{k}" in keys
        }
        fields["rope_scaling"].setdefault("original_max_position_embeddings", keys.get("context_length"))
        fields["rope_scaling"] |= {k: _decimal(v) for k, v in fields["rope_scaling"].items() if isinstance(v, float)}
    ids = {hf: gguf.metadata[key] for hf, key in TOKENIZER_IDS.items() if key in gguf.metadata}
    eos = ids.pop("eos_token_id", None)
    return {**fields, **ids, "model_type": model_type, "eos_token_ids": [] if eos is None else [eos]}


def _decimal(value: Any) -> float:
    """The decimal that was meant: GGUF keeps 1e-6 as float32, which reads back as 9.999999974752427e-07."""
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"a rope or norm constant is {value!r}, not a number")
    return float(str(np.float32(value)))


def write_config(config: ModelConfig) -> dict[str, Any]:
    """Metadata of a file for llama.cpp, architecture keys only. Floats are written as float32 by the caller."""
    if config.num_experts and not (
        config.norm_topk_prob and config.decoder_sparse_step == 1 and not config.mlp_only_layers
    ):
        raise LoadError("GGUF's qwen3moe has norm_topk_prob true and experts in every layer; this model differs")
    arch = next(a for a, model_type in MODEL_TYPES.items() if model_type == config.model_type)
    out: dict[str, Any] = {"general.architecture": arch}
    for key, field in _FIELDS.items():
        value = getattr(config, field)
        if config.num_experts or field not in _MOE_FIELDS:
            out[f"{arch}.{key}"] = value
    out[f"{arch}.attention.value_length"] = config.head_dim
    if config.rope_scaling:
        yarn = config.rope_scaling
        if yarn.attention_factor is not None:
            raise LoadError("GGUF has no place for a rope_scaling attention_factor of its own")
        out[f"{arch}.rope.scaling.type"] = "yarn"
        out |= {f"{arch}.rope.scaling.{key}": getattr(yarn, field) for key, field in _YARN.items()}
    return out


_MOE_FIELDS = {"num_experts", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob"}
