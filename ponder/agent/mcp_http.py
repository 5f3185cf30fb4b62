"""MCP over HTTP: streamable HTTP as it is now, and the older pair of an event stream and a POST address (SSE)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from ponder.agent.mcp_config import ServerConfig

EVENT_LIMIT = 64 << 20  # bytes of one message


class Http:
    """A connection to a url. sse: the older transport. auth: signs requests, if the server wants that."""

    def __init__(self, config: ServerConfig, *, sse: bool, auth: httpx2.Auth | None = None) -> None:
        self._config, self._sse, self._auth = config, sse, auth

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[TransportStreams]:
        config = self._config
        assert config.url is not None
        quiet = max(300.0, config.tool_timeout + 60)  # a stream may be silent for as long as a call may take
        if self._sse:
            async with sse_client(
                config.url, config.headers, timeout=config.connect_timeout, sse_read_timeout=quiet, auth=self._auth
            ) as streams:
                yield streams
            return
        timeout = httpx2.Timeout(config.connect_timeout, read=quiet)
        async with (
            httpx2.AsyncClient(headers=config.headers, timeout=timeout, auth=self._auth) as client,
            streamable_http_client(config.url, http_client=client, max_sse_event_size=EVENT_LIMIT) as streams,
        ):
            yield streams

    def complaint(self) -> str:
        return ""
