"""Config: the facts' numbers, both HF spellings, and a refusal by name of everything that would change the model."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from released_counts import COUNTS
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen3Config, Qwen3MoeConfig

from ponder.core.errors import LoadError
from ponder.model.config import PRESETS, ModelConfig, Yarn

RELEASED = PRESETS["qwen3:0.6b"].to_hf()
MOE = PRESETS["qwen3:30b-a3b"].to_hf()


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_the_released_models(name: str) -> None:
    config = PRESETS[name]
    counts = config.parameter_counts()
    assert (counts.total, counts.non_embedding, counts.active, config.kv_bytes_per_token("bf16")) == COUNTS[name]
    assert config.kv_bytes_per_token("f32") == 2 * COUNTS[name][3]


@pytest.mark.parametrize("name", PRESETS)
def test_the_formula_counts_the_shapes(name: str) -> None:
    assert sum(map(math.prod, PRESETS[name].shapes().values())) == PRESETS[name].parameter_counts().total


def test_17b_has_the_tensors_of_the_hub_file() -> None:
    assert len(PRESETS["qwen3:1.7b"].shapes()) == 310  # model.safetensors on the hub


@pytest.mark.parametrize("name", ["tiny", "tiny-moe", "tiny-qwen2"])
def test_the_formula_counts_what_transformers_builds(name: str) -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**PRESETS[name].to_hf()))
    assert model.num_parameters() == PRESETS[name].parameter_counts().total


@pytest.mark.parametrize("name", PRESETS)
def test_written_config_is_read_by_transformers_and_by_us(name: str, tmp_path: Path) -> None:
    config = PRESETS[name]
    (tmp_path / "config.json").write_text(json.dumps(config.to_hf()))
    hf = AutoConfig.from_pretrained(tmp_path)
    for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_key_value_heads", "tie_word_embeddings"):
        assert getattr(hf, key) == getattr(config, key)
    assert hf.rope_parameters["rope_theta"] == config.rope_theta
    assert ModelConfig.from_hf(config.to_hf()) == config
    assert ModelConfig.from_hf(json.loads(hf.to_json_string(use_diff=False))) == config  # the v5 spelling


@pytest.mark.parametrize("kind", [Qwen3Config, Qwen3MoeConfig, Qwen2Config])
def test_every_key_that_transformers_writes_is_known(kind: type) -> None:
    assert ModelConfig.from_hf(kind().to_dict()).rope_theta == 10000.0


def test_both_spellings_of_rope() -> None:
    yarn = {"factor": 4.0, "original_max_position_embeddings": 32768}
    spellings: list[dict[str, Any]] = [
        {"rope_scaling": {"rope_type": "yarn", **yarn}},
        {"rope_scaling": {"type": "yarn", **yarn}},
        {"rope_scaling": {"type": "yarn", "rope_type": "yarn", **yarn}},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, **yarn}, "rope_theta": None},
        {"rope_scaling": {"type": "yarn", "factor": 4.0}},  # original length left out: 32768, not 40960
    ]
    want = Yarn(factor=4.0, original_max_position_embeddings=32768)
    for spelling in spellings:
        config = ModelConfig.from_hf({**RELEASED, **spelling})
        assert (config.rope_theta, config.rope_scaling) == (1e6, want)
        assert ModelConfig.from_hf(config.to_hf()) == config


def test_native_context() -> None:
    assert PRESETS["qwen3:0.6b"].native_context == 32768
    assert PRESETS["qwen3:0.6b-base"].native_context == 32768
    assert ModelConfig.from_hf({**RELEASED, "max_position_embeddings": 262144}).native_context == 262144
    scaled = {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 8192}
    assert ModelConfig.from_hf({**RELEASED, "rope_scaling": scaled}).native_context == 8192


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "llama"}, "model_type 'llama'"),
    ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
    ({"attention_bias": True}, "attention_bias"),
    ({"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 14}, "use_sliding_window"),
    ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
    ({"layer_types": ["linear_attention"] * 28}, "layer_types"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
    ({"rope_scaling": {"rope_type": "default", "factor": 2.0}}, "factor"),
    ({"rope_scaling": {"type": "yarn", "rope_type": "llama3", "factor": 2.0}}, "disagree"),
    ({"rope_scaling": {"type": "yarn", "factor": 2.0, "mscale": 0.7}}, "'mscale'"),
    ({"rope_scaling": {"type": "yarn", "factor": 2.0, "truncate": False}}, "truncate"),
    ({"rope_scaling": {"type": "yarn"}}, "factor"),
    ({"rope_scaling": {"type": "yarn", "factor": -2.0}}, "factor"),
    ({"rope_scaling": {"type": "yarn", "factor": 2}, "max_position_embeddings": 131072}, "original_max_position"),
    ({"rope_scaling": "yarn"}, "rope_scaling"),
    ({"rope_parameters": {"rope_theta": 5e6}}, "rope_theta"),
    ({"dual_chunk_attention_config": {"chunk_size": 1}}, "'dual_chunk_attention_config'"),
    ({"num_experts": 8}, "'num_experts'"),
    ({"architectures": ["Qwen3ForSequenceClassification"], "num_labels": 1}, "Qwen/Qwen3-Reranker-0.6B"),
    ({"no_such_key": 1}, "'no_such_key'"),
    ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptq"),
    ({"quantization_config": {"quant_method": "ponder", "bits": 3, "group_size": 32}}, "bits"),
    ({"hidden_size": "1024"}, "hidden_size"),
    ({"hidden_size": None}, "hidden_size"),
    ({"hidden_size": 0}, "hidden_size"),
    ({"num_hidden_layers": 10**12}, "num_hidden_layers"),
    ({"num_key_value_heads": 3}, "num_key_value_heads"),
    ({"head_dim": 127}, "head_dim"),
]


@pytest.mark.parametrize(("change", "named"), REFUSED, ids=[n for _, n in REFUSED])
def test_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(LoadError) as error:
        ModelConfig.from_hf({**RELEASED, **change}, "some/config.json")
    assert named in str(error.value) and "some/config.json" in str(error.value)


def test_moe_needs_its_sizes() -> None:
    for key in ("num_experts", "num_experts_per_tok", "moe_intermediate_size"):
        with pytest.raises(LoadError, match=r"experts|moe_intermediate_size"):
            ModelConfig.from_hf({k: v for k, v in MOE.items() if k != key})
    with pytest.raises(LoadError, match="num_experts_per_tok"):
        ModelConfig.from_hf({**MOE, "num_experts_per_tok": 129})


def test_a_window_that_is_described_but_not_in_use() -> None:
    window = {"sliding_window": 4096, "max_window_layers": 28}
    assert ModelConfig.from_hf({**RELEASED, **window}) == PRESETS["qwen3:0.6b"]
    assert ModelConfig.from_hf({**RELEASED, **window, "use_sliding_window": True}) == PRESETS["qwen3:0.6b"]


def test_values_of_the_wrong_type_end_in_a_load_error() -> None:
    """config.json is untrusted: any JSON value anywhere is read or refused, nothing else happens."""
    junk: list[Any] = [
        None,
        True,
        -1,
        0,
        1e400,
        "x",
        "",
        [],
        [[]],
        {},
        {"type": []},
        {"rope_type": {}},
        {"factor": "x"},
    ]
    yarn = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64, "rope_theta": 1e6}
    extra = {
        "layer_types": 0,
        "max_window_layers": 0,
        "sliding_window": 0,
        "quantization_config": 0,
        "rope_parameters": 0,
    }
    for base in (RELEASED, MOE, {**RELEASED, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 28}):
        cases = [{**base, key: value} for key in base | extra for value in junk]
        cases += [{k: v for k, v in base.items() if k != key} for key in base]
        cases += [{**base, "rope_scaling": {**yarn, key: value}} for key in yarn for value in junk]
        cases += [{"model_type": kind} for kind in ("qwen3", "qwen3_moe", "qwen2")]
        for raw in cases:
            try:
                config = ModelConfig.from_hf(raw)
            except LoadError:
                continue
            assert ModelConfig.from_hf(config.to_hf()) == config
