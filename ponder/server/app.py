"""The application: routes, and one place where exceptions become the error body of the dialect that was spoken."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import State
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


class Parts:
    """What lives as long as the application. conversations: the file that keeps those of the web chat, and replies of
    /v1/responses; files of the tools are in a folder next to it. tools: what the models may use in the web chat."""

    def __init__(self, service: Service, conversations: Path, tools: Sequence[Tool | Toolset]) -> None:
        keyring = service.admission.keyring
        self.service = service
        self.conversations = Conversations(conversations, keyring.heirs)
        self.usage = service.admission.usage = Usage(conversations.parent / "usage.sqlite", keyring)
        self.responses = ResponseStore(conversations, service.config.keep_responses)
        self.toolbox = Toolbox(tools, conversations.parent / "workspaces")
        self.runs = WebRuns(self.conversations, service.config.linger, service.lanes.store)
        self.mcp = McpEndpoint(service)
        self.helpers = PageHelpers()
        self.downloads = Downloads(service.pool)

    def lend(self, state: State) -> None:
        """To the routes, which read them from `app.state`."""
        for name in ("service", "conversations", "responses", "runs", "toolbox", "helpers", "downloads"):
            setattr(state, name, getattr(self, name))

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Closes all of it, whatever one of them raises: first who uses others, last what they use."""
        async with contextlib.AsyncExitStack() as stack:
            for store in (self.usage, self.responses, self.conversations):
                stack.callback(store.close)
            for close in (
                self.service.pool.close, self.toolbox.close, self.helpers.close, self.downloads.close, self.mcp.stop,
                self.runs.stop,
            ):  # fmt: skip
                stack.push_async_callback(close)
            for task in (watch(self.service.pool, self.service.config.watchdog), _written(self.usage, self.service)):
                stack.callback(asyncio.create_task(task).cancel)
            await self.toolbox.open()
            yield


def build(service: Service, conversations: Path, tools: Sequence[Tool | Toolset] = ()) -> Starlette:
    """conversations, tools: as `Parts` takes them."""
    parts = Parts(service, conversations, tools)
    app = Starlette(
        routes=[
            *operations.routes(),
            Route("/openapi.json", openapi),
            *manage.refusals(),
            Route("/mcp", parts.mcp),
            *routes.routes(),
            *run_routes.routes(),
        ],
        exception_handlers=dict.fromkeys((Exception, ApiError, ValueError, UpstreamError), failed)
        | {HTTPException: not_found},
        middleware=_middleware(service),
        lifespan=parts.lifespan,
    )
    parts.lend(app.state)
    return app


def _middleware(service: Service) -> list[Middleware]:
    """The first one sees a request first."""
    config = service.config
    below = [Middleware(Below, prefix=config.root_path.rstrip("/"))] if config.root_path else []
    return [
        *below,
        Middleware(RefusalLog),
        Middleware(HeaderLimit),
        Middleware(cors, config=config),
        Middleware(AuthMiddleware, config=config, keyring=service.admission.keyring),
        *([Middleware(Traced)] if INSTALLED else []),
    ]


async def _written(usage: Usage, service: Service) -> None:
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
