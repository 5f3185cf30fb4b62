"""GET /v1/models: what is offered, and what is known of it."""

from typing import Literal

from msgspec import UNSET, UnsetType
from starlette.requests import Request

from ponder.server.http.reply import JsonReply
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.pool import Served
from ponder.server.runtime.service import Service


class OfferedModel(JsonReply):
    """capability and lengths are known once the model is loaded."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    loaded: bool
    capability: Literal["hybrid", "thinking", "instruct", "base"] | UnsetType = UNSET
    context_length: int = 0
    max_model_len: int = 0


class OfferedModels(JsonReply):
    object: Literal["list"]
    data: list[OfferedModel]


@bodyless
async def models(request: Request, service: Service) -> OfferedModels:
    return OfferedModels(object="list", data=[card(n, s) for n, s in service.pool.listed().items()])


@bodyless
async def model(request: Request, service: Service) -> OfferedModel:
    name = request.path_params["name"]
    served = service.pool.find(name)
    return card(name if name in served.aliases else served.name, served)


def card(name: str, served: Served) -> OfferedModel:
    """name: the one of its names that it is listed by."""
    context = served.llm.profile.context if served.llm is not None else 0
    return OfferedModel(
        id=name,
        object="model",
        created=served.created,
        owned_by="ponder",
        loaded=served.llm is not None,
        capability=served.llm.profile.capability if served.llm is not None else UNSET,
        context_length=context,
        max_model_len=context,
    )
