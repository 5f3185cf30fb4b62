"""The application: routes, and one place where exceptions become the error body of the dialect that was spoken."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ponder.agent.tools.tool import Tool, Toolset
from ponder.core.errors import UpstreamError
from ponder.server import operations
from ponder.server.accounts.auth import AuthMiddleware
from ponder.server.accounts.usage import Usage
from ponder.server.api.ollama import manage
from ponder.server.api.openai.response_store import ResponseStore
from ponder.server.http.below import Below
from ponder.server.http.connections import HeaderLimit
from ponder.server.http.cors import cors
from ponder.server.http.errors import ApiError, error_response, logged_error
from ponder.server.http.log import RefusalLog
from ponder.server.mcp.mount import McpEndpoint
from ponder.server.openapi import openapi
from ponder.server.runtime.service import Service
from ponder.server.runtime.traces import INSTALLED, Traced
from ponder.server.runtime.watchdog import watch
from ponder.server.web import routes, run_routes
from ponder.server.web.agent_turn import Toolbox
from ponder.server.web.conversations import Conversations
from ponder.server.web.models.downloads import Downloads
from ponder.server.web.page_helpers import PageHelpers
from ponder.server.web.runs import WebRuns

WRITTEN = 5.0  # seconds between two writes of what everybody has used


def build(service: Service, conversations: Path, tools: Sequence[Tool | Toolset] = ()) -> Starlette:
    """conversations: the file that keeps those of the web chat, and replies of /v1/responses; files of the tools are in
    a folder next to it. tools: what the models may use in the web chat."""
    config = service.config
    keyring = service.admission.keyring
    store = Conversations(conversations, keyring.heirs)
    usage = service.admission.usage = Usage(conversations.parent / "usage.sqlite", keyring)
    response_store = ResponseStore(conversations, service.config.keep_responses)
    toolbox = Toolbox(tools, conversations.parent / "workspaces")
    runs = WebRuns(store, service.config.linger, service.lanes.store)
    mcp = McpEndpoint(service)
    helpers = PageHelpers()
    downloads = Downloads(service.pool)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(watch(service.pool, service.config.watchdog))
        writing = asyncio.create_task(_kept_written(usage, service))
        await toolbox.open()
        yield
        watching.cancel()
        writing.cancel()
        await runs.stop()
        await mcp.stop()
        await downloads.close()
        await helpers.close()
        await toolbox.close()
        await service.pool.close()
        store.close()
        response_store.close()
        usage.close()

    app = Starlette(
        routes=[
            *operations.routes(),
            Route("/openapi.json", openapi),
            Route("/api/copy", manage.refused, methods=["POST"]),
            Route("/api/create", manage.refused, methods=["POST"]),
            Route("/api/push", manage.refused, methods=["POST"]),
            Route("/api/blobs/{digest}", manage.refused, methods=["POST"]),
            Route("/mcp", mcp),
            *routes.routes(),
            *run_routes.routes(),
        ],
        exception_handlers={
            Exception: failed,
            ApiError: failed,
            ValueError: failed,
            UpstreamError: failed,
            HTTPException: not_found,
        },
        middleware=[
            *([Middleware(Below, prefix=config.root_path.rstrip("/"))] if config.root_path else []),
            Middleware(RefusalLog),
            Middleware(HeaderLimit),
            Middleware(cors, config=config),
            Middleware(AuthMiddleware, config=config, keyring=keyring),
            *([Middleware(Traced)] if INSTALLED else []),
        ],
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.conversations = store
    app.state.responses = response_store
    app.state.runs = runs
    app.state.toolbox = toolbox
    app.state.helpers = helpers
    app.state.downloads = downloads
    return app


async def _kept_written(usage: Usage, service: Service) -> None:
    while True:
        await asyncio.sleep(WRITTEN)
        with contextlib.suppress(ApiError):  # a full disk, or another process that writes: they stay in memory
            await service.lanes.store.run(usage.write)


async def failed(request: Request, error: Exception) -> Response:
    return error_response(request.url.path, logged_error(f"{request.method} {request.url.path}", error))


async def not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = "invalid_request_error"
    failure = ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}", kind=kind)
    return error_response(request.url.path, failure, error.headers or {})
