"""What the page asks about single messages: add one, another version of one, remove one."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ponder.core.turn import CallStep, Step, TextStep, ThoughtStep, spoken, steps_of
from ponder.server.http.errors import ApiError
from ponder.server.runtime.endpoint import Incoming, endpoint
from ponder.server.runtime.service import Service
from ponder.server.web.conversations import Conversations
from ponder.server.web.runs import WebRuns

Result = TypeVar("Result")


class Attachment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """tokens: what /web/extract counted."""

    name: str = "file"
    text: str = ""
    tokens: int = 0


class MessageBody(Struct, frozen=True, kw_only=True):
    content: str
    parent: str | None = None
    attachments: list[Attachment] = field(default_factory=list)


class VersionBody(Struct, frozen=True, kw_only=True):
    """texts: new ones by the places of their steps. until: how many steps are kept."""

    texts: dict[str, str]
    until: int


def routes(conversation: str) -> list[BaseRoute]:
    one = conversation + "/messages/{message}"
    return [
        Route(conversation + "/messages", add, methods=["POST"]),
        Route(one + "/version", version, methods=["POST"]),
        Route(one, remove, methods=["DELETE"]),
    ]


@endpoint(MessageBody, strict=True)
async def add(incoming: Incoming[MessageBody]) -> Response:
    request, body = incoming.request, incoming.body
    files = [
        {"name": a.name[:200], "text": a.text} | ({"tokens": a.tokens} if a.tokens else {}) for a in body.attachments
    ]
    message = {"content": body.content} | ({"attachments": files} if files else {})
    id_ = request.path_params["id"]
    return await stored(request, lambda store: JSONResponse(store.add(id_, body.parent, "user", message), 201))


@endpoint(VersionBody, strict=True)
async def version(incoming: Incoming[VersionBody]) -> Response:
    """Another version of a reply, with thoughts and texts as a person would have them; the first stays."""
    request, body = incoming.request, incoming.body
    id_, message = request.path_params["id"], request.path_params["message"]
    row = (await stored(request, lambda store: store.path_to(id_, message)))[-1]
    if row["role"] != "assistant":
        raise ApiError(400, "only a reply has steps; send a question again", param="message")
    steps = [_changed(step, body.texts.get(str(at))) for at, step in enumerate(steps_of(row)[: body.until])]
    new = {
        "content": spoken(steps),
        "steps": msgspec.to_builtins(steps),
        "model": row.get("model", ""),
        "stopped": True,
    }
    return await stored(request, lambda store: JSONResponse(store.add(id_, row["parent"], "assistant", new), 201))


def _changed(step: Step, text: str | None) -> Step:
    if text is None or isinstance(step, CallStep):
        return step
    if isinstance(step, ThoughtStep):
        return ThoughtStep(text)  # how long the model took for its own says nothing about these
    return TextStep(text) if isinstance(step, TextStep) else step


async def remove(request: Request) -> Response:
    """With all that was said after it."""
    runs: WebRuns = request.app.state.runs
    id_, message = request.path_params["id"], request.path_params["message"]
    if not await stored(request, lambda store: store.has(id_)):
        raise ApiError(404, f"there is no conversation {id_}", param="id")
    if runs.of(id_):
        raise ApiError(409, "a reply of this conversation is being written: stop it first", param="message")
    await stored(request, lambda store: store.remove(id_, message))
    return JSONResponse({"deleted": True})


async def stored(request: Request, work: Callable[[Conversations], Result]) -> Result:
    """In a thread: another process that writes may hold the file for long."""
    store: Conversations = request.app.state.conversations
    service: Service = request.app.state.service
    return await service.lanes.store.run(lambda: work(store))
