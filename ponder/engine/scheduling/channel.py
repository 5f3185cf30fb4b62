"""Where the events of a request wait for their readers.

The engine writes into an `EventChannel`, a `Handle` reads from it; neither waits for the other, so a slow reader never
holds up the engine (what may pile up is bounded by max_tokens).
"""

from collections import deque
from collections.abc import Iterable
from threading import Condition
from typing import TYPE_CHECKING

from ponder.core.event import Event, Finish

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from asyncio import Event as AsyncEvent

Waker = tuple["AbstractEventLoop", "AsyncEvent"]


class EventChannel:
    """Events of all choices of a request, from the engine's thread to readers in any thread or event loop."""

    def __init__(self, choices: int) -> None:
        self._changed = Condition()
        self._items: list[deque[Event | Exception]] = [deque() for _ in range(choices)]
        self._wakers: list[Waker] = []
        self._resting: list[Waker] = []  # wait for an end only

    def put(self, choice: int, items: Iterable[Event | Exception]) -> None:
        with self._changed:
            held = self._items[choice]
            held.extend(items)
            wakers, self._wakers = self._wakers, []
            if held and isinstance(held[-1], Finish | Exception):
                wakers += self._resting
                self._resting = []
            self._changed.notify_all()
        for loop, event in wakers:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # its loop was closed, so nobody waits any more
                continue

    def get(self, choices: set[int]) -> tuple[int, Event]:
        """The next event of one of these choices; waits for it. Raises the error that ended the choice."""
        with self._changed:
            while (found := self._pop(choices)) is None:
                self._changed.wait()
        return _unwrap(found)

    async def aget(self, choices: set[int]) -> list[tuple[int, Event]]:
        """All events of these choices that are there; waits for one."""
        import asyncio  # a tenth of the imports, and whoever reads this way has it already

        while True:
            event = asyncio.Event()
            with self._changed:
                if found := self._pop_all(choices):
                    return found
                self._wakers.append((asyncio.get_running_loop(), event))
            await event.wait()

    async def rest(self, choices: set[int], seconds: float) -> None:
        """Wait so long, or until one of these ends: whoever reads at a pace need not be late at the end."""
        import asyncio

        loop, over = asyncio.get_running_loop(), asyncio.Event()
        with self._changed:
            if any((items := self._items[c]) and isinstance(items[-1], Finish | Exception) for c in choices):
                return
            self._resting.append((loop, over))
        timer = loop.call_later(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()
            with self._changed:
                self._resting = [waker for waker in self._resting if waker[1] is not over]

    def begun(self, seconds: float) -> bool:
        """Wait for the first event of any choice, so long at most; whether there is one."""
        with self._changed:
            return self._changed.wait_for(lambda: any(self._items), seconds)

    async def abegun(self, seconds: float) -> bool:
        import asyncio

        event = asyncio.Event()
        with self._changed:
            if any(self._items):
                return True
            self._wakers.append((asyncio.get_running_loop(), event))
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _pop_all(self, choices: set[int]) -> list[tuple[int, Event]]:
        """As often as `_pop` finds something new. An error is raised when what came before it has been read."""
        found: list[tuple[int, Event]] = []
        for choice in sorted(choices):
            items = self._items[choice]
            while items and not isinstance(items[0], Finish | Exception):
                found.append((choice, items.popleft()))  # type: ignore[arg-type]
            if items and isinstance(items[0], Finish):
                found.append((choice, items[0]))
            elif items and not found:
                _unwrap((choice, items[0]))
        return found

    def _pop(self, choices: set[int]) -> tuple[int, Event | Exception] | None:
        """The end of a choice stays: who reads again, or beside another reader, must not wait for what has gone."""
        for choice in sorted(choices):
            if items := self._items[choice]:
                return choice, items[0] if isinstance(items[0], Finish | Exception) else items.popleft()
        return None


def _unwrap(item: tuple[int, Event | Exception]) -> tuple[int, Event]:
    choice, event = item
    if isinstance(event, Exception):
        raise event
    return choice, event
