"""GET /props, as llama.cpp has it: what holds when a request says nothing, and where it comes from (TH-5)."""

from typing import Any

from msgspec import Struct, structs
from starlette.requests import Request

from ponder.core.params import SHAPING, SamplingParams
from ponder.server.api.openai.chat_reply import FINGERPRINT
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.pool import Model
from ponder.server.runtime.service import Service

Body = dict[str, Any]


class Props(Struct, kw_only=True):
    model_alias: str
    total_slots: int
    is_sleeping: bool


@bodyless
async def props(request: Request, service: Service) -> Body:
    """?model=NAME; without it the default model. Settings are known once the model is loaded."""
    served = service.pool.find(request.query_params.get("model"))
    path = served.info.path if served.info else None
    out: Body = {
        "model_alias": served.name,
        "model_path": str(path or ""),
        "total_slots": service.admission.capacity,
        "modalities": {"vision": False, "audio": False},
        "build_info": FINGERPRINT,
        "is_sleeping": served.llm is None,
    }
    if served.llm is None or not served.llm.abilities.local:
        return out
    return out | _settings(service, served.llm)


def _settings(service: Service, llm: Model) -> Body:
    profile, server = llm.profile, service.thinking
    if profile.capability != "hybrid":
        enabled, source = profile.capability == "thinking", "model"
    else:
        enabled, source = (True, "default") if server.enabled is None else (server.enabled, "server")
    chosen = profile.thinking_defaults if enabled else profile.answer_defaults
    return {
        "default_generation_settings": {"n_ctx": profile.context, "params": _set_fields(chosen)},
        "thinking": {
            "capability": profile.capability,
            "enabled": enabled,
            "source": source,
            "budget": server.budget,
            "max_budget": llm.ceiling.budget,
            "tool_in_thinking": server.tool_in_thinking or "close",
        },
        "sampling": {
            "thinking": _set_fields(profile.thinking_defaults),
            "answer": _set_fields(profile.answer_defaults),
        },
    }


def _set_fields(sampling: SamplingParams) -> Body:
    values = structs.asdict(sampling)
    return {name: values[name] for name in SHAPING if values[name] is not None}
