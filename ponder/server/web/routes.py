"""What the page of the web chat asks for: conversations, models, files as text, Markdown as HTML."""

import re
from functools import partial
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ponder.server.http.body import read_body
from ponder.server.http.errors import ApiError
from ponder.server.http.stream import cancel_on_disconnect
from ponder.server.runtime.endpoint import Incoming, endpoint
from ponder.server.runtime.service import Service
from ponder.server.web import message_routes, page_files
from ponder.server.web.agent_turn import Toolbox
from ponder.server.web.conversations import Conversations, missing
from ponder.server.web.export import as_markdown
from ponder.server.web.import_chats import Tag, checked_settings, conversations_of
from ponder.server.web.message_routes import stored
from ponder.server.web.models import routes as model_routes
from ponder.server.web.page_helpers import PageHelpers
from ponder.server.web.runs import WebRuns
from ponder.server.web.share import as_html


class ConversationBody(Struct, frozen=True, kw_only=True):
    title: str | None = None
    settings: dict[str, Any] | None = None
    leaf: str | None = None
    pinned: bool | None = None
    tags: list[Tag] | None = None


class RenderBody(Struct, frozen=True, kw_only=True):
    texts: list[str]


def routes() -> list[BaseRoute]:
    one = "/web/conversations/{id}"
    return [
        *page_files.routes(),
        *model_routes.routes(),
        Route("/web/conversations", index, methods=["GET"]),
        Route("/web/conversations", create, methods=["POST"]),
        Route(one, read, methods=["GET"]),
        Route(one, change, methods=["PATCH"]),
        Route(one, delete, methods=["DELETE"]),
        Route(one + "/export", export),
        *message_routes.routes(one),
        Route("/web/export", export_all),
        Route("/web/import", import_, methods=["POST"]),
        Route("/web/render", render, methods=["POST"]),
        Route("/web/extract", extract, methods=["POST"]),
    ]


async def index(request: Request) -> Response:
    query = request.query_params.get("q", "")[:200]
    return await stored(request, lambda store: JSONResponse(store.all(query)))


@endpoint(ConversationBody, strict=True)
async def create(incoming: Incoming[ConversationBody]) -> Response:
    request, body = incoming.request, incoming.body
    title, settings = (body.title or "")[:200], checked_settings(body.settings)
    return await stored(request, lambda store: JSONResponse(store.create(title, settings), 201))


async def read(request: Request) -> Response:
    """running: the messages that are being written; run_routes has what they say by now."""
    runs: WebRuns = request.app.state.runs
    id_ = request.path_params["id"]
    running = {"running": runs.of(id_)}
    return await stored(request, lambda store: JSONResponse(store.get(id_) | running))


@endpoint(ConversationBody, strict=True)
async def change(incoming: Incoming[ConversationBody]) -> Response:
    request, body = incoming.request, incoming.body
    title = None if body.title is None else body.title[:200]
    id_, settings = request.path_params["id"], checked_settings(body.settings)
    new = partial(Conversations.change, title=title, settings=settings, leaf=body.leaf)
    await stored(request, lambda store: new(store, id_, pinned=body.pinned, tags=body.tags))
    return JSONResponse({"changed": True})


async def delete(request: Request) -> Response:
    runs: WebRuns = request.app.state.runs
    box: Toolbox = request.app.state.toolbox
    id_ = request.path_params["id"]
    if not await stored(request, lambda store: store.has(id_)):
        raise missing(id_)
    await runs.stop(id_)
    await stored(request, lambda store: store.delete(id_))
    await box.forget(id_)
    return JSONResponse({"deleted": True})


async def export(request: Request) -> Response:
    """?format=json (all branches), md or html (the one that is shown)."""
    id_ = request.path_params["id"]
    found = await stored(request, lambda store: store.get(id_))
    kind = request.query_params.get("format", "json")
    if kind not in ("json", "md", "html"):
        raise ApiError(400, "format is json, md or html", param="format")
    name = quote(re.sub(r"[^\w-]+", "-", found["title"])[:60] or "conversation")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}.{kind}"}
    if kind == "json":
        return JSONResponse(found, headers=headers)
    if kind == "md":
        return PlainTextResponse(as_markdown(found), headers=headers, media_type="text/markdown")
    helpers: PageHelpers = request.app.state.helpers
    return HTMLResponse(await as_html(found, helpers.rendered), headers=headers)


async def export_all(request: Request) -> Response:
    """Every conversation, as a list that `import_` reads."""
    headers = {"Content-Disposition": "attachment; filename=conversations.json"}

    def work(store: Conversations) -> Response:
        return JSONResponse([store.get(c["id"]) for c in store.all()], headers=headers)

    return await stored(request, work)


async def import_(request: Request) -> Response:
    """The body is an exported file, with one conversation or a list. All that it holds is stored, or nothing."""
    service: Service = request.app.state.service
    with service.bodies.room() as take:
        raw = await read_body(request, service.config, take)
        found = await stored(request, lambda store: store.put(conversations_of(raw)))
    return JSONResponse({"imported": found}, 201)


@endpoint(RenderBody, strict=True)
async def render(incoming: Incoming[RenderBody]) -> dict[str, Any]:
    helpers: PageHelpers = incoming.request.app.state.helpers
    return {"html": await incoming.until_disconnect(lambda: helpers.rendered(incoming.body.texts))}


async def extract(request: Request) -> Response:
    service: Service = request.app.state.service
    name = request.query_params.get("name", "file")[:200]
    helpers: PageHelpers = request.app.state.helpers
    with service.bodies.room() as take:
        raw = await read_body(request, service.config, take)
        text, tokens = await cancel_on_disconnect(request, lambda: helpers.read(name, raw))
    return JSONResponse({"name": name, "text": text, "tokens": tokens})
