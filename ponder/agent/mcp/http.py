"""MCP over HTTP: streamable HTTP as it is now, and the older pair of an event stream and a POST address (SSE)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from ponder.agent.mcp.config import McpServerConfig

LIMIT = 64 << 20  # bytes of one message, whether a body or an event


class Http:
    """A connection to a url. sse: the older transport. auth: signs requests, if the server wants that."""

    def __init__(self, config: McpServerConfig, *, sse: bool, auth: httpx2.Auth | None = None) -> None:
        self._config, self._sse, self._auth = config, sse, auth
        self.forgotten = False
        """The server does not know the session (any more), so what was asked last has not been done."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[TransportStreams]:
        config = self._config
        assert config.url is not None
        if self._sse:
            async with sse_client(config.url, httpx_client_factory=self._http) as streams:
                yield streams
            return
        async with (
            self._http() as http,
            streamable_http_client(config.url, http_client=http, max_sse_event_size=LIMIT) as streams,
        ):
            yield streams

    def complaint(self) -> str:
        return ""

    def _http(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        """The parameters are those the SDK calls it with; the config knows better."""
        config = self._config
        quiet = max(300.0, config.tool_timeout + 60)  # a stream may be silent for as long as a call may take
        return httpx2.AsyncClient(
            headers=config.headers, timeout=httpx2.Timeout(config.connect_timeout, read=quiet), auth=self._auth,
            event_hooks={"response": [_bound, self._look]},
        )  # fmt: skip

    async def _look(self, response: httpx2.Response) -> None:
        """404 is the protocol's word for it, and 400 that of some servers; what stands in the body is anybody's."""
        request = response.request
        if response.status_code in (400, 404) and request.method == "POST" and "mcp-session-id" in request.headers:
            self.forgotten = True


async def _bound(response: httpx2.Response) -> None:
    """No body without end; streams of events are long, and the SDK bounds each event."""
    if "text/event-stream" not in response.headers.get("content-type", ""):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LIMIT:
                raise httpx2.StreamError(f"the body has more than {LIMIT >> 20} MB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
