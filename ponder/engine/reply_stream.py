"""A reply as it is written, as text: what `LLM.stream` and `LLM.astream` give.

stream = llm.stream("Why is the sky blue?")
for piece in stream:
    print(piece, end="", flush=True)
print(stream.result().finish.usage)
"""

from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterator

from ponder.core.event import Event, TextDelta
from ponder.engine.result import Result
from ponder.engine.scheduling.handle import Handle

Gather = Callable[[Handle, list[list[Event]]], Result]


class ReplyStream:
    """Iterate it for the answer's text in pieces; thoughts are in `result().reasoning`, and in the events of
    `LLM.chat_stream`. A loop that was left can be gone on with; a stream that nobody holds any more is cancelled."""

    def __init__(self, handle: Handle, gather: Gather) -> None:
        self._handle, self._gather = handle, gather
        self._said: list[Event] = []
        self._events = iter(handle)

    def __iter__(self) -> Iterator[str]:
        for event in self._events:
            self._said.append(event)
            if isinstance(event, TextDelta):
                yield event.text

    def result(self) -> Result:
        """The whole reply. Reads what has not been read yet, and waits for it."""
        self._said.extend(self._events)
        return self._gather(self._handle, [self._said])

    def cancel(self) -> None:
        """End it now. What was said stays; it ends with "cancelled"."""
        self._handle.cancel()

    def answer_now(self) -> None:
        """Hand over from thinking to the answer at the next id."""
        self._handle.answer_now()


class AsyncReplyStream:
    """The same for `async for`. The request begins with the first piece, or with `result()`."""

    def __init__(self, start: Callable[[], Handle], gather: Gather) -> None:
        self._start, self._gather = start, gather
        self._handle: Handle | None = None
        self._said: list[Event] = []
        self._events: AsyncIterator[Event] | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        async for event in await self._begun():
            self._said.append(event)
            if isinstance(event, TextDelta):
                yield event.text

    async def result(self) -> Result:
        """The whole reply. Reads what has not been read yet, and waits for it."""
        async for event in await self._begun():
            self._said.append(event)
        assert self._handle is not None
        return self._gather(self._handle, [self._said])

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    async def _begun(self) -> AsyncIterator[Event]:
        """Rendering and the grammar are kept off the event loop."""
        if self._events is None:
            self._handle = await to_thread(self._start)
            self._events = aiter(self._handle)
        return self._events
