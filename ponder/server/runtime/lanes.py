"""Threads for what would hold up the event loop, divided by how long the work may take: nothing waits behind a kind of
work that is slower than its own.

Python cannot end a thread. So work whose client has left is dropped while it waits for its thread, and otherwise
waited for, and whoever asked for it keeps a place until then (`Admission`): leaving does not buy another.
"""

import asyncio
import contextvars
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ponder.core.client import CLIENT

Result = TypeVar("Result")
LONG = 256 << 10  # a tenth of a second of work


class Lane:
    """threads: of this lane. share: how many of them one client may have at once."""

    def __init__(self, name: str, threads: int, share: int) -> None:
        self._threads = ThreadPoolExecutor(threads, f"ponder-{name}")
        self._share = share
        self._taken: Counter[str] = Counter()
        self._freed: dict[str, asyncio.Event] = {}

    async def run(self, work: Callable[[], Result], undo: Callable[[Result], object] = lambda _: None) -> Result:
        """undo: called with the result when nobody waits for it any more."""
        client = CLIENT.get()
        while self._taken[client] >= self._share:
            event = self._freed.setdefault(client, asyncio.Event())
            await event.wait()
        self._taken[client] += 1
        try:
            return await self._in_thread(work, undo)
        finally:
            self._taken[client] -= 1
            if client in self._freed:  # those that wait look again
                self._freed.pop(client).set()

    async def _in_thread(self, work: Callable[[], Result], undo: Callable[[Result], object]) -> Result:
        started = self._threads.submit(contextvars.copy_context().run, work)
        done = asyncio.wrap_future(started)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if not started.cancel():
                await asyncio.wait({done})
                if done.exception() is None:
                    undo(done.result())
            raise


class Lanes:
    """short, long: what prepares a request, by its length. scoring: embeddings and the like, computed to the end."""

    def __init__(self) -> None:
        few = max(2, (os.cpu_count() or 1) // 4)
        self.short = Lane("short", 8, 8)
        self.long = Lane("long", few, few - 1)
        self.scoring = Lane("scoring", 4, 3)

    def of(self, length: int) -> Lane:
        """length: bytes of the body, or characters of the prompt."""
        return self.long if length > LONG else self.short
