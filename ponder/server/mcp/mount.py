"""/mcp of `ponder serve`: the server of `ponder mcp` over streamable HTTP, behind the same guard as the API.

    ponder serve qwen3:0.6b &
    claude mcp add --transport http ponder http://127.0.0.1:11435/mcp

The SDK is imported when somebody asks for the first time: most servers are never asked, and it takes half a second.
`run_code` is not among the tools here: whoever starts `ponder mcp` wants it, whoever starts a chat server may not.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ponder.server.http.body import read_body
from ponder.server.http.bounds import check_bytes
from ponder.server.http.errors import ApiError
from ponder.server.runtime.service import Service

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

TICK = 0.25  # seconds between looks whether the server drains


class McpEndpoint:
    """An ASGI application for one path. `stop` ends what the first request started."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._serving: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[ASGIApp]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._serving is None or (self._serving.done() and not self._ready.done()):  # after a failure, again
            self._ready = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._ready), name="ponder-mcp")
        serving, ready = self._serving, self._ready
        either: set[asyncio.Future[Any]] = {serving, ready}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            serving.result()  # raises what went wrong
        await self._passed_on(ready.result(), scope, receive, send)

    async def _passed_on(self, application: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """A body is read here, as for every route: within its bounds, and one that breaks off is nobody's failure."""
        if scope["method"] != "POST":
            return await application(scope, receive, send)
        with self._service.bodies.room() as take:
            body = await read_body(Request(scope, receive), self._service.config, take)
            check_bytes(body)
            messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

            async def again() -> Message:
                return messages.pop() if messages else await receive()

            await application(scope, again, send)

    async def _serve(self, ready: "asyncio.Future[ASGIApp]") -> None:
        """A task of its own: what the SDK opens must be closed by the task that opened it."""
        try:
            application, sessions = await asyncio.to_thread(self._made)
        except ModuleNotFoundError as e:
            needs = f"MCP needs the package {e.name}: pip install 'ponder-llm[agent]'"
            raise ApiError(501, needs, kind="server_error", code="not_installed") from e
        admission = self._service.admission
        async with sessions.run():
            ready.set_result(application)
            # Clients keep a stream open for as long as they live: a server that drains must not wait for them.
            while not admission.draining or admission.in_flight:
                await asyncio.sleep(TICK)

    def _made(self) -> "tuple[ASGIApp, StreamableHTTPSessionManager]":
        from ponder.server.mcp.run import http_app
        from ponder.server.mcp.server import build_mcp

        server = build_mcp(self._service)
        application = http_app(server, self._service.config)
        return application, server.session_manager

    async def stop(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait({self._serving})
