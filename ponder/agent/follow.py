"""A model's stream, which blocks its thread, as an async iterator; leaving it early cancels the request."""

import asyncio
import threading
from collections.abc import AsyncIterator

from ponder.core.event import Event
from ponder.core.protocol import ChatStream


async def follow(stream: ChatStream) -> AsyncIterator[Event]:
    """The events of `stream` in order. What the stream raises is raised here."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    ended: asyncio.Future[None] = loop.create_future()

    def put(event: Event | None, error: BaseException | None) -> None:
        if event is not None:
            events.put_nowait(event)
            return
        if not ended.done():
            ended.set_exception(error) if error else ended.set_result(None)
        events.put_nowait(None)

    def read() -> None:
        error: BaseException | None = None
        try:
            for event in stream:
                loop.call_soon_threadsafe(put, event, None)
        except BaseException as e:  # carried over to the task that awaits; a thread has nobody to tell
            error = e
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(put, None, error)

    threading.Thread(target=read, name="ponder-follow", daemon=True).start()
    try:
        while (event := await events.get()) is not None:
            yield event
        await ended
    finally:
        stream.cancel()
        if ended.done() and not ended.cancelled():
            ended.exception()  # seen, so that asyncio does not complain of it
