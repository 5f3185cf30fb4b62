"""A stream whose client leaves ends its items, whatever was going on."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.types import Message

from ponder.server.http.stream import Stream

SCOPE = {"type": "http"}


def test_who_leaves_before_the_headers_are_out_ends_the_wait_for_the_first_item() -> None:
    """The connection takes nothing, so nobody has begun to wait for the item, and it is being made."""
    ended = []

    async def items() -> AsyncGenerator[bytes, None]:
        try:
            await asyncio.Event().wait()
            yield b"never"
        finally:
            ended.append(True)

    async def failure(error: Exception) -> bytes:
        return b"failed"

    async def send(message: Message) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def main() -> None:
        stream = await Stream.sse(items(), 0.01, failure=failure)
        await stream(SCOPE, receive, send)

    asyncio.run(main())
    assert ended == [True]
