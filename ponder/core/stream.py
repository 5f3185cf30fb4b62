"""A stream around another: it sees each event, passes on what it likes, and may go on with a second stream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

from ponder.core.event import Event
from ponder.core.protocol import ChatStream, PromptProgress


class WrappedStream:
    """See `core.protocol.ChatStream`. A subclass says in `feed` what becomes of an event, in either kind of loop."""

    def __init__(self, inner: ChatStream) -> None:
        self._inner = inner
        self._next: Callable[[], ChatStream] | None = None
        self._cancelled = False

    def feed(self, event: Event) -> Iterator[Event]:
        """The events in the place of this one. `go_on` may be called here."""
        yield event

    def go_on(self, start: Callable[[], ChatStream]) -> None:
        """Start this stream when the present one has ended, and follow it."""
        self._next = start

    def __iter__(self) -> Iterator[Event]:
        while True:
            for event in self._inner:
                yield from self.feed(event)
            if self._next is None:
                return
            self._follow(self._next())

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            async for event in self._inner:
                for shown in self.feed(event):
                    yield shown
            if self._next is None:
                return
            self._follow(await asyncio.to_thread(self._next))

    def _follow(self, stream: ChatStream) -> None:
        self._inner, self._next = stream, None
        if self._cancelled:
            stream.cancel()

    def cancel(self) -> None:
        self._cancelled = True
        self._inner.cancel()

    def answer_now(self) -> None:
        self._inner.answer_now()

    def progress(self) -> PromptProgress | None:
        return self._inner.progress()

    def turn_ids(self) -> tuple[int, ...] | None:
        return self._inner.turn_ids()
