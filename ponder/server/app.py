"""The application: routes, and one place where exceptions become the error body of the dialect that was spoken."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ponder.agent.tool import Tool, Toolset
from ponder.core.errors import UpstreamError
from ponder.server import (
    anthropic,
    embeddings,
    keys,
    models,
    ollama,
    ollama_manage,
    ollama_models,
    status,
    tokens,
    turn_routes,
    web_routes,
)
from ponder.server.acting import Toolbox
from ponder.server.completions import completions
from ponder.server.conversations import Conversations
from ponder.server.errors import ApiError, api_error, body_for
from ponder.server.guard import Guard
from ponder.server.kept_responses import KeptResponses
from ponder.server.log import RefusalLog, log
from ponder.server.mcp_mount import McpEndpoint
from ponder.server.openai_chat import chat_completions
from ponder.server.openapi import openapi
from ponder.server.props import props
from ponder.server.rerank import rerank
from ponder.server.response_routes import input_items, kept_response
from ponder.server.responses import responses
from ponder.server.service import Service
from ponder.server.turns import Turns
from ponder.server.watchdog import watch


def build(service: Service, conversations: Path, tools: Sequence[Tool | Toolset] = ()) -> Starlette:
    """conversations: the file that keeps those of the web chat, and replies of /v1/responses; files of the tools are in
    a folder beside it. tools: what the models may use in the web chat."""
    config = service.config
    store = Conversations(conversations, keys.heirs(config.api_keys, config.admin_keys, config.key_names))
    responses_kept = KeptResponses(conversations, service.config.keep_responses)
    toolbox = Toolbox(tools, conversations.parent / "workspaces")
    turns = Turns(store, service.config.linger)
    mcp = McpEndpoint(service)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(watch(service.pool, service.config.watchdog))
        await toolbox.open()
        yield
        watching.cancel()
        await turns.stop()
        await mcp.stop()
        await toolbox.close()
        await service.pool.close()
        store.close()
        responses_kept.close()

    app = Starlette(
        routes=[
            Route("/health", status.health),
            Route("/props", props),
            Route("/openapi.json", openapi),
            Route("/tokenize", tokens.tokenize, methods=["POST"]),
            Route("/detokenize", tokens.detokenize, methods=["POST"]),
            Route("/metrics", status.metrics),
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/v1/models", models.models),
            Route("/v1/models/{name:path}", models.model),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/responses", responses, methods=["POST"]),
            Route("/v1/responses/{id}", kept_response, methods=["GET", "DELETE"]),
            Route("/v1/responses/{id}/input_items", input_items),
            Route("/v1/embeddings", embeddings.embeddings, methods=["POST"]),
            Route("/v1/rerank", rerank, methods=["POST"]),
            Route("/v1/messages", anthropic.messages, methods=["POST"]),
            Route("/v1/messages/count_tokens", anthropic.count_tokens, methods=["POST"]),
            Route("/api/chat", ollama.chat, methods=["POST"]),
            Route("/api/generate", ollama.generate, methods=["POST"]),
            Route("/api/embed", embeddings.embed, methods=["POST"]),
            Route("/api/embeddings", embeddings.old_embed, methods=["POST"]),
            Route("/api/tags", ollama_models.tags),
            Route("/api/ps", ollama_models.ps),
            Route("/api/show", ollama_models.show, methods=["POST"]),
            Route("/api/version", ollama_models.version),
            Route("/api/pull", ollama_models.pull, methods=["POST"]),
            Route("/api/delete", ollama_manage.delete, methods=["DELETE"]),
            Route("/api/copy", ollama_manage.refused, methods=["POST"]),
            Route("/api/create", ollama_manage.refused, methods=["POST"]),
            Route("/api/push", ollama_manage.refused, methods=["POST"]),
            Route("/api/blobs/{digest}", ollama_manage.refused, methods=["POST"]),
            Route("/v1/requests/{id}/answer-now", answer_now, methods=["POST"]),
            Route("/v1/requests/{id}/cancel", cancel, methods=["POST"]),
            Route("/mcp", mcp),
            *web_routes.routes(),
            *turn_routes.routes(),
        ],
        exception_handlers={
            Exception: failed,
            ApiError: failed,
            ValueError: failed,
            UpstreamError: failed,
            HTTPException: not_found,
        },
        middleware=[Middleware(RefusalLog), Middleware(Guard, config=service.config)],
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.conversations = store
    app.state.responses = responses_kept
    app.state.turns = turns
    app.state.toolbox = toolbox
    return app


async def answer_now(request: Request) -> Response:
    """End the thoughts of a running request and let it answer."""
    request.app.state.service.running.answer_now(request.path_params["id"])
    return JSONResponse({"id": request.path_params["id"], "object": "request", "answer_now": True})


async def cancel(request: Request) -> Response:
    request.app.state.service.running.cancel(request.path_params["id"])
    return JSONResponse({"id": request.path_params["id"], "object": "request", "cancelled": True})


async def failed(request: Request, error: Exception) -> Response:
    told = api_error(error)
    if isinstance(error, UpstreamError):
        log.warning("%s %s: %s", request.method, request.url.path, error)
    elif told.status >= 500 and not isinstance(error, ApiError):
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(body_for(request.url.path, told), told.status, told.headers)


async def not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = "invalid_request_error"
    told = ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}", kind=kind)
    return JSONResponse(body_for(request.url.path, told), told.status, error.headers)
