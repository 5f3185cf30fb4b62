"""POST /v1/requests/{id}/...: a running request answers now, or ends."""

from typing import Literal

from msgspec import UNSET, UnsetType
from starlette.requests import Request

from ponder.server.http.reply import JsonReply
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.service import Service


class RunningReply(JsonReply):
    id: str
    object: Literal["request"]
    answer_now: bool | UnsetType = UNSET
    cancelled: bool | UnsetType = UNSET


@bodyless
async def answer_now(request: Request, service: Service) -> RunningReply:
    """End the thoughts of a running request and let it answer."""
    service.admission.answer_now(request.path_params["id"])
    return RunningReply(id=request.path_params["id"], object="request", answer_now=True)


@bodyless
async def cancel(request: Request, service: Service) -> RunningReply:
    service.admission.cancel(request.path_params["id"])
    return RunningReply(id=request.path_params["id"], object="request", cancelled=True)
