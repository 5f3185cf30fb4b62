"""Streams that stay alive and end when the client leaves: server-sent events and JSON lines.

Headers go out with the first item, or before it where that takes long (a model is loaded): what is wrong by then is a
status, later an item. While nothing is produced a sign of life is sent every few seconds (SR-5): a comment for what
stands in between, and an item that says nothing, for clients that count those only. A client that hangs up ends the
items' generator at once, whatever it waits for (SR-1).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ponder.server.http.errors import ApiError

Items = AsyncGenerator[bytes, None]
Alive = Callable[[], bytes]
Failure = Callable[[Exception], Awaitable[bytes]]
Result = TypeVar("Result")
# Some clients split a stream into lines as Unicode does, and these end a line there. JSON has them in strings only.
LINE_ENDS = [(end.encode(), f"\\u{ord(end):04x}".encode()) for end in "\u2028\u2029\u0085"]
_encode = msgspec.json.Encoder().encode
KEEP_ALIVE = b": keep-alive\n\n"


def encode(value: Any) -> bytes:
    """One line of JSON, for every notion of a line."""
    out = _encode(value)
    for raw, escaped in LINE_ENDS:
        out = out.replace(raw, escaped)
    return out


def data(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + encode(value) + b"\n\n"


def event(name: str, value: Any) -> bytes:
    """One named server-sent event (Responses and Anthropic)."""
    return b"event: " + name.encode() + b"\ndata: " + encode(value) + b"\n\n"


def line(value: Any) -> bytes:
    """One JSON line (Ollama)."""
    return encode(value) + b"\n"


class Stream(Response):
    """Sends the items as they come. alive: gives what to send after `silence` seconds without one; None for nothing.

    `sse` and `lines` wait for the first item before any header is sent, so that what is wrong with the request becomes
    a status, not a broken stream; but not for long where something can be sent meanwhile. failure: the item that says
    what went wrong with the first one after that."""

    def __init__(
        self, first: "asyncio.Future[bytes]", items: Items, media_type: str, silence: float, alive: Alive | None
    ) -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first, self._items, self._silence, self._alive = first, items, silence, alive
        self._sent = 0.0

    @classmethod
    async def sse(cls, items: Items, silence: float, alive: Alive = bytes, failure: Failure | None = None) -> "Stream":
        first = await _begun(items, silence, failure)
        return cls(first, items, "text/event-stream", silence, lambda: KEEP_ALIVE + alive())

    @classmethod
    async def lines(
        cls, items: Items, silence: float = 3600.0, alive: Alive | None = None, failure: Failure | None = None
    ) -> "Stream":
        first = await _begun(items, None if alive is None else silence, failure)
        return cls(first, items, "application/x-ndjson", silence, alive)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        disconnected = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({sending, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        except OSError:
            return  # the client left while we were sending
        finally:
            # also where nobody has come to wait for the first item: a generator that runs cannot be closed
            for task in (sending, disconnected, self._first):
                task.cancel()
            await asyncio.gather(sending, disconnected, self._first, return_exceptions=True)
            await self._items.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        signs = asyncio.ensure_future(self._break_silence(send))
        try:
            await self._put(send, await self._first)
            async for item in self._items:
                await self._put(send, item)
        finally:
            signs.cancel()
            await asyncio.gather(signs, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _put(self, send: Send, item: bytes) -> None:
        self._sent = time.monotonic()
        await send({"type": "http.response.body", "body": item, "more_body": True})

    async def _break_silence(self, send: Send) -> None:
        """Beside the items, so that each of them costs no timer of its own."""
        while self._alive is not None:
            await asyncio.sleep(max(0.01, self._sent + self._silence - time.monotonic()))
            if time.monotonic() - self._sent >= self._silence:
                await self._put(send, self._alive())


async def _begun(items: Items, seconds: float | None, failure: Failure | None) -> "asyncio.Future[bytes]":
    """The first item, or the wait for it after so many seconds. Raises what went wrong by then."""
    first: asyncio.Future[bytes] = asyncio.ensure_future(anext(items))
    try:
        await asyncio.wait({first}, timeout=seconds)
    except asyncio.CancelledError:
        first.cancel()
        raise
    if first.done():
        first.result()
    return first if failure is None else asyncio.ensure_future(_or_failure(first, failure))


async def _or_failure(first: "asyncio.Future[bytes]", failure: Failure) -> bytes:
    try:
        return await first
    except Exception as e:
        return await failure(e)


async def cancel_on_disconnect(request: Request, work: Callable[[], Awaitable[Result]]) -> Result:
    """Await an answer that is not streamed; a client that hangs up cancels it (SR-1). Raises ApiError 499."""
    task = asyncio.ensure_future(work())
    disconnected = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({task, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ApiError(499, "the client closed the connection")
    finally:
        for t in (task, disconnected):
            t.cancel()
        await asyncio.gather(task, disconnected, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
