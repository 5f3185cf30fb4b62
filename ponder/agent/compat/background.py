"""An event loop in a thread of its own, for who is not async: agents stay open between calls, and events come as an
ordinary iterator."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Started by the first use, ended by `close` or with the program (the thread is a daemon)."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ponder-agents", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it. Ctrl-C cancels it first."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, events: AsyncGenerator[T, None]) -> Iterator[T]:
        """The items of an async generator. Leaving it early closes it, and waits until it is closed."""

        async def following() -> T:
            return await anext(events)

        try:
            while True:
                try:
                    yield self.call(following())
                except StopAsyncIteration:
                    return
        finally:
            self.call(events.aclose())

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
