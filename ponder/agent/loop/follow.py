"""A model's stream, and before its first event how much of a long prompt has been read."""

import asyncio
from collections.abc import AsyncIterator

from ponder.core.event import Event
from ponder.core.protocol import READING, ChatStream, PromptProgress


async def follow(stream: ChatStream) -> AsyncIterator[Event | PromptProgress]:
    """The events in order. What the stream raises is raised here; leaving it early cancels the request."""
    events = aiter(stream)
    first = asyncio.ensure_future(_next(events))
    try:
        known = None
        while not (await asyncio.wait([first], timeout=READING))[0]:
            progress = stream.progress()
            if progress is not None and progress != known and progress.processed < progress.total:
                yield (known := progress)
        if (event := await first) is None:
            return
        yield event
        async for event in events:
            yield event
    finally:
        if first.done() and not first.cancelled():
            first.exception()  # seen, so that asyncio does not complain of it
        first.cancel()
        stream.cancel()


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)
