"""How a reader follows a running request: blocking, async, one choice at a time or all together.

The engine writes into a `Channel`, a `Handle` reads from it; neither waits for the other, so a slow reader never holds
up the engine (what may pile up is bounded by max_tokens). Leaving early cancels: breaking out of the loop, closing the
generator, a cancelled task, or dropping the handle.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from threading import Condition
from typing import TYPE_CHECKING

from ponder.core.errors import UserError
from ponder.core.event import Event, Finish

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from asyncio import Event as AsyncEvent

    from ponder.engine.sequence import Sequence, Timings

Waker = tuple["AbstractEventLoop", "AsyncEvent"]


class Channel:
    """Events of all choices of a request, from the engine's thread to readers in any thread or event loop."""

    def __init__(self, choices: int) -> None:
        self._changed = Condition()
        self._items: list[deque[Event | Exception]] = [deque() for _ in range(choices)]
        self._wakers: list[Waker] = []

    def put(self, choice: int, items: Iterable[Event | Exception]) -> None:
        with self._changed:
            self._items[choice].extend(items)
            wakers, self._wakers = self._wakers, []
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

    async def aget(self, choices: set[int]) -> tuple[int, Event]:
        import asyncio  # a tenth of the imports, and whoever reads this way has it already

        while True:
            event = asyncio.Event()
            with self._changed:
                if (found := self._pop(choices)) is not None:
                    return _unwrap(found)
                self._wakers.append((asyncio.get_running_loop(), event))
            await event.wait()

    def _pop(self, choices: set[int]) -> tuple[int, Event | Exception] | None:
        """The end of a choice stays: who reads again, or beside another reader, must not wait for what has gone."""
        for choice in sorted(choices):
            if items := self._items[choice]:
                return choice, items[0] if isinstance(items[0], Finish | Exception) else items.popleft()
        return None


class Handle:
    """One running request. Iterate it for the events of its only choice, or `choice(i)` / `merged()` when it has
    several. Every choice ends with a `Finish`, or by raising what went wrong. The methods may come from any thread."""

    def __init__(
        self,
        sequences: "list[Sequence]",
        channel: Channel,
        cancel: "Callable[[Sequence], None]",
        answer_now: "Callable[[Sequence], None]",
    ) -> None:
        """cancel, answer_now: hand the wish to the engine; must be safe to call from a destructor."""
        self._sequences = sequences
        self._channel = channel
        self._cancel = cancel
        self._answer_now = answer_now

    def __len__(self) -> int:
        """How many choices there are."""
        return len(self._sequences)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Event]:
        return self.choice(self._only())

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.achoice(self._only())

    def choice(self, index: int) -> Iterator[Event]:
        try:
            for _, event in self._read({index}):
                yield event
        finally:
            self._stop([index])

    async def achoice(self, index: int) -> AsyncIterator[Event]:
        try:
            async for _, event in self._aread({index}):
                yield event
        finally:
            self._stop([index])

    def merged(self) -> Iterator[tuple[int, Event]]:
        """(choice, event) of all choices as they come."""
        try:
            yield from self._read(set(range(len(self))))
        finally:
            self.cancel()

    async def amerged(self) -> AsyncIterator[tuple[int, Event]]:
        try:
            async for item in self._aread(set(range(len(self)))):
                yield item
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Free slots and cache blocks within one step. Idempotent; unfinished choices end with "cancelled"."""
        self._stop(range(len(self)))

    def answer_now(self) -> None:
        """Hand over from thinking to the answer at the next id. Does nothing once the answer has begun."""
        for sequence in self._sequences:
            self._answer_now(sequence)

    def timings(self, choice: int = 0) -> "Timings":
        return self._sequences[choice].timings

    def ids(self, choice: int = 0) -> tuple[int, ...]:
        """The exact ids generated so far, fed ones included; complete once the choice has finished."""
        sequence = self._sequences[choice]
        return tuple(sequence.ids[sequence.prompt :])

    def turn_ids(self, choice: int = 0) -> tuple[int, ...]:
        """The exact ids of the assistant's turn: what the prompt began of it (an empty thinking block, say) and what
        was generated. Complete once the choice has finished; `Message.ids` takes them (HC-2)."""
        prompt_ids = self.prompt_ids()
        start = self._sequences[choice].control.turn_start(prompt_ids)  # 0: there is no turn
        return (prompt_ids[start + 1 :] if start else ()) + self.ids(choice)  # behind the newline

    def prompt_ids(self) -> tuple[int, ...]:
        return tuple(self._sequences[0].ids[: self._sequences[0].prompt])

    def __del__(self) -> None:
        self.cancel()

    def _only(self) -> int:
        if len(self) > 1:
            raise UserError(f"{len(self)} choices: read them with choice(i) or merged()", param="n")
        return 0

    def _stop(self, choices: "range | list[int]") -> None:
        for index in choices:
            if not self._sequences[index].finished:
                self._cancel(self._sequences[index])

    def _read(self, choices: set[int]) -> Iterator[tuple[int, Event]]:
        while choices:
            index, event = self._channel.get(choices)
            if isinstance(event, Finish):
                choices.remove(index)
            yield index, event

    async def _aread(self, choices: set[int]) -> AsyncIterator[tuple[int, Event]]:
        while choices:
            index, event = await self._channel.aget(choices)
            if isinstance(event, Finish):
                choices.remove(index)
            yield index, event


def _unwrap(item: tuple[int, Event | Exception]) -> tuple[int, Event]:
    choice, event = item
    if isinstance(event, Exception):
        raise event
    return choice, event
