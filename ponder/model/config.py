"""The shape of a model: HF `config.json` in and out, the released Qwen3 shapes, parameter and memory counts.

`ModelConfig.from_hf` reads the spellings of transformers 4 and 5 and refuses by name whatever Ponder does not
implement: a key that would change the forward pass is never ignored (LC-5). The numbers are the released ones.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from ponder.core.errors import LoadError
from ponder.kernels.cache import bytes_per_token
from ponder.model import hf_config

Size = Annotated[int, Meta(ge=1, le=1 << 24)]
Count = Annotated[int, Meta(ge=0, le=1 << 24)]
Layers = Annotated[int, Meta(ge=1, le=1024)]
Positive = Annotated[float, Meta(gt=0, le=1e12)]


class Yarn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HF `rope_scaling` of type yarn (arXiv 2309.00071). attention_factor None: 0.1 ln(factor) + 1."""

    factor: Positive
    original_max_position_embeddings: Size
    beta_fast: Positive = 32.0
    beta_slow: Positive = 1.0
    attention_factor: Positive | None = None


class PackedFormat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HF `quantization_config` of a folder written by `ponder quantize`: grouped int8 or int4 matrices."""

    bits: Literal[4, 8]
    group_size: Size
    quant_method: Literal["ponder"] = "ponder"


class ModelConfig(Struct, frozen=True, kw_only=True):
    """Field names are HF's. attention_bias: bias on q, k and v (Qwen2 only). MoE fields are 0 in a dense model."""

    model_type: Literal["qwen3", "qwen3_moe", "qwen2"]
    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    num_key_value_heads: Size
    head_dim: Size
    max_position_embeddings: Size
    rms_norm_eps: Positive = 1e-6
    rope_theta: Positive = 1_000_000.0
    rope_scaling: Yarn | None = None
    tie_word_embeddings: bool = False
    initializer_range: Annotated[float, Meta(ge=0, le=10)] = 0.02
    num_experts: Annotated[int, Meta(ge=0, le=1024)] = 0
    num_experts_per_tok: Count = 0
    moe_intermediate_size: Count = 0
    norm_topk_prob: bool = False
    decoder_sparse_step: Size = 1
    mlp_only_layers: tuple[int, ...] = ()
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None
    quantization_config: PackedFormat | None = None

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd; rotary embedding needs pairs")
        if (self.num_experts > 0) != (self.model_type == "qwen3_moe"):
            raise ValueError(f"num_experts {self.num_experts} does not fit model_type {self.model_type}")
        if self.num_experts and not (1 <= self.num_experts_per_tok <= self.num_experts):
            raise ValueError(f"num_experts_per_tok {self.num_experts_per_tok} of {self.num_experts} experts")
        if self.num_experts and not self.moe_intermediate_size:
            raise ValueError("moe_intermediate_size is missing")

    @property
    def attention_bias(self) -> bool:
        return self.model_type == "qwen2"

    @property
    def qk_norm(self) -> bool:
        return self.model_type != "qwen2"

    @property
    def native_context(self) -> int:
        """Positions the model was trained on with plain RoPE. Qwen3's 40960 is 32768 trained plus room for a prompt."""
        if self.rope_scaling:
            return self.rope_scaling.original_max_position_embeddings
        return 32768 if self.max_position_embeddings == 40960 else self.max_position_embeddings

    def is_moe_layer(self, layer: int) -> bool:
        return (
            self.num_experts > 0 and layer not in self.mlp_only_layers and (layer + 1) % self.decoder_sparse_step == 0
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter under its HF name. `lm_head.weight` is left out when it is the embedding."""
        d, c = self.hidden_size, self.head_dim
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, d)}
        for i in range(self.num_hidden_layers):
            p = f"model.layers.{i}."
            shapes[p + "input_layernorm.weight"] = (d,)
            for name, heads in (
                ("q", self.num_attention_heads),
                ("k", self.num_key_value_heads),
                ("v", self.num_key_value_heads),
            ):
                shapes[p + f"self_attn.{name}_proj.weight"] = (heads * c, d)
                if self.attention_bias:
                    shapes[p + f"self_attn.{name}_proj.bias"] = (heads * c,)
            if self.qk_norm:
                shapes[p + "self_attn.q_norm.weight"] = shapes[p + "self_attn.k_norm.weight"] = (c,)
            shapes[p + "self_attn.o_proj.weight"] = (d, self.num_attention_heads * c)
            shapes[p + "post_attention_layernorm.weight"] = (d,)
            shapes |= self._mlp_shapes(i, p + "mlp.")
        shapes["model.norm.weight"] = (d,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, d)
        return shapes

    def _mlp_shapes(self, layer: int, p: str) -> dict[str, tuple[int, ...]]:
        d = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        places = [(p, self.intermediate_size)]
        if self.is_moe_layer(layer):
            shapes[p + "gate.weight"] = (self.num_experts, d)
            places = [(f"{p}experts.{e}.", self.moe_intermediate_size) for e in range(self.num_experts)]
        for place, width in places:
            shapes[place + "gate_proj.weight"] = (width, d)
            shapes[place + "up_proj.weight"] = (width, d)
            shapes[place + "down_proj.weight"] = (d, width)
        return shapes

    def parameter_counts(self) -> "ParameterCounts":
        """By formula, so that 235B shapes cost nothing."""
        d = self.hidden_size
        q, kv = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        attention = 2 * d * q + 2 * d * kv + 2 * d
        attention += 2 * self.head_dim if self.qk_norm else 0
        attention += q + 2 * kv if self.attention_bias else 0
        moe_layers = sum(self.is_moe_layer(i) for i in range(self.num_hidden_layers))
        expert = 3 * d * self.moe_intermediate_size
        moe = moe_layers * self.num_experts * (expert + d)
        dense = (self.num_hidden_layers - moe_layers) * 3 * d * self.intermediate_size
        body = self.num_hidden_layers * attention + moe + dense + d
        total = body + self.vocab_size * d * (1 if self.tie_word_embeddings else 2)
        idle = moe_layers * (self.num_experts - self.num_experts_per_tok) * expert
        return ParameterCounts(total=total, non_embedding=body, active=total - idle)

    def kv_bytes_per_token(self, dtype: str) -> int:
        """Cache bytes one token takes; dtype "f32", "bf16" or "int8"."""
        return self.num_hidden_layers * bytes_per_token(self.num_key_value_heads, self.head_dim, dtype)

    @classmethod
    def from_hf(cls, raw: dict[str, Any], source: str = "config.json") -> "ModelConfig":
        """Raises LoadError that names `source` and the key."""
        try:
            return msgspec.convert(hf_config.read(raw), cls)
        except (msgspec.ValidationError, ValueError) as e:
            raise LoadError(f"{source}: {e}") from e

    def to_hf(self, dtype: str = "bf16") -> dict[str, Any]:
        """A config.json in the transformers 4 spelling, which transformers 4 and 5, vLLM and llama.cpp all read."""
        out: dict[str, Any] = {
            k: v for k, v in msgspec.to_builtins(self).items() if k not in ("eos_token_ids", "quantization_config")
        }
        if not self.num_experts:
            for key in ("num_experts", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob"):
                del out[key]
            del out["decoder_sparse_step"], out["mlp_only_layers"]
        else:
            out["mlp_only_layers"] = list(self.mlp_only_layers)  # transformers is strict about list and tuple
        if self.rope_scaling:
            out["rope_scaling"] = {
                "rope_type": "yarn",
                **{k: v for k, v in msgspec.to_builtins(self.rope_scaling).items() if v is not None},
            }
        eos = self.eos_token_ids
        out |= {
            "architectures": [hf_config.ARCHITECTURES[self.model_type]],
            "attention_dropout": 0.0,
            "eos_token_id": None if not eos else eos[0] if len(eos) == 1 else list(eos),
            "hidden_act": "silu",
            "torch_dtype": {"f32": "float32", "bf16": "bfloat16"}[dtype],
            "use_cache": True,
            "use_sliding_window": False,
        }
        if self.model_type != "qwen2":
            out["attention_bias"] = False
        if self.quantization_config:
            out["quantization_config"] = msgspec.to_builtins(self.quantization_config)
        return out


class ParameterCounts(Struct, frozen=True):
    """non_embedding leaves out the table and the head (the model cards' number); active is what one token uses."""

    total: int
    non_embedding: int
    active: int


def _released(layers: int, hidden: int, heads: int, kv: int, inter: int, *, tied: bool = False) -> ModelConfig:
    return ModelConfig(
        model_type="qwen3",
        vocab_size=151936,
        hidden_size=hidden,
        intermediate_size=inter,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        head_dim=128,
        max_position_embeddings=40960,
        tie_word_embeddings=tied,
        bos_token_id=151643,
        eos_token_ids=(151645,),
    )


def _moe(dense: ModelConfig, *, experts: int, per_token: int, width: int) -> ModelConfig:
    return replace(
        dense,
        model_type="qwen3_moe",
        num_experts=experts,
        num_experts_per_tok=per_token,
        moe_intermediate_size=width,
        norm_topk_prob=True,
    )


_TINY = ModelConfig(
    model_type="qwen3",
    vocab_size=256,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=512,
    tie_word_embeddings=True,
)

# The eight released shapes, from their config.json, their base variants, and small ones for tests.
PRESETS: dict[str, ModelConfig] = {
    "qwen3:0.6b": _released(28, 1024, 16, 8, 3072, tied=True),
    "qwen3:1.7b": _released(28, 2048, 16, 8, 6144, tied=True),
    "qwen3:4b": _released(36, 2560, 32, 8, 9728, tied=True),
    "qwen3:8b": _released(36, 4096, 32, 8, 12288),
    "qwen3:14b": _released(40, 5120, 40, 8, 17408),
    "qwen3:32b": _released(64, 5120, 64, 8, 25600),
    "qwen3:30b-a3b": _moe(_released(48, 2048, 32, 4, 6144), experts=128, per_token=8, width=768),
    "qwen3:235b-a22b": _moe(_released(94, 4096, 64, 4, 12288), experts=128, per_token=8, width=1536),
}
PRESETS |= {
    f"{name}-base": replace(PRESETS[name], max_position_embeddings=32768, eos_token_ids=(151643,))
    for name in ("qwen3:0.6b", "qwen3:1.7b", "qwen3:4b", "qwen3:8b", "qwen3:14b", "qwen3:30b-a3b")
}
# The checkpoints of July 2025: the same shapes, trained on longer texts with these bases of RoPE.
PRESETS |= {
    f"{name}-{kind}-2507": replace(PRESETS[name], max_position_embeddings=262144, rope_theta=theta)
    for name, theta in (("qwen3:4b", 5e6), ("qwen3:30b-a3b", 1e7), ("qwen3:235b-a22b", 5e6))
    for kind in ("instruct", "thinking")
}
PRESETS["qwen3-coder:30b"] = PRESETS["qwen3:30b-a3b-instruct-2507"]
PRESETS["qwen3-coder:480b"] = replace(
    _moe(_released(62, 6144, 96, 8, 8192), experts=160, per_token=8, width=2560),
    max_position_embeddings=262144, rope_theta=1e7,
)  # fmt: skip
PRESETS["qwq:32b"] = replace(
    _released(64, 5120, 40, 8, 27648), model_type="qwen2", vocab_size=152064, rms_norm_eps=1e-5
)
# The one real model that a package index has (names.BUNDLES); its file keeps a head of its own.
PRESETS["qwen2.5-coder:0.5b"] = ModelConfig(
    model_type="qwen2",
    vocab_size=151936,
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
    head_dim=64,
    max_position_embeddings=32768,
    bos_token_id=151643,
    eos_token_ids=(151645,),
    pad_token_id=151643,
)
PRESETS |= {
    "tiny": _TINY,
    "tiny-moe": _moe(_TINY, experts=8, per_token=2, width=32),
    "tiny-qwen2": replace(_TINY, model_type="qwen2"),
}
