"""What the page asks about replies: begin one, look at one that runs, stop it, answer now, decide on a call."""

from functools import partial
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ponder.agent.loop.event import Decision
from ponder.server.http.stream import Stream
from ponder.server.runtime.endpoint import Incoming, bodyless, endpoint
from ponder.server.runtime.service import Service
from ponder.server.web.agent_turn import Toolbox, agent_turn
from ponder.server.web.conversations import Conversations
from ponder.server.web.documents.fitting import fitted
from ponder.server.web.page_helpers import PageHelpers
from ponder.server.web.plain_turn import ReplyBody, plain_turn
from ponder.server.web.runs import WebRun, WebRuns


class DecisionBody(Struct, frozen=True, kw_only=True):
    call: str
    decision: Decision


def routes() -> list[BaseRoute]:
    one = "/web/turns/{id}"
    return [
        Route("/web/conversations/{id}/reply", begin, methods=["POST"]),
        Route(one, look, methods=["GET"]),
        Route(one + "/stop", stop, methods=["POST"]),
        Route(one + "/answer-now", answer_now, methods=["POST"]),
        Route(one + "/decide", decide, methods=["POST"]),
    ]


@endpoint(ReplyBody, strict=True)
async def begin(incoming: Incoming[ReplyBody]) -> Response:
    """Events as soon as the engine has taken the request, until the reply ends."""
    request, service, body = incoming.request, incoming.service, incoming.body
    store: Conversations = request.app.state.conversations
    runs: WebRuns = request.app.state.runs
    conversation = request.path_params["id"]
    box: Toolbox = request.app.state.toolbox
    path = await service.lanes.store.run(lambda: store.path_to(conversation, body.message or body.parent))
    message = {"model": service.pool.find(body.model).name}
    if body.message is not None:
        message = {k: v for k, v in path[-1].items() if k not in ("facts", "error")} | message
    act = body.tools and box.tools() and not body.go_on
    helpers: PageHelpers = request.app.state.helpers
    files = partial(fitted, service, helpers, body.model)
    source = (
        agent_turn(service, box, body, path, conversation, files) if act else plain_turn(service, body, path, files)
    )
    run = await incoming.until_disconnect(
        lambda: runs.start(conversation, body.parent, message, source, background=body.background)
    )
    return await Stream.sse(run.subscribe(), service.config.keep_alive)


@bodyless
async def look(request: Request, service: Service) -> Response:
    """The same events for a page that comes later, everything so far in the first."""
    return await Stream.sse((await _run_of(request)).subscribe(), service.config.keep_alive)


async def stop(request: Request) -> Response:
    (await _run_of(request)).stop()
    return JSONResponse({"stopped": True})


async def answer_now(request: Request) -> Response:
    (await _run_of(request)).answer_now()
    return JSONResponse({"answer_now": True})


@endpoint(DecisionBody, strict=True)
async def decide(incoming: Incoming[DecisionBody]) -> dict[str, Any]:
    body = incoming.body
    (await _run_of(incoming.request)).decide(body.call, body.decision)
    return {"decided": body.decision}


async def _run_of(request: Request) -> WebRun:
    runs: WebRuns = request.app.state.runs
    return await runs.find(request.path_params["id"])
