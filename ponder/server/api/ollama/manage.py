"""Ollama's requests that change which models there are: /api/delete is done, /api/copy, /create, /push and /blobs are
refused by name, because models are files and repositories here, not layers."""

import asyncio

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ponder.core.errors import UserError
from ponder.model.hub import store
from ponder.model.hub.registry import ModelName, quoted, resolve
from ponder.server.api.ollama.models import LONGEST_NAME
from ponder.server.http.errors import ApiError
from ponder.server.runtime.endpoint import Incoming, endpoint

REFUSED = {
    "copy": "a model has one name here; give a folder or file another name and start `ponder serve` with it",
    "create": "start `ponder serve` with a folder or a .gguf file; system prompts and options belong to the request",
    "push": "use the hub's own tools to upload a model",
    "blobs": "start `ponder serve` with a folder or a .gguf file",
}


class DeleteBody(Struct, frozen=True, kw_only=True):
    model: str = ""
    name: str = ""  # its old name


@endpoint(DeleteBody)
async def delete(incoming: Incoming[DeleteBody]) -> Response:
    """Remove a download. One that is offered is unloaded and no longer offered; the last one cannot go, nor one that
    answers requests, nor files that the store did not download."""
    service, body = incoming.service, incoming.body
    if not (wanted := body.model or body.name):
        raise UserError("model is empty: name one to delete", param="model")
    name = await asyncio.to_thread(_downloaded, wanted)
    offered = service.pool.offers(wanted)
    if offered is not None:
        await service.pool.withdraw(offered)
    await asyncio.to_thread(store.remove, name)
    return Response(status_code=200)


def _downloaded(wanted: str) -> ModelName:
    if len(wanted) > LONGEST_NAME:
        raise ApiError(404, f"model {quoted(wanted)} not found", code="model_not_found", param="model")
    try:
        name = resolve(wanted)
    except UserError as e:
        raise ApiError(404, f"model {quoted(wanted)} not found", code="model_not_found", param="model") from e
    if name.path is not None:
        raise UserError(f"model {quoted(wanted)} is a file of your own: nothing here deletes it", param="model")
    if store.complete(store.slot(name)) is None:
        raise ApiError(404, f"model {quoted(wanted)} not found", code="model_not_found", param="model")
    return name


def refusals() -> list[Route]:
    """What a client of Ollama may ask and Ponder does not do."""
    paths = [f"/api/{verb}/{{digest}}" if verb == "blobs" else f"/api/{verb}" for verb in REFUSED]
    return [Route(path, refused, methods=["POST"]) for path in paths]


async def refused(request: Request) -> Response:
    verb = request.url.path.split("/")[2]
    raise ApiError(400, f"/api/{verb} is not supported: {REFUSED[verb]}", code="not_supported")
