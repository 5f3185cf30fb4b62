"""What the page asks about models: those that are offered, those that can be had; download, load, unload."""

import asyncio
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ponder.core.errors import UserError
from ponder.model.hub.registry import resolve
from ponder.model.hub.store import here
from ponder.server.runtime.endpoint import Incoming, bodyless, endpoint
from ponder.server.runtime.pool import Served
from ponder.server.runtime.service import Service
from ponder.server.web.agent_turn import Toolbox
from ponder.server.web.models.downloads import Downloads
from ponder.server.web.page_helpers import PageHelpers


class ModelBody(Struct, frozen=True, kw_only=True):
    model: str


def routes() -> list[BaseRoute]:
    return [
        Route("/web/models", models),
        Route("/web/catalogue", catalogue),
        Route("/web/models/pull", pull, methods=["POST"]),
        Route("/web/models/stop", stop, methods=["POST"]),
        Route("/web/models/load", load, methods=["POST"]),
        Route("/web/models/unload", unload, methods=["POST"]),
    ]


@bodyless
async def models(request: Request, service: Service) -> Response:
    """What the model picker and the list of tools show. capability, context and sampling are known of loaded models."""
    box: Toolbox = request.app.state.toolbox
    cards = [_card(served) for served in service.pool.models.values()]
    tools = [{"name": tool.name, "description": tool.description, "approval": tool.approval} for tool in box.tools()]
    return JSONResponse({"models": cards, "default": service.pool.default, "tools": tools, "warnings": box.warnings()})


def _card(served: Served) -> dict[str, Any]:
    card: dict[str, Any] = {
        "name": served.name,
        "loaded": served.llm is not None,
        "loading": served.loading is not None,
    }
    if served.llm is None:
        return card
    profile = served.llm.profile
    modes = {"thinking": profile.thinking_defaults, "answer": profile.answer_defaults}
    own = {mode: {k: v for k, v in asdict(p).items() if _is_number(v)} for mode, p in modes.items()}
    said = served.info.card if served.info else None
    about = {"about": said.about, "examples": said.examples} if said else {}
    return card | {"capability": profile.capability, "context": profile.context, "sampling": own} | about


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@bodyless
async def catalogue(request: Request, service: Service) -> Response:
    """The models that can be had, sorted by what this machine can run; those that are offered besides come first."""
    helpers: PageHelpers = request.app.state.helpers
    downloads: Downloads = request.app.state.downloads
    found = await helpers.catalogue()
    names = [entry["name"] for entry in found["models"]]
    present = await asyncio.to_thread(lambda: {name for name in names if here(resolve(name)) is not None})
    offered = {name: served for name in names if (served := service.pool.offers(name)) is not None}
    own = [served for served in service.pool.models.values() if served not in offered.values()]
    rows = [{"name": served.name, "kind": "own", "here": False} | _state(served) for served in own]
    for entry in found["models"]:
        name = entry["name"]
        row = entry | {"here": name in present} | _state(offered.get(name))
        if (download := downloads.by_name.get(name)) is not None:
            row["download"] = {"done": download.done, "total": download.total, "error": download.error}
        rows.append(row)
    return JSONResponse({"memory": found["memory"], "models": rows, "extends": service.pool.opens is not None})


def _state(served: Served | None) -> dict[str, Any]:
    if served is None:
        return {"offered": False}
    loaded, loading = served.llm is not None, served.loading is not None
    return {"name": served.name, "offered": True, "loaded": loaded, "loading": loading}


@endpoint(ModelBody, strict=True)
async def pull(incoming: Incoming[ModelBody]) -> Response:
    """Begin to download a model of the catalogue; one that is here is offered at once."""
    downloads: Downloads = incoming.request.app.state.downloads
    name = resolve(incoming.body.model)
    if name.path is not None:
        raise UserError(f"model {incoming.body.model!r:.80} is a file: name one of the catalogue", param="model")
    downloads.begin(name.text)
    return JSONResponse({"begun": name.text}, 202)


@endpoint(ModelBody, strict=True)
async def stop(incoming: Incoming[ModelBody]) -> Response:
    downloads: Downloads = incoming.request.app.state.downloads
    downloads.stop(incoming.body.model)
    return JSONResponse({"stopped": True})


@endpoint(ModelBody, strict=True)
async def load(incoming: Incoming[ModelBody]) -> Response:
    """Answers when the model is loaded; who leaves meanwhile does not stop it."""
    async with incoming.service.pool.use(incoming.body.model):
        return JSONResponse({"loaded": True})


@endpoint(ModelBody, strict=True)
async def unload(incoming: Incoming[ModelBody]) -> Response:
    await incoming.service.pool.unload(incoming.body.model)
    return JSONResponse({"unloaded": True})
