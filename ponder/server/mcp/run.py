"""Running the MCP server: over stdin and stdout, or as an HTTP application behind the same guard as the API."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.streamable_http import EventStore
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from ponder.core.errors import UserError
from ponder.server.accounts.auth import AuthMiddleware
from ponder.server.accounts.keyring import Keyring
from ponder.server.config import ServerConfig
from ponder.server.http.connections import BACKLOG, HeaderLimit, guarded, most_connections
from ponder.server.http.cors import cors
from ponder.server.mcp.code import offering_code
from ponder.server.mcp.server import build_mcp
from ponder.server.runtime.service import Service


def run(
    service: Service,
    *,
    sockets: list[socket.socket] | None,
    code: bool,
    unsafe_host_exec: bool,
    tell: Callable[[str], None],
) -> None:
    """Serve HTTP on the sockets until a signal; None: stdin and stdout, until the client closes stdin. code: offer
    `run_code`, where it can be isolated (or not, with unsafe_host_exec). tell: what a person should know, on stderr."""
    if sockets is None:
        # The SDK reads stdin in a thread that nothing can interrupt: Ctrl-C ends the process, as it does with `cat`.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(_serve(service, sockets, code, unsafe_host_exec, tell))


async def _serve(
    service: Service, sockets: list[socket.socket] | None, code: bool, unsafe: bool, tell: Callable[[str], None]
) -> None:
    server = build_mcp(service)
    async with contextlib.AsyncExitStack() as stack:
        if code:
            await stack.enter_async_context(offering_code(server, unsafe_host_exec=unsafe, tell=tell))
        await stack.enter_async_context(_warm(service, tell))
        if sockets is None:
            await server.run_stdio_async()
            return
        settings = uvicorn.Config(
            HeaderLimit(http_app(server, service.config)), log_level="warning", timeout_graceful_shutdown=10,
            backlog=BACKLOG, http=guarded(most_connections(), service.config.max_body),
        )  # fmt: skip
        await uvicorn.Server(settings).serve(sockets)


def http_app(
    server: MCPServer[Any], config: ServerConfig, *, events: EventStore | None = None, retry: int | None = None
) -> ASGIApp:
    """Streamable HTTP at /mcp. The guard checks key, Host and Origin, so that the SDK's own check is not needed.

    events: keeps what was sent, so that a client can take up a broken stream; retry: after how many milliseconds.
    """
    app = server.streamable_http_app(
        host=config.host,
        max_request_body_size=config.max_body,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        event_store=events,
        retry_interval=retry,
    )
    return cors(AuthMiddleware(app, config, Keyring(config)), config)


@contextlib.asynccontextmanager
async def _warm(service: Service, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Load the first model during the handshake, which must not wait for it; unload all at the end."""

    async def load() -> None:
        try:
            async with service.pool.use(None):
                pass
        except (UserError, OSError) as e:  # every call will say it too
            tell(f"ponder: {e}")

    task = asyncio.create_task(load())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        await service.pool.close()
