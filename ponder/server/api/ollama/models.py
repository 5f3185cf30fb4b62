"""Ollama's questions about models: /api/tags, /api/ps, /api/show, /api/version, /api/pull."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder import __version__
from ponder.core.errors import UserError
from ponder.model.hub.fetch import locate
from ponder.model.hub.store import size_of
from ponder.model.info import ModelInfo
from ponder.server.http.body import parse, read_json
from ponder.server.http.errors import api_error, ollama_body
from ponder.server.http.stream import Stream, cancel_on_disconnect, line
from ponder.server.runtime.pool import Served
from ponder.server.runtime.service import Service

Body = dict[str, Any]
API_VERSION = "0.12.0"  # of the dialect spoken; clients compare it


class ShowBody(Struct, frozen=True, kw_only=True):
    model: str = ""
    name: str = ""  # its old name
    verbose: bool = False


class PullBody(Struct, frozen=True, kw_only=True):
    model: str = ""
    name: str = ""
    stream: bool = True
    insecure: bool = False


async def version(request: Request) -> Response:
    return JSONResponse({"version": API_VERSION, "ponder": __version__})


async def tags(request: Request) -> Response:
    """Every model that is offered, loaded or not."""
    service: Service = request.app.state.service
    return JSONResponse({"models": [await asyncio.to_thread(_card, s) for s in service.pool.models.values()]})


async def ps(request: Request) -> Response:
    """Those that are loaded now."""
    service: Service = request.app.state.service
    loaded = [s for s in service.pool.models.values() if s.llm is not None]
    cards = [await asyncio.to_thread(_card, s) for s in loaded]
    for card, served in zip(cards, loaded):
        assert served.llm is not None
        card |= {"expires_at": "9999-12-31T00:00:00Z", "size_vram": 0, "context_length": served.llm.profile.context}
    return JSONResponse({"models": cards})


async def show(request: Request) -> Response:
    service: Service = request.app.state.service
    body, _ = parse(await read_json(request, service.config), ShowBody, strict=service.config.strict)
    served = service.pool.find(body.model or body.name)
    return JSONResponse(await asyncio.to_thread(_details, served))


async def pull(request: Request) -> Response:
    """Download a model into the store, with progress. It is offered once the server is started with its name."""
    service: Service = request.app.state.service
    body, _ = parse(await read_json(request, service.config), PullBody, strict=service.config.strict)
    if not (name := body.model or body.name):
        raise UserError("model is empty: name one to pull", param="model")
    items = _progress(name)
    if body.stream:
        return await Stream.lines(items)

    async def whole() -> bytes:
        return [item async for item in items][-1]

    return Response(await cancel_on_disconnect(request, whole), media_type="application/json")


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


def _card(served: Served) -> Body:
    info = served.info
    path = info.path if info else None
    size = 0 if path is None else path.stat().st_size if path.is_file() else size_of(path)
    return {
        "name": served.name, "model": served.name, "size": size, "digest": _digest(served.name),
        "modified_at": datetime.fromtimestamp(served.created, UTC).isoformat(), "details": _family(info),
    }  # fmt: skip


def _details(served: Served) -> Body:
    info = served.info
    capabilities = ["completion", "tools"]
    if served.llm is not None and served.llm.profile.capability in ("hybrid", "thinking"):
        capabilities.append("thinking")
    model_info: Body = {}
    if info is not None:
        family = _family(info)["family"]
        model_info = {
            "general.architecture": family,
            "general.parameter_count": info.parameters.total,
            f"{family}.context_length": info.native_context,
            f"{family}.embedding_length": info.config.hidden_size,
            f"{family}.block_count": info.config.num_hidden_layers,
        }
    out: Body = {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _family(info),
        "model_info": model_info,
        "capabilities": capabilities,
        "modified_at": datetime.fromtimestamp(served.created, UTC).isoformat(),
    }
    if served.llm is not None:
        out["ponder"] = {"capability": served.llm.profile.capability, "context": served.llm.profile.context}
    return out


def _family(info: ModelInfo | None) -> Body:
    if info is None:
        return {"parent_model": "", "format": "script", "family": "qwen3", "families": ["qwen3"],
                "parameter_size": "0", "quantization_level": ""}  # fmt: skip
    family = info.config.model_type.replace("_", "")
    billions = f"{info.parameters.total / 1e9:.1f}B"
    form = "gguf" if info.path is not None and info.path.suffix == ".gguf" else "safetensors"
    return {"parent_model": "", "format": form, "family": family, "families": [family], "parameter_size": billions,
            "quantization_level": ""}  # fmt: skip


def _digest(name: str) -> str:
    """Clients want one; it identifies the name, not the bytes."""
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()
