"""What a connection may cost before it has asked for anything: time limits for headers and bodies, a bound on the size
of headers, and a bound on connections, of which those that have said nothing go first.

No key is needed to open a connection and to stay silent, so this is decided below the application.
"""

import asyncio
import time
from typing import Any, ClassVar

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ponder.server.http.errors import ApiError, error_response

HEADERS = 64 << 10  # bytes of all header lines of a request
HEADER_SECONDS = 20.0  # from the first moment to the end of the headers
SILENT_SECONDS = 30.0  # within a body
BODY_SECONDS = 600.0  # for a whole body
LOOK_SECONDS = 1.0
BACKLOG = 128
SPARE = 64  # descriptors that are not for connections: files, the store, models, helpers


def most_connections() -> int:
    """As many as this process has descriptors for."""
    try:
        import resource
    except ImportError:  # Windows
        return 2048
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else max(16, min(4096, soft - SPARE - soft // 8))


class GuardedProtocol(HttpToolsProtocol):
    """limit: connections at once. body: bytes of the largest body. See `guarded`."""

    limit: ClassVar[int]
    body: ClassVar[int]
    silent: ClassVar[dict["GuardedProtocol", None]]  # those that have no request yet, the oldest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()
        if len(self.connections) > self.limit:
            oldest = next(iter(self.silent))  # this one at the latest
            oldest.transport.abort()
            oldest.connection_closed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection_closed()
        super().connection_lost(exc)

    def connection_closed(self) -> None:
        self.silent.pop(self, None)
        self._timer.cancel()
        self.connections.discard(self)

    def _begin(self) -> None:
        """A request may come from now on."""
        self._since = self._heard = time.monotonic()
        self._bytes = 0
        self.silent[self] = None
        self._timer = self.loop.call_later(HEADER_SECONDS, self._look)

    def data_received(self, data: bytes) -> None:
        self._heard = time.monotonic()
        if self._is_idle():  # the first byte of the next request
            self._timer.cancel()
            self._begin()
        self._bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self in self.silent:
            if self._bytes > HEADERS:
                self._refuse(431, "Request Header Fields Too Large")
        elif self._bytes > 2 * self.body + HEADERS:  # trailers, extensions of chunks, what nobody reads
            self._refuse(413, "Content Too Large")

    def on_headers_complete(self) -> None:
        self.silent.pop(self, None)
        self._timer.cancel()
        self._timer = self.loop.call_later(LOOK_SECONDS, self._look)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._timer.cancel()
        self._bytes = 0
        super().on_message_complete()

    def _is_idle(self) -> bool:
        return self not in self.silent and self._bytes == 0 and self.cycle is not None and self.cycle.response_complete

    def _look(self) -> None:
        """Whether the client still does its part. While the application does not read, it may be silent."""
        now = time.monotonic()
        if self in self.silent or (
            not self.flow.read_paused and (now - self._heard > SILENT_SECONDS or now - self._since > BODY_SECONDS)
        ):
            self._refuse(408, "Request Timeout")
        else:
            self._timer = self.loop.call_later(LOOK_SECONDS, self._look)

    def _refuse(self, status: int, text: str) -> None:
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            head = f"HTTP/1.1 {status} {text}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            self.transport.write(f"{head}{text}".encode())
        self.transport.close()


def guarded(limit: int, body: int) -> type[GuardedProtocol]:
    """The protocol of one server."""
    fields: dict[str, Any] = {"limit": limit, "body": body, "silent": {}}
    return type("GuardedProtocol", (GuardedProtocol,), fields)


class HeaderLimit:
    """ASGI middleware: 431 for headers that came whole, and are too large."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            size = len(scope["query_string"]) + sum(len(name) + len(value) + 4 for name, value in scope["headers"])
            if size > HEADERS:
                refused = ApiError(431, f"the headers have {size} bytes, {HEADERS} are the limit")
                return await error_response(scope["path"], refused)(scope, receive, send)
        await self.app(scope, receive, send)
