"""One `config.json` of transformers 4 or 5 -> the keyword arguments of ModelConfig. `ModelConfig.from_hf` calls it.

Every key of the file is either read, known not to change the forward pass, or required to hold the one value that
Ponder implements. Anything else is refused by name (LC-5), because a feature that is silently left out gives a model
that answers, but worse.
"""

from typing import Any

from ponder.model.quantisation_config import stored_form

ARCHITECTURES = {"qwen3": "Qwen3ForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM", "qwen2": "Qwen2ForCausalLM"}

# fmt: off
_READ_AS_IS = {
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings", "tie_word_embeddings",
    "initializer_range", "bos_token_id", "pad_token_id",
}
_READ_IF_MOE = {
    "num_experts", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob", "decoder_sparse_step",
    "mlp_only_layers",
}
_READ_BELOW = {
    "rope_theta", "rope_scaling", "rope_parameters", "eos_token_id", "quantization_config", "quantization",
    "num_local_experts",
}

# Key -> the only value for which Ponder computes the same as the key says.
_FIXED: dict[str, Any] = {
    "hidden_act": "silu",
    "attention_bias": False,
    "partial_rotary_factor": 1.0,
    "use_mrope": False,
    "is_encoder_decoder": False,
    "tie_encoder_decoder": False,
    "add_cross_attention": False,
    "use_bidirectional_attention": False,
    "chunk_size_feed_forward": 0,
}

# Storage, training, output and bookkeeping: no effect on the logits.
_NO_EFFECT = {
    "architectures", "transformers_version", "torch_dtype", "dtype", "use_cache", "attention_dropout",
    "output_router_logits", "router_aux_loss_coef", "output_hidden_states", "output_attentions", "return_dict",
    "use_return_dict", "id2label", "label2id", "problem_type", "_name_or_path", "name_or_path",
    "_attn_implementation", "attn_implementation", "_attn_implementation_autoset", "unsloth_fixed",
    "unsloth_version", "model_name", "is_decoder", "finetuning_task", "torchscript", "pretraining_tp",
    "max_window_layers", "use_sliding_window", "sliding_window", "layer_types",  # these four: see _check_window
}
_YARN_KEYS = {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor"}
# fmt: on


def read(raw: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError that names the key."""
    if raw.get("model_type") not in list(ARCHITECTURES):  # a list: the value may be anything
        raise ValueError(f"model_type {raw.get('model_type')!r}; Ponder has {', '.join(ARCHITECTURES)}")
    given = {k: v for k, v in raw.items() if v is not None}  # null means "not set" throughout HF configs
    _check_head(given.get("architectures"))
    moe = given["model_type"] == "qwen3_moe"
    known = _READ_AS_IS | (_READ_IF_MOE if moe else set()) | _READ_BELOW | _FIXED.keys() | _NO_EFFECT
    if unknown := sorted(given.keys() - known):
        raise ValueError(
            f"unknown key {', '.join(map(repr, unknown))}: it may change what the model computes, so it is not "
            "ignored; delete it from the file if it does not"
        )
    for key, value in _FIXED.items():
        if given.get(key, value) != value:
            raise ValueError(f"{key} {given[key]!r}; Ponder implements only {value!r}")
    _check_window(given)
    out = {k: given[k] for k in _READ_AS_IS | (_READ_IF_MOE if moe else set()) if k in given}
    if moe and "num_local_experts" in given:
        out["num_experts"] = given["num_local_experts"]
    if "head_dim" not in out:
        out["head_dim"] = _default_head_dim(given)
    out.setdefault("num_key_value_heads", out.get("num_attention_heads"))
    out["rope_theta"], out["rope_scaling"] = _rope(given)
    eos = given.get("eos_token_id", [])
    out["eos_token_ids"] = eos if isinstance(eos, list) else [eos]
    packed, mlx = given.get("quantization_config"), given.get("quantization")
    out["quantization_config"] = packed if stored_form(packed, mlx) is None else None  # Ponder's own
    return out


def _check_head(architectures: Any) -> None:
    """Models that were given another head than one that writes: classifiers, rewards."""
    if not isinstance(architectures, list):
        return
    for name in architectures:
        if isinstance(name, str) and name.endswith(("ForSequenceClassification", "RewardModel")):
            raise ValueError(
                f"{name[:100]}: a model that judges texts and writes none. Of a Qwen3-Reranker that was made into one, "
                "take the language model it was made from, such as Qwen/Qwen3-Reranker-0.6B"
            )


def _default_head_dim(given: dict[str, Any]) -> int:
    """HF: Qwen3Config's default is 128, the other two divide the hidden size (which Qwen3 never has equal)."""
    hidden, heads = _integer(given, "hidden_size"), _integer(given, "num_attention_heads")
    return 128 if given["model_type"] == "qwen3" else hidden // max(1, heads)


def _check_window(given: dict[str, Any]) -> None:
    """Sliding windows may be described, but not in use: neither by the switch nor by layer_types."""
    kinds = given.get("layer_types", [])
    if not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds):
        raise ValueError(f"layer_types {kinds!r}; Ponder implements only full_attention")
    if not given.get("use_sliding_window") or "sliding_window" not in given:
        return
    moe = given["model_type"] == "qwen3_moe"  # where max_window_layers means nothing
    if moe or _integer(given, "max_window_layers") < _integer(given, "num_hidden_layers"):
        raise ValueError("use_sliding_window is true; Ponder does not implement sliding window attention")


def _integer(given: dict[str, Any], key: str) -> int:
    if not isinstance(given.get(key), int):
        raise ValueError(f"{key} is missing or not a whole number")
    return int(given[key])


def _rope(given: dict[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """-> rope_theta and the fields of Yarn. v4: rope_theta + rope_scaling; v5: rope_parameters holds both."""
    scaling: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        part = given.get(key, {})
        if not isinstance(part, dict):
            raise ValueError(f"{key} {part!r} is not an object")
        for name, value in part.items():
            if scaling.setdefault(name, value) != value:
                raise ValueError(f"rope_scaling and rope_parameters disagree about {name!r}")
    scaling = {k: v for k, v in scaling.items() if v is not None}
    theta = scaling.pop("rope_theta", given.get("rope_theta", 10000.0))  # HF's default
    if given.get("rope_theta", theta) != theta:
        raise ValueError(f"rope_theta {given['rope_theta']} and rope_parameters' {theta} disagree")
    kinds = [scaling.pop(key) for key in ("type", "rope_type") if key in scaling]
    if any(kind != kinds[0] for kind in kinds):
        raise ValueError(f"rope type and rope_type disagree: {kinds}")
    kind = kinds[0] if kinds else "default"
    if scaling.pop("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("partial_rotary_factor other than 1.0 is not implemented")
    if kind == "default":
        if scaling:
            raise ValueError(f"rope type 'default' does not take {sorted(scaling)}; Ponder also has type 'yarn'")
        return theta, None
    if kind != "yarn":
        raise ValueError(f"rope type {kind!r} is not implemented; Ponder has 'default' and 'yarn'")
    if scaling.pop("truncate", True) is not True:
        raise ValueError("rope scaling with truncate false is not implemented")
    if unknown := sorted(scaling.keys() - _YARN_KEYS):
        raise ValueError(f"rope scaling key {', '.join(map(repr, unknown))} is not implemented")
    if "original_max_position_embeddings" not in scaling:
        # HF falls back to max_position_embeddings, which is wrong for Qwen3's 40960: it was trained on 32768.
        if given.get("max_position_embeddings") not in [32768, 40960]:
            raise ValueError("rope type 'yarn' needs original_max_position_embeddings (32768 for Qwen3)")
        scaling["original_max_position_embeddings"] = 32768
    return theta, scaling
