"""A model's stream, which blocks its thread, as an async iterator; leaving it early cancels the request."""

import asyncio
import threading
from collections.abc import AsyncIterator

from ponder.core.event import Event
from ponder.core.protocol import READING, ChatStream, PromptProgress


async def follow(stream: ChatStream) -> AsyncIterator[Event | PromptProgress]:
    """The events of `stream` in order, and before them how much of a long prompt has been read. What the stream raises
    is raised here."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event | PromptProgress | None] = asyncio.Queue()
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

    async def tell() -> None:
        known = None
        while True:
            await asyncio.sleep(READING)
            progress = stream.progress()
            if progress is not None and progress != known and progress.processed < progress.total:
                events.put_nowait(progress)
                known = progress

    threading.Thread(target=read, name="ponder-follow", daemon=True).start()
    telling = asyncio.ensure_future(tell())
    try:
        while (event := await events.get()) is not None:
            if not isinstance(event, PromptProgress):
                telling.cancel()
            yield event
        await ended
    finally:
        telling.cancel()
        stream.cancel()
        if ended.done() and not ended.cancelled():
            ended.exception()  # seen, so that asyncio does not complain of it
