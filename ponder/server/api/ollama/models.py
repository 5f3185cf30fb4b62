"""Ollama's questions about models: /api/tags, /api/ps, /api/show, /api/version, /api/pull."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from ponder import __version__
from ponder.core.errors import UserError
from ponder.model.hub.fetch import locate
from ponder.model.hub.registry import quoted, resolve
from ponder.model.hub.store import size_of
from ponder.server.api.ollama.show import OllamaShow, details, family
from ponder.server.http.errors import api_error, ollama_body
from ponder.server.http.reply import JsonReply
from ponder.server.http.stream import Stream, line
from ponder.server.runtime.endpoint import Incoming, bodyless, endpoint
from ponder.server.runtime.pool import Served
from ponder.server.runtime.service import Service

Body = dict[str, Any]
# Clients compare it: Codex wants 0.13.4, from which on Ollama has /v1/responses with streamed calls, as there is here.
API_VERSION = "0.20.0"
LONGEST_NAME = 200  # an owner, a repository and a file have fewer


class ShowBody(Struct, frozen=True, kw_only=True):
    model: str = ""
    name: str = ""  # its old name
    verbose: bool = False


class PullBody(Struct, frozen=True, kw_only=True):
    model: str = ""
    name: str = ""
    stream: bool = True
    insecure: bool = False


class OllamaModels(JsonReply):
    models: list[dict[str, Any]]


class OllamaVersion(JsonReply):
    version: str
    ponder: str


class OllamaStatus(Struct, kw_only=True):
    status: str


@bodyless
async def version(request: Request, service: Service) -> OllamaVersion:
    return OllamaVersion(version=API_VERSION, ponder=__version__)


@bodyless
async def tags(request: Request, service: Service) -> OllamaModels:
    """Every model that is offered, loaded or not."""
    return OllamaModels(models=[await asyncio.to_thread(_card, n, s) for n, s in service.pool.listed().items()])


@bodyless
async def ps(request: Request, service: Service) -> OllamaModels:
    """Those that are loaded now."""
    loaded = [s for s in service.pool.models.values() if s.llm is not None]
    cards = [await asyncio.to_thread(_card, s.name, s) for s in loaded]
    for card, served in zip(cards, loaded):
        assert served.llm is not None
        card |= {"expires_at": "9999-12-31T00:00:00Z", "size_vram": 0, "context_length": served.llm.profile.context}
    return OllamaModels(models=cards)


@endpoint(ShowBody)
async def show(incoming: Incoming[ShowBody]) -> OllamaShow:
    served = incoming.service.pool.find(incoming.body.model or incoming.body.name)
    return await asyncio.to_thread(details, served)


@endpoint(PullBody)
async def pull(incoming: Incoming[PullBody]) -> Response:
    """Download a model into the store, with progress. It is offered once the server is started with its name."""
    body = incoming.body
    if not (name := body.model or body.name):
        raise UserError("model is empty: name one to pull", param="model")
    await asyncio.to_thread(_check_pullable, name)
    items = _progress(name)
    if body.stream:
        return await Stream.lines(items)

    async def whole() -> bytes:
        return [item async for item in items][-1]

    return Response(await incoming.until_disconnect(whole), media_type="application/json")


def _check_pullable(name: str) -> None:
    """A file of this machine is no download, and whether there is one is nobody's business."""
    if len(name) > LONGEST_NAME:
        raise UserError(
            f"model: {quoted(name)} has {len(name)} characters, {LONGEST_NAME} are the limit", param="model"
        )
    if name.startswith(("/", "~", ".", "scripted:")) or "\\" in name or resolve(name).path is not None:
        raise UserError(f"model {quoted(name)} is a path; what is pulled has a name, such as qwen3:4b", param="model")


async def _progress(name: str) -> AsyncGenerator[bytes, None]:
    """The download runs in a thread and goes on when the reader leaves: what is fetched is kept."""
    at: list[tuple[int, int]] = [(0, 0)]
    task = asyncio.ensure_future(asyncio.to_thread(locate, name, lambda done, total: at.__setitem__(0, (done, total))))
    yield line({"status": "pulling manifest"})
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=0.5)
            done, total = at[0]
            if not task.done():
                yield line({"status": f"pulling {name}", "digest": _digest(name), "total": total, "completed": done})
        task.result()
        yield line({"status": "success"})
    except Exception as e:
        yield line(ollama_body(api_error(e)))


def _card(name: str, served: Served) -> Body:
    info = served.info
    path = info.path if info else None
    size = 0 if path is None else path.stat().st_size if path.is_file() else size_of(path)
    return {
        "name": name, "model": name, "size": size, "digest": _digest(served.name),
        "modified_at": datetime.fromtimestamp(served.created, UTC).isoformat(), "details": family(info),
    }  # fmt: skip


def _digest(name: str) -> str:
    """Clients want one; it identifies the name, not the bytes."""
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()
