"""What is asked about stored replies of /v1/responses: one of them, its input, or its removal."""

from typing import Any

from starlette.requests import Request

from ponder.server.api.openai.response_store import ResponseStore
from ponder.server.api.openai.structs.responses import InputItems, ResponseDeleted
from ponder.server.http.errors import ApiError
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.service import Service


@bodyless
async def stored_response(request: Request, service: Service) -> ResponseDeleted | dict[str, Any]:
    """GET or DELETE: one route, so that a 405 names both."""
    store: ResponseStore = request.app.state.responses
    id_ = request.path_params["id"]
    if request.method == "DELETE":
        await service.lanes.store.call(store.delete, id_)
        return ResponseDeleted(id=id_, object="response", deleted=True)
    if request.query_params.get("stream", "false") != "false":
        raise ApiError(400, "stream: what is kept has ended; leave it out", param="stream")
    reply, _ = await service.lanes.store.call(store.get, id_)
    return reply


@bodyless
async def input_items(request: Request, service: Service) -> InputItems:
    """The items that were new in the request of a stored reply, newest first, a page at a time."""
    store: ResponseStore = request.app.state.responses
    query = request.query_params
    _, items = await service.lanes.store.call(store.get, request.path_params["id"])
    if query.get("order", "desc") not in ("asc", "desc"):
        raise ApiError(400, "order is asc or desc", param="order")
    if not (limit := query.get("limit", "20")).isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= 100:
        raise ApiError(400, "limit is a number from 1 to 100", param="limit")
    items = items if query.get("order") == "asc" else items[::-1]
    ids = [item["id"] for item in items]
    if (after := query.get("after")) is not None and after not in ids:
        raise ApiError(400, f"after: this request has no item {after!r}", param="after")
    start = 0 if after is None else ids.index(after) + 1
    page = items[start : start + int(limit)]
    return InputItems(
        object="list",
        data=page,
        has_more=start + len(page) < len(items),
        first_id=page[0]["id"] if page else None,
        last_id=page[-1]["id"] if page else None,
    )
