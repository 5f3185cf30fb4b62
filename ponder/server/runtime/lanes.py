"""Threads for what would hold up the event loop, divided by how long the work may take: nothing waits behind a kind of
work that is slower than its own.

Python cannot end a thread. So work whose client has left is dropped while it waits for its thread, and otherwise told
(`core.client`) and waited for, and whoever asked for it keeps a place until then (`Admission`): leaving does not buy
another.
"""

import asyncio
import contextlib
import contextvars
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ponder.core.client import ABANDONED, CLIENT
from ponder.server.http.errors import ApiError

Result = TypeVar("Result")
LONG = 256 << 10  # a tenth of a second of work


class Turns:
    """total: how many may be at work at once; share: how many of them for one client; queue: how many of a client may
    wait."""

    def __init__(self, total: int, share: int, queue: int | None = None) -> None:
        self._total, self._share, self._queue = total, share, queue
        self._taken: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._freed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises ApiError 429 where the client's queue is full."""
        client = CLIENT.get()
        if self._queue is not None and self._waiting[client] >= self._queue:
            text = f"{self._queue} such requests of this API key are waiting already; try again soon"
            raise ApiError(429, text, kind="rate_limit_error", code="key_limit", retry_after=1)
        self._waiting[client] += 1
        try:
            while self._taken.total() >= self._total or self._taken[client] >= self._share:
                await self._freed.wait()
        finally:
            self._waiting[client] -= 1
        self._taken[client] += 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            self._freed.set()  # all that wait look again
            self._freed = asyncio.Event()


class Lane:
    """threads: of this lane. share: how many of them one client may have at once."""

    def __init__(self, name: str, threads: int, share: int) -> None:
        self._threads = ThreadPoolExecutor(threads, f"ponder-{name}")
        self._turns = Turns(threads, share)

    async def run(self, work: Callable[[], Result], undo: Callable[[Result], object] = lambda _: None) -> Result:
        """undo: called with the result when nobody waits for it any more."""
        async with self._turns.turn():
            return await self._in_thread(work, undo)

    async def call(self, work: Callable[..., Result], *arguments: Any) -> Result:
        return await self.run(lambda: work(*arguments))

    async def _in_thread(self, work: Callable[[], Result], undo: Callable[[Result], object]) -> Result:
        context, gone = contextvars.copy_context(), threading.Event()
        context.run(ABANDONED.set, gone)
        started = self._threads.submit(context.run, work)
        done = asyncio.wrap_future(started)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            gone.set()
            if not started.cancel():
                await asyncio.wait({done})
                if done.exception() is None:
                    undo(done.result())
            raise


class Lanes:
    """short, long: what prepares a request, by its length. scoring: embeddings and the like, computed to the end.
    store: the database, where another process may hold a lock for long."""

    def __init__(self) -> None:
        few = max(2, (os.cpu_count() or 1) // 4)
        self.short = Lane("short", 8, 8)
        self.long = Lane("long", few, few - 1)
        self.scoring = Lane("scoring", 4, 3)
        self.store = Lane("store", 4, 3)

    def of(self, length: int) -> Lane:
        """length: bytes of the body, or characters of the prompt."""
        return self.long if length > LONG else self.short
