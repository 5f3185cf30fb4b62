"""A transport whose end is noticed when nobody is asking: the SDK tells only who waits for an answer."""

from collections.abc import Callable

import anyio
from mcp.client._transport import ReadStream, TransportStreams
from mcp.shared.message import SessionMessage

from ponder.agent.mcp.http import Http
from ponder.agent.mcp.stdio import Stdio


class WatchedTransport:
    """What the SDK wants a transport to be. ended: called once nothing more can come."""

    def __init__(self, transport: Stdio | Http, ended: Callable[[], None]) -> None:
        self._context, self._ended = transport.connect(), ended

    async def __aenter__(self) -> TransportStreams:
        read, write = await self._context.__aenter__()
        return _Watched(read, self._ended), write

    async def __aexit__(self, *error: object) -> bool | None:
        return await self._context.__aexit__(*error)  # type: ignore[arg-type]


class _Watched:
    """A stream that tells when it ends."""

    def __init__(self, stream: ReadStream[SessionMessage | Exception], ended: Callable[[], None]) -> None:
        self._stream, self._ended = stream, ended

    async def receive(self) -> SessionMessage | Exception:
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._ended()
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> "_Watched":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()
