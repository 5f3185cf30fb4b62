"""What Ollama's /api/show tells of a model."""

import re
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ponder.engine.decoding.settings import ModelProfile
from ponder.model.info import ModelInfo
from ponder.server.runtime.pool import Served

Body = dict[str, Any]
_LEVEL = re.compile(r"(?<![a-z])(i?q\d\w*|bf16|f16|f32|mxfp4|tq\d\w*|fp8|awq|gptq-int\d)", re.IGNORECASE)
# Clients look into the template for what a model can. The real prompt is the model's own: /apply-template shows it.
_CHAT = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    "<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n{{ .Response }}"
)
_FILL_IN = (
    "{{ if .Suffix }}<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>{{ else }}"
    + _CHAT
    + "{{ end }}"
)


class OllamaShow(Struct, kw_only=True):
    details: dict[str, Any]
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str
    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    ponder: dict[str, Any] | UnsetType = UNSET


def details(served: Served) -> OllamaShow:
    info = served.info
    capabilities = ["completion", "tools"]
    if served.llm is not None and served.llm.profile.capability in ("hybrid", "thinking"):
        capabilities.append("thinking")
    if "coder" in served.name.lower() or (served.info is not None and "coder" in served.info.name.lower()):
        capabilities.append("insert")
    model_info: Body = {}
    if info is not None:
        name = family(info)["family"]
        model_info = {
            "general.architecture": name,
            "general.parameter_count": info.parameters.total,
            f"{name}.context_length": info.native_context,
            f"{name}.embedding_length": info.config.hidden_size,
            f"{name}.block_count": info.config.num_hidden_layers,
            f"{name}.attention.head_count": info.config.num_attention_heads,
            f"{name}.attention.head_count_kv": info.config.num_key_value_heads,
            f"{name}.feed_forward_length": info.config.intermediate_size,
            f"{name}.vocab_size": info.config.vocab_size,
        }
    profile = served.llm.profile if served.llm is not None else None
    parameters = _parameters(profile) if profile is not None else []
    template = _FILL_IN if "insert" in capabilities else _CHAT
    return OllamaShow(
        details=family(info),
        model_info=model_info,
        capabilities=capabilities,
        modified_at=datetime.fromtimestamp(served.created, UTC).isoformat(),
        modelfile="\n".join(
            [f"FROM {served.name}", f'TEMPLATE """{template}"""', *(f"PARAMETER {p}" for p in parameters)]
        ),
        parameters="\n".join(parameters),
        template=template,
        ponder={"capability": profile.capability, "context": profile.context} if profile else UNSET,
    )


def _parameters(profile: ModelProfile) -> list[str]:
    """What holds where a request says nothing, in the words of Ollama's files."""
    thinks = profile.capability in ("hybrid", "thinking")
    chosen = profile.thinking_defaults if thinks else profile.answer_defaults
    names = {"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
             "repetition_penalty": "repeat_penalty"}  # fmt: skip
    return [f"{theirs} {v:g}" for ours, theirs in names.items() if (v := getattr(chosen, ours)) is not None]


def family(info: ModelInfo | None) -> Body:
    if info is None:
        return {"parent_model": "", "format": "script", "family": "qwen3", "families": ["qwen3"],
                "parameter_size": "0", "quantization_level": ""}  # fmt: skip
    name = info.config.model_type.replace("_", "")
    billions = f"{info.parameters.total / 1e9:.1f}B"
    form = "gguf" if info.path is not None and info.path.is_file() else "safetensors"
    return {"parent_model": "", "format": form, "family": name, "families": [name], "parameter_size": billions,
            "quantization_level": _level(info)}  # fmt: skip


def _level(info: ModelInfo) -> str:
    """As the file's name says, or by the bits that a weight takes."""
    if info.path is not None and (found := _LEVEL.search(info.path.stem)):
        return found[0].upper()
    bits = round(8 * info.stored_bytes / max(1, info.parameters.total))
    return {32: "F32", 16: "BF16", 0: ""}.get(bits, f"{bits}-bit")
