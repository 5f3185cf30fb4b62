"""GET /v1/models: what is offered, and what is known of it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.server.runtime.pool import Served
from ponder.server.runtime.service import Service


async def models(request: Request) -> Response:
    service: Service = request.app.state.service
    return JSONResponse({"object": "list", "data": [card(s) for s in service.pool.models.values()]})


async def model(request: Request) -> Response:
    service: Service = request.app.state.service
    return JSONResponse(card(service.pool.find(request.path_params["name"])))


def card(served: Served) -> dict[str, Any]:
    """capability and lengths are known once the model is loaded (TH-4)."""
    out: dict[str, Any] = {"id": served.name, "object": "model", "created": served.created, "owned_by": "ponder",
                           "loaded": served.llm is not None}  # fmt: skip
    if served.llm is not None:
        profile = served.llm.profile
        out |= {"capability": profile.capability, "context_length": profile.context, "max_model_len": profile.context}
    return out
